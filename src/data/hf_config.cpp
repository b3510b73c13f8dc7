#include "guerdon/data/hf_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/config_keys.h"
#include "data/rope_config.h"

namespace guerdon::data {
namespace {

Activation activation_of(const Keys& keys, const std::string& key, const std::string& otherwise) {
  const std::string name = keys.text_or(key, otherwise);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  keys.fail(key, "unknown activation " + show(name) +
                     " (have: gelu, gelu_fast, gelu_new, gelu_pytorch_tanh, relu, silu)");
}

// ---- what families share ------------------------------------------------------------------------

struct SizeKeys {
  const char *hidden = "hidden_size", *layers = "num_hidden_layers", *heads = "num_attention_heads",
             *positions = "max_position_embeddings";
};

/// Widths, heads and the number of layers; the layers themselves have full attention and the usual
/// scale.
void read_sizes(const Keys& keys, DecoderConfig& c, const SizeKeys& names = {},
                int64_t default_head_dim = 0) {
  c.vocabulary_size = keys.integer("vocab_size", 1, kMaxVocabulary);
  c.hidden_size = keys.integer(names.hidden, 1, kMaxWidth);
  c.heads = keys.integer(names.heads, 1, kMaxWidth);
  c.kv_heads = keys.integer_or("num_key_value_heads", c.heads, 1, kMaxWidth);
  if (c.heads % c.kv_heads != 0)
    keys.fail("num_key_value_heads",
              str("must divide ", names.heads, " = ", c.heads, ", got ", c.kv_heads));
  if (keys.has("head_dim") || default_head_dim > 0) {
    c.head_dim = keys.integer_or("head_dim", default_head_dim, 1, kMaxWidth);
  } else {
    if (c.hidden_size % c.heads != 0)
      keys.fail(names.heads,
                str("must divide ", names.hidden, " = ", c.hidden_size, ", got ", c.heads));
    c.head_dim = c.hidden_size / c.heads;
  }
  if (c.heads * c.head_dim > kMaxInner)
    keys.fail("head_dim", str("gives an attention width of ", c.heads * c.head_dim));
  c.max_positions = keys.integer_or(names.positions, 2048, 1, kMaxPositions);
  const double scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  c.layers.assign(static_cast<size_t>(keys.integer(names.layers, 1, kMaxLayers)),
                  DecoderLayer{.scale = scale});
}

void read_mlp(const Keys& keys, DecoderConfig& c, const std::string& activation_key,
              const std::string& activation) {
  c.intermediate_size = keys.integer("intermediate_size", 1, kMaxInner);
  c.activation = activation_of(keys, activation_key, activation);
}

/// Sliding windows by layer_types; without that key layer i slides when `slides(i)`.
template <class Slides>
void read_windows(const Keys& keys, DecoderConfig& c, int64_t window, const Slides& slides) {
  const std::vector<std::string> types = keys.texts("layer_types");
  if (!types.empty() && types.size() != c.layers.size())
    keys.fail("layer_types",
              str("has ", types.size(), " entries for ", c.layers.size(), " layers"));
  for (size_t i = 0; i < c.layers.size(); ++i) {
    bool sliding = false;
    if (types.empty()) {
      sliding = slides(i);
    } else if (types[i] == "sliding_attention") {
      sliding = true;
    } else if (types[i] != "full_attention") {
      keys.fail("layer_types",
                "unknown type " + show(types[i]) + " (have: full_attention, sliding_attention)");
    }
    if (sliding && window <= 0)
      keys.fail("sliding_window", "is missing, and a layer has sliding attention");
    c.layers[i].window = sliding ? window : 0;
  }
}

int64_t window_or(const Keys& keys, int64_t otherwise) {
  return keys.integer_or("sliding_window", otherwise, 1, kMaxPositions);
}

// ---- families -----------------------------------------------------------------------------------

DecoderConfig read_llama(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c);
  read_mlp(keys, c, "hidden_act", "silu");
  c.norm_epsilon = keys.number_or("rms_norm_eps", 1e-6, 0, 1);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", false);
  c.qkv_bias = c.output_bias = keys.boolean_or("attention_bias", false);
  c.mlp_bias = keys.boolean_or("mlp_bias", false);
  c.ropes = {read_single_rope(keys, c, 10000.0)};
  return c;
}

/// Mistral 7B v0.1 slides; later ones say null. A missing key means Transformers' default.
DecoderConfig read_mistral(const Keys& keys) {
  DecoderConfig c = read_llama(keys);
  c.qkv_bias = c.output_bias = c.mlp_bias = false;
  const int64_t window = window_or(keys, keys.says("sliding_window") ? 0 : 4096);
  for (DecoderLayer& layer : c.layers) layer.window = window;
  return c;
}

void read_qwen_windows(const Keys& keys, DecoderConfig& c) {
  const bool used = keys.boolean_or("use_sliding_window", false);
  const auto first = static_cast<size_t>(keys.integer_or("max_window_layers", 28, 0, kMaxLayers));
  const int64_t window = used ? window_or(keys, keys.says("sliding_window") ? 0 : 4096) : 0;
  read_windows(keys, c, window, [&](size_t i) { return window > 0 && i >= first; });
}

DecoderConfig read_qwen2(const Keys& keys) {
  DecoderConfig c = read_llama(keys);
  c.qkv_bias = true;
  c.output_bias = c.mlp_bias = false;
  read_qwen_windows(keys, c);
  return c;
}

DecoderConfig read_qwen3(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c, {}, 128);
  read_mlp(keys, c, "hidden_act", "silu");
  c.norm_epsilon = keys.number_or("rms_norm_eps", 1e-6, 0, 1);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", false);
  c.qkv_bias = c.output_bias = keys.boolean_or("attention_bias", false);
  c.qk_norm = DecoderConfig::QkNorm::per_head;
  c.ropes = {read_single_rope(keys, c, 10000.0)};
  read_qwen_windows(keys, c);
  return c;
}

