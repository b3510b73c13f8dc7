#include "guerdon/model/decoder.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/ops/layers.h"
#include "guerdon/ops/linear.h"
#include "model/checkpointing.h"
#include "model/modules.h"
#include "model/rotary.h"

namespace guerdon::model {
using data::DecoderConfig;

namespace {

/// [T] int64: for each token the length of its sequence; for a shared prefix that of the longest
/// that begins with it.
Tensor sequence_lengths(const PackedBatch& batch) {
  std::vector<int64_t> length(batch.segments.size());
  const Tensor positions = batch.positions.to(at::kCPU);
  for (size_t s = batch.segments.size(); s-- > 0;) {
    const Segment& segment = batch.segments[s];
    if (segment.end > segment.begin)
      length[s] = std::max(length[s], positions[segment.end - 1].item<int64_t>() + 1);
    if (segment.parent >= 0) {
      int64_t& parent = length[static_cast<size_t>(segment.parent)];
      parent = std::max(parent, length[s]);
    }
  }
  Tensor out = at::empty_like(positions);
  for (size_t s = 0; s < batch.segments.size(); ++s)
    out.slice(0, batch.segments[s].begin, batch.segments[s].end).fill_(length[s]);
  return out.to(batch.positions.device());
}

}  // namespace

/// One block. Which norms there are is the family's matter; a norm that is not there is null.
struct Decoder::Layer : torch::nn::Module {
  Layer(const DecoderConfig& config, int64_t index, const at::TensorOptions& options)
      : config(config), layer(config.layers[static_cast<size_t>(index)]), index(index) {
    const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
    const int64_t q_width = config.heads * config.head_dim,
                  kv_width = config.kv_heads * config.head_dim;
    const auto linear = [&](const char* name, int64_t out, int64_t in, bool bias) {
      return register_module(name, std::make_shared<Linear>(out, in, bias, options));
    };
    const auto norm = [&](const char* name, int64_t size,
                          bool wanted) -> std::shared_ptr<NormLayer> {
      if (!wanted) return nullptr;
      return register_module(name,
                             std::make_shared<NormLayer>(config.norm, size, config.norm_epsilon,
                                                         config.norm_offset, options));
    };
    const bool per_head = config.qk_norm == DecoderConfig::QkNorm::per_head;
    const bool qk_norm = config.qk_norm != DecoderConfig::QkNorm::none;
    attention_norm = norm("attention_norm", hidden, config.norm_inputs);
    query = linear("query", q_width, hidden, config.qkv_bias);
    key = linear("key", kv_width, hidden, config.qkv_bias);
    value = linear("value", kv_width, hidden, config.qkv_bias);
    query_norm = norm("query_norm", per_head ? config.head_dim : q_width, qk_norm);
    key_norm = norm("key_norm", per_head ? config.head_dim : kv_width, qk_norm);
    output = linear("output", hidden, q_width, config.output_bias);
    attention_output_norm = norm("attention_output_norm", hidden, config.norm_outputs);
    mlp_norm = norm("mlp_norm", hidden, config.norm_inputs);
    if (config.gated) gate = linear("gate", inner, hidden, config.mlp_bias);
    up = linear("up", inner, hidden, config.mlp_bias);
    down = linear("down", hidden, inner, config.mlp_bias);
    mlp_output_norm = norm("mlp_output_norm", hidden, config.norm_outputs);
  }

  /// x [T, hidden] -> [T, hidden], or with `rows` -> [rows, hidden].
  Tensor forward(const Tensor& x, const std::vector<RotaryTables>& tables, const Attend& attend,
                 const Tensor& rows) const {
    Tensor attended = attention(normal(attention_norm, x), tables, attend);
    Tensor residual = x;
    if (rows.defined()) {
      attended = attended.index_select(0, rows);
      residual = x.index_select(0, rows);
    }
    attended = normal(attention_output_norm, output->forward(attended));
    if (config.parallel_residual) return residual + attended + mlp(normal(mlp_norm, residual));
    const ops::AddedNorm middle = normal_sum(mlp_norm, residual, attended);
    return middle.sum + normal(mlp_output_norm, mlp(middle.norm));
  }

