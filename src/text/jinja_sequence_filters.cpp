#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_tests.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

// ---- what a filter looks at in each item

/// "a.b.0" as the parts "a", "b", 0; an integer as itself; none as no parts.
std::vector<Value> attribute_path(Heap& heap, const Value& attribute) {
  if (attribute.is(Type::none)) return {};
  if (!attribute.is(Type::text)) return {attribute};
  std::vector<Value> path;
  std::string_view rest = attribute.as_text();
  for (;;) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    const bool digits = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    path.push_back(digits ? Value::integer(std::stoll(std::string(part)))
                          : heap.text(std::string(part)));
    if (dot == rest.size()) return path;
    rest.remove_prefix(dot + 1);
  }
}

Value follow(Heap& heap, Value value, const std::vector<Value>& path, const Value& otherwise = {}) {
  for (const Value& part : path) {
    value = item(heap, value, part);
    if (value.is(Type::undefined) && !otherwise.is(Type::none)) value = otherwise;
  }
  return value;
}

Value without_case(Heap& heap, const Value& value) {
  return value.is(Type::text) ? heap.text(to_lower(value.as_text())) : value;
}

/// The key by which items are compared: an attribute, with or without regard to case.
class Key {
 public:
  Key(Heap& heap, const Value& attribute, bool case_sensitive, const Value& otherwise = {})
      : heap_(heap),
        path_(attribute_path(heap, attribute)),
        case_sensitive_(case_sensitive),
        otherwise_(otherwise) {}
  Value operator()(const Value& value) const {
    const Value key = follow(heap_, value, path_, otherwise_);
    return case_sensitive_ ? key : without_case(heap_, key);
  }

 private:
  Heap& heap_;
  const std::vector<Value> path_;
  const bool case_sensitive_;
  const Value otherwise_;
};

struct Keyed {
  Value key, value;
};

std::vector<Keyed> keyed(const std::vector<Value>& values,
                         const std::function<Value(const Value&)>& key) {
  std::vector<Keyed> out;
  out.reserve(values.size());
  for (const Value& value : values) out.push_back({key(value), value});
  return out;
}

void sort_by_key(Heap& heap, std::vector<Keyed>& values, bool reverse) {
  std::stable_sort(values.begin(), values.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(heap, b.key, a.key) : less(heap, a.key, b.key);
  });
}

Value values_of(Heap& heap, const std::vector<Keyed>& keyed) {
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (const Keyed& each : keyed) out.push_back(each.value);
  return heap.list(std::move(out));
}

// ---- sorting and grouping

Value sort(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Key> keys;  // "a,b" sorts by a, then by b
  if (given[2].is(Type::text)) {
    std::string_view rest = given[2].as_text();
    for (size_t comma = 0; (comma = rest.find(',')) != std::string_view::npos;
         rest.remove_prefix(comma + 1)) {
      keys.emplace_back(heap, heap.text(std::string(rest.substr(0, comma))),
                        given.flag(heap, 1, false));
    }
    keys.emplace_back(heap, heap.text(std::string(rest)), given.flag(heap, 1, false));
  } else {
    keys.emplace_back(heap, given[2], given.flag(heap, 1, false));
  }
  std::vector<Keyed> values = keyed(to_vector(heap, input), [&](const Value& value) {
    // Lists even for one key: two that are equal are never asked which is less.
    std::vector<Value> parts;
    parts.reserve(keys.size());
    for (const Key& key : keys) parts.push_back(key(value));
    return heap.list(std::move(parts));
  });
  sort_by_key(heap, values, given.flag(heap, 0, false));
  return values_of(heap, values);
}

Value dictsort(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = given.text(1, "key");
  if (by != "key" && by != "value") fault(R"(You can only sort by either "key" or "value")");
  if (input.is(Type::undefined)) fault(input.undefined_reason());
  if (!input.is(Type::dict))
    fault("dictsort(): '", type_name(input), "' object has no attribute 'items'");
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict().entries()) pairs.push_back(heap.tuple({key, value}));
  const bool case_sensitive = given.flag(heap, 0, false);
  std::vector<Keyed> values = keyed(pairs, [&](const Value& pair) {
    const Value& key = pair.items()[by == "key" ? 0 : 1];
    return case_sensitive ? key : without_case(heap, key);
  });
  sort_by_key(heap, values, given.flag(heap, 2, false));
  return values_of(heap, values);
}

Value groupby(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Key key(heap, given[0], given.flag(heap, 2, false), given[1]);
  const Key shown_key(heap, given[0], true, given[1]);
  std::vector<Keyed> values =
      keyed(to_vector(heap, input), [&](const Value& value) { return key(value); });
  sort_by_key(heap, values, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < values.size();) {
    size_t end = begin + 1;
    while (end < values.size() && equal(heap, values[end].key, values[begin].key)) ++end;
    std::vector<Value> members;
    for (size_t i = begin; i < end; ++i) members.push_back(values[i].value);
    const Value shown = shown_key(members[0]);
    groups.push_back(heap.group(shown, heap.list(std::move(members))));
    begin = end;
  }
  return heap.list(std::move(groups));
}