/// Every fourth layer does not rotate.
DecoderConfig read_smollm3(const Keys& keys) {
  DecoderConfig c = read_llama(keys);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", true);
  c.ropes = {read_single_rope(keys, c, 2000000.0)};
  const auto interval =
      static_cast<size_t>(keys.integer_or("no_rope_layer_interval", 4, 1, kMaxLayers));
  std::vector<double> rotates;  // 1: the layer rotates
  if (keys.has("no_rope_layers")) rotates = keys.numbers("no_rope_layers", c.layers.size(), 0, 1);
  for (size_t i = 0; i < c.layers.size(); ++i)
    if (rotates.empty() ? (i + 1) % interval == 0 : rotates[i] == 0.0) c.layers[i].rope = -1;
  if (keys.boolean_or("use_sliding_window", false))
    read_windows(keys, c, window_or(keys, 0),
                 [&](size_t i) { return keys.has("sliding_window") && c.layers[i].rope < 0; });
  return c;
}

DecoderConfig read_gpt2(const Keys& keys) {
  DecoderConfig c;
  read_sizes(
      keys, c,
      {.hidden = "n_embd", .layers = "n_layer", .heads = "n_head", .positions = "n_positions"});
  if (c.kv_heads != c.heads || c.head_dim * c.heads != c.hidden_size)
    keys.fail("n_head", "GPT-2 has one key head per query head");
  c.max_positions = keys.integer_or("n_positions", 1024, 1, kMaxPositions);
  c.intermediate_size = keys.integer_or("n_inner", 4 * c.hidden_size, 1, kMaxInner);
  c.activation = activation_of(keys, "activation_function", "gelu_new");
  c.gated = false;
  c.norm = Norm::layer;
  c.norm_epsilon = keys.number_or("layer_norm_epsilon", 1e-5, 0, 1);
  c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", true);
  const bool scaled = keys.boolean_or("scale_attn_weights", true),
             by_layer = keys.boolean_or("scale_attn_by_inverse_layer_idx", false);
  if (keys.boolean_or("add_cross_attention", false))
    keys.fail("add_cross_attention", "is not supported");
  for (size_t i = 0; i < c.layers.size(); ++i) {
    DecoderLayer& layer = c.layers[i];
    layer.rope = -1;
    if (!scaled) layer.scale = 1.0;
    if (by_layer) layer.scale /= static_cast<double>(i + 1);
  }
  return c;
}

DecoderConfig read_gpt_neox(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c);
  if (c.kv_heads != c.heads)
    keys.fail("num_key_value_heads", "GPT-NeoX has one key head per query head");
  read_mlp(keys, c, "hidden_act", "gelu");
  c.gated = false;
  c.norm = Norm::layer;
  c.norm_epsilon = keys.number_or("layer_norm_eps", 1e-5, 0, 1);
  c.qkv_bias = c.output_bias = keys.boolean_or("attention_bias", true);
  c.mlp_bias = true;
  c.parallel_residual = keys.boolean_or("use_parallel_residual", true);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", false);
  c.ropes = {read_single_rope(keys, c, 10000.0, keys.number_or("rotary_pct", 0.25, 0, 1),
                              "rotary_emb_base")};
  return c;
}