  static Tensor normal(const std::shared_ptr<NormLayer>& norm, const Tensor& x) {
    return norm ? norm->forward(x) : x;
  }

  static ops::AddedNorm normal_sum(const std::shared_ptr<NormLayer>& norm, const Tensor& x,
                                   const Tensor& y) {
    if (norm) return norm->forward_sum(x, y);
    const Tensor sum = x + y;
    return {.sum = sum, .norm = sum};
  }

  /// [T, heads x D], before the output projection.
  Tensor attention(const Tensor& x, const std::vector<RotaryTables>& tables,
                   const Attend& attend) const {
    const bool full_width = config.qk_norm == DecoderConfig::QkNorm::full_width;
    const auto heads_of = [&](const std::shared_ptr<Linear>& projection,
                              const std::shared_ptr<NormLayer>& norm) {
      Tensor y = projection->forward(x);
      if (norm && full_width) y = norm->forward(y);
      y = y.view({x.size(0), -1, config.head_dim});
      return norm && !full_width ? norm->forward(y) : y;
    };
    Tensor q = heads_of(query, query_norm), k = heads_of(key, key_norm);
    const Tensor v = heads_of(value, nullptr);
    if (layer.rope >= 0) {
      const RotaryTables& table = tables[static_cast<size_t>(layer.rope)];
      q = ops::rope(q, table.cosine, table.sine);
      k = ops::rope(k, table.cosine, table.sine);
    }
    const ops::AttentionOptions options{
        .scale = layer.scale, .softcap = config.attention_softcap, .window = layer.window};
    return attend(index, q, k, v, options).reshape({x.size(0), config.heads * config.head_dim});
  }

  Tensor mlp(const Tensor& x) const {
    if (!config.gated) return down->forward(activate(config.activation, up->forward(x)));
    const Tensor g = gate->forward(x), u = up->forward(x);
    switch (config.activation) {
      case data::Activation::silu: return down->forward(ops::swiglu(g, u));
      case data::Activation::gelu_tanh: return down->forward(ops::geglu(g, u));
      default: return down->forward(activate(config.activation, g) * u);
    }
  }

