/// What a template computes with: Python's values as far as templates can see them, and the heap
/// that makes them and keeps the limits of one rendering.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/text/chat_template.h"

namespace guerdon::text::jinja {

/// What a template did wrong while it was rendered; the evaluator adds the place.
struct Fault {
  std::string message;
  uint32_t line = 0, column = 0;
};

template <class... Pieces>
[[noreturn]] void fault(const Pieces&... pieces) {
  throw Fault{str(pieces...), 0, 0};
}

enum class Type : uint8_t {
  missing,    ///< a variable that nothing was stored in; never seen by a template
  undefined,  ///< Jinja's Undefined: prints as "", most operations on it fail
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,
  range,
  view,      ///< dict.keys(), .values(), .items()
  iterator,  ///< can be walked once: what `map`, `select`, ... give
  host,      ///< functions, macros, namespaces, the loop variable
};

class Heap;
class Value;
class Text;
class Sequence;
class Dict;
class Range;
class View;
class Iterator;
class Host;
struct Arguments;

/// What lies behind a value that is not a number. Counted by the heap that made it; the constants
/// of a template belong to none.
class Object {
 public:
  explicit Object(Heap* heap, size_t bytes = 0, uint32_t depth = 1);
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  uint32_t depth() const { return depth_; }  ///< nested containers, this one included

 protected:
  /// Something of that depth and size is now inside.
  void grow(size_t bytes, uint32_t inner_depth);

 private:
  Heap* heap_;
  size_t bytes_;
  uint32_t depth_;
};

/// A value: small, copied freely; containers and texts are shared, and never changed once a
/// template can see them.
class Value {
 public:
  Value() = default;  ///< none
  Value(Type type, std::shared_ptr<Object> object) : type_(type), object_(std::move(object)) {}

  static Value missing() { return {Type::missing, nullptr}; }
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  /// A constant of the template, outside any heap.
  static Value constant(std::string text);

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_sequence() const { return type_ == Type::list || type_ == Type::tuple; }
  /// Integers and booleans, which are integers in Python.
  bool is_integral() const { return type_ == Type::integer || type_ == Type::boolean; }
  bool is_number() const { return is_integral() || type_ == Type::real; }

  // Each for its type only.
  bool as_boolean() const { return integer_ != 0; }
  int64_t as_integer() const { return integer_; }  ///< integer, boolean
  double as_real() const {
    return type_ == Type::real ? real_ : static_cast<double>(integer_);
  }  ///< any number
  const std::string& as_text() const;
  bool is_safe_text() const;  ///< marked by `safe` or `escape` (markupsafe's Markup)
  const std::string& undefined_reason() const;  ///< "'x' is undefined"
  const std::vector<Value>& items() const;      ///< list, tuple
  const Dict& dict() const;
  template <class Thing>
  Thing& object() const {
    return static_cast<Thing&>(*object_);
  }
  const Object* identity() const { return object_.get(); }
  const std::shared_ptr<Object>& shared() const { return object_; }
  uint32_t depth() const { return object_ ? object_->depth() : 0; }

 private:
  Type type_ = Type::none;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

class Text final : public Object {
 public:
  Text(Heap* heap, std::string text, bool marked)
      : Object(heap, text.capacity() + 64), bytes(std::move(text)), safe(marked) {}
  const std::string bytes;
  const bool safe;
};

/// Undefined: `reason` is the error of whoever uses it.
class Undefined final : public Object {
 public:
  Undefined(Heap* heap, std::string why)
      : Object(heap, why.capacity() + 64), reason(std::move(why)) {}
  const std::string reason;
};

/// A list or a tuple; `grouped` tuples are those of `groupby`, with the names `grouper` and `list`.
class Sequence final : public Object {
 public:
  Sequence(Heap* heap, std::vector<Value> values, bool group);
  const std::vector<Value> items;
  const bool grouped;
};

/// Keeps the order of insertion; 1, 1.0 and True are one key, as in Python.
class Dict final : public Object {
 public:
  using Entry = std::pair<Value, Value>;
  explicit Dict(Heap* heap) : Object(heap, 64) {}

