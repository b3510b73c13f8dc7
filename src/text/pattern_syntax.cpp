// Oniguruma's dialect differs from PCRE2's in the names of properties, in nested and intersected
// classes, in a few escapes and quantifiers, and in the version of Unicode. What is the same passes
// through; PCRE2 reports what is malformed.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <functional>
#include <map>
#include <sstream>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

using unicode::Category;

// \s of Oniguruma: the property White_Space. PCRE2's own \s has U+180E too.
constexpr const char* kSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"
    "205f}\\x{3000}";
constexpr const char* kNoSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{"
    "10ffff}";
constexpr const char* kHex = "0-9A-Fa-f";
constexpr const char* kNoHex = "\\x{0}-/:-@G-`g-\\x{d7ff}\\x{e000}-\\x{10ffff}";
constexpr const char* kAny = "(?s:.)";
// Han ideographs of Unicode 15.0 and 15.1.
constexpr const char* kNewHan = "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";

constexpr int kMaxClassDepth = 50;

/// What a class is made of: text for inside brackets, and fragments that match one character each.
struct Parts {
  std::string inside;
  std::vector<std::string> fragments;

  void add(const Parts& other) {
    inside += other.inside;
    fragments.insert(fragments.end(), other.fragments.begin(), other.fragments.end());
  }
  /// An expression that matches one character.
  std::string expression() const {
    if (fragments.empty()) return inside.empty() ? "(?!)" : "[" + inside + "]";
    std::string all = "(?:";
    if (!inside.empty()) all += "[" + inside + "]|";
    for (size_t i = 0; i < fragments.size(); ++i) all += (i ? "|" : "") + fragments[i];
    return all + ")";
  }
  std::string complement() const {
    if (fragments.empty()) return inside.empty() ? std::string(kAny) : "[^" + inside + "]";
    return "(?:(?!" + expression() + ")" + kAny + ")";
  }
};

/// The additions of Unicode 15 and 16 that satisfy `keep`, for inside brackets.
std::string additions(const std::function<bool(Category)>& keep) {
  std::ostringstream out;
  out << std::hex;
  for (const auto& [first, last, category] : unicode::additions()) {
    if (!keep(category)) continue;
    out << "\\x{" << static_cast<uint32_t>(first) << "}";
    if (last != first) out << "-\\x{" << static_cast<uint32_t>(last) << "}";
  }
  return out.str();
}

std::string of_group(std::string_view groups) {
  return additions(
      [&](Category c) { return groups.find(unicode::group(c)) != std::string_view::npos; });
}

constexpr std::array<std::string_view, 30> kCategoryNames = {
    "cn", "lu", "ll", "lt", "lm", "lo", "mn", "me", "mc", "nd", "nl", "no", "zs", "zl", "zp",
    "cc", "cf", "co", "cs", "pd", "ps", "pe", "pc", "po", "sm", "sc", "sk", "so", "pi", "pf"};

/// The short name of a general category or group, from its long name.
std::string short_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {{"letter", "l"},
                                                           {"uppercaseletter", "lu"},
                                                           {"lowercaseletter", "ll"},
                                                           {"titlecaseletter", "lt"},
                                                           {"modifierletter", "lm"},
                                                           {"otherletter", "lo"},
                                                           {"mark", "m"},
                                                           {"combiningmark", "m"},
                                                           {"nonspacingmark", "mn"},
                                                           {"spacingmark", "mc"},
                                                           {"enclosingmark", "me"},
                                                           {"number", "n"},
                                                           {"decimalnumber", "nd"},
                                                           {"letternumber", "nl"},
                                                           {"othernumber", "no"},
                                                           {"punctuation", "p"},
                                                           {"connectorpunctuation", "pc"},
                                                           {"dashpunctuation", "pd"},
                                                           {"openpunctuation", "ps"},
                                                           {"closepunctuation", "pe"},
                                                           {"initialpunctuation", "pi"},
                                                           {"finalpunctuation", "pf"},
                                                           {"otherpunctuation", "po"},
                                                           {"symbol", "s"},
                                                           {"mathsymbol", "sm"},
                                                           {"currencysymbol", "sc"},
                                                           {"modifiersymbol", "sk"},
                                                           {"othersymbol", "so"},
                                                           {"separator", "z"},
                                                           {"spaceseparator", "zs"},
                                                           {"lineseparator", "zl"},
                                                           {"paragraphseparator", "zp"},
                                                           {"other", "c"},
                                                           {"control", "cc"},
                                                           {"format", "cf"},
                                                           {"privateuse", "co"},
                                                           {"surrogate", "cs"},
                                                           {"unassigned", "cn"}};
  const auto at = names.find(name);
  return at == names.end() ? name : at->second;
}

