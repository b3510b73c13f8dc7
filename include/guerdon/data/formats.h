/// What a row means: from the columns of a file to an Example, for the dataset types of TRL and the
/// forms of other libraries.
///
/// - language_modeling: no prompt, one response, the text or the whole conversation. Columns: text;
///   messages; conversations.
/// - prompt_only: a prompt without responses. Columns: prompt; question + gold; messages +
///   ground_truth.
/// - prompt_completion: one response. Columns: prompt, completion; instruction, output; query,
///   response; question, answer.
/// - preference: two responses, chosen and rejected. Columns: [prompt,] chosen, rejected; prompt,
///   chosen_response, rejected_response; conversations, chosen, rejected; HH-RLHF transcripts;
///   labelled pairs.
/// - unpaired_preference: one response with the field "label" (true or false). Columns: prompt,
///   completion, label; messages, label.
/// - stepwise: one response with the fields "steps" and "labels". Columns: prompt, completions,
///   labels.
/// - scored: no prompt, one response with the field "label" (numbers). Columns: text, label.
/// - ranked: two responses or more, each with the field "value" (larger is better). Columns:
/// prompt,
///   responses, scores (or ranks).
/// - candidates: two responses or more, nothing said of them. Columns: prompt, responses.
///
/// Already tokenised rows (input_ids [, labels] ; [prompt_ids,] chosen_ids, rejected_ids ; tokens,
/// prompt_length) have empty texts, and the ids in the fields of their responses ("ids", "labels",
/// "prompt_length").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/example.h"
#include "guerdon/data/reader.h"

namespace guerdon::data {

enum class DatasetType {
  language_modeling,
  prompt_only,
  prompt_completion,
  preference,
  unpaired_preference,
  stepwise,
  scored,
  ranked,
  candidates,
};

/// "language_modeling", "prompt_only", ...
std::string name_of(DatasetType type);

struct FormatOptions {
  /// Renamed columns, "OURS=THEIRS": {"chosen=sycophantic", "rejected=other", "margin=confidence"}.
  std::vector<std::string> columns;
  /// Read "\n\nHuman: ...\n\nAssistant: ..." as a conversation; otherwise it stays plain text.
  bool transcripts = true;
};

/// Rows that are usable but deserve a word.
struct FormatCounts {
  int64_t rows = 0;
  int64_t identical_pairs = 0;    ///< chosen equals rejected: no signal
  int64_t empty_completions = 0;  ///< a response without text
  int64_t ties = 0;               ///< pairs that their label calls equal; left out
};

/// Turns the rows of one file into examples. The first row decides the form and whether the file is
/// conversational; a later row of another kind is an error. Errors are Kind::input at "FILE:LINE",
/// and those about unknown columns list what was found and what is expected.
class RowFormat {
 public:
  explicit RowFormat(const FormatOptions& options = {});

  /// The example of a row; nullopt for a labelled pair that is a tie.
  std::optional<Example> read(const Row& row);

  DatasetType type() const;  ///< of the rows so far; at least one must have been read
  bool conversational() const;
  std::string form()
      const;  ///< which of the known forms it is: "preference: prompt, chosen, rejected"
  const FormatCounts& counts() const { return counts_; }
  /// One warning in the log for each count that is not 0.
  void warn(const std::string& file) const;

 private:
  FormatOptions options_;
  int form_ = -1;  // index into the table of forms
  std::optional<bool> conversational_;
  FormatCounts counts_;
};

/// Whether a text is a list of messages.
bool is_conversational(const Text& text);
/// No characters, or no messages.
bool is_empty(const Text& text);

/// Splits chosen and rejected that both begin with their prompt. Conversations: the longest common
/// run of messages that ends with a user or tool message and leaves both a message. Plain text: as
/// TRL, the longest common run of characters, less a space at its end, which goes to the
/// completions.
void extract_prompt(Text& chosen, Text& rejected, Text& prompt);

/// A preference example as two with labels, chosen (label true) first. Their ids are the pair's
/// with "/chosen" and "/rejected".
std::vector<Example> unpair(const Example& pair);

/// An example as a row of TRL's own columns: prompt, completion, chosen, rejected, label, messages,
/// text, ...; then its other columns. An id that was given is among those. Throws Error (Kind::bug)
/// when the example does not fit the type.
Json row_json(const Example& example, DatasetType type);

/// The prompt of any example, for those who generate: what stands before the last answer of a
/// language modelling conversation; its own prompt otherwise. Responses are dropped, fields are
/// kept.
Example as_prompt(const Example& example);

}  // namespace guerdon::data
