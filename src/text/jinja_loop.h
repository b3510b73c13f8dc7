/// The variable `loop` of a {% for %}.
#pragma once

#include "text/jinja_access.h"
#include "text/jinja_evaluator.h"

namespace guerdon::text::jinja {

class LoopValue final : public Host {
 public:
  /// `closure`: the function around a recursive loop, else null.
  LoopValue(Heap* heap, Evaluator& evaluator, const For& node, ActivationPtr closure,
            const Value& iterable, int64_t depth);

  /// The next item; false at the end.
  bool advance(Value& item);
  int64_t index() const { return index_; }  ///< of the turn, from 0
  /// Keeps `values`; whether they differ from those kept before.
  bool remember(Heap& heap, const Value& values);

  std::string type_name() const override { return "jinja2.runtime.LoopContext"; }
  std::string describe(Heap& heap) override;
  std::optional<Value> attribute(Heap& heap, std::string_view name) override;
  Value call(Heap& heap, Arguments& arguments) override;

 private:
  int64_t length(Heap& heap);
  bool peek();

  Evaluator& evaluator_;
  const For& node_;
  const ActivationPtr closure_;
  const Value iterable_;
  Iteration walk_;
  std::vector<Value> drained_;  ///< the rest of an iterator whose length was asked for
  size_t drained_at_ = 0;
  bool is_drained_ = false;
  std::optional<Value> ahead_;  ///< an item taken early
  Value previous_, current_, changed_ = Value::missing();
  int64_t index_ = -1, depth_;
  int64_t length_ = -1;
};

}  // namespace guerdon::text::jinja
