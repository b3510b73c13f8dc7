#include "guerdon/base/formula.h"

#include <functional>

#include "guerdon/base/error.h"

namespace guerdon {
namespace {

std::string replaced(std::string_view formula,
                     const std::function<std::string(const std::string&)>& with) {
  std::string out;
  while (!formula.empty()) {
    const size_t open = formula.find('{');
    out += formula.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = formula.find('}', open);
    GUERDON_CHECK(close != std::string_view::npos, "formula ", formula, " has an open brace");
    out += with(std::string(formula.substr(open + 1, close - open - 1)));
    formula.remove_prefix(close + 1);
  }
  return out;
}

std::string in_parentheses(const std::string& text, bool wanted) {
  return wanted ? "(" + text + ")" : text;
}

}  // namespace

std::string symbols(std::string_view formula) {
  return replaced(formula, [](const std::string& name) {
    return in_parentheses(name, name.find(' ') != std::string::npos);
  });
}

std::string numbers(std::string_view formula, const std::map<std::string, double>& values) {
  return replaced(formula, [&](const std::string& name) {
    const auto value = values.find(name);
    GUERDON_CHECK(value != values.end(), "formula ", formula, ": no number is called ", name);
    return in_parentheses(str(value->second), value->second < 0);
  });
}

}  // namespace guerdon
