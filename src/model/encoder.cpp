#include "guerdon/model/encoder.h"

#include "guerdon/base/error.h"
#include "guerdon/ops/attention.h"
#include "model/checkpointing.h"
#include "model/modules.h"

namespace guerdon::model {

using data::EncoderConfig;

struct Encoder::Layer : torch::nn::Module {
  Layer(const EncoderConfig& config, const at::TensorOptions& options)
      : heads(config.heads), activation(config.activation) {
    const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
    const auto linear = [&](const char* name, int64_t out, int64_t in) {
      return register_module(name, std::make_shared<Linear>(out, in, true, options));
    };
    const auto norm = [&](const char* name) {
      return register_module(name, std::make_shared<NormLayer>(data::Norm::layer, hidden,
                                                               config.norm_epsilon, 0.0, options));
    };
    query = linear("query", hidden, hidden);
    key = linear("key", hidden, hidden);
    value = linear("value", hidden, hidden);
    output = linear("output", hidden, hidden);
    attention_output_norm = norm("attention_output_norm");
    up = linear("up", inner, hidden);
    down = linear("down", hidden, inner);
    mlp_output_norm = norm("mlp_output_norm");
  }

  Tensor forward(const Tensor& x, const std::vector<ops::AttentionSegment>& segments,
                 const Tensor& rows) const {
    const auto heads_of = [&](const std::shared_ptr<Linear>& projection) {
      return projection->forward(x).view({x.size(0), heads, -1});
    };
    Tensor attended = ops::packed_attention(heads_of(query), heads_of(key), heads_of(value),
                                            segments, {.causal = false})
                          .flatten(1);
    Tensor residual = x;
    if (rows.defined()) {
      attended = attended.index_select(0, rows);
      residual = x.index_select(0, rows);
    }
    const Tensor middle = attention_output_norm->forward(residual + output->forward(attended));
    return mlp_output_norm->forward(middle +
                                    down->forward(activate(activation, up->forward(middle))));
  }

  const int64_t heads;
  const data::Activation activation;
  std::shared_ptr<Linear> query, key, value, output, up, down;
  std::shared_ptr<NormLayer> attention_output_norm, mlp_output_norm;
};

struct Encoder::Parts {
  std::shared_ptr<Embedding> embedding, position_embedding, type_embedding;
  std::shared_ptr<NormLayer> embedding_norm;
  std::vector<std::shared_ptr<Layer>> layers;
  std::shared_ptr<Linear> pooler;
};

Encoder::Encoder(const data::ModelConfig& config, const ModelOptions& options, bool pooler)
    : Backbone(config, options), parts_(std::make_unique<Parts>()) {
  GUERDON_CHECK(config_.encoder() != nullptr, "Encoder: ", config_.family, " is no encoder");
  const EncoderConfig& c = shape();
  const at::TensorOptions tensors = tensor_options();
  const auto embedding = [&](const char* name, int64_t rows) {
    return register_module(name, std::make_shared<Embedding>(rows, c.hidden_size, tensors));
  };
  parts_->embedding = embedding("embedding", c.vocabulary_size);
  parts_->position_embedding = embedding("position_embedding", c.max_positions);
  parts_->type_embedding = embedding("type_embedding", c.token_types);
  parts_->embedding_norm = register_module(
      "embedding_norm",
      std::make_shared<NormLayer>(data::Norm::layer, c.hidden_size, c.norm_epsilon, 0.0, tensors));
  for (int64_t i = 0; i < c.layers; ++i)
    parts_->layers.push_back(register_module(str("layer", i), std::make_shared<Layer>(c, tensors)));
  if (pooler)
    parts_->pooler = register_module(
        "pooler", std::make_shared<Linear>(c.hidden_size, c.hidden_size, true, tensors));
}

Encoder::~Encoder() = default;

bool Encoder::has_pooler() const { return parts_->pooler != nullptr; }

Tensor Encoder::pooler(const Tensor& first) {
  GUERDON_CHECK(has_pooler(), "this ", config_.family, " was made without a pooler");
  return at::tanh(parts_->pooler->forward(first));
}

Tensor Encoder::forward(const PackedBatch& batch, const Tensor& rows) {
  const EncoderConfig& c = shape();
  check_token_ids(batch.tokens, c.vocabulary_size, config_.where);
  if (const int64_t length = longest(batch.positions), limit = c.max_positions - c.position_offset;
      length > limit)
    fail_input(config_.where,
               str("a sequence has ", length, " tokens, the model has ", limit, " positions"));

  const at::ScalarType compute = options_.compute;
  const Tensor types = parts_->type_embedding->weight.select(0, 0).to(compute);
  Tensor x = parts_->embedding->forward(batch.tokens, compute) + types +
             parts_->position_embedding->forward(batch.positions + c.position_offset, compute);
  x = parts_->embedding_norm->forward(x);

  auto segments = std::make_shared<std::vector<ops::AttentionSegment>>();
  for (const Segment& s : batch.segments) segments->push_back({s.begin, s.end, s.parent});
  for (const std::shared_ptr<Layer>& layer : parts_->layers) {
    const Tensor wanted = layer == parts_->layers.back() ? rows : Tensor();
    if (options_.checkpointing) {
      x = checkpointed([layer, segments,
                        wanted](const Tensor& in) { return layer->forward(in, *segments, wanted); },
                       x, trained_parameters(*layer));
    } else {
      x = layer->forward(x, *segments, wanted);
    }
  }
  return x;
}

Tensor pooled(Backbone& backbone, const PackedBatch& batch, Pooling pooling) {
  const auto device = batch.last.device();
  if (pooling == Pooling::last) return backbone.forward(batch, batch.last);
  // Where each row begins and ends; encoders share nothing, so a row is one segment.
  Tensor begin = at::empty({batch.rows()}, at::kLong),
         length = at::empty({batch.rows()}, at::kLong);
  for (const Segment& s : batch.segments) {
    GUERDON_CHECK(s.parent < 0 && s.row >= 0,
                  "pooling over tokens needs a batch without shared prefixes");
    begin[s.row] = s.begin;
    length[s.row] = s.end - s.begin;
  }
  if (pooling == Pooling::mean) {
    const Tensor hidden = backbone.forward(batch).to(at::kFloat);
    const Tensor row =
        at::repeat_interleave(at::arange(batch.rows(), at::kLong), length).to(device);
    const Tensor sum =
        at::zeros({batch.rows(), hidden.size(1)}, hidden.options()).index_add(0, row, hidden);
    return sum / length.to(device).unsqueeze(1);
  }
  const Tensor first = backbone.forward(batch, begin.to(device));
  if (pooling == Pooling::cls) return first;
  auto* encoder = dynamic_cast<Encoder*>(&backbone);
  GUERDON_CHECK(encoder != nullptr, "a decoder has no pooler");
  return encoder->pooler(first);
}

}  // namespace guerdon::model
