#include "guerdon/model/reward_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/model/lora.h"
#include "guerdon/text/tokenizer.h"
#include "model/folder.h"
#include "model/reward_head.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

/// The body's tensors as *ForSequenceClassification names them: RoBERTa's pooler is part of its
/// head.
TensorNames names_of(const data::ModelConfig& config, const Backbone& body) {
  TensorNames names = tensor_names(config, body);
  for (StoredTensor& tensor : names.tensors)
    if (is_roberta(config) && tensor.parts[0].starts_with("pooler."))
      tensor.name = "classifier.dense" + tensor.parts[0].substr(std::string_view("pooler").size());
  return names;
}

/// The LM head's row of the first text's token less that of the second's, [hidden].
Tensor contrast_row(const ModelTensors& files, const std::vector<StoredTensor>& names,
                    const data::ModelConfig& config, const fs::path& folder,
                    const std::vector<std::string>& texts) {
  const data::DecoderConfig* decoder = config.decoder();
  std::string head = config.family == "gpt_neox" ? "embed_out.weight" : "lm_head.weight";
  for (const StoredTensor& tensor : names)
    if (decoder && decoder->tied_embeddings && tensor.parts[0] == "embedding.weight")
      head = tensor.name;
  if (!decoder || files.find(head) == nullptr)
    fail_input(files.where(), "has no LM head, and contrast compares two of its rows");
  if (decoder->final_softcap > 0)
    fail_input(config.where, "caps its logits: their difference is no difference of rows");
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  std::vector<int64_t> first;
  for (const std::string& text : texts) {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    if (ids.empty()) fail_settings("key contrast", show(text) + " has no token");
    if (ids.size() > 1)
      log::warning(str("contrast: ", show(text), " is ", ids.size(), " tokens; the first is read"));
    first.push_back(ids[0]);
  }
  if (first[0] == first[1])
    fail_input(folder.string(),
               show(texts[0]) + " and " + show(texts[1]) + " begin with the same token",
               "other texts, for instance with a space before them");
  const Tensor rows = files.load(head).index_select(0, at::tensor(first, at::kLong));
  return rows[0].to(at::kFloat) - rows[1].to(at::kFloat);
}

/// Several outputs as one, the score that they make.
std::shared_ptr<RewardModel> merged(const RewardModel& model, std::shared_ptr<Backbone> body) {
  auto out = std::make_shared<RewardModel>(std::move(body), model.pooling());
  out->set_presentation(model.presentation());
  const Tensor weights =
      at::tensor(model.readout().output_weights(), model.head_weight().options());
  out->head_weight().copy_(weights.unsqueeze(0).matmul(model.head_weight()));
  if (out->head_bias().defined())
    out->head_bias().copy_((weights * model.head_bias()).sum().unsqueeze(0));
  return out;
}

/// The head that an adapter brings, if it brings one.
std::optional<StoredHead> adapter_head(const data::ModelConfig& config, const fs::path& adapter) {
  if (!adapter_has_head(adapter)) return std::nullopt;
  const fs::path file = adapter / kHeadFile;
  const Json keys = fs::exists(file) ? read_json(file) : Json::object();
  if (!keys.is_object()) fail_input(file.string(), "must be a JSON object");
  StoredHead head =
      stored_head(ModelTensors::of_file(adapter / "adapter_model.safetensors"),
                  "base_model.model." + head_name(config) + ".weight", config, keys, file.string());
  if (head.outputs == 0) fail_input(head.tensor, "is missing, and modules_to_save names it");
  return head;
}

}  // namespace

