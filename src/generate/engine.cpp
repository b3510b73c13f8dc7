#include "guerdon/generate/engine.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/base/signals.h"
#include "guerdon/generate/kv_cache.h"
#include "guerdon/ops/linear.h"

namespace guerdon::generate {
namespace {

constexpr int64_t kGrowth = 64;  // tokens by which the cache grows

Tensor ids(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

std::string where_of(const Prompt& prompt) {
  const std::string& where = prompt.example ? prompt.example->fields.where() : std::string();
  return where.empty() ? "prompt" : where;
}

}  // namespace

// One call of sample(). Completions start in order; slots 0 ... active-1 are the running ones.
class Engine::Run {
 public:
  Run(Engine& engine, std::span<const Prompt> prompts, int64_t samples,
      const ProgressSink& progress)
      : e_(engine),
        o_(engine.options_),
        prompts_(prompts),
        samples_(samples),
        progress_(progress),
        shape_(engine.decoder_.shape()),
        slots_(std::min<int64_t>(o_.slots, static_cast<int64_t>(prompts.size()) * samples)),
        cache_({.layers = static_cast<int64_t>(shape_.layers.size()),
                .slots = slots_,
                .kv_heads = shape_.kv_heads,
                .head_dim = shape_.head_dim,
                .type = compute_type(),
                .device = e_.decoder_.options().device}),
        transform_(e_.decoder_.logit_transform()),
        head_(e_.decoder_.head_weight()) {
    rollouts_.reserve(prompts.size() * static_cast<size_t>(samples));
    for (size_t p = 0; p < prompts.size(); ++p) {
      for (int64_t s = 0; s < samples; ++s) {
        rollouts_.push_back({.example = prompts[p].example,
                             .group = static_cast<int64_t>(p),
                             .sample = s,
                             .prompt_tokens = prompts[p].tokens,
                             .finish = Finish::aborted});
      }
    }
    logprobs_.resize(rollouts_.size());
    seen_tokens_ = o_.sampling.repetition_penalty != 1.0;
  }

  std::vector<Rollout> run() {
    while (!o_.stoppable || stop_signal() == 0) {
      fill();
      if (active_.empty()) break;
      step();
    }
    for (size_t i = 0; i < rollouts_.size(); ++i) {
      Rollout& r = rollouts_[i];
      r.logprobs = at::tensor(logprobs_[i], at::kFloat);
      r.turns = {{0, static_cast<int64_t>(r.tokens.size())}};
      if (o_.stop.empty() || r.finish == Finish::aborted)
        r.text = e_.tokenizer_.decode(r.tokens, true);
    }
    return std::move(rollouts_);
  }

 private:
  // A completion under way. `token` is its newest token, which the model has not read yet.
  struct Active {
    size_t rollout;
    int64_t position;  // of `token`
    int64_t token;
    int64_t limit;  // tokens that it may have
    Random random;
    std::unique_ptr<text::StreamDecoder> decoder;  // with stop texts
    std::vector<int64_t> seen;                     // with a repetition penalty
  };
  struct Prefilled {
    PromptCache cache;
    Tensor logits;  // [V] after the last token of the prompt
  };

  at::ScalarType compute_type() const {
    const model::ModelOptions& options = e_.decoder_.options();
    return options.compute == at::ScalarType::Undefined ? options.parameters : options.compute;
  }

  size_t prompt_of(size_t rollout) const { return rollout / static_cast<size_t>(samples_); }

