/// How a judging language model is asked, in training and in use alike.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/data/example.h"
#include "guerdon/text/chat_template.h"

namespace guerdon::data {

/// One response of several, under the name that the judge sees.
struct Candidate {
  std::string id, text;
};

/// A Jinja template that makes a question of a prompt and its responses. It sees `prompt` (a
/// conversation as "role: content" paragraphs), `responses` (a list of {id, text}), of a pair `a`
/// and `b`, and every column of the row: `rubric` and `principle` are used by the built-in ones.
class JudgeQuestion {
 public:
  /// The built-in template of a form: "pair" (asks for [[A]], [[B]] or [[C]]) or "list" (asks for
  /// JSON with a score from 1 to 5 for each response, and a ranking; RewardAnything,
  /// arXiv:2506.03637). `file` replaces it. Throws Error: Kind::settings for another form,
  /// Kind::input for a template that is malformed.
  explicit JudgeQuestion(const std::string& form, const std::string& file = {});

  /// Throws Error (Kind::input) at the row when the template refuses it.
  std::string ask(const Text& prompt, const Fields& row,
                  std::span<const Candidate> candidates) const;

 private:
  text::ChatTemplate template_;
};

/// The text of a response: of a conversation its last message.
std::string response_text(const Text& text);

/// What a judge should answer. Of a pair: "[[A]]" or "[[B]]", after the row's `rationale` where it
/// has one.
std::string pair_answer(bool first_is_better, const Fields& row);
/// Of a list: the JSON that the built-in template asks for; equal scores keep the order of the
/// candidates.
std::string list_answer(std::span<const Candidate> candidates, std::span<const double> scores,
                        const Fields& row);

/// The names of the candidates of a list: "model-1", "model-2", ...
std::string candidate_name(size_t index);

}  // namespace guerdon::data
