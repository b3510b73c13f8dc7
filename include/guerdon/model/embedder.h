/// Texts as vectors: the hidden states of a model, pooled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/data/example.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

struct EmbedderOptions {
  std::string pooling = "mean";  ///< of a text's tokens: mean, last, or cls (the first one)
  int64_t batch_tokens = 16384;  ///< of one forward pass; no effect on the vectors
  bool bf16 = false;
};

/// Any decoder or encoder with its tokenizer; a reward model's body too. A text that is longer than
/// the model's table of positions loses its beginning, but for its first token.
class Embedder {
 public:
  /// From a model folder or a run. Throws Error: Kind::input for the folder, Kind::settings for the
  /// pooling.
  explicit Embedder(const std::filesystem::path& path, const EmbedderOptions& options = {});
  ~Embedder();
  Embedder(Embedder&&) noexcept;
  Embedder& operator=(Embedder&&) noexcept;

  int64_t width() const;
  /// The tokens of a text alone: what its messages say, one below the other, without a template.
  std::vector<int64_t> tokens(const Text& text) const;
  /// Those of a response after its prompt, as a reward model reads them.
  std::vector<int64_t> judged_tokens(const Example& example, size_t response) const;
  /// One vector for each list of tokens, [n, width] float32; of an empty list zeros. No gradient.
  Tensor vectors(std::span<const std::vector<int64_t>> texts) const;

 private:
  struct Loaded;
  EmbedderOptions options_;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace guerdon::model