Value unique(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("unique", arguments, {"case_sensitive", "attribute"});
  const Key key(heap, given[1], given.flag(heap, 0, false));
  return generator(heap, input.depth(),
                   [&heap, input, key, seen = heap.dict(),
                    walk = std::optional<Iteration>()](Value& out) mutable {
                     if (!walk) walk.emplace(heap, input);
                     while (walk->next(out)) {
                       const Value mark = key(out);
                       if (seen->find(heap, mark) != nullptr) continue;
                       seen->set(heap, mark, Value());
                       return true;
                     }
                     return false;
                   });
}

template <bool largest>
Value extreme(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Key key(heap, given[1], given.flag(heap, 0, false));
  Iteration walk(heap, input);
  Value best;
  if (!walk.next(best)) return heap.undefined("No aggregated item, sequence was empty.");
  Value best_key = key(best);
  for (Value value; walk.next(value);) {
    const Value value_key = key(value);
    if (!compare(heap, largest ? Comparison::greater : Comparison::less, value_key, best_key))
      continue;
    best = value;
    best_key = value_key;
  }
  return best;
}

Value sum(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("sum", arguments, {"attribute", "start"});
  Value total = given.has(1) ? given[1] : Value::integer(0);
  if (total.is(Type::text)) fault("sum() can't sum strings [use ''.join(seq) instead]");
  const std::vector<Value> path = attribute_path(heap, given[0]);
  Iteration walk(heap, input);
  for (Value value; walk.next(value);)
    total = arithmetic(heap, Operator::add, total, follow(heap, value, path));
  return total;
}

// ---- map, select, reject

std::string name_argument(const Value& name, const char* what) {
  if (name.is(Type::text)) return name.as_text();
  if (name.is(Type::undefined)) {
    fault("No ", what, " named Undefined. (", name.undefined_reason(),
          "; did you forget to quote the callable name?)");
  }
  fault("the name of a ", what, " must be str, not ", type_name(name));
}

FilterFunction named_filter(const Value& value) {
  const std::string name = name_argument(value, "filter");
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) fault("No filter named ", quote(name), ".");
  return filter;
}

TestFunction named_test(const Value& value) {
  const std::string name = name_argument(value, "test");
  const TestFunction test = find_test(name);
  if (test == nullptr) fault("No test named ", quote(name), ".");
  return test;
}

using Transform = std::function<Value(const Value&)>;

Transform map_transform(Heap& heap, const Arguments& arguments) {
  if (arguments.positional.empty()) {
    const Parameters given("map", arguments, {"attribute", "default"});
    if (!given.has(0)) fault("map requires a filter argument");
    return [&heap, path = attribute_path(heap, given[0]), otherwise = given[1]](
               const Value& value) { return follow(heap, value, path, otherwise); };
  }
  Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  return [&heap, name = arguments.positional[0], rest = std::move(rest)](const Value& value) {
    return named_filter(name)(heap, value, rest);
  };
}

/// The items of `input` through `make(...)`, which is called when the first item is wanted; what is
/// false has no items.
template <class Make>
Value lazily(Heap& heap, const Value& input, const Arguments& arguments, const Make& make) {
  uint32_t depth = input.depth();
  for (const Value& argument : arguments.positional) depth = std::max(depth, argument.depth());
  for (const auto& [name, argument] : arguments.named) depth = std::max(depth, argument.depth());
  return generator(heap, depth,
                   [&heap, input, arguments, make, walk = std::optional<Iteration>(), done = false,
                    step = std::function<bool(Value&)>()](Value& out) mutable {
                     if (done) return false;
                     if (!walk) {
                       done = !truth(heap, input);
                       if (done) return false;
                       step = make(heap, arguments);
                       walk.emplace(heap, input);
                     }
                     while (walk->next(out)) {
                       if (step(out)) return true;
                     }
                     done = true;
                     return false;
                   });
}

Value map(Heap& heap, const Value& input, const Arguments& arguments) {
  return lazily(heap, input, arguments,
                [](Heap& inner, const Arguments& given) -> std::function<bool(Value&)> {
                  return [transform = map_transform(inner, given)](Value& value) {
                    value = transform(value);
                    return true;
                  };
                });
}

enum class Keep { passing, failing };

template <Keep keep, bool by_attribute>
Value select(Heap& heap, const Value& input, const Arguments& arguments) {
  return lazily(
      heap, input, arguments,
      [](Heap& inner, const Arguments& given) -> std::function<bool(Value&)> {
        if (by_attribute && given.positional.empty()) fault("Missing parameter for attribute name");
        const std::vector<Value> path =
            by_attribute ? attribute_path(inner, given.positional[0]) : std::vector<Value>();
        constexpr size_t test_at = by_attribute ? 1 : 0;
        std::optional<Value> test;
        Arguments rest{{}, given.named};
        if (given.positional.size() > test_at) {
          test = given.positional[test_at];
          rest.positional.assign(given.positional.begin() + test_at + 1, given.positional.end());
        }
        return [&inner, path, test, rest](Value& value) {
          const Value looked_at = follow(inner, value, path);
          const bool passes =
              test ? named_test(*test)(inner, looked_at, rest) : truth(inner, looked_at);
          return passes == (keep == Keep::passing);
        };
      });
}

