/// The arguments of filters, tests, methods and functions, matched with the parameters they are
/// for.
#pragma once

#include <array>
#include <initializer_list>

#include "text/jinja_operations.h"
#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// Throws Fault when `value` is not an integer; `function` names who wanted one.
int64_t integer_of(const char* function, const Value& value);

/// Matches positional and named arguments with `names`; a parameter whose name is "" can only be
/// given by position. Throws Fault when one is unknown, given twice, or when one of the first
/// `required` is missing.
class Parameters {
 public:
  Parameters(const char* function, const Arguments& arguments,
             std::initializer_list<const char*> names, size_t required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  /// The argument; none when it was not given.
  const Value& operator[](size_t i) const;
  /// Throws Fault when it is given and not an integer.
  int64_t integer(size_t i, int64_t otherwise) const;
  /// The same where None may stand for "not given".
  int64_t optional_integer(size_t i, int64_t otherwise) const {
    return (*this)[i].is(Type::none) ? otherwise : integer(i, otherwise);
  }
  bool flag(Heap& heap, size_t i, bool otherwise) const {
    return has(i) ? truth(heap, (*this)[i]) : otherwise;
  }
  /// Throws Fault when it is given and not a text.
  std::string_view text(size_t i, std::string_view otherwise = {}) const;
  std::string_view optional_text(size_t i, std::string_view otherwise) const {
    return (*this)[i].is(Type::none) ? otherwise : text(i, otherwise);
  }

 private:
  static constexpr size_t kMost = 6;
  const char* function_;
  std::array<const Value*, kMost> values_{};
};

}  // namespace guerdon::text::jinja
