#include <algorithm>
#include <set>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

struct LinkStyle {
  int64_t limit;  ///< characters of a link's text, -1 for all
  std::string attributes;
  std::vector<std::string> schemes;
};

bool is_word(char32_t c) { return is_alphanumeric(c) || c == '_'; }

/// Not empty, and each character is of a word or one of `more`.
bool is_made_of(std::string_view text, std::string_view more) {
  const std::u32string characters = decode(text);
  return !characters.empty() && std::all_of(characters.begin(), characters.end(), [&](char32_t c) {
    return is_word(c) || (c < 0x80 && more.find(static_cast<char>(c)) != std::string_view::npos);
  });
}

bool is_digits(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string_view> labels_of(std::string_view host) {
  std::vector<std::string_view> labels;
  for (;;) {
    const size_t dot = std::min(host.find('.'), host.size());
    labels.push_back(host.substr(0, dot));
    if (dot == host.size()) return labels;
    host.remove_prefix(dot + 1);
  }
}

/// "name@host.tld"
bool is_mail_address(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == 0 || at == std::string_view::npos) return false;
  const std::string_view host = text.substr(at + 1);
  const size_t dot = host.rfind('.');
  return !host.empty() && is_word(first_character(host)) && dot != std::string_view::npos &&
         dot > 0 && is_made_of(host.substr(0, dot), ".-") && is_made_of(host.substr(dot + 1), "");
}

bool is_ipv4(const std::vector<std::string_view>& labels) {
  return labels.size() == 4 &&
         std::all_of(labels.begin(), labels.end(),
                     [](std::string_view label) { return is_digits(label, 3); });
}

/// A host with its scheme or "www." already read.
bool is_host(std::string_view host) {
  const std::vector<std::string_view> labels = labels_of(host);
  const std::string last = to_lower(labels.back());
  const bool domain =
      last.size() >= 2 && last.size() <= 63 &&
      (last.starts_with("xn--")
           ? is_made_of(last.substr(4), "%")
           : last.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos);
  return domain && std::all_of(labels.begin(), labels.end() - 1,
                               [](std::string_view label) { return is_made_of(label, "%-"); });
}

/// A host alone: "example.com", of the usual endings.
bool is_bare_host(std::string_view host) {
  static const std::set<std::string, std::less<>> endings = {"com", "net", "int",  "edu",
                                                             "gov", "org", "info", "mil"};
  const std::vector<std::string_view> labels = labels_of(host);
  return labels.size() >= 2 && endings.contains(to_lower(labels.back())) &&
         std::all_of(labels.begin(), labels.end() - 1, [](std::string_view label) {
           return is_made_of(label, "%-") && length_of(label) >= 2 && length_of(label) <= 63;
         });
}

/// A host with a scheme, "www." or a usual ending, then perhaps a port and a path.
bool is_web_address(std::string_view text) {
  const std::string start = to_lower(text.substr(0, byte_of(text, 8)));
  const size_t scheme = start.starts_with("https://") ? 8 : start.starts_with("http://") ? 7 : 0;
  std::string_view rest = text.substr(scheme);
  rest = rest.substr(0, std::min(rest.find_first_of("/?#"), rest.size()));
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos && !is_digits(rest.substr(colon + 1), 5)) return false;
  const std::string_view host = rest.substr(0, colon);
  if (scheme > 0) return is_host(host) || is_ipv4(labels_of(host));
  return (start.starts_with("www.") && is_host(host.substr(4))) || is_bare_host(host);
}

size_t count_of(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = find_text(text, part, at)) != std::string_view::npos; at += part.size())
    ++count;
  return count;
}

