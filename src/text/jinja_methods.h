/// The methods of Python's texts, lists, tuples, dicts, ranges and numbers that change nothing.
#pragma once

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

using MethodFunction = Value (*)(Heap& heap, const Value& self, const Arguments& arguments);

/// The method of that name, or null.
MethodFunction find_method(const Value& self, std::string_view name);
/// str's own.
MethodFunction find_text_method(std::string_view name);
/// Whether `name` is a method that would change the container: out of a template's reach.
bool changes_container(const Value& self, std::string_view name);

/// `self.name` without the call: a value that can be called later.
Value bound_method(Heap& heap, const Value& self, std::string_view name, MethodFunction method);

/// `text` marked safe as `self` is.
Value like(Heap& heap, const Value& self, std::string text);
/// text.replace(old, fresh, count); a negative count replaces all.
std::string replace_text(Heap& heap, std::string_view text, std::string_view old,
                         std::string_view fresh, int64_t count);
/// separator.join(values), each of which must be a text.
Value join_texts(Heap& heap, const Value& separator, const Value& values);
/// One more piece of a text that is being cut; throws Fault when they are too many.
void add_piece(Heap& heap, std::vector<std::string_view>& pieces, std::string_view piece);
/// text.splitlines(keep_ends).
std::vector<std::string_view> split_lines(Heap& heap, std::string_view text, bool keep_ends);
/// text.split(): the pieces between white space, at most `most` cuts from the left when it is not
/// negative.
std::vector<std::string_view> split_space(Heap& heap, std::string_view text, int64_t most = -1);
/// `fill`, which must be one character, `count` times.
std::string filled(Heap& heap, std::string_view fill, int64_t count);
/// text.center(width).
std::string centered(Heap& heap, std::string_view text, int64_t width, std::string_view fill);

}  // namespace guerdon::text::jinja