  // Starts completions in the free slots. One may end with its first token, and leave its slot at
  // once.
  void fill() {
    while (next_ < rollouts_.size() && static_cast<int64_t>(active_.size()) < slots_) {
      const size_t free = static_cast<size_t>(slots_) - active_.size();
      const size_t end = std::min(rollouts_.size(), next_ + free);
      if (prompt_of(end - 1) >= prefilled_from_ + prefilled_.size()) prefill(end);
      std::vector<Tensor> logits;
      std::vector<Active> started;
      for (; next_ < end && prompt_of(next_) < prefilled_from_ + prefilled_.size(); ++next_) {
        const Prompt& prompt = prompts_[prompt_of(next_)];
        Active a{.rollout = next_,
                 .position = static_cast<int64_t>(prompt.tokens.size()) - 1,
                 .token = prompt.tokens.back(),
                 .limit = limit_of(prompt),
                 .random = Random(o_.seed, Purpose::sample, prompt.key,
                                  static_cast<uint64_t>(rollouts_[next_].sample)),
                 .decoder = nullptr,
                 .seen = {}};
        if (!o_.stop.empty())
          a.decoder = std::make_unique<text::StreamDecoder>(e_.tokenizer_, true);
        if (seen_tokens_) a.seen = prompt.tokens;
        logits.push_back(prefilled_[prompt_of(next_) - prefilled_from_].logits);
        started.push_back(std::move(a));
      }
      choose_next(at::stack(logits), started);
      for (Active& a : started) {
        if (finished(a)) continue;
        const PromptCache& prompt = prefilled_[prompt_of(a.rollout) - prefilled_from_].cache;
        reserve(prompt.length + 1);
        cache_.start(static_cast<int64_t>(active_.size()), prompt);
        active_.push_back(std::move(a));
      }
      // A prompt whose completions have all started is not needed any more.
      while (!prefilled_.empty() &&
             (next_ >= rollouts_.size() || prompt_of(next_) > prefilled_from_)) {
        prefilled_.pop_front();
        ++prefilled_from_;
      }
    }
  }

  int64_t limit_of(const Prompt& prompt) const {
    if (!shape_.ropes.empty()) return o_.max_new_tokens;
    // Learned positions end: the last token of a completion needs none of its own.
    return std::min(o_.max_new_tokens,
                    shape_.max_positions - static_cast<int64_t>(prompt.tokens.size()) + 1);
  }

  // Reads prompts, side by side in one packed pass, until those of the completions before `end` are
  // there or the pass is full.
  void prefill(size_t end) {
    std::vector<int64_t> tokens, positions, of_prompt, last;
    std::vector<ops::AttentionSegment> segments;
    const size_t first = prefilled_from_ + prefilled_.size();
    for (size_t p = first; p <= prompt_of(end - 1); ++p) {
      const std::vector<int64_t>& prompt = prompts_[p].tokens;
      if (!tokens.empty() && static_cast<int64_t>(tokens.size() + prompt.size()) > kPrefillTokens)
        break;
      const auto begin = static_cast<int64_t>(tokens.size());
      for (size_t i = 0; i < prompt.size(); ++i) {
        tokens.push_back(prompt[i]);
        positions.push_back(static_cast<int64_t>(i));
        of_prompt.push_back(static_cast<int64_t>(prompt.size()));
      }
      segments.push_back({begin, static_cast<int64_t>(tokens.size())});
      last.push_back(static_cast<int64_t>(tokens.size()) - 1);
      prefilled_.emplace_back().cache.length = static_cast<int64_t>(prompt.size());
    }
    const model::Attend attend = [&](int64_t, const Tensor& q, const Tensor& k, const Tensor& v,
                                     const ops::AttentionOptions& options) {
      for (size_t s = 0; s < segments.size(); ++s) {
        PromptCache& cache = prefilled_[first - prefilled_from_ + s].cache;
        // Copies: a view would keep the keys of the whole pass alive.
        cache.keys.push_back(k.slice(0, segments[s].begin, segments[s].end).clone());
        cache.values.push_back(v.slice(0, segments[s].begin, segments[s].end).clone());
      }
      return ops::packed_attention(q, k, v, segments, options);
    };
    const Tensor hidden = forward(tokens, positions, attend, last, of_prompt);
    const Tensor logits = ops::head_logits(hidden, head_);
    for (size_t s = 0; s < segments.size(); ++s)
      prefilled_[first - prefilled_from_ + s].logits = logits[static_cast<int64_t>(s)];
  }

