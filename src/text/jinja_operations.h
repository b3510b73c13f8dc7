/// Python's operators on values: truth, equality, order, arithmetic, membership.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

bool truth(Heap& heap, const Value& value);
bool equal(Heap& heap, const Value& a, const Value& b);
/// `a is b` as Python's `sameas` sees it.
bool same(const Value& a, const Value& b);
/// Throws Fault when the value cannot be a key ("unhashable type: 'list'").
size_t hash_of(Heap& heap, const Value& value);

enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
bool compare(Heap& heap, Comparison comparison, const Value& a, const Value& b);
/// Whether a < b; what sorting uses.
bool less(Heap& heap, const Value& a, const Value& b);
/// Whether `item in container`.
bool contains(Heap& heap, const Value& container, const Value& item);

enum class Operator { add, subtract, multiply, divide, floor_divide, modulo, power };
/// Integers are 64 bits wide: a result outside is an error, not a longer number.
Value arithmetic(Heap& heap, Operator op, const Value& a, const Value& b);
Value negative(Heap& heap, const Value& value);
Value positive(Heap& heap, const Value& value);

/// "<", "&", ... as entities, for `escape` and for what joins texts that are marked safe.
std::string escape_html(Heap& heap, std::string_view text);
/// a + b for texts: when one of them is marked safe, the other is escaped.
Value concatenate(Heap& heap, const Value& a, const Value& b);

}  // namespace guerdon::text::jinja
