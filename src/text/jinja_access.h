/// Looking into values: attributes, items, slices, lengths, and walking over them.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// `object.name`: a method or attribute, else the item of that name, else Undefined. What would
/// change a list or dict, and what begins with two underscores, is Undefined too.
Value attribute(Heap& heap, const Value& object, std::string_view name);
/// The same without items.
Value attribute_only(Heap& heap, const Value& object, std::string_view name);
/// `object[index]`: an item, else the attribute of that name, else Undefined.
Value item(Heap& heap, const Value& object, const Value& index);
/// `object[start:stop:step]`; none where a part was left out.
Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
            const Value& step);

/// Python's len(); throws Fault for what has none.
int64_t length_of_value(Heap& heap, const Value& value);
bool has_length(const Value& value);
bool is_iterable(const Value& value);

/// Walks over what Python's iter() would: items, keys, characters. Throws Fault when the value
/// cannot be walked.
class Iteration {
 public:
  Iteration(Heap& heap, const Value& iterable);
  /// False at the end.
  bool next(Value& out);

 private:
  Heap& heap_;
  const Value source_;
  size_t at_ = 0;
};

/// A value that can be walked once: `next` gives the items, false at the end. `depth` is that of
/// the values it holds.
Value generator(Heap& heap, uint32_t depth, std::function<bool(Value&)> next,
                const char* type_name = "generator");

/// list(value).
std::vector<Value> to_vector(Heap& heap, const Value& iterable);
/// A text of one character per item, as Python walks over a text.
Value character_at(Heap& heap, const std::string& text, size_t at);

}  // namespace guerdon::text::jinja
