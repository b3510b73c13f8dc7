#include "text/jinja_filters.h"

#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_json.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {
namespace {

Value default_value(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("default", arguments, {"default_value", "boolean"});
  const bool replaced =
      input.is(Type::undefined) || (given.flag(heap, 1, false) && !truth(heap, input));
  if (!replaced) return input;
  return given.has(0) ? given[0] : heap.text("");
}

Value length(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("length", arguments, {});
  return Value::integer(length_of_value(heap, input));
}

/// The attribute alone: a dict's keys are none.
Value attr(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("attr", arguments, {"name"}, 1);
  return attribute_only(heap, input, given.text(0));
}

Value items(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("items", arguments, {});
  const Value pairs =
      input.is(Type::dict) ? heap.make<View>(Type::view, View::Kind::items, input) : input;
  return generator(heap, pairs.depth(),
                   [&heap, pairs, walk = std::optional<Iteration>()](Value& out) mutable {
                     if (pairs.is(Type::undefined)) return false;
                     if (!pairs.is(Type::view)) fault("Can only get item pairs from a mapping.");
                     if (!walk) walk.emplace(heap, pairs);
                     return walk->next(out);
                   });
}

Value tojson(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("tojson", arguments,
                         {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = given.flag(heap, 0, false);
  style.sort_keys = given.flag(heap, 3, false);
  if (given[1].is(Type::text)) {
    style.indent = given[1].as_text();
  } else if (!given[1].is(Type::none)) {
    constexpr int64_t kWidest = 1024;
    style.indent =
        std::string(static_cast<size_t>(std::clamp<int64_t>(given.integer(1, 0), 0, kWidest)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (!given[2].is(Type::none)) {
    if (!given[2].is_sequence() || given[2].items().size() != 2 ||
        !given[2].items()[0].is(Type::text) || !given[2].items()[1].is(Type::text)) {
      fault("tojson(): separators must be two strings");
    }
    style.item_separator = given[2].items()[0].as_text();
    style.key_separator = given[2].items()[1].as_text();
  }
  return heap.text(to_json(heap, input, style));
}

using Table = std::vector<NamedFilter>;
const Table& table() {
  static const Table filters = [] {
    Table all = {
        {"attr", attr},   {"count", length},  {"d", default_value}, {"default", default_value},
        {"items", items}, {"length", length}, {"tojson", tojson}};
    for (const Table& more :
         {text_filters(), markup_filters(), link_filters(), sequence_filters(), number_filters()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    std::sort(all.begin(), all.end(),
              [](const NamedFilter& a, const NamedFilter& b) { return a.name < b.name; });
    return all;
  }();
  return filters;
}

}  // namespace

FilterFunction find_filter(std::string_view name) {
  const auto found = std::lower_bound(
      table().begin(), table().end(), name,
      [](const NamedFilter& filter, std::string_view wanted) { return filter.name < wanted; });
  return found == table().end() || found->name != name ? nullptr : found->function;
}

std::vector<std::string> filter_names() {
  std::vector<std::string> names;
  for (const NamedFilter& filter : table()) names.emplace_back(filter.name);
  return names;
}

}  // namespace guerdon::text::jinja
