/// Examples to token ids, with what is trained: the one place that all trainers, `inspect` and
/// `lint` use.
///
/// The rules are those of TRL 1.16 (SFTTrainer, DPOTrainer, RewardTrainer, KTOTrainer, GRPOTrainer
/// `_prepare_dataset`):
///   - plain text: the tokenizer adds its special tokens (BOS, [CLS] ...), and the EOS text is
///   appended to the last text of a
///     row unless it ends with it;
///   - conversations: the chat template makes one text, to which no special tokens and no EOS are
///   added; `tools` and
///     `chat_template_kwargs` of the row reach the template;
///   - prompt and completion are tokenised together, the prompt alone once more (with the
///   generation prompt): the completion
///     begins where the two differ, which is not always after the prompt alone;
///   - nothing is cut here: see truncation.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/example.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::data {

/// Whose words a token is.
enum class TokenRole : uint8_t { unknown, prompt, completion, system, user, assistant, tool };
std::string name_of(TokenRole role);

/// One sequence that a model reads.
struct EncodedSequence {
  std::vector<int64_t> tokens;  ///< [T]
  std::vector<uint8_t>
      trained;  ///< [T] 1: the token is a target (TRL: label != -100). The first is never predicted
  int64_t prompt_length = 0;     ///< tokens of the prompt, which comes first
  std::vector<TokenRole> roles;  ///< [T], or empty when not asked for
};

struct EncodedPair {
  EncodedSequence chosen, rejected;
};

struct EncodeOptions {
  /// Train the completion only; unset: true for rows with prompt and completion (as in TRL).
  std::optional<bool> completion_only_loss;
  /// Train assistant turns only. The template marks them with {% generation %}; without such marks
  /// they are found by rendering the conversation up to each turn, which works for templates that
  /// only append.
  bool assistant_only_loss = false;
  /// Append the EOS to plain text, as TRL's trainers do.
  bool append_eos = true;
  /// More variables for the template; those of a row win.
  Fields chat_template_kwargs;
  /// What `judged` asks instead of showing the response as it is (fill_question), as a user's
  /// message before the answer where there is a template, else as plain text without EOS: for
  /// models whose next token is the verdict. "": nothing.
  std::string question = {};
  /// Fill `roles`.
  bool roles = false;
};

/// Encodes rows with one tokenizer and, for conversations, one template. Both must outlive it. Any
/// number of threads may use one. Errors are Kind::input at the row ("FILE:LINE"): a template's
/// refusal, a conversation without a template, no assistant turn where `assistant_only_loss` needs
/// one.
class Encoder {
 public:
  Encoder(const text::Tokenizer& tokenizer, const text::ChatTemplate* chat_template,
          EncodeOptions options = {});

  /// Supervised: language modelling, prompt and completion, and (with the chosen or only response)
  /// the other types.
  EncodedSequence supervised(const Example& example) const;
  /// A response after its prompt, for preference optimisation and log-probs: only the response is
  /// trained. `prompt_length` is the common beginning of the prompt alone and of prompt and
  /// response.
  EncodedSequence completion(const Example& example, size_t response) const;
  /// Both responses after their prompt, of which both begin with the same `prompt_length` tokens
  /// (DPO).
  EncodedPair preference(const Example& example) const;
  /// A response after its prompt as a reward model reads it; all of it. `prompt_length` is 0.
  EncodedSequence judged(const Example& example, size_t response) const;
  /// `judged` of both responses; `prompt_length` is what they have in common.
  EncodedPair reward_pair(const Example& example) const;
  /// A prompt that is to be continued, with the generation prompt.
  std::vector<int64_t> prompt(const Text& prompt, const Fields& fields = {}) const;

  /// The text of a conversation: the template with the variables that Transformers gives it.
  text::Rendered render(const Conversation& conversation, const Fields& fields,
                        bool add_generation_prompt) const;

  const EncodeOptions& options() const { return options_; }

 private:
  std::vector<int64_t> plain_ids(const std::string& text) const;
  std::string with_eos(const std::string& text) const;
  EncodedSequence whole(const Text& text, const Fields& fields) const;
  void mark_assistant(EncodedSequence& sequence, const Conversation& conversation,
                      const Fields& fields) const;
  void mark_roles(EncodedSequence& sequence, const Conversation& conversation,
                  const Fields& fields) const;

  const text::Tokenizer& tokenizer_;
  const text::ChatTemplate* template_;
  EncodeOptions options_;
};

/// A response's text in the form of its prompt: an assistant's message after a conversation.
Text as_response(const Text& prompt, const std::string& text);

/// A question about one response: {prompt}, {response} and the {NAME} of any text or number of the
/// row are put in; conversations as "ROLE: TEXT" lines, one message as its text. Other braces stay.
/// Throws Error (Kind::input) at the row for a field that it lacks.
std::string fill_question(const std::string& question, const Example& example, size_t response);

/// Number of ids that both begin with.
int64_t common_prefix(const std::vector<int64_t>& a, const std::vector<int64_t>& b);

}  // namespace guerdon::data
