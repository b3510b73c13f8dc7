/// What is wrong with data, found before the first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guerdon/data/encode.h"
#include "guerdon/data/source.h"
#include "guerdon/data/truncation.h"

namespace guerdon::data {

/// `fatal`: training on this data cannot do what was meant; `guerdon data lint` exits with 3.
enum class Severity { note, warning, fatal };
std::string name_of(Severity severity);

struct Finding {
  Severity severity = Severity::note;
  std::string name;                ///< "identical_pairs": stable, for programs
  std::string text;                ///< what it means, with its numbers
  int64_t count = 0, of = 0;       ///< rows concerned, rows looked at
  std::vector<std::string> where;  ///< the first few, "FILE:LINE"
};

struct LintOptions {
  int64_t max_length = 1024;
  TruncationMode truncation_mode = TruncationMode::keep_start;
};

/// Looks at every row of the training files and compares their prompts with those of the test
/// files. In memory of some 50 bytes a row. `encoder` may be null: then nothing that needs tokens
/// is looked at, and lengths are counted in characters.
///
/// | name                  | fatal when                               | otherwise |
/// |-----------------------|------------------------------------------|----------------------------------------|
/// | identical_pairs       | 10 % or more                             | warning | | swapped_pairs
/// | 5 % or more: the same pair in both orders | warning                               | |
/// contradictory_answers | -                                        | warning: chosen here,
/// rejected there, for one prompt | | duplicate_rows        | - | warning | | empty_completions | -
/// | warning                                | | shared_prompts        | any prompt of the test is
/// in training    | -                                      | | similar_prompts       | - | warning:
/// shared but for case, punctuation, spaces | | length_bias           | - | warning when the longer
/// one is chosen in more than 65 % or fewer than 35 % of the pairs, note else | | truncated | half
/// of the rows or more are dropped     | warning                                | | untrained_end
/// | no row trains an end token               | warning when 1 % or more do not        | |
/// unstable_prompt       | -                                        | warning: the prompt's own
/// tokens do not begin prompt and answer |
std::vector<Finding> lint(const std::vector<const DataSource*>& train,
                          const std::vector<const DataSource*>& test,
                          const text::Tokenizer* tokenizer, const Encoder* encoder,
                          const LintOptions& options = {});

}  // namespace guerdon::data