/// A word of escaped text, with the link in it when there is one. Brackets and punctuation around
/// the link stay outside.
std::string linked(std::string_view word, const LinkStyle& style) {
  static constexpr std::string_view kOpening[] = {"(", "<", "&lt;"};
  static constexpr std::string_view kClosing[] = {")", ">", "&gt;", ".", ",", "\n"};
  std::string_view middle = word;
  const auto shorten = [&](const auto& marks, const auto& cut) {
    while (std::any_of(std::begin(marks), std::end(marks), cut)) {
    }
  };
  shorten(kOpening, [&](std::string_view mark) {
    return middle.starts_with(mark) ? middle.remove_prefix(mark.size()), true : false;
  });
  const size_t head = word.size() - middle.size();
  shorten(kClosing, [&](std::string_view mark) {
    return middle.ends_with(mark) ? middle.remove_suffix(mark.size()), true : false;
  });

  // A closing bracket belongs to the link that has the opening one.
  std::string_view tail = word.substr(head + middle.size());
  for (const auto& [open, close] :
       {std::pair<std::string_view, std::string_view>{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}}) {
    const size_t opened = count_of(middle, open);
    if (opened <= count_of(middle, close)) continue;
    for (size_t i = std::min(opened, count_of(tail, close)); i > 0; --i) {
      const size_t end = tail.find(close) + close.size();
      middle = word.substr(head, middle.size() + end);
      tail.remove_prefix(end);
    }
  }

  const std::string link(middle);
  const auto anchor = [&](const std::string& target, const std::string& text,
                          const std::string& attributes) {
    return std::string(word.substr(0, head)) + "<a href=\"" + target + "\"" + attributes + ">" +
           text + "</a>" + std::string(tail);
  };
  if (is_web_address(middle)) {
    const bool scheme = middle.starts_with("http://") || middle.starts_with("https://");
    const bool cut = style.limit >= 0 && length_of(link) > style.limit;
    return anchor(scheme ? link : "https://" + link,
                  cut ? link.substr(0, byte_of(link, style.limit)) + "..." : link,
                  style.attributes);
  }
  if (middle.starts_with("mailto:") && is_mail_address(middle.substr(7)))
    return anchor(link, link.substr(7), "");
  if (!middle.starts_with("www.") && !middle.starts_with('@') &&
      middle.find(':') == std::string_view::npos && is_mail_address(middle)) {
    return anchor("mailto:" + link, link, "");
  }
  for (const std::string& scheme : style.schemes) {
    if (link != scheme && middle.starts_with(scheme)) return anchor(link, link, style.attributes);
  }
  return std::string(word);
}

Value urlize(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("urlize", arguments,
                         {"trim_url_limit", "nofollow", "target", "rel", "extra_schemes"});
  std::set<std::string> relations = {"noopener"};
  for (const std::string_view part : split_space(heap, given.optional_text(3, "")))
    relations.emplace(part);
  if (given.flag(heap, 1, false)) relations.insert("nofollow");
  std::string relation;
  for (const std::string& each : relations) relation += (relation.empty() ? "" : " ") + each;
  LinkStyle style{
      given.optional_integer(0, -1), " rel=\"" + escape_html(heap, relation) + "\"", {}};
  if (!given[2].is(Type::none))
    style.attributes += " target=\"" + escape_html(heap, given.text(2)) + "\"";
  if (!given[4].is(Type::none)) {
    for (const Value& scheme : to_vector(heap, given[4]))
      style.schemes.push_back(printed(heap, scheme));
  }

  const std::string text =
      input.is_safe_text() ? input.as_text() : escape_html(heap, printed(heap, input));
  heap.step_bytes(16 * text.size());
  std::string out;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view behind = strip_space(rest, Side::left);
    out += rest.substr(0, rest.size() - behind.size());
    size_t end = 0;
    while (end < behind.size() && !is_space(first_character(behind.substr(end))))
      end += character_bytes(behind.substr(end));
    if (end > 0) out += linked(behind.substr(0, end), style);
    rest = behind.substr(end);
    heap.check_bytes(out.size());
  }
  return heap.text(std::move(out));
}

}  // namespace

std::vector<NamedFilter> link_filters() { return {{"urlize", urlize}}; }

}  // namespace guerdon::text::jinja
