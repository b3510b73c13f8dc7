#include "guerdon/model/reward_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/model/lora.h"
#include "model/folder.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

// Keys of config.json.
constexpr const char* kPoolingKey = "guerdon_pooling";
constexpr const char* kWeightsKey = "guerdon_score_weights";

bool is_roberta(const data::ModelConfig& config) { return config.family.ends_with("roberta"); }

/// Name of the head's weight in files, without ".weight".
std::string head_name(const data::ModelConfig& config) {
  if (config.decoder()) return "score";
  return is_roberta(config) ? "classifier.out_proj" : "classifier";
}

/// The body's tensors as *ForSequenceClassification names them: RoBERTa's pooler is part of its
/// head.
TensorNames names_of(const data::ModelConfig& config, const Backbone& body) {
  TensorNames names = tensor_names(config, body);
  for (StoredTensor& tensor : names.tensors)
    if (is_roberta(config) && tensor.parts[0].starts_with("pooler."))
      tensor.name = "classifier.dense" + tensor.parts[0].substr(std::string_view("pooler").size());
  return names;
}

std::optional<Pooling> pooling_named(const std::string& name) {
  if (name == "last") return Pooling::last;
  if (name == "cls") return Pooling::cls;
  if (name == "mean") return Pooling::mean;
  if (name == "pooler") return Pooling::pooler;
  return std::nullopt;
}

std::string name_of(Pooling pooling) {
  switch (pooling) {
    case Pooling::last: return "last";
    case Pooling::cls: return "cls";
    case Pooling::mean: return "mean";
    case Pooling::pooler: return "pooler";
  }
  return {};
}

Pooling default_pooling(const data::ModelConfig& config, const fs::path& folder) {
  if (config.decoder()) return Pooling::last;
  if (config.json->contains(kPoolingKey)) {
    const Json& value = config.json->at(kPoolingKey);
    const auto pooling = value.is_string() ? pooling_named(value.get<std::string>()) : std::nullopt;
    if (!pooling)
      fail_input(config.where + ": key " + kPoolingKey,
                 "unknown pooling " + value.dump() + " (have: cls, last, mean, pooler)");
    return *pooling;
  }
  if (const fs::path file = folder / "1_Pooling" / "config.json"; fs::exists(file)) {
    const Json json = read_json(file);
    const auto on = [&](const char* key) {
      return json.is_object() && json.contains(key) && json.at(key) == true;
    };
    if (on("pooling_mode_mean_tokens")) return Pooling::mean;
    if (on("pooling_mode_cls_token")) return Pooling::cls;
    fail_input(file.string(), "asks for a pooling that guerdon does not have (have: cls, mean)");
  }
  return Pooling::pooler;
}

/// Outputs of the head that the files hold, 0 when they hold none.
int64_t stored_outputs(const ModelTensors& files, const data::ModelConfig& config) {
  const data::TensorEntry* head = files.find(head_name(config) + ".weight");
  if (head == nullptr) return 0;
  const bool fits =
      head->shape.size() == 2 && head->shape[0] > 0 && head->shape[1] == config.hidden_size();
  return fits ? head->shape[0] : -1;
}

[[noreturn]] void refuse_head(const ModelTensors& files, const data::ModelConfig& config,
                              const std::string& hint = {}) {
  const std::string name = head_name(config) + ".weight";
  std::string shape;
  for (const int64_t size : files.find(name)->shape) shape += str(shape.empty() ? "" : ", ", size);
  fail_input(files.where() + ": tensor " + show(name),
             str("has shape [", shape, "], a reward head needs [1, ", config.hidden_size(), "]"),
             hint);
}

std::vector<std::string> stored_labels(const data::ModelConfig& config, int64_t outputs) {
  std::vector<std::string> out;
  const auto names = config.json->find("id2label");
  for (int64_t i = 0; i < outputs; ++i) {
    const std::string key = std::to_string(i);
    const bool named = names != config.json->end() && names->is_object() && names->contains(key) &&
                       (*names)[key].is_string();
    out.push_back(named ? (*names)[key].get<std::string>() : "LABEL_" + key);
  }
  return out;
}

std::vector<double> stored_weights(const data::ModelConfig& config, size_t outputs) {
  const auto found = config.json->find(kWeightsKey);
  if (found == config.json->end()) return {};
  const bool numbers = found->is_array() && found->size() == outputs &&
                       std::all_of(found->begin(), found->end(),
                                   [](const Json& value) { return value.is_number(); });
  if (!numbers)
    fail_input(config.where + ": key " + kWeightsKey,
               str("must be a list of ", outputs, " numbers, one for each output of the head"));
  return found->get<std::vector<double>>();
}

