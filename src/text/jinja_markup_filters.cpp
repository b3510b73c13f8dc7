#include <algorithm>
#include <charconv>

#include "guerdon/base/utf8.h"
#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

Value escape(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("escape", arguments, {});
  return input.is_safe_text() ? input : heap.text(escape_html(heap, printed(heap, input)), true);
}

Value forceescape(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("forceescape", arguments, {});
  return heap.text(escape_html(heap, printed(heap, input)), true);
}

Value safe(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("safe", arguments, {});
  return heap.text(printed(heap, input), true);
}

/// What HTML reads a numeric entity as: "" for characters that it does not allow.
std::string character_reference(uint64_t point) {
  const bool control = (point >= 1 && point <= 8) || point == 0xB ||
                       (point >= 0xE && point <= 0x1F) || (point >= 0x7F && point <= 0x9F);
  const bool no_character = (point >= 0xFDD0 && point <= 0xFDEF) || (point & 0xFFFE) == 0xFFFE;
  const bool outside = point == 0 || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF);
  std::string out;
  if (outside) point = 0xFFFD;
  if (outside || (!control && !no_character)) utf8_append(out, static_cast<char32_t>(point));
  return out;
}

/// Entities as characters: the few that have names in XML, the space, and numbers. As in HTML most
/// of them may lack the ";".
std::string unescape_html(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kNamed[] = {
      {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos;", "'"}, {"nbsp", "\u00a0"}};
  std::string out;
  while (!text.empty()) {
    const size_t plain = std::min(text.find('&'), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    text.remove_prefix(1);
    const auto* const named =
        std::find_if(std::begin(kNamed), std::end(kNamed),
                     [&](const auto& n) { return text.starts_with(n.first); });
    if (named != std::end(kNamed)) {
      out += named->second;
      text.remove_prefix(named->first.size());
    } else {
      const bool hexadecimal = text.size() > 1 && (text[1] | 0x20) == 'x';
      const size_t digits = std::min<size_t>(1 + hexadecimal, text.size());
      uint64_t point = 0;
      const auto [end, error] = std::from_chars(text.data() + digits, text.data() + text.size(),
                                                point, hexadecimal ? 16 : 10);
      if (!text.starts_with('#') || error == std::errc::invalid_argument) {
        out += '&';
        continue;
      }
      out += character_reference(error == std::errc{} ? point : UINT64_MAX);
      text.remove_prefix(static_cast<size_t>(end - text.data()));
    }
    if (text.starts_with(';')) text.remove_prefix(1);
  }
  return out;
}

Value striptags(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("striptags", arguments, {});
  const std::string text = printed(heap, input);
  heap.step_bytes(4 * text.size());
  std::string bare;
  size_t at = 0;
  for (size_t open = 0; (open = text.find('<', at)) != std::string::npos;) {
    const bool comment = text.compare(open, 4, "<!--") == 0;
    const size_t close = comment ? text.find("-->", open + 4) : text.find('>', open);
    if (close == std::string::npos) break;
    bare.append(text, at, open - at);
    at = close + (comment ? 3 : 1);
  }
  bare.append(text, at);
  std::string joined;
  for (const std::string_view word : split_space(heap, bare)) {
    if (!joined.empty()) joined += ' ';
    joined += word;
  }
  return heap.text(unescape_html(joined));
}

std::string url_quoted(std::string_view text, bool in_query) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else if (in_query && c == ' ') {
      out += '+';
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Value urlencode(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("urlencode", arguments, {});
  if (input.is(Type::text) || !is_iterable(input))
    return heap.text(url_quoted(printed(heap, input), false));
  const Value pairs =
      input.is(Type::dict) ? heap.make<View>(Type::view, View::Kind::items, input) : input;
  std::string out;
  Iteration walk(heap, pairs);
  for (Value pair; walk.next(pair);) {
    const std::vector<Value> parts = to_vector(heap, pair);
    if (parts.size() != 2) fault("urlencode(): each item must be a pair");
    if (!out.empty()) out += '&';
    out +=
        url_quoted(printed(heap, parts[0]), true) + "=" + url_quoted(printed(heap, parts[1]), true);
    heap.check_bytes(out.size());
  }
  return heap.text(std::move(out));
}

Value xmlattr(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("xmlattr", arguments, {"autospace"});
  if (input.is(Type::undefined)) fault(input.undefined_reason());
  if (!input.is(Type::dict)) fault("xmlattr(): the input must be dict, not ", type_name(input));
  std::string out;
  const auto escaped = [&](const Value& value) {
    return value.is_safe_text() ? value.as_text() : escape_html(heap, printed(heap, value));
  };
  for (const auto& [key, value] : input.dict().entries()) {
    if (value.is(Type::none) || value.is(Type::undefined)) continue;
    if (!key.is(Type::text)) fault("xmlattr(): the keys must be str, not ", type_name(key));
    if (key.as_text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      fault("Invalid character in attribute name: ", quote(key.as_text()));
    }
    if (!out.empty() || given.flag(heap, 0, true)) out += ' ';
    out += escaped(key) + "=\"" + escaped(value) + "\"";
    heap.check_bytes(out.size());
  }
  return heap.text(std::move(out));
}

}  // namespace

std::vector<NamedFilter> markup_filters() {
  return {{"e", escape},       {"escape", escape},       {"forceescape", forceescape},
          {"safe", safe},      {"striptags", striptags}, {"urlencode", urlencode},
          {"xmlattr", xmlattr}};
}

}  // namespace guerdon::text::jinja
