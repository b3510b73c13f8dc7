/// A text cut where it pauses.
#pragma once

#include <string_view>
#include <vector>

namespace guerdon::rules {

/// The clauses of a text: what stands between marks of punctuation (.,;:!? and new lines; of other
/// scripts their full stops and commas), without white space around it. A mark inside a number or a
/// word ("3.5", "e.g") cuts nothing.
std::vector<std::string_view> clauses(std::string_view text);

}  // namespace guerdon::rules
