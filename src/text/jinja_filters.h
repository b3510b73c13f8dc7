/// Jinja2's filters.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

using FilterFunction = Value (*)(Heap& heap, const Value& input, const Arguments& arguments);

/// Null when there is none of that name.
FilterFunction find_filter(std::string_view name);
std::vector<std::string> filter_names();

/// A filter and its name, as the rooms of filters list theirs.
struct NamedFilter {
  std::string_view name;
  FilterFunction function;
};
std::vector<NamedFilter> text_filters();      ///< jinja_text_filters.cpp
std::vector<NamedFilter> markup_filters();    ///< jinja_markup_filters.cpp
std::vector<NamedFilter> link_filters();      ///< jinja_link_filters.cpp
std::vector<NamedFilter> sequence_filters();  ///< jinja_sequence_filters.cpp
std::vector<NamedFilter> number_filters();    ///< jinja_number_filters.cpp

}  // namespace guerdon::text::jinja
