#include "text/jinja_access.h"

#include <algorithm>

#include "text/jinja_methods.h"
#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

/// How Jinja's messages name the object that lacks something.
std::string owner(const Value& object) {
  if (object.is(Type::none)) return "None";
  return type_name(object) + " object";
}

Value no_attribute(Heap& heap, const Value& object, std::string_view name) {
  return heap.undefined(str("'", owner(object), "' has no attribute ", quote(name)));
}

/// The attribute proper, without falling back to items.
std::optional<Value> own_attribute(Heap& heap, const Value& object, std::string_view name) {
  if (object.is(Type::host)) return object.object<Host>().attribute(heap, name);
  if (changes_container(object, name)) {
    return heap.undefined(str("access to attribute ", quote(name), " of '", type_name(object),
                              "' object is unsafe."));
  }
  if (const MethodFunction method = find_method(object, name))
    return bound_method(heap, object, name, method);
  switch (object.type()) {
    case Type::tuple:
      if (!object.object<Sequence>().grouped) break;
      if (name == "grouper") return object.items()[0];
      if (name == "list") return object.items()[1];
      break;
    case Type::range: {
      const Range& range = object.object<Range>();
      if (name == "start") return Value::integer(range.start);
      if (name == "stop") return Value::integer(range.stop);
      if (name == "step") return Value::integer(range.step);
      break;
    }
    case Type::boolean:
    case Type::integer:
      if (name == "real" || name == "numerator") return Value::integer(object.as_integer());
      if (name == "imag") return Value::integer(0);
      if (name == "denominator") return Value::integer(1);
      break;
    case Type::real:
      if (name == "real") return object;
      if (name == "imag") return Value::real(0);
      break;
    default: break;
  }
  return std::nullopt;
}

/// The item proper.
std::optional<Value> own_item(Heap& heap, const Value& object, const Value& index) {
  if (object.is(Type::dict)) {
    if (index.is(Type::list) || index.is(Type::dict) || index.is(Type::view))
      return std::nullopt;  // cannot be a key
    const Value* found = index.is(Type::text) ? object.dict().find(index.as_text())
                                              : object.dict().find(heap, index);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!index.is_integral()) return std::nullopt;
  if (!object.is(Type::text) && !object.is_sequence() && !object.is(Type::range))
    return std::nullopt;
  const int64_t length = length_of_value(heap, object);
  const int64_t at = index.as_integer() < 0 ? index.as_integer() + length : index.as_integer();
  if (at < 0 || at >= length) return std::nullopt;
  if (object.is(Type::range)) return Value::integer(object.object<Range>().at(at));
  if (object.is_sequence()) return object.items()[static_cast<size_t>(at)];
  const std::string& text = object.as_text();
  heap.step_bytes(text.size());
  const size_t begin = is_ascii(text) ? static_cast<size_t>(at) : byte_of(text, at);
  return character_at(heap, text, begin);
}

void refuse_undefined(const Value& object) {
  if (object.is(Type::undefined)) fault(object.undefined_reason());
}

}  // namespace

Value attribute(Heap& heap, const Value& object, std::string_view name) {
  refuse_undefined(object);
  heap.step();
  if (std::optional<Value> own = own_attribute(heap, object, name)) return *std::move(own);
  if (object.is(Type::dict)) {
    if (const Value* found = object.dict().find(name)) return *found;
  }
  if (name.starts_with("__")) {
    return heap.undefined(str("access to attribute ", quote(name), " of '", type_name(object),
                              "' object is unsafe."));
  }
  return no_attribute(heap, object, name);
}

Value attribute_only(Heap& heap, const Value& object, std::string_view name) {
  refuse_undefined(object);
  heap.step();
  std::optional<Value> own = own_attribute(heap, object, name);
  return own ? *std::move(own) : no_attribute(heap, object, name);
}

