/// LoRA adapters (Hu et al. 2021, arXiv:2106.09685) in PEFT's layout: y = W x + scale B A x.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "guerdon/base/file.h"

namespace guerdon::model {

class Backbone;
class RewardModel;

/// Named as in PEFT.
struct LoraOptions {
  int64_t r = 16;           ///< rank
  double lora_alpha = 32;   ///< scale = lora_alpha / r
  bool use_rslora = false;  ///< scale = lora_alpha / sqrt(r)
  /// Names of linear layers in the family's files, whole or their ends ("q_proj",
  /// "self_attn.q_proj"); {"all-linear"}: all of the body's layers; empty: PEFT's choice for the
  /// family (queries and values, or the tensor that holds them).
  std::vector<std::string> target_modules;
};

/// Adds an adapter, switches it on, and freezes all other parameters of the body. A is random
/// (uniform in +-1 / sqrt(in), as PEFT's), B is 0: the model does not change. Throws Error
/// (Kind::settings) for a target that no layer has.
void add_adapter(Backbone& body, const std::string& name, const LoraOptions& options,
                 uint64_t seed);

/// Switches to an adapter; "" is the body alone, for instance as reference. Throws Error
/// (Kind::bug) for an unknown name.
void use_adapter(Backbone& body, const std::string& name);
/// The adapter in use, "" when there is none.
const std::string& active_adapter(const Backbone& body);
std::vector<std::string> adapter_names(const Backbone& body);

/// Uses an adapter as long as it lives, then the one from before again.
class AdapterScope {
 public:
  AdapterScope(Backbone& body, const std::string& name);
  ~AdapterScope();
  AdapterScope(const AdapterScope&) = delete;
  AdapterScope& operator=(const AdapterScope&) = delete;

 private:
  Backbone& body_;
  std::string before_;
};

/// W += scale B A, and the adapter is gone.
void merge_adapter(Backbone& body, const std::string& name);

/// adapter_config.json and adapter_model.safetensors. `base` is written as the model that the
/// adapter is for. With a reward model its head goes along (PEFT's modules_to_save), and
/// reward_head.json, which says how its outputs make a score.
void write_adapter(NewFolder& folder, const Backbone& body, const std::string& name,
                   const std::string& base);
void write_adapter(NewFolder& folder, const RewardModel& model, const std::string& name,
                   const std::string& base);

/// Whether an adapter folder brings a reward model's head. Throws Error (Kind::input) when its
/// adapter_config.json cannot be read.
bool adapter_has_head(const std::filesystem::path& folder);

/// Reads an adapter folder under `name` and switches it on; a reward model's head is replaced when
/// the folder holds one. Throws Error (Kind::input) for what is not plain LoRA (DoRA, biases, rank
/// patterns) and for tensors that do not fit.
void load_adapter(Backbone& body, const std::string& name, const std::filesystem::path& folder);
void load_adapter(RewardModel& model, const std::string& name, const std::filesystem::path& folder);

}  // namespace guerdon::model
