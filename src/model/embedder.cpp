#include "guerdon/model/embedder.h"

#include <ATen/ATen.h>

#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/data/encode.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::model {
namespace {

Pooling pooling_of(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "last") return Pooling::last;
  if (name == "cls") return Pooling::cls;
  fail_settings("pooling", "must be mean, last or cls, got " + show(name));
}

std::optional<int64_t> position_limit(const data::ModelConfig& config) {
  if (const data::EncoderConfig* encoder = config.encoder())
    return encoder->max_positions - encoder->position_offset;
  const data::DecoderConfig& decoder = *config.decoder();
  return decoder.ropes.empty() ? std::optional(decoder.max_positions) : std::nullopt;
}

std::string words_of(const Text& text) {
  if (const auto* plain = std::get_if<std::string>(&text)) return *plain;
  std::string out;
  for (const Message& message : std::get<Conversation>(text))
    out += (out.empty() ? "" : "\n") + message.content;
  return out;
}

}  // namespace

struct Embedder::Loaded {
  Loaded(const std::filesystem::path& path, const EmbedderOptions& options)
      : pooling(pooling_of(options.pooling)),
        body(load_backbone(path, {.model = {.compute = options.bf16 ? at::kBFloat16
                                                                    : at::ScalarType::Undefined}})),
        folder(data::find_model(path).folder),
        tokenizer(text::Tokenizer::load(folder)) {
    if (text::ChatTemplate::exists(folder)) chat_template = text::ChatTemplate::load(folder);
    encoder.emplace(tokenizer, chat_template ? &*chat_template : nullptr,
                    data::EncodeOptions{.append_eos = body->config().decoder() != nullptr});
  }

  std::vector<int64_t> within_positions(std::vector<int64_t> tokens) const {
    const std::optional<int64_t> limit = position_limit(body->config());
    const int64_t past = limit ? static_cast<int64_t>(tokens.size()) - *limit : 0;
    if (past > 0 && *limit > 1) tokens.erase(tokens.begin() + 1, tokens.begin() + 1 + past);
    return tokens;
  }

  Pooling pooling;
  std::shared_ptr<Backbone> body;
  std::filesystem::path folder;  // with tokenizer and chat template
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<data::Encoder> encoder;
};

Embedder::Embedder(const std::filesystem::path& path, const EmbedderOptions& options)
    : options_(options), loaded_(std::make_unique<Loaded>(path, options)) {}
Embedder::~Embedder() = default;
Embedder::Embedder(Embedder&&) noexcept = default;
Embedder& Embedder::operator=(Embedder&&) noexcept = default;

int64_t Embedder::width() const { return loaded_->body->hidden_size(); }

std::vector<int64_t> Embedder::tokens(const Text& text) const {
  Example row;
  row.responses.push_back({words_of(text), {}});
  return loaded_->within_positions(loaded_->encoder->judged(row, 0).tokens);
}

std::vector<int64_t> Embedder::judged_tokens(const Example& example, size_t response) const {
  return loaded_->within_positions(loaded_->encoder->judged(example, response).tokens);
}

Tensor Embedder::vectors(std::span<const std::vector<int64_t>> texts) const {
  const at::NoGradGuard no_grad;
  const auto n = static_cast<int64_t>(texts.size());
  Tensor out = at::zeros({n, width()}, at::kFloat);
  std::vector<Sequence> sequences;
  std::vector<int64_t> rows;
  int64_t tokens = 0;
  const auto flush = [&] {
    if (sequences.empty()) return;
    const PackedBatch packed = pack(sequences, {}, {.share_prefixes = false});
    out.index_copy_(0, at::tensor(rows, at::kLong),
                    pooled(*loaded_->body, packed, loaded_->pooling).to(at::kCPU, at::kFloat));
    sequences.clear(), rows.clear(), tokens = 0;
  };
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<int64_t>& text = texts[static_cast<size_t>(i)];
    if (text.empty()) continue;
    sequences.push_back({.tokens = text});
    rows.push_back(i);
    tokens += static_cast<int64_t>(text.size());
    if (tokens >= options_.batch_tokens) flush();
  }
  flush();
  return out;
}

}  // namespace guerdon::model