Value item(Heap& heap, const Value& object, const Value& index) {
  refuse_undefined(object);
  heap.step();
  if (std::optional<Value> own = own_item(heap, object, index)) return *std::move(own);
  if (!index.is(Type::text))
    return heap.undefined(str(owner(object), " has no element ", represented(heap, index)));
  if (std::optional<Value> own = own_attribute(heap, object, index.as_text()))
    return *std::move(own);
  return no_attribute(heap, object, index.as_text());
}

Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
            const Value& step) {
  refuse_undefined(object);
  const bool sliceable = object.is(Type::text) || object.is_sequence() || object.is(Type::range);
  if (!sliceable) {
    if (object.is(Type::dict)) fault("unhashable type: 'slice'");
    fault("'", type_name(object), "' object is not subscriptable");
  }
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is(Type::none) && !part->is_integral()) {
      fault("slice indices must be integers or None or have an __index__ method");
    }
  }
  const int64_t stride = step.is(Type::none) ? 1 : step.as_integer();
  if (stride == 0) fault("slice step cannot be zero");

  heap.step_bytes(object.is(Type::text) ? object.as_text().size() : 0);
  const int64_t length = length_of_value(heap, object);
  // Python's rule: counted from the end when negative, then held inside; backwards the places are
  // one to the left.
  const int64_t lowest = stride > 0 ? 0 : -1, highest = stride > 0 ? length : length - 1;
  const auto place = [&](const Value& part, int64_t otherwise) {
    if (part.is(Type::none)) return otherwise;
    const int64_t at = part.as_integer() < 0 ? part.as_integer() + length : part.as_integer();
    return std::clamp(at, lowest, highest);
  };
  const int64_t first = place(start, stride > 0 ? lowest : highest);
  const int64_t last = place(stop, stride > 0 ? highest : lowest);
  const int64_t span = stride > 0 ? last - first : first - last;
  const uint64_t pace =
      stride > 0 ? static_cast<uint64_t>(stride) : ~static_cast<uint64_t>(stride) + 1;
  const int64_t count =
      span <= 0 ? 0 : static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / pace) + 1;
  const auto at = [&](int64_t i) { return first + i * stride; };

  if (object.is(Type::range)) {
    const Range& range = object.object<Range>();
    const Value inner =
        arithmetic(heap, Operator::multiply, Value::integer(range.step), Value::integer(stride));
    return heap.make<Range>(Type::range, range.at(first), range.at(last), inner.as_integer());
  }
  if (object.is_sequence()) {
    heap.check_items(static_cast<uint64_t>(count));
    std::vector<Value> out;
    out.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) out.push_back(object.items()[static_cast<size_t>(at(i))]);
    return object.is(Type::list) ? heap.list(std::move(out)) : heap.tuple(std::move(out));
  }
  const std::string& text = object.as_text();
  const bool ascii = is_ascii(text);
  if (stride == 1) {
    const size_t begin = ascii ? static_cast<size_t>(first) : byte_of(text, first);
    const size_t bytes =
        ascii ? static_cast<size_t>(count) : byte_of(std::string_view(text).substr(begin), count);
    return heap.text(count == 0 ? "" : text.substr(begin, bytes), object.is_safe_text());
  }
  std::vector<size_t> starts;  // the byte of each character
  if (!ascii) {
    for (size_t byte = 0; byte < text.size();
         byte += character_bytes(std::string_view(text).substr(byte)))
      starts.push_back(byte);
  }
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<size_t>(at(i));
    if (ascii) {
      out += text[index];
    } else {
      out.append(text, starts[index],
                 character_bytes(std::string_view(text).substr(starts[index])));
    }
  }
  return heap.text(std::move(out), object.is_safe_text());
}

bool has_length(const Value& value) {
  switch (value.type()) {
    case Type::undefined:
    case Type::text:
    case Type::list:
    case Type::tuple:
    case Type::dict:
    case Type::range:
    case Type::view: return true;
    default: return false;
  }
}

int64_t length_of_value(Heap& heap, const Value& value) {
  switch (value.type()) {
    case Type::undefined: return 0;
    case Type::text: heap.step_bytes(value.as_text().size()); return length_of(value.as_text());
    case Type::list:
    case Type::tuple: return static_cast<int64_t>(value.items().size());
    case Type::dict: return static_cast<int64_t>(value.dict().entries().size());
    case Type::range: return value.object<Range>().length;
    case Type::view:
      return static_cast<int64_t>(value.object<View>().source.dict().entries().size());
    default: fault("object of type '", type_name(value), "' has no len()");
  }
}

bool is_iterable(const Value& value) { return has_length(value) || value.is(Type::iterator); }

Iteration::Iteration(Heap& heap, const Value& iterable) : heap_(heap), source_(iterable) {
  if (!is_iterable(source_)) fault("'", type_name(source_), "' object is not iterable");
}

bool Iteration::next(Value& out) {
  heap_.step();
  switch (source_.type()) {
    case Type::list:
    case Type::tuple:
      if (at_ == source_.items().size()) return false;
      out = source_.items()[at_++];
      return true;
    case Type::text:
      if (at_ == source_.as_text().size()) return false;
      out = character_at(heap_, source_.as_text(), at_);
      at_ += out.as_text().size();
      return true;
    case Type::dict:
      if (at_ == source_.dict().entries().size()) return false;
      out = source_.dict().entries()[at_++].first;
      return true;
    case Type::range: {
      const Range& range = source_.object<Range>();
      if (static_cast<int64_t>(at_) == range.length) return false;
      out = Value::integer(range.at(static_cast<int64_t>(at_++)));
      return true;
    }
    case Type::view: {
      const View& view = source_.object<View>();
      const std::vector<Dict::Entry>& entries = view.source.dict().entries();
      if (at_ == entries.size()) return false;
      const auto& [key, value] = entries[at_++];
      switch (view.kind) {
        case View::Kind::keys: out = key; break;
        case View::Kind::values: out = value; break;
        case View::Kind::items: out = heap_.tuple({key, value}); break;
      }
      return true;
    }
    case Type::iterator: return source_.object<Iterator>().next(heap_, out);
    default: return false;
  }
}

namespace {
class Generator final : public Iterator {
 public:
  Generator(Heap* heap, uint32_t depth, std::function<bool(Value&)> next, const char* type_name)
      : Iterator(heap, 160, depth + 1), next_(std::move(next)), type_name_(type_name) {}
  bool next(Heap&, Value& out) override { return next_(out); }
  const char* type_name() const override { return type_name_; }

 private:
  const std::function<bool(Value&)> next_;
  const char* const type_name_;
};
}  // namespace

Value generator(Heap& heap, uint32_t depth, std::function<bool(Value&)> next,
                const char* type_name) {
  return heap.make<Generator>(Type::iterator, depth, std::move(next), type_name);
}

std::vector<Value> to_vector(Heap& heap, const Value& iterable) {
  if (iterable.is_sequence()) {
    heap.check_items(iterable.items().size());
    return iterable.items();
  }
  std::vector<Value> out;
  Iteration walk(heap, iterable);
  for (Value value; walk.next(value);) {
    heap.check_items(out.size() + 1, 0);
    out.push_back(value);
  }
  return out;
}

Value character_at(Heap& heap, const std::string& text, size_t at) {
  return heap.text(text.substr(at, character_bytes(std::string_view(text).substr(at))));
}

}  // namespace guerdon::text::jinja
