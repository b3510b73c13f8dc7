/// What is done with the ids of a text: special tokens around them, ranges trimmed. The component
/// "post_processor" of tokenizer.json, for single texts.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "guerdon/text/tokenizer.h"
#include "text/node.h"

namespace guerdon::text {

/// Ids on their way out; `ranges` is empty when nobody asked for them.
struct Processed {
  Encoding encoding;
  bool ranged = false;
  std::string_view text;  ///< the input
  size_t limit = 0;       ///< ids that there may be in the end
};

class PostProcessor {
 public:
  /// The string of an id, as the vocabulary writes it.
  using TokenOf = std::function<std::string_view(int64_t)>;

  virtual ~PostProcessor() = default;
  virtual void apply(Processed& processed, bool add_special_tokens,
                     const TokenOf& token_of) const = 0;
};

/// Throws Error (Kind::input) that names the entry at fault. What it gives throws one when a text
/// gets more ids than its limit.
std::unique_ptr<PostProcessor> read_post_processor(const Node& node);

/// Puts ids before and behind the text's, with empty ranges at 0.
std::unique_ptr<PostProcessor> surrounding_tokens(std::vector<int64_t> before,
                                                  std::vector<int64_t> behind);

}  // namespace guerdon::text
