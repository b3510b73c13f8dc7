/// What an evaluation counts and puts back while it goes down into a template.
#pragma once

#include <utility>

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// Counts a level of nesting while it lives, so that no template overflows the stack.
class Nested {
 public:
  Nested(int64_t& count, int64_t most, const char* what) : count_(count) {
    if (count_ >= most) fault(what, " are nested deeper than ", most);
    ++count_;
  }
  ~Nested() { --count_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  int64_t& count_;
};

/// A variable has another value while this lives.
template <class Thing>
class Restored {
 public:
  Restored(Thing& variable, Thing value)
      : variable_(variable), before_(std::exchange(variable, std::move(value))) {}
  ~Restored() { variable_ = std::move(before_); }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  Thing& variable_;
  Thing before_;
};

/// Expressions and statements may be nested this many times the limit of brackets and calls.
inline constexpr int64_t kNestingShare = 10;

}  // namespace guerdon::text::jinja