  const DecoderConfig& config;
  const data::DecoderLayer layer;
  const int64_t index;
  std::shared_ptr<NormLayer> attention_norm, query_norm, key_norm, attention_output_norm, mlp_norm,
      mlp_output_norm;
  std::shared_ptr<Linear> query, key, value, output, gate, up, down;
};

struct Decoder::Parts {
  std::shared_ptr<Embedding> embedding, position_embedding;
  std::vector<std::shared_ptr<Layer>> layers;
  std::shared_ptr<NormLayer> norm;
  std::shared_ptr<Linear> head;
  std::vector<Rotary> rotaries;
  CastCache head_weight;
};

Decoder::Decoder(const data::ModelConfig& config, const ModelOptions& options, bool lm_head)
    : Backbone(config, options), has_head_(lm_head), parts_(std::make_unique<Parts>()) {
  GUERDON_CHECK(config_.decoder() != nullptr, "Decoder: ", config_.family, " is no decoder");
  const DecoderConfig& c = shape();
  const at::TensorOptions tensors = tensor_options();
  parts_->embedding = register_module(
      "embedding", std::make_shared<Embedding>(c.vocabulary_size, c.hidden_size, tensors));
  if (c.ropes.empty())
    parts_->position_embedding = register_module(
        "position_embedding", std::make_shared<Embedding>(c.max_positions, c.hidden_size, tensors));
  for (size_t i = 0; i < c.layers.size(); ++i)
    parts_->layers.push_back(register_module(
        str("layer", i), std::make_shared<Layer>(c, static_cast<int64_t>(i), tensors)));
  parts_->norm = register_module(
      "norm",
      std::make_shared<NormLayer>(c.norm, c.hidden_size, c.norm_epsilon, c.norm_offset, tensors));
  if (lm_head && !c.tied_embeddings)
    parts_->head = register_module(
        "head", std::make_shared<Linear>(c.vocabulary_size, c.hidden_size, false, tensors));
  for (const data::Rope& rope : c.ropes) parts_->rotaries.emplace_back(rope);
}

Decoder::~Decoder() = default;

Tensor Decoder::embed(const Tensor& tokens, const Tensor& positions,
                      const std::optional<SoftTokens>& soft) {
  const DecoderConfig& c = shape();
  check_token_ids(tokens, c.vocabulary_size, config_.where);
  Tensor x = parts_->embedding->forward(tokens, options_.compute);
  if (soft) {
    GUERDON_CHECK(soft->values.dim() == 2 && soft->values.size(1) == c.hidden_size, "soft tokens ",
                  soft->values.sizes(), " for a hidden size of ", c.hidden_size);
    x = x.index_copy(0, soft->at, soft->values.to(x.scalar_type()));
  }
  if (c.embedding_scale != 1.0) x = x * at::scalar_tensor(c.embedding_scale, x.options());
  if (parts_->position_embedding) {
    if (const int64_t length = longest(positions); length > c.max_positions)
      fail_input(config_.where, str("a sequence has ", length, " tokens, the model has ",
                                    c.max_positions, " positions"));
    x = x + parts_->position_embedding->forward(positions, options_.compute);
  }
  return x;
}

bool Decoder::shares_prefixes() const { return !follows_length(); }

bool Decoder::follows_length() const {
  return std::any_of(parts_->rotaries.begin(), parts_->rotaries.end(),
                     [](const Rotary& rotary) { return rotary.depends_on_length(); });
}

Tensor Decoder::run(Tensor x, const Tensor& positions, const Attend& attend, const Tensor& rows,
                    const Tensor& lengths) {
  std::vector<RotaryTables> tables;
  for (const Rotary& rotary : parts_->rotaries) tables.push_back(rotary.tables(positions, lengths));

  for (const std::shared_ptr<Layer>& layer : parts_->layers) {
    const Tensor wanted = layer == parts_->layers.back() ? rows : Tensor();
    if (options_.checkpointing) {
      x = checkpointed([layer, tables, attend, wanted](
                           const Tensor& in) { return layer->forward(in, tables, attend, wanted); },
                       x, trained_parameters(*layer));
    } else {
      x = layer->forward(x, tables, attend, wanted);
    }
  }
  return parts_->norm->forward(x);
}

Tensor Decoder::forward(const PackedBatch& batch, const Tensor& rows) {
  const Tensor lengths = follows_length() ? sequence_lengths(batch) : Tensor();
  return run(embed(batch.tokens, batch.positions, batch.soft), batch.positions,
             packed_attend(batch.segments), rows, lengths);
}

Tensor Decoder::forward(const Tensor& tokens, const Tensor& positions, const Attend& attend,
                        const Tensor& rows, const Tensor& lengths) {
  if (follows_length() && !lengths.defined())
    return forward(tokens, positions, attend, rows, at::full_like(positions, longest(positions)));
  return run(embed(tokens, positions, std::nullopt), positions, attend, rows, lengths);
}

Tensor Decoder::head_weight() {
  GUERDON_CHECK(has_head_, "this ", config_.family, " was made without an LM head");
  return parts_->head_weight(parts_->head ? parts_->head->weight : parts_->embedding->weight,
                             options_.compute);
}

ops::LogitTransform Decoder::logit_transform(double temperature) const {
  return {.softcap = shape().final_softcap, .temperature = temperature};
}

Attend packed_attend(const std::vector<Segment>& segments) {
  auto packed = std::make_shared<std::vector<ops::AttentionSegment>>();
  for (const Segment& s : segments) packed->push_back({s.begin, s.end, s.parent});
  return [packed](int64_t, const Tensor& q, const Tensor& k, const Tensor& v,
                  const ops::AttentionOptions& options) {
    return ops::packed_attention(q, k, v, *packed, options);
  };
}

}  // namespace guerdon::model
