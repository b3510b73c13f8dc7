#include "model/tensor_names.h"

#include <torch/nn/module.h>

#include <map>

#include "guerdon/base/error.h"

namespace guerdon::model {
namespace {

using LinearName = TensorNames::LinearName;

/// The names of one family. Norms and linears are those of a layer; parameters that a model does
/// not have are skipped.
struct FamilyNames {
  std::string prefix, layer;
  std::map<std::string, std::string> whole;  ///< our module -> theirs, outside the layers
  std::map<std::string, std::string> norms;  ///< our norm -> theirs
  std::vector<LinearName> linears;
};

const std::vector<LinearName> kLlamaLinears{
    {"self_attn.q_proj", {"query"}, Layout::stacked},
    {"self_attn.k_proj", {"key"}, Layout::stacked},
    {"self_attn.v_proj", {"value"}, Layout::stacked},
    {"self_attn.o_proj", {"output"}, Layout::stacked},
    {"mlp.gate_proj", {"gate"}, Layout::stacked},
    {"mlp.up_proj", {"up"}, Layout::stacked},
    {"mlp.down_proj", {"down"}, Layout::stacked},
};

FamilyNames llama_names() {
  return {.prefix = "model.",
          .layer = "layers.",
          .whole = {{"embedding", "embed_tokens"}, {"norm", "norm"}},
          .norms = {{"attention_norm", "input_layernorm"},
                    {"mlp_norm", "post_attention_layernorm"},
                    {"query_norm", "self_attn.q_norm"},
                    {"key_norm", "self_attn.k_norm"}},
          .linears = kLlamaLinears};
}

/// Gemma and OLMo 2: the norm after attention has the name that Llama gives to the one before the
/// MLP.
FamilyNames output_norm_names() {
  FamilyNames names = llama_names();
  names.norms["attention_output_norm"] = "post_attention_layernorm";
  names.norms["mlp_norm"] = "pre_feedforward_layernorm";
  names.norms["mlp_output_norm"] = "post_feedforward_layernorm";
  return names;
}

FamilyNames phi3_names() {
  FamilyNames names = llama_names();
  names.linears = {{"self_attn.qkv_proj", {"query", "key", "value"}, Layout::stacked},
                   {"self_attn.o_proj", {"output"}, Layout::stacked},
                   {"mlp.gate_up_proj", {"gate", "up"}, Layout::stacked},
                   {"mlp.down_proj", {"down"}, Layout::stacked}};
  return names;
}

FamilyNames gpt2_names() {
  return {.prefix = "transformer.",
          .layer = "h.",
          .whole = {{"embedding", "wte"}, {"position_embedding", "wpe"}, {"norm", "ln_f"}},
          .norms = {{"attention_norm", "ln_1"}, {"mlp_norm", "ln_2"}},
          .linears = {{"attn.c_attn", {"query", "key", "value"}, Layout::transposed},
                      {"attn.c_proj", {"output"}, Layout::transposed},
                      {"mlp.c_fc", {"up"}, Layout::transposed},
                      {"mlp.c_proj", {"down"}, Layout::transposed}}};
}

FamilyNames gpt_neox_names() {
  return {
      .prefix = "gpt_neox.",
      .layer = "layers.",
      .whole = {{"embedding", "embed_in"}, {"norm", "final_layer_norm"}},
      .norms = {{"attention_norm", "input_layernorm"}, {"mlp_norm", "post_attention_layernorm"}},
      .linears = {{"attention.query_key_value", {"query", "key", "value"}, Layout::per_head},
                  {"attention.dense", {"output"}, Layout::stacked},
                  {"mlp.dense_h_to_4h", {"up"}, Layout::stacked},
                  {"mlp.dense_4h_to_h", {"down"}, Layout::stacked}}};
}

FamilyNames bert_names(const std::string& prefix) {
  return {.prefix = prefix,
          .layer = "encoder.layer.",
          .whole = {{"embedding", "embeddings.word_embeddings"},
                    {"position_embedding", "embeddings.position_embeddings"},
                    {"type_embedding", "embeddings.token_type_embeddings"},
                    {"embedding_norm", "embeddings.LayerNorm"},
                    {"pooler", "pooler.dense"}},
          .norms = {{"attention_output_norm", "attention.output.LayerNorm"},
                    {"mlp_output_norm", "output.LayerNorm"}},
          .linears = {{"attention.self.query", {"query"}, Layout::stacked},
                      {"attention.self.key", {"key"}, Layout::stacked},
                      {"attention.self.value", {"value"}, Layout::stacked},
                      {"attention.output.dense", {"output"}, Layout::stacked},
                      {"intermediate.dense", {"up"}, Layout::stacked},
                      {"output.dense", {"down"}, Layout::stacked}}};
}

FamilyNames family_names(const std::string& family) {
  if (family == "gpt2") return gpt2_names();
  if (family == "gpt_neox") return gpt_neox_names();
  if (family == "phi3") return phi3_names();
  if (family == "gemma2" || family == "gemma3_text" || family == "olmo2")
    return output_norm_names();
  if (family == "bert") return bert_names("bert.");
  if (family == "roberta" || family == "xlm-roberta") return bert_names("roberta.");
  return llama_names();
}

int64_t layers_of(const data::ModelConfig& config) {
  return config.decoder() ? static_cast<int64_t>(config.decoder()->layers.size())
                          : config.encoder()->layers;
}

}  // namespace

TensorNames tensor_names(const data::ModelConfig& config, const torch::nn::Module& body) {
  const FamilyNames family = family_names(config.family);
  TensorNames out{.prefix = family.prefix,
                  .tensors = {},
                  .layer_prefix = family.prefix + family.layer,
                  .linears = family.linears};
  const auto parameters = body.named_parameters();
  const auto add = [&](const std::string& theirs, const std::vector<std::string>& ours,
                       Layout layout) {
    for (const char* suffix : {".weight", ".bias"}) {
      StoredTensor stored{.name = theirs + suffix, .parts = {}, .layout = layout};
      for (const std::string& part : ours)
        if (parameters.contains(part + suffix)) stored.parts.push_back(part + suffix);
      GUERDON_CHECK(stored.parts.empty() || stored.parts.size() == ours.size(), theirs,
                    " is stored whole or not at all");
      if (!stored.parts.empty()) out.tensors.push_back(std::move(stored));
    }
  };
  for (const auto& [ours, theirs] : family.whole)
    add(family.prefix + theirs, {ours}, Layout::stacked);
  for (int64_t i = 0; i < layers_of(config); ++i) {
    const std::string theirs = str(out.layer_prefix, i, "."), ours = str("layer", i, ".");
    for (const auto& [our_norm, their_norm] : family.norms)
      add(theirs + their_norm, {ours + our_norm}, Layout::stacked);
    for (const LinearName& linear : family.linears) {
      std::vector<std::string> parts;
      for (const std::string& part : linear.parts) parts.push_back(ours + part);
      add(theirs + linear.name, parts, linear.layout);
    }
  }
  add(config.family == "gpt_neox" ? "embed_out" : "lm_head", {"head"}, Layout::stacked);

  size_t named = 0, there = 0;
  for (const StoredTensor& stored : out.tensors) named += stored.parts.size();
  for (const std::string& name : parameters.keys())
    there += name.find(".lora_") == std::string::npos ? 1 : 0;
  GUERDON_CHECK(named == there, config.family, ": ", there, " parameters, but ", named,
                " have a name in files");
  return out;
}

bool is_buffer_of_old(const std::string& name) {
  for (const char* suffix :
       {"rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias",
        "attention.masked_bias", "embeddings.position_ids", "embeddings.token_type_ids"})
    if (name.ends_with(suffix)) return true;
  return false;
}

std::vector<Tensor> split(const Tensor& stored, Layout layout, const std::vector<int64_t>& rows,
                          int64_t heads) {
  if (layout == Layout::per_head) {
    const auto parts = static_cast<int64_t>(rows.size());
    std::vector<int64_t> shape{heads, parts, stored.size(0) / (heads * parts)};
    for (int64_t d = 1; d < stored.dim(); ++d) shape.push_back(stored.size(d));
    const Tensor view = stored.reshape(shape);
    std::vector<Tensor> out;
    for (int64_t p = 0; p < parts; ++p) out.push_back(view.select(1, p).flatten(0, 1));
    return out;
  }
  const Tensor straight = layout == Layout::transposed && stored.dim() == 2 ? stored.t() : stored;
  return straight.split_with_sizes(rows, 0);
}

Tensor join(const std::vector<Tensor>& parts, Layout layout, int64_t heads) {
  if (layout == Layout::per_head) {
    std::vector<Tensor> views;
    for (const Tensor& part : parts)
      views.push_back(part.unflatten(0, {heads, part.size(0) / heads}));
    return at::stack(views, 1).flatten(0, 2);
  }
  const Tensor straight = parts.size() == 1 ? parts[0] : at::cat(parts, 0);
  return layout == Layout::transposed && straight.dim() == 2 ? straight.t() : straight;
}

std::vector<int64_t> joined_shape(const std::vector<Tensor>& parts, Layout layout) {
  std::vector<int64_t> shape = parts[0].sizes().vec();
  for (size_t i = 1; i < parts.size(); ++i) shape[0] += parts[i].size(0);
  if (layout == Layout::transposed && shape.size() == 2) std::swap(shape[0], shape[1]);
  return shape;
}

}  // namespace guerdon::model