  Tensor forward(const std::vector<int64_t>& tokens, const std::vector<int64_t>& positions,
                 const model::Attend& attend, const std::vector<int64_t>& rows,
                 const std::vector<int64_t>& lengths) {
    const at::Device device = e_.decoder_.options().device;
    const auto put = [&](const std::vector<int64_t>& values) { return ids(values).to(device); };
    return e_.decoder_.forward(put(tokens), put(positions), attend,
                               rows.empty() ? Tensor() : put(rows),
                               e_.decoder_.follows_length() ? put(lengths) : Tensor());
  }

  // One more token for every active completion.
  void step() {
    std::vector<int64_t> tokens, positions, lengths;
    for (const Active& a : active_) {
      tokens.push_back(a.token);
      positions.push_back(a.position);
      lengths.push_back(a.position + 1);
    }
    reserve(*std::max_element(lengths.begin(), lengths.end()));
    const auto n = static_cast<int64_t>(active_.size());
    const at::Device device = e_.decoder_.options().device;
    const Tensor at_position = ids(positions).to(device), length = ids(lengths).to(device);
    const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    const model::Attend attend = [&](int64_t layer, const Tensor& q, const Tensor& k,
                                     const Tensor& v, const ops::AttentionOptions& options) {
      cache_.write(layer, at_position, k, v);
      const auto used = [&](const Tensor& all) {
        return all.narrow(0, 0, n).narrow(1, 0, longest);
      };
      return ops::decode_attention(q, used(cache_.keys(layer)), used(cache_.values(layer)), length,
                                   options);
    };
    const Tensor hidden = forward(tokens, positions, attend, {}, lengths);
    choose_next(ops::head_logits(hidden, head_), active_);

    // From the back: a slot that empties takes the last one's sequence.
    for (size_t i = active_.size(); i-- > 0;) {
      if (!finished(active_[i])) continue;
      if (i + 1 < active_.size()) {
        cache_.move(static_cast<int64_t>(active_.size()) - 1, static_cast<int64_t>(i),
                    active_.back().position);
        active_[i] = std::move(active_.back());
      }
      active_.pop_back();
    }
    if (progress_ && ++steps_ % 16 == 0) tell();
  }

  // Draws the token after each one's newest, and makes it the newest.
  void choose_next(const Tensor& logits, std::vector<Active>& rows) {
    std::vector<double> uniforms;
    std::vector<std::vector<int64_t>> seen;
    for (Active& a : rows) {
      uniforms.push_back(a.random.uniform(rollouts_[a.rollout].tokens.size()));
      if (seen_tokens_) seen.push_back(a.seen);
    }
    const ops::Sampled next = choose(logits, uniforms, transform_, o_.sampling, seen);
    const Tensor token = next.token.to(at::kCPU), logprob = next.logprob.to(at::kCPU);
    for (size_t i = 0; i < rows.size(); ++i) {
      Active& a = rows[i];
      a.token = token.data_ptr<int64_t>()[i];
      if (a.token < 0) {
        fail_stopped("generate", str("the model's logits for prompt ", rollouts_[a.rollout].group,
                                     " are not finite; its weights are damaged"));
      }
      a.position += 1;
      rollouts_[a.rollout].tokens.push_back(a.token);
      logprobs_[a.rollout].push_back(logprob.data_ptr<float>()[i]);
      if (seen_tokens_) a.seen.push_back(a.token);
      ++made_;
    }
  }

  // Whether the newest token ended the completion; then its rollout is complete.
  bool finished(Active& a) {
    Rollout& r = rollouts_[a.rollout];
    const bool ended =
        std::find(o_.stop_ids.begin(), o_.stop_ids.end(), a.token) != o_.stop_ids.end();
    const bool full = static_cast<int64_t>(r.tokens.size()) >= a.limit;
    bool stopped = false;
    if (a.decoder) {
      const size_t before = r.text.size();
      r.text += a.decoder->push(a.token);
      if (ended || full) r.text += a.decoder->finish();
      stopped = cut_at_stop(r.text, before);
    }
    if (!ended && !stopped && !full) return false;
    r.finish = ended || stopped ? Finish::stop : Finish::length;
    ++done_;
    return true;
  }