/// What all Gemmas share.
DecoderConfig read_any_gemma(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c, {}, 256);
  read_mlp(keys, c, "hidden_activation", "gelu_pytorch_tanh");
  c.norm_epsilon = keys.number_or("rms_norm_eps", 1e-6, 0, 1);
  c.norm_offset = 1.0;
  c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", true);
  c.qkv_bias = c.output_bias = keys.boolean_or("attention_bias", false);
  if (keys.boolean_or("use_bidirectional_attention", false))
    keys.fail("use_bidirectional_attention", "is not supported");
  return c;
}

DecoderConfig read_gemma(const Keys& keys) {
  DecoderConfig c = read_any_gemma(keys);
  // The first releases say "gelu" and mean its tanh form; Transformers reads them so.
  if (!keys.has("hidden_activation") && keys.text_or("hidden_act", "gelu") != "gelu")
    c.activation = activation_of(keys, "hidden_act", "gelu_pytorch_tanh");
  c.ropes = {read_single_rope(keys, c, 10000.0)};
  return c;
}

/// What Gemma 2 and 3 share; the rotary sets and windows are read by each.
DecoderConfig read_later_gemma(const Keys& keys) {
  DecoderConfig c = read_any_gemma(keys);
  c.norm_outputs = true;
  const double scale = 1.0 / std::sqrt(keys.number_or("query_pre_attn_scalar", 256, 1e-6, 1e9));
  for (DecoderLayer& layer : c.layers) layer.scale = scale;
  return c;
}

DecoderConfig read_gemma2(const Keys& keys) {
  DecoderConfig c = read_later_gemma(keys);
  // A missing softcap means Transformers' default, null means none.
  c.attention_softcap = keys.number_or("attn_logit_softcapping",
                                       keys.says("attn_logit_softcapping") ? 0 : 50, 0, 1e9);
  c.final_softcap = keys.number_or("final_logit_softcapping",
                                   keys.says("final_logit_softcapping") ? 0 : 30, 0, 1e9);
  c.ropes = {read_single_rope(keys, c, 10000.0)};
  read_windows(keys, c, window_or(keys, 4096), [](size_t i) { return i % 2 == 0; });
  return c;
}

/// Sliding layers rotate with a base of their own.
DecoderConfig read_gemma3(const Keys& keys) {
  DecoderConfig c = read_later_gemma(keys);
  c.qk_norm = DecoderConfig::QkNorm::per_head;
  c.final_softcap = keys.number_or("final_logit_softcapping", 0, 0, 1e9);
  const double global = keys.number_or("rope_theta", 1e6, 1e-3, 1e15),
               local = keys.number_or("rope_local_base_freq", 1e4, 1e-3, 1e15);
  const auto part = [&](const char* name, double theta) {
    // Transformers 5: one object per kind of layer. Before: rope_scaling is the global layers'.
    if (keys.has("rope_parameters") && keys.object("rope_parameters").has(name))
      return read_rope(keys.object("rope_parameters").object(name), keys, theta, 1.0, c);
    if (std::string_view(name) == "full_attention" && keys.has("rope_scaling"))
      return read_rope(keys.object("rope_scaling"), keys, theta, 1.0, c);
    return unscaled_rope(keys, theta, 1.0, c);
  };
  c.ropes = {part("full_attention", global), part("sliding_attention", local)};
  const auto pattern =
      static_cast<size_t>(keys.integer_or("sliding_window_pattern", 6, 1, kMaxLayers));
  read_windows(keys, c, window_or(keys, 4096), [&](size_t i) { return (i + 1) % pattern != 0; });
  for (DecoderLayer& layer : c.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return c;
}

DecoderConfig read_phi3(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c);
  read_mlp(keys, c, "hidden_act", "silu");
  c.norm_epsilon = keys.number_or("rms_norm_eps", 1e-5, 0, 1);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", false);
  c.ropes = {
      read_single_rope(keys, c, 10000.0, keys.number_or("partial_rotary_factor", 1.0, 0, 1))};
  for (DecoderLayer& layer : c.layers) layer.window = window_or(keys, 0);
  return c;
}

/// Norms after attention and MLP, and over the whole width of queries and keys.
DecoderConfig read_olmo2(const Keys& keys) {
  DecoderConfig c;
  read_sizes(keys, c);
  read_mlp(keys, c, "hidden_act", "silu");
  c.norm_epsilon = keys.number_or("rms_norm_eps", 1e-5, 0, 1);
  c.norm_inputs = false;
  c.norm_outputs = true;
  c.qk_norm = DecoderConfig::QkNorm::full_width;
  c.qkv_bias = c.output_bias = keys.boolean_or("attention_bias", false);
  c.tied_embeddings = keys.boolean_or("tie_word_embeddings", false);
  c.ropes = {read_single_rope(keys, c, 10000.0)};
  return c;
}

