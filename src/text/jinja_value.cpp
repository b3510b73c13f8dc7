#include "text/jinja_value.h"

#include <cmath>

#include "text/jinja_operations.h"

namespace guerdon::text::jinja {
namespace {

/// Texts and containers that live at the same time may take this many times the largest output.
constexpr int64_t kMemoryShare = 8;
/// Up to here a dict is searched from its beginning.
constexpr size_t kFewEntries = 8;

}  // namespace

// ---- objects

Object::Object(Heap* heap, size_t bytes, uint32_t depth)
    : heap_(heap), bytes_(bytes), depth_(depth) {
  if (depth_ > kMaxValueDepth) fault("values are nested deeper than ", kMaxValueDepth);
  if (heap_ != nullptr) heap_->charge(bytes_);
}

Object::~Object() {
  if (heap_ != nullptr) heap_->release(bytes_);
}

void Object::grow(size_t bytes, uint32_t inner_depth) {
  if (inner_depth + 1 > kMaxValueDepth) fault("values are nested deeper than ", kMaxValueDepth);
  depth_ = std::max(depth_, inner_depth + 1);
  if (heap_ != nullptr) heap_->charge(bytes);
  bytes_ += bytes;
}

namespace {
uint32_t deepest(const std::vector<Value>& values) {
  uint32_t depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth());
  return depth;
}
}  // namespace

Sequence::Sequence(Heap* heap, std::vector<Value> values, bool group)
    : Object(heap, values.capacity() * sizeof(Value) + 64, deepest(values) + 1),
      items(std::move(values)),
      grouped(group) {}

Range::Range(Heap* heap, int64_t first, int64_t end, int64_t stride)
    : Object(heap, 64), start(first), stop(end), step(stride) {
  const bool empty = step > 0 ? start >= stop : start <= stop;
  // Differences of 64-bit integers, which unsigned ones hold.
  const auto distance = [](int64_t low, int64_t high) {
    return static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  };
  const uint64_t span = step > 0 ? distance(start, stop) : distance(stop, start);
  const uint64_t pace = step > 0 ? static_cast<uint64_t>(step) : distance(step, 0);
  const uint64_t count = empty ? 0 : (span - 1) / pace + 1;
  // Jinja's own limit for sandboxed templates.
  constexpr uint64_t kLongestRange = 100'000;
  if (count > kLongestRange) fault("range() is longer than ", kLongestRange);
  length = static_cast<int64_t>(count);
}

std::string Host::describe(Heap&) { return "<" + type_name() + ">"; }
std::optional<Value> Host::attribute(Heap&, std::string_view) { return std::nullopt; }
Value Host::call(Heap&, Arguments&) { fault("'", type_name(), "' object is not callable"); }

// ---- dict

template <class Same>
const Dict::Entry* Dict::search(size_t hash, const Same& same) const {
  if (index_.empty()) {
    for (const Entry& entry : entries_) {
      if (same(entry.first)) return &entry;
    }
    return nullptr;
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    if (same(entries_[at->second].first)) return &entries_[at->second];
  }
  return nullptr;
}

void Dict::set(Heap& heap, const Value& key, const Value& value) {
  const size_t hash = hash_of(heap, key);
  heap.step();
  grow(2 * sizeof(Entry), std::max(key.depth(), value.depth()));
  const Entry* found = search(hash, [&](const Value& other) { return equal(heap, other, key); });
  if (found != nullptr) {
    entries_[static_cast<size_t>(found - entries_.data())].second = value;
    return;
  }
  entries_.emplace_back(key, value);
  if (entries_.size() == kFewEntries + 1) {
    for (size_t i = 0; i < entries_.size(); ++i)
      index_.emplace(hash_of(heap, entries_[i].first), i);
  } else if (entries_.size() > kFewEntries) {
    index_.emplace(hash, entries_.size() - 1);
  }
}

const Value* Dict::find(Heap& heap, const Value& key) const {
  const size_t hash = hash_of(heap, key);
  const Entry* entry = search(hash, [&](const Value& other) { return equal(heap, other, key); });
  return entry == nullptr ? nullptr : &entry->second;
}