  // Cuts the text before the first stop text that ends in what came after `before`.
  bool cut_at_stop(std::string& text, size_t before) const {
    size_t cut = std::string::npos;
    for (const std::string& stop : o_.stop) {
      const size_t from = before > stop.size() ? before - stop.size() : 0;
      cut = std::min(cut, text.find(stop, from));
    }
    if (cut == std::string::npos) return false;
    text.resize(cut);
    return true;
  }

  void reserve(int64_t tokens) {
    if (tokens > cache_.capacity()) cache_.reserve(cache_capacity(tokens));
  }

  void tell() const {
    progress_({.task = "generating",
               .done = done_,
               .total = static_cast<int64_t>(rollouts_.size()),
               .unit = "response",
               .tokens = made_,
               .note = {}});
  }

  Engine& e_;
  const EngineOptions& o_;
  std::span<const Prompt> prompts_;
  const int64_t samples_;
  const ProgressSink& progress_;
  const data::DecoderConfig& shape_;
  const int64_t slots_;
  KvCache cache_;
  const ops::LogitTransform transform_;
  const Tensor head_;

  std::vector<Rollout> rollouts_;
  std::vector<std::vector<float>> logprobs_;
  std::vector<Active> active_;
  std::deque<Prefilled> prefilled_;
  size_t prefilled_from_ = 0;  // prompt of prefilled_.front()
  size_t next_ = 0;            // rollout that starts next
  bool seen_tokens_ = false;
  int64_t steps_ = 0, done_ = 0, made_ = 0;
};

Engine::Engine(model::Decoder& decoder, const text::Tokenizer& tokenizer, EngineOptions options)
    : decoder_(decoder), tokenizer_(tokenizer), options_(std::move(options)) {
  GUERDON_CHECK(decoder.has_head(), "Engine: the decoder has no LM head");
  GUERDON_CHECK(options_.max_new_tokens >= 1 && options_.slots >= 1,
                "Engine: max_new_tokens and slots must be at least 1");
  for (const std::string& stop : options_.stop)
    GUERDON_CHECK(!stop.empty(), "Engine: an empty stop text");
}

Engine::~Engine() = default;

std::vector<Rollout> Engine::sample(std::span<const Prompt> prompts, int64_t samples,
                                    const ProgressSink& progress) {
  GUERDON_CHECK(samples >= 1, "Engine: samples must be at least 1");
  const data::DecoderConfig& shape = decoder_.shape();
  for (const Prompt& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.tokens.size());
    if (length == 0)
      fail_input(where_of(prompt), "the prompt has no tokens, so there is nothing to continue");
    if (shape.ropes.empty() && length > shape.max_positions) {
      fail_input(where_of(prompt),
                 str("the prompt has ", length, " tokens, the model has positions for ",
                     shape.max_positions));
    }
  }
  if (prompts.empty()) return {};
  const at::NoGradGuard no_gradient;
  return Run(*this, prompts, samples, progress).run();
}

int64_t cache_capacity(int64_t tokens) { return (tokens + kGrowth - 1) / kGrowth * kGrowth; }

std::vector<int64_t> stop_ids_of(const std::filesystem::path& folder,
                                 const text::Tokenizer& tokenizer) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path file = folder / name;
    if (!std::filesystem::exists(file)) continue;
    const Json config = read_json(file);
    if (!config.is_object() || !config.contains("eos_token_id") || config["eos_token_id"].is_null())
      continue;
    const Json& eos = config["eos_token_id"];
    std::vector<int64_t> out;
    for (const Json& id : eos.is_array() ? eos : Json::array({eos})) {
      if (!id.is_number_integer())
        fail_input(file.string(), "key eos_token_id: must be a token id or a list of them");
      out.push_back(id.get<int64_t>());
    }
    if (!out.empty()) return out;
  }
  if (const std::optional<int64_t> eos = tokenizer.eos()) return {*eos};
  return {};
}

}  // namespace guerdon::generate
