/// Generation by continuous batching: as many sequences at once as there are slots, and a finished
/// one makes room for the next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/progress.h"
#include "guerdon/generate/rollout.h"
#include "guerdon/generate/sampling.h"
#include "guerdon/model/decoder.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::generate {

/// What is to be continued.
struct Prompt {
  std::shared_ptr<const Example> example;
  std::vector<int64_t> tokens;
  uint64_t key = 0;  ///< names its random numbers: same seed and key, same samples
};

struct EngineOptions {
  int64_t max_new_tokens = 512;
  SamplingSettings sampling;
  std::vector<int64_t> stop_ids;  ///< ending tokens; the one that ends a completion belongs to it
  std::vector<std::string> stop;  ///< texts that end a completion; its `text` is cut before them
  uint64_t seed = 42;
  int64_t slots = 64;     ///< sequences at once; no effect on what they become
  bool stoppable = true;  ///< a signal ends a call early
};

/// Tokens of one pass that reads prompts, unless a single prompt has more.
constexpr int64_t kPrefillTokens = 8192;
/// Tokens that the cache has room for when its longest sequence has `tokens`: it grows in steps.
int64_t cache_capacity(int64_t tokens);

/// The ids that end a completion: eos_token_id of the folder's generation_config.json, else of its
/// config.json, else the tokenizer's.
std::vector<int64_t> stop_ids_of(const std::filesystem::path& folder,
                                 const text::Tokenizer& tokenizer);

/// Reads the very weights that the decoder has when it is called, without graph. A completion
/// depends on the weights, its prompt, (seed, key, sample) and nothing else: not on the slots, nor
/// on its neighbours. Where rotary frequencies follow the length of the sequence (`dynamic`,
/// `longrope`), a token is rotated by what the length was when it came, so past the original length
/// the record differs from what a pass over the whole sequence gives.
class Engine {
 public:
  /// The tokenizer gives `Rollout::text`. Both must outlive the engine. Throws Error (Kind::bug)
  /// for a decoder without LM head.
  Engine(model::Decoder& decoder, const text::Tokenizer& tokenizer, EngineOptions options);
  ~Engine();

  /// `samples` completions of each prompt: prompt after prompt, group = index of the prompt. Each
  /// has at least one token. A completion that reaches max_new_tokens, or the last learned position
  /// of the model, ends for length. A signal (stop_signal()) ends the call early: what is
  /// unfinished then has Finish::aborted. Throws Error (Kind::input) for an empty prompt and for
  /// one that leaves no position.
  std::vector<Rollout> sample(std::span<const Prompt> prompts, int64_t samples,
                              const ProgressSink& progress = {});

  const EngineOptions& options() const { return options_; }

 private:
  class Run;
  model::Decoder& decoder_;
  const text::Tokenizer& tokenizer_;
  EngineOptions options_;
};

}  // namespace guerdon::generate