const Value* Dict::find(std::string_view key) const {
  const size_t hash = index_.empty() ? 0 : std::hash<std::string_view>()(key);
  const Entry* entry = search(
      hash, [&](const Value& other) { return other.is(Type::text) && other.as_text() == key; });
  return entry == nullptr ? nullptr : &entry->second;
}

// ---- values

Value Value::boolean(bool value) {
  Value result;
  result.type_ = Type::boolean;
  result.integer_ = value;
  return result;
}

Value Value::integer(int64_t value) {
  Value result;
  result.type_ = Type::integer;
  result.integer_ = value;
  return result;
}

Value Value::real(double value) {
  Value result;
  result.type_ = Type::real;
  result.real_ = value;
  return result;
}

Value Value::constant(std::string text) {
  return {Type::text, std::make_shared<Text>(nullptr, std::move(text), false)};
}

const std::string& Value::as_text() const { return object<Text>().bytes; }
bool Value::is_safe_text() const { return type_ == Type::text && object<Text>().safe; }
const std::string& Value::undefined_reason() const { return object<Undefined>().reason; }
const std::vector<Value>& Value::items() const { return object<Sequence>().items; }
const Dict& Value::dict() const { return object<Dict>(); }

// ---- heap

Ring::Ring(Heap& heap) : heap_(heap) { heap_.rings_.insert(this); }
Ring::~Ring() { heap_.rings_.erase(this); }
void Ring::leave(std::vector<Value> values) { heap_.bury(std::move(values)); }

Heap::~Heap() {
  // Values taken from one ring may free others, which then leave the set themselves.
  std::vector<std::vector<Value>> taken;
  for (Ring* ring : rings_) taken.push_back(ring->take_values());
  for (std::vector<Value>& values : taken) bury(std::move(values));
}

void Heap::bury(std::vector<Value> values) {
  graves_.push_back(std::move(values));
  if (burying_) return;
  burying_ = true;
  while (!graves_.empty()) {
    const std::vector<Value> freed = std::move(graves_.back());
    graves_.pop_back();
  }
  burying_ = false;
}

void Heap::charge(size_t bytes) {
  bytes_ += bytes;
  const auto most = static_cast<size_t>(limits_.output_bytes) * kMemoryShare;
  if (bytes_ > most) {
    bytes_ -= bytes;
    fault("the template's values take more than ", most, " bytes");
  }
}

void Heap::fail_steps() const { fault("the template takes more than ", limits_.steps, " steps"); }

void Heap::loop_turn() {
  step();
  if (++turns_ > limits_.loop_turns)
    fault("the template's loops take more than ", limits_.loop_turns, " turns");
}

void Heap::check_bytes(uint64_t bytes) const {
  if (bytes > static_cast<uint64_t>(limits_.output_bytes)) {
    fault("a text would be longer than ", limits_.output_bytes, " bytes");
  }
}

void Heap::check_items(uint64_t count, uint64_t work) {
  if (count > static_cast<uint64_t>(limits_.loop_turns)) {
    fault("a list would have more than ", limits_.loop_turns, " elements");
  }
  step(static_cast<int64_t>(work));
}

Value Heap::text(std::string text, bool safe) {
  check_bytes(text.size());
  step_bytes(text.size());
  return {Type::text, std::make_shared<Text>(this, std::move(text), safe)};
}

Value Heap::undefined(std::string reason) {
  return {Type::undefined, std::make_shared<Undefined>(this, std::move(reason))};
}

Value Heap::sequence(Type type, std::vector<Value> items, bool grouped) {
  check_items(items.size());
  return {type, std::make_shared<Sequence>(this, std::move(items), grouped)};
}

Value Heap::group(Value key, Value values) {
  return sequence(Type::tuple, {std::move(key), std::move(values)}, true);
}

std::shared_ptr<Dict> Heap::dict() {
  step();
  return std::make_shared<Dict>(this);
}

}  // namespace guerdon::text::jinja