// ---- parts

Value list(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("list", arguments, {});
  return heap.list(to_vector(heap, input));
}

Value first(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("first", arguments, {});
  Value value;
  return Iteration(heap, input).next(value) ? value
                                            : heap.undefined("No first item, sequence was empty.");
}

Value last(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("last", arguments, {});
  if (!has_length(input)) fault("'", type_name(input), "' object is not reversible");
  if (length_of_value(heap, input) == 0) return heap.undefined("No last item, sequence was empty.");
  if (input.is(Type::dict) || input.is(Type::view)) return to_vector(heap, input).back();
  return item(heap, input, Value::integer(-1));
}

Value reverse(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("reverse", arguments, {});
  if (input.is(Type::text)) return slice(heap, input, Value(), Value(), Value::integer(-1));
  if (!is_iterable(input)) fault("argument must be iterable");
  std::vector<Value> values = to_vector(heap, input);
  std::reverse(values.begin(), values.end());
  Value reversed = heap.list(std::move(values));
  if (input.is(Type::iterator)) return reversed;
  return generator(
      heap, reversed.depth(),
      [reversed, at = size_t{0}](Value& out) mutable {
        if (at == reversed.items().size()) return false;
        out = reversed.items()[at++];
        return true;
      },
      input.is(Type::list) ? "list_reverseiterator" : "reversed");
}

Value random(Heap&, const Value&, const Arguments&) {
  fault("the filter 'random' is not available: a template gives the same text every time");
}

Value batch(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("batch", arguments, {"linecount", "fill_with"}, 1);
  return generator(
      heap, input.depth() + 1,
      [&heap, input, count = given[0], fill = given[1], walk = std::optional<Iteration>(),
       held = std::optional<Value>()](Value& out) mutable {
        std::vector<Value> row;
        if (!walk) walk.emplace(heap, input);
        if (held) row.push_back(*std::exchange(held, std::nullopt));
        for (Value value; walk->next(value);) {
          if (equal(heap, Value::integer(static_cast<int64_t>(row.size())), count)) {
            held = value;
            break;
          }
          heap.check_items(row.size() + 1, 1);
          row.push_back(value);
        }
        if (row.empty() && !held) return false;
        const auto size = static_cast<int64_t>(row.size());
        if (!held && !fill.is(Type::none) && less(heap, Value::integer(size), count)) {
          const int64_t wanted = integer_of("batch", count);
          heap.check_items(static_cast<uint64_t>(wanted));
          row.resize(static_cast<size_t>(wanted), fill);
        }
        out = heap.list(std::move(row));
        return true;
      });
}

Value slices(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("slice", arguments, {"slices", "fill_with"}, 1);
  return generator(heap, input.depth() + 1,
                   [&heap, input, slices = given[0], fill = given[1], values = std::vector<Value>(),
                    begun = false, count = int64_t{0}, at = int64_t{0},
                    offset = int64_t{0}](Value& out) mutable {
                     if (!begun) {
                       values = to_vector(heap, input);
                       count = integer_of("slice", slices);
                       if (count == 0) fault("integer division or modulo by zero");
                       begun = true;
                     }
                     if (at >= count) return false;
                     const auto length = static_cast<int64_t>(values.size());
                     const int64_t each = length / count, longer = length % count;
                     const int64_t begin = offset + at * each;
                     if (at < longer) ++offset;
                     const int64_t end = offset + (at + 1) * each;
                     std::vector<Value> row(values.begin() + begin, values.begin() + end);
                     if (!fill.is(Type::none) && at >= longer) row.push_back(fill);
                     ++at;
                     out = heap.list(std::move(row));
                     return true;
                   });
}

Value join(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("join", arguments, {"d", "attribute"});
  const std::string separator = given.has(0) ? printed(heap, given[0]) : "";
  const std::vector<Value> path = attribute_path(heap, given[1]);
  std::string out;
  Iteration walk(heap, input);
  bool begun = false;
  for (Value value; walk.next(value); begun = true) {
    if (begun) out += separator;
    heap.step_bytes(separator.size());
    print(heap, out, follow(heap, value, path));
    heap.check_bytes(out.size());
  }
  return heap.text(std::move(out));
}

}  // namespace

std::vector<NamedFilter> sequence_filters() {
  return {{"batch", batch},
          {"dictsort", dictsort},
          {"first", first},
          {"groupby", groupby},
          {"join", join},
          {"last", last},
          {"list", list},
          {"map", map},
          {"max", extreme<true>},
          {"min", extreme<false>},
          {"random", random},
          {"reject", select<Keep::failing, false>},
          {"rejectattr", select<Keep::failing, true>},
          {"reverse", reverse},
          {"select", select<Keep::passing, false>},
          {"selectattr", select<Keep::passing, true>},
          {"slice", slices},
          {"sort", sort},
          {"sum", sum},
          {"unique", unique}};
}

}  // namespace guerdon::text::jinja
