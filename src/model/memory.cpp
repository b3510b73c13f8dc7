#include "guerdon/model/memory.h"

#include <algorithm>
#include <set>
#include <string>

#include "guerdon/base/error.h"
#include "guerdon/model/decoder.h"
#include "guerdon/model/encoder.h"

namespace guerdon::model {
namespace {

constexpr int64_t kFloat = 4, kHalf = 2;

/// Which linear layers of the first block keep their input: those whose weight is trained or that
/// have an adapter.
class Inputs {
 public:
  explicit Inputs(const Backbone& body) {
    for (const auto& item : body.named_parameters()) {
      const std::string& name = item.key();
      if (!name.starts_with("layer0.") || !item.value().requires_grad()) continue;
      const std::string rest = name.substr(7);
      kept_.insert(rest.substr(0, rest.find('.')));
    }
  }
  bool any(std::initializer_list<const char*> linears) const {
    return std::any_of(linears.begin(), linears.end(),
                       [&](const char* name) { return kept_.contains(name); });
  }

 private:
  std::set<std::string> kept_;
};

/// Bytes of a block for each token, in the part before the last layer drops tokens (attention) and
/// in the part after it.
struct BlockBytes {
  int64_t attention = 0, rest = 0;
  int64_t width = 0;    ///< of one hidden state in the compute dtype
  int64_t forward = 0;  ///< temporaries
  int64_t backward = 0;
};

BlockBytes decoder_block(const data::DecoderConfig& c, bool bf16, const Inputs& inputs) {
  const int64_t h = c.hidden_size, inner = c.intermediate_size, w = bf16 ? kHalf : kFloat;
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const bool layer_norm = c.norm == data::Norm::layer;
  // What a norm keeps: its input, of layer_norm in float32.
  const auto norm = [&](int64_t size) { return size * (layer_norm ? kFloat : w); };
  BlockBytes out{.width = h * w};
  // The block's input is that of its norm, or of its projections.
  const bool qkv = inputs.any({"query", "key", "value"});
  if (c.norm_inputs) out.attention += norm(h);
  if (qkv || !c.norm_inputs) out.attention += h * w;
  // packed_attention: query, key, value, output and log-sum-exp, in float32.
  out.attention += (q + 2 * kv + q + c.heads) * kFloat;
  if (bf16) out.rest += q * kHalf;
  if (c.qk_norm != data::DecoderConfig::QkNorm::none) out.attention += norm(q) + norm(kv);
  if (c.norm_outputs) out.rest += 2 * norm(h);
  // With a parallel residual the MLP's norm has the block's input in common with the other one.
  if (c.norm_inputs && !(c.parallel_residual && !bf16)) out.rest += norm(h);
  if (inputs.any({"gate", "up"}) || !c.norm_inputs) out.rest += h * w;
  const bool fused = c.gated && (c.activation == data::Activation::silu ||
                                 c.activation == data::Activation::gelu_tanh);
  out.rest += inner * w * (fused ? 2 : c.gated ? 3 : 1);
  if (inputs.any({"down"})) out.rest += inner * w;

  const int64_t mlp = (c.gated ? 3 : 2) * inner + 3 * h, attention = 3 * h + 2 * q + 4 * kv;
  out.forward = std::max(mlp * w, attention * w + (bf16 ? (2 * q + 2 * kv) * kFloat : 0));
  out.backward = out.forward;
  return out;
}

BlockBytes encoder_block(const data::EncoderConfig& c, bool bf16, const Inputs& inputs) {
  const int64_t h = c.hidden_size, inner = c.intermediate_size, w = bf16 ? kHalf : kFloat;
  BlockBytes out{.width = h * w};
  if (inputs.any({"query", "key", "value"})) out.attention += h * w;
  out.attention += (4 * h + c.heads) * kFloat;
  if (bf16) out.rest += h * kHalf;
  out.rest += 2 * h * kFloat;                 // inputs of the norms
  if (inputs.any({"up"})) out.rest += h * w;  // the first norm's output
  out.rest += inner * w;                      // of the activation
  if (inputs.any({"down"})) out.rest += inner * w;
  out.forward = std::max((2 * inner + 3 * h) * w, 6 * h * w + (bf16 ? 4 * h * kFloat : 0));
  out.backward = out.forward;
  return out;
}

}  // namespace

PassMemory layers_memory(const Backbone& body, const PassSize& size, bool trains) {
  const bool bf16 = body.options().compute == at::kBFloat16;
  const Inputs inputs(body);
  const data::DecoderConfig* decoder = body.config().decoder();
  const BlockBytes block = decoder ? decoder_block(*decoder, bf16, inputs)
                                   : encoder_block(*body.config().encoder(), bf16, inputs);
  const int64_t layers =
      decoder ? static_cast<int64_t>(decoder->layers.size()) : body.config().encoder()->layers;
  const int64_t t = size.tokens, n = std::min(size.targets, size.tokens);

  PassMemory out{.kept = 0, .forward = t * block.forward, .backward = 0};
  if (decoder) {
    for (const data::Rope& rope : decoder->ropes) out.forward += t * rope.dimensions * kFloat;
  }
  if (!trains) {
    out.forward += t * block.width;
    return out;
  }
  const int64_t whole_block = t * (block.attention + block.rest);
  const int64_t last_block = t * block.attention + n * (block.rest + 2 * block.width);
  const int64_t ends = n * 3 * block.width;  // around the final norm
  if (body.options().checkpointing) {
    // Each layer's input; then one layer at a time is made again.
    out.kept = layers * t * block.width + ends;
    out.backward = whole_block + t * block.backward;
  } else {
    out.kept = (layers - 1) * whole_block + last_block + ends;
    out.backward = t * block.backward;
  }
  if (decoder) {
    for (const data::Rope& rope : decoder->ropes) out.kept += t * rope.dimensions * kFloat;
  }
  return out;
}

PassMemory head_memory(const data::DecoderConfig& config, bool bf16, int64_t targets, bool trains) {
  constexpr int64_t kWorkspace = int64_t{64} << 20;  // linear_token_stats' own
  const int64_t row = config.vocabulary_size * kFloat;
  const int64_t width = config.hidden_size * (bf16 ? kHalf : kFloat);
  const bool keep = trains && targets * row <= kWorkspace;
  const int64_t chunk =
      keep ? targets : std::min(targets, std::max<int64_t>(16, kWorkspace / row / 16 * 16));
  const int64_t logits = chunk * (row + (bf16 ? config.vocabulary_size * kHalf : 0));
  PassMemory out{.kept = keep ? targets * row : 0, .forward = logits, .backward = 0};
  if (keep) out.forward -= out.kept;
  if (trains) {
    out.backward = targets * width + (keep ? logits - targets * row : logits);
    if (bf16) out.backward += config.vocabulary_size * config.hidden_size * kFloat;
  }
  return out;
}

ParameterMemory parameter_memory(const torch::nn::Module& module) {
  ParameterMemory out;
  std::set<const void*> seen;
  for (const Tensor& parameter : module.parameters()) {
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
    const auto bytes = static_cast<int64_t>(parameter.nbytes());
    out.all += bytes;
    if (!parameter.requires_grad()) continue;
    out.trained += bytes;
    out.largest_trained = std::max(out.largest_trained, bytes);
  }
  return out;
}

}  // namespace guerdon::model
