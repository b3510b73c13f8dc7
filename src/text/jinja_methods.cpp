#include "text/jinja_methods.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {
namespace {

class BoundMethod final : public Host {
 public:
  BoundMethod(Heap* heap, Value self, std::string_view name, MethodFunction function)
      : Host(heap, 96, self.depth() + 1),
        self_(std::move(self)),
        name_(name),
        function_(function) {}
  std::string type_name() const override { return "builtin_function_or_method"; }
  std::string describe(Heap&) override {
    return str("<built-in method ", name_, " of ", jinja::type_name(self_), " object>");
  }
  Value call(Heap& heap, Arguments& arguments) override {
    return function_(heap, self_, arguments);
  }

 private:
  const Value self_;
  const std::string name_;
  const MethodFunction function_;
};

struct Method {
  std::string_view name;
  MethodFunction function;
};

template <size_t N>
MethodFunction search(const Method (&methods)[N], std::string_view name) {
  for (const Method& method : methods) {
    if (method.name == name) return method.function;
  }
  return nullptr;
}

// ---- dict

template <View::Kind kind>
Value dict_view(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("dict view", arguments, {});
  return heap.make<View>(Type::view, kind, self);
}

Value dict_get(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("get", arguments, {"", ""}, 1);
  const Value* found = self.dict().find(heap, given[0]);
  return found != nullptr ? *found : given[1];
}

Value dict_copy(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("copy", arguments, {});
  const std::shared_ptr<Dict> copy = heap.dict();
  for (const auto& [key, value] : self.dict().entries()) copy->set(heap, key, value);
  return Heap::value_of(copy);
}

Value dict_fromkeys(Heap& heap, const Value&, const Arguments& arguments) {
  const Parameters given("fromkeys", arguments, {"", ""}, 1);
  const std::shared_ptr<Dict> out = heap.dict();
  Iteration walk(heap, given[0]);
  for (Value key; walk.next(key);) out->set(heap, key, given[1]);
  return Heap::value_of(out);
}

constexpr Method kDictMethods[] = {{"items", dict_view<View::Kind::items>},
                                   {"keys", dict_view<View::Kind::keys>},
                                   {"values", dict_view<View::Kind::values>},
                                   {"get", dict_get},
                                   {"copy", dict_copy},
                                   {"fromkeys", dict_fromkeys}};

// ---- list, tuple, range

Value sequence_count(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("count", arguments, {""}, 1);
  int64_t count = 0;
  Iteration walk(heap, self);
  for (Value value; walk.next(value);) count += equal(heap, value, given[0]);
  return Value::integer(count);
}

Value sequence_index(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("index", arguments, {"", "", ""}, 1);
  const int64_t length = length_of_value(heap, self);
  const auto place = [&](size_t i, int64_t otherwise) {
    const int64_t at = given.integer(i, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  const int64_t begin = place(1, 0), end = place(2, length);
  Iteration walk(heap, self);
  int64_t at = 0;
  for (Value value; at < end && walk.next(value); ++at) {
    if (at >= begin && equal(heap, value, given[0])) return Value::integer(at);
  }
  fault(represented(heap, given[0]), " is not in ", type_name(self));
}

Value list_copy(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("copy", arguments, {});
  return heap.list(self.items());
}

constexpr Method kSequenceMethods[] = {{"index", sequence_index}, {"count", sequence_count}};
constexpr Method kListMethods[] = {
    {"index", sequence_index}, {"count", sequence_count}, {"copy", list_copy}};

// ---- numbers

Value integer_bit_length(Heap&, const Value& self, const Arguments& arguments) {
  Parameters("bit_length", arguments, {});
  const int64_t value = self.as_integer();
  const uint64_t magnitude =
      value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
  return Value::integer(static_cast<int64_t>(std::bit_width(magnitude)));
}

Value real_is_integer(Heap&, const Value& self, const Arguments& arguments) {
  Parameters("is_integer", arguments, {});
  return Value::boolean(self.as_real() == std::floor(self.as_real()) &&
                        std::isfinite(self.as_real()));
}

Value number_conjugate(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("conjugate", arguments, {});
  return positive(heap, self);
}

constexpr Method kIntegerMethods[] = {{"bit_length", integer_bit_length},
                                      {"conjugate", number_conjugate}};
constexpr Method kRealMethods[] = {{"is_integer", real_is_integer},
                                   {"conjugate", number_conjugate}};

}  // namespace

MethodFunction find_method(const Value& self, std::string_view name) {
  switch (self.type()) {
    case Type::text: return find_text_method(name);
    case Type::dict: return search(kDictMethods, name);
    case Type::list: return search(kListMethods, name);
    case Type::tuple:
    case Type::range: return search(kSequenceMethods, name);
    case Type::boolean:
    case Type::integer: return search(kIntegerMethods, name);
    case Type::real: return search(kRealMethods, name);
    default: return nullptr;
  }
}

bool changes_container(const Value& self, std::string_view name) {
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  static constexpr std::string_view kList[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
  const auto among = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  return self.is(Type::dict) ? among(kDict) : self.is(Type::list) && among(kList);
}

Value bound_method(Heap& heap, const Value& self, std::string_view name, MethodFunction method) {
  return heap.make<BoundMethod>(Type::host, self, name, method);
}

}  // namespace guerdon::text::jinja
