/// Text and values in lines of a given width, as Python's textwrap and pprint lay them out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

struct WrapStyle {
  int64_t width = 79;
  bool break_long_words = true;
  bool break_on_hyphens = true;
};

/// The lines of one paragraph.
std::vector<std::string> wrap(Heap& heap, std::string_view paragraph, const WrapStyle& style);

/// pprint.pformat(value): keys sorted, and an item a line where the whole does not fit into 80
/// characters.
std::string pretty(Heap& heap, const Value& value);

}  // namespace guerdon::text::jinja