/// What the head that is there, or the new one, gives.
HeadOutputs head_outputs(const ModelTensors& files, const data::ModelConfig& config,
                         const RewardLoadOptions& options) {
  const int64_t stored = stored_outputs(files, config);
  if (stored < 0) refuse_head(files, config);
  const std::vector<std::string>& wanted = options.labels;
  HeadOutputs out;
  if (!wanted.empty()) out.labels = wanted;
  if (stored > 0) {
    const auto outputs = static_cast<size_t>(stored);
    if (!wanted.empty() && wanted.size() != outputs)
      fail_input(files.where() + ": tensor " + show(head_name(config) + ".weight"),
                 str("is a head of ", stored, " outputs, and ", wanted.size(), " are wanted"),
                 "start from the model without its head, or from one with as many outputs");
    if (wanted.empty()) out.labels = stored_labels(config, stored);
    out.weights = stored_weights(config, outputs);
  } else {
    out.weights.clear();
  }
  const size_t outputs = out.labels.size();
  if (!options.weights.empty()) {
    if (options.weights.size() != outputs)
      fail_settings(config.where, str("the head has ", outputs, " outputs, got ",
                                      options.weights.size(), " weights"));
    out.weights = options.weights;
  }
  if (out.weights.empty()) {
    if (outputs > 1 && wanted.empty())
      refuse_head(files, config,
                  "weights say how several outputs make one score: {\"use\": \"model\", "
                  "\"weights\": [...]}");
    out.weights.assign(outputs, 1.0 / static_cast<double>(outputs));
  }
  return out;
}

}  // namespace

RewardModel::RewardModel(std::shared_ptr<Backbone> body, Pooling pooling, HeadOutputs outputs)
    : body_(std::move(body)), pooling_(pooling), head_(std::move(outputs)) {
  GUERDON_CHECK(!head_.labels.empty() && head_.labels.size() == head_.weights.size(), "a head of ",
                head_.labels.size(), " outputs with ", head_.weights.size(), " weights");
  register_module("body", body_);
  const auto count = static_cast<int64_t>(head_.labels.size());
  const at::TensorOptions options = at::TensorOptions(at::kFloat).device(body_->options().device);
  head_weight_ = register_parameter("head", at::empty({count, body_->hidden_size()}, options));
  if (config().encoder()) head_bias_ = register_parameter("head_bias", at::empty({count}, options));
}

Tensor RewardModel::states(const PackedBatch& batch) {
  return pooled(*body_, batch, pooling_).to(at::kFloat);
}

Tensor RewardModel::outputs_of(const Tensor& states) const {
  // A product of a matrix and one vector is summed in another order for other numbers of rows; this
  // is not.
  const Tensor outputs = (states.unsqueeze(1) * head_weight_).sum(-1);
  return head_bias_.defined() ? outputs + head_bias_ : outputs;
}

Tensor RewardModel::score_of(const Tensor& outputs) const {
  if (head_.weights == std::vector<double>{1.0}) return outputs.squeeze(-1);
  return (outputs * at::tensor(head_.weights, outputs.options())).sum(-1);
}

std::optional<int64_t> RewardModel::position_limit() const {
  if (const data::EncoderConfig* encoder = config().encoder())
    return encoder->max_positions - encoder->position_offset;
  const data::DecoderConfig& decoder = *config().decoder();
  return decoder.ropes.empty() ? std::optional(decoder.max_positions) : std::nullopt;
}

