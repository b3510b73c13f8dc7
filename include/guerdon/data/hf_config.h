/// What a model's config.json says, in one form for all families, each number checked against its
/// range.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::data {

enum class Norm { rms, layer };
enum class Activation { silu, gelu, gelu_tanh, relu };

/// A set of rotary frequencies. Fields that a kind does not use keep their defaults.
struct Rope {
  enum class Kind { standard, linear, dynamic, llama3, yarn, longrope };
  Kind kind = Kind::standard;
  double theta = 10000.0;
  int64_t dimensions = 0;         ///< even: the first dimensions of a head, which are rotated
  double factor = 1.0;            ///< how much further than in pretraining (all kinds but standard)
  int64_t max_positions = 0;      ///< max_position_embeddings
  double original_positions = 0;  ///< of pretraining (llama3, yarn, longrope)
  double attention_factor = 1.0;  ///< cosine and sine are multiplied by it (yarn, longrope)
  double low_frequency = 1.0, high_frequency = 4.0;  ///< llama3
  double beta_fast = 32.0, beta_slow = 1.0;          ///< yarn
  bool truncate = true;                              ///< yarn: whole bounds of the ramp
  std::vector<double> short_factors, long_factors;   ///< longrope: one per pair of dimensions
};

struct DecoderLayer {
  int64_t rope = 0;    ///< index into DecoderConfig::ropes; -1: this layer does not rotate
  int64_t window = 0;  ///< a query sees the last `window` positions, itself included; 0: all
  double scale = 0.0;  ///< of q.k
};

/// A decoder-only transformer. Every family is a setting of these fields; a new family touches this
/// struct's reader, the names of its tensors, and nothing else.
struct DecoderConfig {
  int64_t vocabulary_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t max_positions = 0;
  std::vector<DecoderLayer> layers;
  std::vector<Rope> ropes;       ///< empty: positions are learned, a table [max_positions, hidden]
  bool tied_embeddings = false;  ///< the LM head's weight is the embedding's
  double embedding_scale = 1.0;  ///< Gemma: sqrt(hidden)

  Norm norm = Norm::rms;
  double norm_epsilon = 1e-6;
  double norm_offset = 0.0;        ///< added to the weight: Gemma 1
  bool norm_inputs = true;         ///< before attention and MLP: all but OLMo 2
  bool norm_outputs = false;       ///< after them, before the residual sum: OLMo 2, Gemma
  bool parallel_residual = false;  ///< x + attention(norm(x)) + mlp(norm'(x)): GPT-NeoX

  enum class QkNorm { none, per_head, full_width };
  QkNorm qk_norm = QkNorm::none;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  Activation activation = Activation::silu;
  bool gated = true;               ///< down(act(gate x) * up x); otherwise down(act(up x))
  double attention_softcap = 0.0;  ///< 0: none
  double final_softcap = 0.0;      ///< of the logits; 0: none
};

/// A BERT-style encoder: learned positions, norms after the residual sums.
struct EncoderConfig {
  int64_t vocabulary_size = 0, hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0;
  int64_t max_positions = 0;    ///< rows of the position table
  int64_t position_offset = 0;  ///< row of the first position: RoBERTa's pad id + 1
  int64_t token_types = 0;
  double norm_epsilon = 1e-12;
  Activation activation = Activation::gelu;
};

struct ModelConfig {
  std::string family;  ///< model_type: "llama", "bert", ...
  std::variant<DecoderConfig, EncoderConfig> body;
  std::vector<std::string> architectures;
  std::string dtype;  ///< "float32", "bfloat16", ...; "" when not said
  double initializer_range = 0.02;
  int64_t labels = 2;  ///< of a classification head
  std::optional<int64_t> bos_id, pad_id;
  std::vector<int64_t> eos_ids;
  std::shared_ptr<const Json> json;  ///< the whole object, to be saved again
  std::string where;                 ///< "DIR/config.json", for errors

  const DecoderConfig* decoder() const { return std::get_if<DecoderConfig>(&body); }
  const EncoderConfig* encoder() const { return std::get_if<EncoderConfig>(&body); }
  int64_t hidden_size() const;
  int64_t vocabulary_size() const;
};

/// The families that there are: "bert", "gemma2", ...
std::vector<std::string> model_families();

/// Reads config.json of a folder, as Transformers 4 and 5 write it (rope_theta and rope_scaling, or
/// rope_parameters; torch_dtype or dtype). Throws Error (Kind::input): "WHERE: key hidden_size:
/// must be a whole number in [1, 65536], got 0"; "WHERE: key model_type: unknown architecture
/// "mixtral" (have: bert, ...)".
ModelConfig read_model_config(const std::filesystem::path& folder);

/// The same from an object, for instance from settings; `kind` is the kind of the errors.
ModelConfig parse_model_config(const Json& object, const std::string& where,
                               Kind kind = Kind::input);

}  // namespace guerdon::data
