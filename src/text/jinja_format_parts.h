/// What the three ways of formatting share.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// A width or precision written in digits, read from `at` on. Throws Fault when it is absurd.
int64_t parse_count(std::string_view text, size_t& at, const char* what);

/// A format specification: [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Specification {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool alternate = false;
  int64_t width = 0;
  char grouping = 0;
  int64_t precision = -1;
  char type = 0;
};

/// `sign` and `body` padded to the width; `=` puts the padding between them.
std::string padded(Heap& heap, const Specification& spec, const std::string& sign,
                   const std::string& body, char default_align);
/// "-", or what stands before a number that is not negative.
std::string sign_of(bool negative, char sign);
std::string digits_of(uint64_t magnitude, int base, bool capitals);
uint64_t magnitude_of(int64_t value);
/// A text cut to the precision and padded to the width.
std::string format_text(Heap& heap, const Specification& spec, std::string_view text);

}  // namespace guerdon::text::jinja
