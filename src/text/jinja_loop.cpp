#include "text/jinja_loop.h"

#include "text/jinja_arguments.h"
#include "text/jinja_methods.h"

namespace guerdon::text::jinja {
namespace {

/// loop.cycle(a, b, ...): as many as there are, by the turn.
Value cycle(Heap&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) fault("no items for cycling given");
  const auto turn = static_cast<size_t>(self.object<LoopValue>().index());
  return arguments.positional[turn % arguments.positional.size()];
}

/// loop.changed(...): whether the arguments differ from those of the call before.
Value changed(Heap& heap, const Value& self, const Arguments& arguments) {
  return Value::boolean(self.object<LoopValue>().remember(heap, heap.tuple(arguments.positional)));
}

}  // namespace

LoopValue::LoopValue(Heap* heap, Evaluator& evaluator, const For& node, ActivationPtr closure,
                     const Value& iterable, int64_t depth)
    : Host(heap, 320, iterable.depth() + 1),
      evaluator_(evaluator),
      node_(node),
      closure_(std::move(closure)),
      iterable_(iterable),
      walk_(*heap, iterable),
      depth_(depth) {}

/// Fills `ahead_`; false at the end.
bool LoopValue::peek() {
  if (ahead_) return true;
  Value item;
  if (is_drained_) {
    if (drained_at_ == drained_.size()) return false;
    item = drained_[drained_at_++];
  } else if (!walk_.next(item)) {
    return false;
  }
  ahead_ = item;
  return true;
}

bool LoopValue::advance(Value& item) {
  if (!peek()) return false;
  item = *std::exchange(ahead_, std::nullopt);
  ++index_;
  previous_ = std::exchange(current_, item);
  return true;
}

int64_t LoopValue::length(Heap& heap) {
  if (length_ >= 0) return length_;
  if (has_length(iterable_)) return length_ = length_of_value(heap, iterable_);
  for (Value item; walk_.next(item);) {
    heap.check_items(drained_.size() + 1, 1);
    drained_.push_back(item);
  }
  is_drained_ = true;
  return length_ = static_cast<int64_t>(drained_.size()) + index_ + 1 + (ahead_ ? 1 : 0);
}

std::string LoopValue::describe(Heap& heap) {
  return str("<LoopContext ", index_ + 1, "/", length(heap), ">");
}

std::optional<Value> LoopValue::attribute(Heap& heap, std::string_view name) {
  if (name == "index") return Value::integer(index_ + 1);
  if (name == "index0") return Value::integer(index_);
  if (name == "first") return Value::boolean(index_ == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return Value::integer(length(heap));
  if (name == "revindex") return Value::integer(length(heap) - index_);
  if (name == "revindex0") return Value::integer(length(heap) - index_ - 1);
  if (name == "depth") return Value::integer(depth_ + 1);
  if (name == "depth0") return Value::integer(depth_);
  if (name == "previtem")
    return index_ == 0 ? heap.undefined("there is no previous item") : previous_;
  if (name == "nextitem") return peek() ? *ahead_ : heap.undefined("there is no next item");
  if (name == "cycle") return bound_method(heap, self(), name, cycle);
  if (name == "changed") return bound_method(heap, self(), name, changed);
  return std::nullopt;
}

bool LoopValue::remember(Heap& heap, const Value& values) {
  const bool differs = changed_.is(Type::missing) || !equal(heap, changed_, values);
  if (differs) changed_ = values;
  return differs;
}

Value LoopValue::call(Heap&, Arguments& arguments) {
  const Parameters given("loop", arguments, {"iterable"}, 1);
  if (!node_.recursive)
    fault("The loop must have the 'recursive' marker to be called recursively.");
  return evaluator_.recurse(node_, closure_, given[0], depth_ + 1);
}

}  // namespace guerdon::text::jinja