std::shared_ptr<RewardModel> load_reward_model(const fs::path& path,
                                               const RewardLoadOptions& options) {
  const auto [folder, adapter] = data::find_model(path);
  if (!adapter.empty()) {
    // The base's head, or a new one, makes room for the adapter's own.
    RewardLoadOptions base = options;
    base.new_head = options.new_head || adapter_has_head(adapter);
    const std::shared_ptr<RewardModel> model = load_reward_model(folder, base);
    if (options.load.model.device.is_meta()) return model;
    load_adapter(*model, "default", adapter);
    merge_adapter(model->body(), "default");
    return model;
  }
  const data::ModelConfig config = data::read_model_config(folder);
  const ModelTensors files = ModelTensors::of_folder(folder);
  const std::string head = head_name(config);
  const bool there = stored_outputs(files, config) != 0;
  if (!there && !options.new_head)
    fail_input(files.where() + ": tensor " + show(head + ".weight"),
               "is missing: this model has no reward head", "guerdon train reward makes one");
  const HeadOutputs outputs = head_outputs(files, config, options);
  const Pooling pooling = options.pooling.value_or(default_pooling(config, folder));
  if (config.decoder() && pooling != Pooling::last)
    fail_input(config.where, "a decoder is pooled at the last token");
  if (config.encoder() && pooling == Pooling::last)
    fail_input(config.where, "an encoder is pooled by cls, mean or pooler");

  ModelOptions meta = options.load.model;
  meta.device = at::kMeta;
  const bool with_pooler = pooling == Pooling::pooler;
  const std::shared_ptr<Backbone> skeleton = make_backbone(config, meta, with_pooler);
  std::vector<StoredTensor> names = names_in(files, names_of(config, *skeleton));
  // A pooler belongs to the head where the folder has none: it is made with it.
  const auto is_new = [&](const StoredTensor& tensor) {
    return !there && tensor.parts[0].starts_with("pooler.") && files.find(tensor.name) == nullptr;
  };
  const bool new_pooler = std::any_of(names.begin(), names.end(), is_new);
  std::erase_if(names, is_new);
  check_tensors(files, names, *skeleton, config);
  const bool merges = options.merge_outputs && outputs.labels.size() > 1;
  if (options.load.model.device.is_meta())
    return std::make_shared<RewardModel>(skeleton, pooling, merges ? HeadOutputs{} : outputs);

  const std::shared_ptr<Backbone> body = make_backbone(config, options.load.model, with_pooler);
  auto model = std::make_shared<RewardModel>(body, pooling, outputs);
  if (new_pooler) initialise(model->body(), options.seed);
  copy_tensors(files, names, model->body(), config, options.load.allow_nonfinite);
  const at::NoGradGuard no_grad;
  if (there) {
    std::vector<StoredTensor> stored{{.name = head + ".weight", .parts = {"head"}}};
    if (model->head_bias().defined())
      stored.push_back({.name = head + ".bias", .parts = {"head_bias"}});
    check_tensors(files, stored, *model, config);
    copy_tensors(files, stored, *model, config, options.load.allow_nonfinite);
  } else {
    model->head_weight().copy_(
        normal_numbers({static_cast<int64_t>(outputs.labels.size()), config.hidden_size()},
                       config.initializer_range, options.seed, "score.weight"));
    if (model->head_bias().defined()) model->head_bias().zero_();
    log::info(str(folder.string(), ": has no reward head; starts with a new one"));
  }
  warn_of_unexpected(files, names,
                     {"lm_head.weight", "embed_out.weight", head + ".weight", head + ".bias",
                      "pooler.dense.weight", "pooler.dense.bias", "bert.pooler.dense.weight",
                      "bert.pooler.dense.bias"});
  if (!merges) return model;
  const auto merged = std::make_shared<RewardModel>(body, pooling);
  const Tensor weights = at::tensor(outputs.weights, at::kFloat).to(model->head_weight().device());
  merged->head_weight().copy_(weights.unsqueeze(0).matmul(model->head_weight()));
  if (merged->head_bias().defined())
    merged->head_bias().copy_((weights * model->head_bias()).sum().unsqueeze(0));
  return merged;
}

void write_reward_model(NewFolder& folder, const RewardModel& model, const SaveOptions& options) {
  const data::ModelConfig& config = model.config();
  NamedTensors tensors =
      stored_tensors(names_of(config, model.body()).tensors, model.body(), config, options.dtype);
  const std::string head = head_name(config);
  tensors.emplace_back(head + ".weight", model.head_weight().detach());
  if (model.head_bias().defined()) tensors.emplace_back(head + ".bias", model.head_bias().detach());
  write_model_tensors(folder, tensors, options.shard_bytes);

  const bool transformers_pools_so =
      model.pooling() == Pooling::last || model.pooling() == Pooling::pooler;
  const HeadOutputs& outputs = model.head();
  Json labels = Json::object(), ids = Json::object();
  for (size_t i = 0; i < outputs.labels.size(); ++i) {
    labels[std::to_string(i)] = outputs.labels[i];
    ids[outputs.labels[i]] = i;
  }
  Json changes = {
      {"architectures", Json::array({transformers_pools_so ? classes_of(config).classifier
                                                           : classes_of(config).body})},
      {"num_labels", outputs.labels.size()},
      {"id2label", labels},
      {"label2id", ids}};
  if (outputs.labels.size() > 1) changes["problem_type"] = "regression";
  if (outputs.labels.size() > 1 || config.json->contains(kWeightsKey))
    changes[kWeightsKey] = outputs.weights;
  if (!transformers_pools_so) changes[kPoolingKey] = name_of(model.pooling());
  folder.add("config.json", config_text(config, changes, options));
  copy_assets(folder, options, false);
}

void save_reward_model(RewardModel& model, const fs::path& folder, const SaveOptions& options,
                       const PackedBatch* probe) {
  NewFolder out(folder);
  write_reward_model(out, model, options);
  // Scores of weights that were rounded when saved differ by their rounding.
  if (probe != nullptr)
    verify_saved(out.path(), model, *probe, options.dtype == at::kFloat ? 0.0 : 0.1);
  out.commit();
}

void verify_saved(const fs::path& folder, RewardModel& model, const PackedBatch& probe,
                  double tolerance) {
  const at::NoGradGuard no_grad;
  const auto saved = load_reward_model(
      folder, {.load = {.model = model.body().options()}, .pooling = model.pooling()});
  const Tensor before = model.outputs(probe), after = saved->outputs(probe);
  const bool equal =
      tolerance > 0 ? ((before - after).abs() <= tolerance * (1 + before.abs())).all().item<bool>()
                    : at::equal(before, after);
  if (!equal)
    fail_surroundings(folder.string(), str("the saved model does not give the scores of the model "
                                           "in memory: they differ by up to ",
                                           (before - after).abs().max().item<double>()));
}

}  // namespace guerdon::model
