/// Private to `model`: what folders say about a reward model's head: its name, its outputs, and how
/// they make a score.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "guerdon/model/reward_model.h"
#include "model/model_tensors.h"

namespace guerdon::model {

/// Beside an adapter: the keys that a whole model has in config.json.
inline constexpr const char* kHeadFile = "reward_head.json";

/// Name of the head's weight in files, without ".weight".
std::string head_name(const data::ModelConfig& config);
bool is_roberta(const data::ModelConfig& config);

/// How the hidden states are pooled, where `json` says so. Throws Error (Kind::input).
std::optional<Pooling> stored_pooling(const Json& json, const std::string& where);
/// How a response is shown to the model, as it is where nothing says so. Throws Error
/// (Kind::input).
Presentation stored_presentation(const Json& json, const std::string& where);
/// What config.json, and where there is none the folder's 1_Pooling, says of an encoder.
Pooling default_pooling(const data::ModelConfig& config, const std::filesystem::path& folder);

/// The keys that describe a model's head: labels, how they make a score, pooling. A null says
/// that a key of an earlier head is gone.
Json head_keys(const RewardModel& model);

/// A head in a file, or its absence.
struct StoredHead {
  int64_t outputs = 0;  ///< 0: there is none
  int64_t inputs = 0;
  Json keys;           ///< of config.json, or of kHeadFile
  std::string where;   ///< of the keys
  std::string tensor;  ///< FILE: tensor "NAME", for errors
};
/// Throws Error (Kind::input) for a tensor that is no head of this model.
StoredHead stored_head(const ModelTensors& files, const std::string& tensor,
                       const data::ModelConfig& config, const Json& keys, const std::string& where);

/// The readout of the head that is there, or of the new one. Throws Error: Kind::input where it is
/// not the one that is wanted, or nothing says how several outputs make one score; Kind::settings
/// for weights that do not fit.
Readout readout_of(const StoredHead& head, const RewardLoadOptions& options);

}  // namespace guerdon::model
