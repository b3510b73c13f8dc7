#include "text/jinja_arguments.h"

#include <algorithm>

#include "text/jinja_print.h"

namespace guerdon::text::jinja {

int64_t integer_of(const char* function, const Value& value) {
  if (!value.is_integral()) {
    fault(function, "(): '", type_name(value), "' object cannot be interpreted as an integer");
  }
  return value.as_integer();
}

Parameters::Parameters(const char* function, const Arguments& arguments,
                       std::initializer_list<const char*> names, size_t required)
    : function_(function) {
  GUERDON_CHECK(names.size() <= kMost, function, " has ", names.size(), " parameters");
  if (arguments.positional.size() > names.size()) {
    fault(function, "() takes at most ", names.size(), " argument(s) (",
          arguments.positional.size(), " given)");
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& named : arguments.named) {
    const auto* const found = std::find_if(names.begin(), names.end(),
                                           [&](const char* other) { return named.first == other; });
    if (named.first.empty() || found == names.end()) {
      fault(function, "() got an unexpected keyword argument ", quote(named.first));
    }
    const auto i = static_cast<size_t>(found - names.begin());
    if (values_[i] != nullptr) {
      fault(function, "() got multiple values for argument ", quote(named.first));
    }
    values_[i] = &named.second;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) fault(function, "() takes at least ", required, " argument(s)");
  }
}

const Value& Parameters::operator[](size_t i) const {
  static const Value none{};
  return values_[i] == nullptr ? none : *values_[i];
}

int64_t Parameters::integer(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  return integer_of(function_, (*this)[i]);
}

std::string_view Parameters::text(size_t i, std::string_view otherwise) const {
  if (!has(i)) return otherwise;
  const Value& value = (*this)[i];
  if (!value.is(Type::text))
    fault(function_, "(): argument ", i + 1, " must be str, not ", type_name(value));
  return value.as_text();
}

}  // namespace guerdon::text::jinja
