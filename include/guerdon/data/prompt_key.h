/// What makes two rows rows about the same prompt: for splits without leaks, and for finding leaks.
#pragma once

#include <cstdint>
#include <string>

#include "guerdon/data/example.h"

namespace guerdon::data {

/// The prompt of an example as one text: its turns one after the other, and for a language
/// modelling conversation the turns before its first answer; for plain text without a prompt the
/// text itself.
std::string prompt_text(const Example& example);

/// Lower-case (ASCII), without punctuation, runs of white space as one blank: prompts that differ
/// in looks alone are equal.
std::string normalised(const std::string& text);

/// Whether an example belongs to the held-out part: a pure function of its normalised prompt, the
/// seed and the share, so that all rows of a prompt, in whatever file, fall on the same side. About
/// `share` in [0, 1] of the prompts do.
bool is_held_out(const Example& example, double share, uint64_t seed);

}  // namespace guerdon::data