/// The characters of \w in Oniguruma: alphabetic, marks, decimal digits, connectors. Outside a
/// class the Latin-1 numbers too.
constexpr const char* kLatin1Numbers = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
std::string word_inside() {
  return "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}" + of_group("LM") +
         additions([](Category c) { return c == Category::Nd; });
}

/// The parts for \p{name}; PCRE2 judges the names that are not listed here (scripts, binary
/// properties).
Parts property(const std::string& spelled, const std::string& where) {
  std::string name;
  for (const char c : spelled) {
    if (c != ' ' && c != '_' && c != '-')
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  name = short_name(name);
  const auto nd = [] { return additions([](Category c) { return c == Category::Nd; }); };
  if (name == "c" || name == "cn") {  // what has been assigned since must be taken out
    const std::string upper = name == "c" ? "C" : "Cn";
    const std::string assigned =
        name == "c" ? of_group("LMNPSZ") : additions([](Category) { return true; });
    return {"", {"(?:(?![" + assigned + "])\\p{" + upper + "})"}};
  }
  if (name.size() == 1 && std::string_view("lmnpsz").find(name) != std::string_view::npos) {
    const auto group = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
    return {std::string("\\p{") + group + "}" + of_group(std::string_view(&group, 1)), {}};
  }
  const auto* const category = std::find(kCategoryNames.begin(), kCategoryNames.end(), name);
  if (category != kCategoryNames.end()) {
    const auto wanted = static_cast<Category>(category - kCategoryNames.begin());
    const auto first = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
    return {std::string("\\p{") + first + name[1] + "}" +
                additions([&](Category c) { return c == wanted; }),
            {}};
  }
  if (name == "alpha" || name == "alphabetic") return {"\\p{Alphabetic}" + of_group("L"), {}};
  if (name == "alnum") return {"\\p{Alphabetic}\\p{Nd}" + of_group("L") + nd(), {}};
  if (name == "digit") return {"\\p{Nd}" + nd(), {}};
  if (name == "space" || name == "whitespace") return {kSpace, {}};
  if (name == "upper" || name == "uppercase")
    return {"\\p{Uppercase}" + additions([](Category c) { return c == Category::Lu; }), {}};
  if (name == "lower" || name == "lowercase")
    return {"\\p{Lowercase}" + additions([](Category c) { return c == Category::Ll; }), {}};
  if (name == "punct") return {"\\p{P}" + of_group("P"), {}};
  if (name == "word") return {word_inside(), {}};
  if (name == "xdigit") return {kHex, {}};
  if (name == "ascii") return {"\\x{0}-\\x{7f}", {}};
  if (name == "cntrl") return {"\\p{Cc}", {}};
  if (name == "blank") return {"\\p{Zs}\\t", {}};
  if (name == "any") return {"\\x{0}-\\x{10ffff}", {}};
  if (name == "han" || name == "hani") return {std::string("\\p{Han}") + kNewHan, {}};
  for (const char c : spelled) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && !std::strchr(" _-=:", c))
      fail_input(where, str("the pattern has the unknown property ", show(spelled)));
  }
  return {"\\p{" + spelled + "}", {}};
}

class Translator {
 public:
  Translator(std::string_view source, const std::string& where) : source_(source), where_(where) {}

  std::string translate() {
    while (!done()) element();
    return std::move(out_);
  }