RewardModel::RewardModel(std::shared_ptr<Backbone> body, Pooling pooling, Readout readout)
    : body_(std::move(body)), pooling_(pooling), readout_(std::move(readout)) {
  const int64_t count = readout_.outputs();
  GUERDON_CHECK(count > 0 && readout_.names.size() == readout_.weights.size(), "a head of ", count,
                " outputs with ", readout_.weights.size(), " weights");
  register_module("body", body_);
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

std::optional<int64_t> RewardModel::position_limit() const {
  if (const data::EncoderConfig* encoder = config().encoder())
    return encoder->max_positions - encoder->position_offset;
  const data::DecoderConfig& decoder = *config().decoder();
  return decoder.ropes.empty() ? std::optional(decoder.max_positions) : std::nullopt;
}

data::EncodeOptions RewardModel::encode_options() const {
  const bool whole = presentation_.step_separator.empty();
  return {.append_eos = config().decoder() != nullptr && whole, .question = presentation_.question};
}

std::shared_ptr<RewardModel> load_reward_model(const fs::path& path,
                                               const RewardLoadOptions& options) {
  const auto [folder, adapter] = data::find_model(path);
  if (!adapter.empty()) {
    auto model = load_adapted_reward_model(folder, adapter, options);
    if (!options.load.model.device.is_meta()) merge_adapter(model->body(), "default");
    return model;
  }
  const data::ModelConfig config = data::read_model_config(folder);
  const ModelTensors files = ModelTensors::of_folder(folder);
  const std::string head = head_name(config);
  StoredHead stored = stored_head(files, head + ".weight", config, *config.json, config.where);
  if (options.replace_head) stored.outputs = 0;
  const bool there = stored.outputs > 0;
  const bool contrast = !options.contrast.empty();
  GUERDON_CHECK(!contrast || options.contrast.size() == 2, "contrast: two texts, got ",
                options.contrast.size());
  if (there && contrast)
    fail_input(stored.tensor, "is a reward head already, and contrast makes one of the LM head");
  if (!there && !options.new_head && !contrast)
    fail_input(files.where() + ": tensor " + show(head + ".weight"),
               "is missing: this model has no reward head", "guerdon train reward makes one");
  const Readout readout = readout_of(stored, options);
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
  const bool merges = options.merge_outputs && readout.outputs() > 1;
  if (merges && !readout.is_linear())
    fail_input(stored.tensor,
               "has outputs whose score is no weighted sum of them, and one output "
               "is wanted",
               "start from the model without its head, or from one that learnt by mse");
  const Presentation presentation =
      options.presentation.value_or(stored_presentation(stored.keys, stored.where));
  if (options.load.model.device.is_meta()) {
    auto model = std::make_shared<RewardModel>(skeleton, pooling, merges ? Readout{} : readout);
    model->set_presentation(presentation);
    return model;
  }

  const std::shared_ptr<Backbone> body = make_backbone(config, options.load.model, with_pooler);
  auto model = std::make_shared<RewardModel>(body, pooling, readout);
  model->set_presentation(presentation);
  if (new_pooler) initialise(model->body(), options.seed);
  copy_tensors(files, names, model->body(), config, options.load.allow_nonfinite);
  const at::NoGradGuard no_grad;
  if (there) {
    std::vector<StoredTensor> tensors{{.name = head + ".weight", .parts = {"head"}}};
    if (model->head_bias().defined())
      tensors.push_back({.name = head + ".bias", .parts = {"head_bias"}});
    check_tensors(files, tensors, *model, config);
    copy_tensors(files, tensors, *model, config, options.load.allow_nonfinite);
  } else {
    if (contrast && readout.form.name != "value")
      fail_input(config.where,
                 "contrast gives plain numbers, and the outputs are " + readout.form.name);
    model->head_weight().copy_(
        contrast ? contrast_row(files, names, config, folder, options.contrast)
                 : normal_numbers(model->head_weight().sizes(), config.initializer_range,
                                  options.seed, "score.weight"));
    if (model->head_bias().defined()) model->head_bias().zero_();
    if (!options.replace_head && !contrast)
      log::info(str(folder.string(), ": has no reward head; starts with a new one"));
  }
  warn_of_unexpected(files, names,
                     {"lm_head.weight", "embed_out.weight", head + ".weight", head + ".bias",
                      "pooler.dense.weight", "pooler.dense.bias", "bert.pooler.dense.weight",
                      "bert.pooler.dense.bias"});
  return merges ? merged(*model, body) : model;
}

std::shared_ptr<RewardModel> load_adapted_reward_model(const fs::path& folder,
                                                       const fs::path& adapter,
                                                       const RewardLoadOptions& options,
                                                       const std::string& name) {
  RewardLoadOptions base = options;
  if (const auto head = adapter_head(data::read_model_config(folder), adapter)) {
    base.new_head = base.replace_head = true;
    base.readout = readout_of(*head, options);
    if (!base.pooling) base.pooling = stored_pooling(head->keys, head->where);
    if (!base.presentation) base.presentation = stored_presentation(head->keys, head->where);
  }
  const std::shared_ptr<RewardModel> model = load_reward_model(folder, base);
  if (!options.load.model.device.is_meta()) load_adapter(*model, name, adapter);
  return model;
}

std::vector<std::shared_ptr<RewardModel>> load_adapted_ensemble(const std::vector<fs::path>& paths,
                                                                const RewardLoadOptions& options) {
  const std::vector<std::string> names = member_names(static_cast<int64_t>(paths.size()));
  std::vector<std::shared_ptr<RewardModel>> out;
  fs::path base;
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto [folder, adapter] = data::find_model(paths[i]);
    if (adapter.empty())
      fail_input(paths[i].string(), "is no adapter: these members share the body of one model",
                 "{\"use\": \"ensemble\", \"of\": [...]} takes whole models");
    if (i == 0) {
      base = folder;
      out.push_back(load_adapted_reward_model(folder, adapter, options, names[i]));
      continue;
    }
    if (!fs::equivalent(folder, base))
      fail_input(paths[i].string(),
                 "is an adapter of " + folder.string() + ", the first one of " + base.string());
    const RewardModel& first = *out.front();
    const auto head = adapter_head(first.config(), adapter);
    if (!head) fail_input(adapter.string(), "brings no reward head of its own");
    const Pooling pooling = stored_pooling(head->keys, head->where).value_or(first.pooling());
    out.push_back(
        std::make_shared<RewardModel>(first.shared_body(), pooling, readout_of(*head, options)));
    out.back()->set_presentation(
        options.presentation.value_or(stored_presentation(head->keys, head->where)));
    load_adapter(*out.back(), names[i], adapter);
  }
  return out;
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
  Json changes = head_keys(model);
  changes["architectures"] = Json::array(
      {transformers_pools_so ? classes_of(config).classifier : classes_of(config).body});
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
