/// Values as Python prints them.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// str(value), appended.
void print(Heap& heap, std::string& out, const Value& value);
std::string printed(Heap& heap, const Value& value);
/// The value itself when it is a text, else its str().
Value as_text_value(Heap& heap, const Value& value);
/// repr(value), appended.
void represent(Heap& heap, std::string& out, const Value& value);
std::string represented(Heap& heap, const Value& value);
/// A text in Python's quotes; `ascii_only` escapes everything beyond ASCII.
std::string quote(std::string_view text, bool ascii_only = false);

/// repr(number): the shortest digits that read back to it.
std::string real_text(double number);

/// type(value).__name__.
std::string type_name(const Value& value);

}  // namespace guerdon::text::jinja