 private:
  bool done() const { return at_ >= source_.size(); }
  bool ahead(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!ahead(text)) return false;
    at_ += text.size();
    return true;
  }
  [[noreturn]] void refuse(const std::string& what) const {
    fail_input(where_, str("the pattern ", show(source_), " does not compile: ", what));
  }
  char next_byte() {
    if (done()) refuse("it ends too early");
    return source_[at_++];
  }
  void atom(const std::string& expression) {
    last_atom_ = out_.size();
    out_ += expression;
  }

  void element() {
    const char c = source_[at_];
    if (c == '\\') return escape();
    if (c == '[') {
      ++at_;
      return atom(character_class(0));
    }
    if (c == '(') return open_group();
    if (c == ')') {
      ++at_;
      out_ += ')';
      if (!groups_.empty()) {
        last_atom_ = groups_.back();
        groups_.pop_back();
      }
      return;
    }
    if (c == '{' && interval()) return;
    if (c == '*' || c == '+' || c == '?' || c == '|' || c == '^' || c == '$') {
      ++at_;
      out_ += c;
      return;
    }
    const size_t begin = at_;
    unicode::next(source_, at_);
    atom(std::string(source_.substr(begin, at_ - begin)));
  }

  // {n,m}, {,m} (none in PCRE2), {n,m}+ (a repetition of the repetition, possessive in PCRE2) and
  // {n}? (optional, lazy there).
  bool interval() {
    size_t at = at_ + 1;
    const auto digits = [&] {
      const size_t begin = at;
      while (at < source_.size() && std::isdigit(static_cast<unsigned char>(source_[at]))) ++at;
      return std::string(source_.substr(begin, at - begin));
    };
    const std::string low = digits();
    std::string high = low;
    const bool comma = at < source_.size() && source_[at] == ',';
    if (comma) {
      ++at;
      high = digits();
    }
    if (at >= source_.size() || source_[at] != '}' || (low.empty() && high.empty())) {
      ++at_;
      atom("\\{");
      return true;
    }
    at_ = at + 1;
    const std::string counts = "{" + (low.empty() ? "0" : low) + (comma ? "," + high : "") + "}";
    const bool again = ahead("+"), optional = !comma && ahead("?");
    if (again || optional) {
      out_.insert(last_atom_, "(?:");
      out_ += counts + ")";
    } else {
      out_ += counts;
    }
    return true;
  }

  void open_group() {
    ++at_;
    groups_.push_back(out_.size());
    out_ += '(';
    if (!take("?")) return;
    if (take("#")) {
      while (next_byte() != ')') {
      }
      out_.pop_back();
      groups_.pop_back();
      return;
    }
    if (ahead("~")) refuse("absence operators are not supported");
    out_ += '?';
    // Options: Ruby's m is PCRE2's s.
    while (!done() && std::strchr("imx-", source_[at_])) {
      const char option = source_[at_++];
      out_ += option == 'm' ? 's' : option;
    }
    if (take("<=") || take("<!")) {
      out_ += source_.substr(at_ - 2, 2);
    } else if (take("<")) {
      out_ += '<';
      while (!ahead(">")) out_ += next_byte();
    }
    // (?:  (?=  (?!  (?>  and the ) of an option setting
    if (!done() && std::strchr(":=!>", source_[at_])) out_ += source_[at_++];
  }

  std::string number(size_t max_digits, int base) {
    std::string digits;
    while (!done() && digits.size() < max_digits &&
           (base == 16 ? std::isxdigit(static_cast<unsigned char>(source_[at_]))
                       : source_[at_] >= '0' && source_[at_] <= '7'))
      digits += source_[at_++];
    return digits;
  }

  /// Escapes that stand for one known character, alike inside and outside a class; \x{...} in
  /// PCRE2's form, or "".
  std::string character_escape(char c) {
    switch (c) {
      case 'n': return "\\n";
      case 't': return "\\t";
      case 'r': return "\\r";
      case 'f': return "\\f";
      case 'a': return "\\a";
      case 'e': return "\\e";
      case 'v': return "\\x{b}";
      case '0': {
        const std::string digits = number(2, 8);
        return str("\\o{", digits.empty() ? "0" : digits, "}");
      }
      case 'x':
      case 'u': {
        const bool braces = take("{");
        const std::string digits = number(braces ? 8 : c == 'x' ? 2 : 4, 16);
        if (digits.empty() || (braces && !take("}")))
          refuse(str("\\", c, " needs hexadecimal digits"));
        return "\\x{" + digits + "}";
      }
      default: return "";
    }
  }

  /// Escapes that stand for a set of characters.
  bool set_escape(char c, Parts& set, bool in_class) {
    const auto both = [&](const std::string& inside, bool negated) {
      if (negated) {
        set.fragments.push_back("[^" + inside + "]");
      } else {
        set.inside += inside;
      }
      return true;
    };
    switch (c) {
      case 's': return set.inside += kSpace, true;
      case 'S': return set.inside += kNoSpace, true;
      case 'h': return set.inside += kHex, true;
      case 'H': return set.inside += kNoHex, true;
      case 'd':
      case 'D': return both(property("digit", where_).inside, c == 'D');
      case 'w':
      case 'W': return both(word_inside() + (in_class ? "" : kLatin1Numbers), c == 'W');
      case 'p':
      case 'P': {
        std::string name;
        if (take("{")) {
          while (!ahead("}")) name += next_byte();
          ++at_;
        } else {
          name = std::string(1, next_byte());
        }
        const bool negated = (c == 'P') != name.starts_with("^");
        const Parts parts = property(name.starts_with("^") ? name.substr(1) : name, where_);
        if (!negated) return set.add(parts), true;
        set.fragments.push_back(parts.complement());
        return true;
      }
      default: return false;
    }
  }

  void escape() {
    ++at_;
    const char c = next_byte();
    Parts set;
    if (set_escape(c, set, false)) {
      const bool single = set.inside.empty() && set.fragments.size() == 1;
      return atom(single ? set.fragments[0] : set.expression());
    }
    if (const std::string character = character_escape(c); !character.empty())
      return atom(character);
    const std::string word = "[" + word_inside() + "]";
    switch (c) {
      case 'b':
        return atom("(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))");
      case 'B':
        return atom("(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
      case 'O': return atom(kAny);
      case 'N': return atom("[^\\n]");
      case 'k':
      case 'g': {
        std::string reference = str("\\", c);
        do {
          reference += next_byte();
        } while (reference.back() != '>' && reference.back() != '\'');
        return atom(reference);
      }
      default: break;
    }
    if (std::isalpha(static_cast<unsigned char>(c)) && !std::strchr("ARXKzZG", c))
      refuse(str("the escape \\", c, " is not supported"));
    if (static_cast<unsigned char>(c) >= 0x80) {  // an escaped character of several bytes is itself
      --at_;
      return;
    }
    atom(str("\\", c));
  }

  /// One character inside a class, as it stands in PCRE2's brackets.
  std::string class_character() {
    const char c = source_[at_];
    if (c == '\\') {
      ++at_;
      const char escaped = next_byte();
      if (escaped == 'b') return "\\x{8}";
      if (std::string character = character_escape(escaped); !character.empty()) return character;
      if (std::isalnum(static_cast<unsigned char>(escaped)))
        refuse(str("the escape \\", escaped, " is not supported in a class"));
      if (static_cast<unsigned char>(escaped) < 0x80) return str("\\", escaped);
      --at_;
    }
    const char32_t point = unicode::next(source_, at_);
    std::ostringstream out;
    out << "\\x{" << std::hex << static_cast<uint32_t>(point) << "}";
    return out.str();
  }

  /// [:name:] at the present place, or nothing.
  bool posix_bracket(Parts& set) {
    if (!ahead("[:")) return false;
    const size_t end = source_.find(":]", at_ + 2);
    if (end == std::string_view::npos || end - at_ > 20) return false;
    std::string name(source_.substr(at_ + 2, end - at_ - 2));
    at_ = end + 2;
    const bool negated = name.starts_with("^");
    if (negated) name.erase(0, 1);
    Parts parts = name == "punct"                      ? Parts{"\\p{P}\\p{S}" + of_group("PS"), {}}
                  : name == "graph" || name == "print" ? Parts{"[:" + name + ":]", {}}
                                                       : property(name, where_);
    if (negated) {
      set.fragments.push_back(parts.complement());
    } else {
      set.add(parts);
    }
    return true;
  }

  /// A class behind its opening bracket, as an expression for one character.
  std::string character_class(int depth) {
    if (depth > kMaxClassDepth) refuse("classes are nested too deeply");
    const bool negated = take("^");
    std::vector<Parts> intersection(1);
    bool first = true;
    for (;; first = false) {
      if (done()) refuse("a class is not closed");
      Parts& set = intersection.back();
      if (!first && take("]")) break;
      if (take("&&")) {
        intersection.emplace_back();
        continue;
      }
      if (posix_bracket(set)) continue;
      if (ahead("[")) {
        ++at_;
        set.fragments.push_back(character_class(depth + 1));
        continue;
      }
      if (ahead("\\") && at_ + 1 < source_.size()) {
        const size_t before = at_;
        at_ += 2;
        if (set_escape(source_[before + 1], set, true)) continue;
        at_ = before;
      }
      const std::string low = class_character();
      set.inside += low;
      if (ahead("-") && !ahead("-]") && !ahead("-[") && !ahead("-\\p") && !ahead("-\\s") &&
          !ahead("-\\w") && !ahead("-\\d") && at_ + 1 < source_.size()) {
        ++at_;
        set.inside += "-" + class_character();
      }
    }
    if (intersection.size() == 1)
      return negated ? intersection[0].complement() : intersection[0].expression();
    std::string all = "(?:";
    for (size_t i = 0; i + 1 < intersection.size(); ++i)
      all += "(?=" + intersection[i].expression() + ")";
    all += intersection.back().expression() + ")";
    return negated ? "(?:(?!" + all + ")" + kAny + ")" : all;
  }

  std::string_view source_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  size_t last_atom_ = 0;  // where in out_ the expression begins that a quantifier would repeat
  std::vector<size_t> groups_;  // the same for the open groups
};

}  // namespace

std::string pcre2_syntax(std::string_view oniguruma, const std::string& where) {
  if (!is_utf8(oniguruma)) fail_input(where, "the pattern is not UTF-8");
  return Translator(oniguruma, where).translate();
}

}  // namespace guerdon::text
