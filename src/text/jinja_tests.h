/// Jinja2's tests: what stands behind `is`.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

using TestFunction = bool (*)(Heap& heap, const Value& input, const Arguments& arguments);

/// Null when there is none of that name.
TestFunction find_test(std::string_view name);
std::vector<std::string> test_names();

}  // namespace guerdon::text::jinja
