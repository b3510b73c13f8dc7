/// Python's three ways of formatting: "%d" % x, "{:d}".format(x), and format(x, "d") behind it.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// `format % arguments`: a tuple gives several arguments, a dict named ones.
Value format_percent(Heap& heap, const Value& format, const Value& arguments);
/// `format.format(...)`. Fields may look up attributes and items, as attribute() and item() allow.
Value format_braces(Heap& heap, const Value& format, const Arguments& arguments);
/// format(value, specification).
std::string format_value(Heap& heap, const Value& value, std::string_view specification);

/// A number with `precision` digits after the point ("f"), in powers of ten ("e"), or whichever is
/// shorter ("g").
std::string format_real(double number, char type, int64_t precision);

}  // namespace guerdon::text::jinja
