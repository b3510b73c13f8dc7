/// JSON in and out of templates: the variables that a caller passes, and what `tojson` writes
/// (Python's json.dumps).
#pragma once

#include <optional>
#include <string>

#include "guerdon/base/json_reader.h"
#include "text/jinja_value.h"

namespace guerdon::text::jinja {

struct JsonStyle {
  bool ascii = false;  ///< everything beyond ASCII as \uXXXX
  bool sort_keys = false;
  std::optional<std::string> indent;  ///< with one, each item has its line
  std::string item_separator = ", ", key_separator = ": ";
};

std::string to_json(Heap& heap, const Value& value, const JsonStyle& style);
Value from_json(Heap& heap, const Json& json);

}  // namespace guerdon::text::jinja
