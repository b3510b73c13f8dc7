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
/// - identical_pairs: chosen equals rejected; fatal from 10 % on.
/// - swapped_pairs: the same pair in both orders; fatal from 5 % on.
/// - contradictory_answers: an answer chosen here and rejected there, for one prompt. A warning.
/// - duplicate_rows, empty_completions: warnings.
/// - shared_prompts: a prompt of the test is in training. Fatal.
/// - similar_prompts: shared but for case, punctuation and spaces. A warning.
/// - length_bias: the longer one is chosen in more than 65 % or fewer than 35 % of the pairs: a
///   warning, a note otherwise.
/// - truncated: fatal when half of the rows or more are dropped.
/// - untrained_end: fatal when no row trains an end token, a warning when 1 % or more do not.
/// - unstable_prompt: the prompt's own tokens do not begin prompt and answer. A warning.
std::vector<Finding> lint(const std::vector<const DataSource*>& train,
                          const std::vector<const DataSource*>& test,
                          const text::Tokenizer* tokenizer, const Encoder* encoder,
                          const LintOptions& options = {});

}  // namespace guerdon::data