EncoderConfig read_bert(const Keys& keys) {
  EncoderConfig c;
  c.vocabulary_size = keys.integer("vocab_size", 1, kMaxVocabulary);
  c.hidden_size = keys.integer("hidden_size", 1, kMaxWidth);
  c.layers = keys.integer("num_hidden_layers", 1, kMaxLayers);
  c.heads = keys.integer("num_attention_heads", 1, kMaxWidth);
  if (c.hidden_size % c.heads != 0)
    keys.fail("num_attention_heads",
              str("must divide hidden_size = ", c.hidden_size, ", got ", c.heads));
  c.intermediate_size = keys.integer("intermediate_size", 1, kMaxInner);
  c.max_positions = keys.integer_or("max_position_embeddings", 512, 1, kMaxInner);
  c.token_types = keys.integer_or("type_vocab_size", 2, 1, kMaxInner);
  c.norm_epsilon = keys.number_or("layer_norm_eps", 1e-12, 0, 1);
  c.activation = activation_of(keys, "hidden_act", "gelu");
  const std::string positions = keys.text_or("position_embedding_type", "absolute");
  if (positions != "absolute")
    keys.fail("position_embedding_type", "unknown kind " + show(positions) + " (have: absolute)");
  if (keys.boolean_or("is_decoder", false))
    keys.fail("is_decoder", "is not supported: an encoder is read");
  return c;
}

EncoderConfig read_roberta(const Keys& keys) {
  EncoderConfig c = read_bert(keys);
  c.position_offset = keys.integer_or("pad_token_id", 1, 0, kMaxVocabulary) + 1;
  if (c.position_offset >= c.max_positions)
    keys.fail("max_position_embeddings", "leaves no position past pad_token_id");
  return c;
}

struct Family {
  const char* name;
  std::variant<DecoderConfig (*)(const Keys&), EncoderConfig (*)(const Keys&)> read;
};
const Family kFamilies[] = {
    {"bert", read_bert},          {"gemma", read_gemma},     {"gemma2", read_gemma2},
    {"gemma3_text", read_gemma3}, {"gpt2", read_gpt2},       {"gpt_neox", read_gpt_neox},
    {"llama", read_llama},        {"mistral", read_mistral}, {"olmo2", read_olmo2},
    {"phi3", read_phi3},          {"qwen2", read_qwen2},     {"qwen3", read_qwen3},
    {"roberta", read_roberta},    {"smollm3", read_smollm3}, {"xlm-roberta", read_roberta},
};

}  // namespace

int64_t ModelConfig::hidden_size() const {
  return std::visit([](const auto& c) { return c.hidden_size; }, body);
}

int64_t ModelConfig::vocabulary_size() const {
  return std::visit([](const auto& c) { return c.vocabulary_size; }, body);
}

std::vector<std::string> model_families() {
  std::vector<std::string> out;
  for (const Family& family : kFamilies) out.emplace_back(family.name);
  return out;
}

ModelConfig parse_model_config(const Json& object, const std::string& where, Kind kind) {
  if (!object.is_object()) throw Error(kind, where, "must be a JSON object");
  const Keys keys(object, where, kind);
  ModelConfig config;
  config.where = where;
  config.json = std::make_shared<Json>(object);
  config.family = keys.text_or("model_type", "");
  const auto* family = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                    [&](const Family& f) { return config.family == f.name; });
  if (family == std::end(kFamilies)) {
    std::string have;
    for (const std::string& name : model_families()) have += (have.empty() ? "" : ", ") + name;
    if (config.family.empty()) keys.fail("model_type", "is missing (have: " + have + ")");
    keys.fail("model_type",
              "unknown architecture " + show(config.family) + " (have: " + have + ")");
  }
  std::visit([&](const auto& read) { config.body = read(keys); }, family->read);

  config.architectures = keys.texts("architectures");
  config.dtype = keys.text_or("dtype", keys.text_or("torch_dtype", ""));
  config.initializer_range = keys.number_or("initializer_range", 0.02, 0, 1);
  config.labels = keys.integer_or("num_labels", 2, 1, kMaxVocabulary);
  if (keys.has("id2label")) {
    if (!keys.at("id2label").is_object() || keys.at("id2label").empty())
      keys.fail("id2label", "must be an object with an entry per label");
    config.labels = static_cast<int64_t>(keys.at("id2label").size());
  }
  const auto first = [](const std::vector<int64_t>& ids) {
    return ids.empty() ? std::nullopt : std::optional<int64_t>(ids.front());
  };
  config.bos_id = first(keys.ids("bos_token_id"));
  config.pad_id = first(keys.ids("pad_token_id"));
  config.eos_ids = keys.ids("eos_token_id");
  return config;
}

ModelConfig read_model_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_model_config(read_json(file), file.string());
}

}  // namespace guerdon::data