  /// Throws Fault when the key cannot be hashed. Only while the dict is being built.
  void set(Heap& heap, const Value& key, const Value& value);
  const Value* find(Heap& heap, const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  template <class Same>
  const Entry* search(size_t hash, const Same& same) const;

  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, size_t>
      index_;  ///< hash to entry, once there are more than a few
};

class Range final : public Object {
 public:
  Range(Heap* heap, int64_t first, int64_t end, int64_t stride);
  int64_t at(int64_t i) const { return start + i * step; }
  const int64_t start, stop, step;
  int64_t length;
};

class View final : public Object {
 public:
  enum class Kind { keys, values, items };
  View(Heap* heap, Kind what, Value of)
      : Object(heap, 64, of.depth() + 1), kind(what), source(std::move(of)) {}
  const Kind kind;
  const Value source;
};

/// Gives its values one by one, once.
class Iterator : public Object {
 public:
  using Object::Object;
  /// False at the end.
  virtual bool next(Heap& heap, Value& out) = 0;
  virtual const char* type_name() const { return "generator"; }
};

/// Everything else: what a template may call or ask for attributes.
class Host : public Object, public std::enable_shared_from_this<Host> {
 public:
  using Object::Object;
  Value self() { return {Type::host, shared_from_this()}; }
  virtual std::string type_name() const = 0;
  virtual std::string describe(Heap& heap);  ///< as Python prints it
  virtual std::optional<Value> attribute(Heap& heap, std::string_view name);
  virtual bool callable() const { return true; }
  virtual Value call(Heap& heap, Arguments& arguments);
};

/// A whole number past 64 signed bits, out of a JSON text: it can be printed, and nothing else.
class LargeInteger final : public Host {
 public:
  LargeInteger(Heap* heap, uint64_t number) : Host(heap, 64), value(number) {}
  std::string type_name() const override { return "int"; }
  std::string describe(Heap&) override { return std::to_string(value); }
  bool callable() const override { return false; }
  const uint64_t value;
};

/// Something that values inside may point back to. The heap empties them all at the end, so that
/// rings are freed, and frees chains of them without recursion.
class Ring {
 public:
  explicit Ring(Heap& heap);
  virtual ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  virtual std::vector<Value> take_values() = 0;

 protected:
  /// Called by the destructor of the class that holds the values.
  void leave(std::vector<Value> values);

 private:
  Heap& heap_;
};

/// Makes the values of one rendering and keeps its limits: each function throws a Fault that names
/// the limit it would exceed.
class Heap {
 public:
  explicit Heap(const TemplateLimits& limits) : limits_(limits) {}
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// Work was done: one step is about one operation, or 64 bytes of text copied.
  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) fail_steps();
  }
  void step_bytes(size_t bytes) { step(1 + static_cast<int64_t>(bytes / 64)); }
  void loop_turn();

  /// A text of that many bytes may be built: to be asked before memory is reserved for it.
  void check_bytes(uint64_t bytes) const;
  /// A list of that many elements may be built, of which `work` are yet to be written.
  void check_items(uint64_t count, uint64_t work);
  void check_items(uint64_t count) { check_items(count, count); }

  Value text(std::string text, bool safe = false);
  Value undefined(std::string reason);
  Value list(std::vector<Value> items) { return sequence(Type::list, std::move(items), false); }
  Value tuple(std::vector<Value> items) { return sequence(Type::tuple, std::move(items), false); }
  Value group(Value key, Value values);
  std::shared_ptr<Dict> dict();
  static Value value_of(const std::shared_ptr<Dict>& dict) { return {Type::dict, dict}; }
  /// Any other object; the heap is its constructor's first argument.
  template <class Thing, class... Pieces>
  Value make(Type type, Pieces&&... pieces) {
    step();
    return {type, std::make_shared<Thing>(this, std::forward<Pieces>(pieces)...)};
  }

  const TemplateLimits& limits() const { return limits_; }
  /// How deep inside others the value is that is being printed: a namespace may hold itself.
  int64_t& printing() { return printing_; }

 private:
  friend class Object;
  friend class Ring;
  Value sequence(Type type, std::vector<Value> items, bool grouped);
  void charge(size_t bytes);
  void release(size_t bytes) { bytes_ -= bytes; }
  void bury(std::vector<Value> values);
  [[noreturn]] void fail_steps() const;

  const TemplateLimits limits_;
  int64_t steps_ = 0, turns_ = 0, printing_ = 0;
  size_t bytes_ = 0;
  std::unordered_set<Ring*> rings_;
  std::vector<std::vector<Value>> graves_;
  bool burying_ = false;
};

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// The deepest nesting of values; far beyond what the JSON reader lets in.
inline constexpr uint32_t kMaxValueDepth = 400;

}  // namespace guerdon::text::jinja
