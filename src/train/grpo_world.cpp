/// What GRPO's settings name, loaded or looked at.
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/data/truncation.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/reward/model_reward.h"
#include "guerdon/reward/registry.h"
#include "guerdon/train/feed.h"
#include "guerdon/train/grpo.h"

namespace guerdon::train {
namespace {

// reward_weights: TRL's way to say the weights.
void weigh(Json& node, const std::vector<double>& weights, const std::string& where) {
  const bool sum = node.is_object() && node.contains("of") && node["of"].is_array();
  const size_t count = sum ? node["of"].size() : 1;
  if (weights.size() != count) {
    fail_settings(where, guerdon::str("key reward_weights: must have one number for each of the ",
                                      count, " rewards, got ", weights.size()));
  }
  for (size_t i = 0; i < count; ++i) {
    Json& child = sum ? node["of"][i] : node;
    if (child.is_object()) child["weight"] = weights[i];
  }
}

/// The reward that the settings name, after what else can be missing.
Json reward_node(const GrpoSettings& settings, const std::string& where) {
  if (settings.train.data.train.empty())
    fail_settings(where, "key data.train: is missing (files of prompts)");
  if (settings.reward.text.empty())
    fail_settings(where, "key reward: is missing ({\"use\": NAME, ...})");
  Json node = Json::parse(settings.reward.text);
  if (!settings.reward_weights.empty()) weigh(node, settings.reward_weights, where);
  return node;
}

/// The reward models of a node and of those inside it.
void preview_judges(const Json& node, const std::string& path, Preview& out) {
  if (!node.is_object()) return;
  const auto text = [&](const char* key) {
    const auto found = node.find(key);
    return found != node.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (text("use") == "model" && !text("path").empty()) {
    ModelReward::Options defaults;
    const std::filesystem::path folder = data::find_model(text("path")).folder;
    const bool bf16 = node.contains("bf16") && node["bf16"] == true;
    const std::shared_ptr<model::RewardModel> judge = model::load_reward_model(
        text("path"),
        {.load = {.model = {.compute = bf16 ? at::kBFloat16 : at::ScalarType::Undefined,
                            .device = at::kMeta}}});
    const auto tokens = node.find("batch_tokens");
    out.models.push_back({.role = path,
                          .folder = folder,
                          .module = judge,
                          .body = &judge->body(),
                          .judges = true,
                          .judge_tokens = tokens != node.end() && tokens->is_number_integer()
                                              ? tokens->get<int64_t>()
                                              : defaults.batch_tokens});
  }
  const auto of = node.find("of");
  if (of == node.end() || !of->is_array()) return;
  for (size_t i = 0; i < of->size(); ++i)
    preview_judges((*of)[i], guerdon::str(path, ".of[", i, "]"), out);
}

}  // namespace

Preview preview_of(const GrpoSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  const GrpoPlan plan = plan_grpo(settings, where);
  const std::string& path = settings.train.model_name_or_path;
  Preview out{.unit = "completions", .rows_in_group = settings.num_generations};
  out.models.push_back(preview_decoder("policy", path, settings.train, true));
  preview_lora(out.models[0], settings.lora);
  if (settings.loss.beta != 0.0 && settings.lora.r == 0)
    out.models.push_back(preview_decoder("reference", path, settings.train, false));
  const Json node = reward_node(settings, where);
  preview_judges(node, "reward", out);
  if (options.build_rewards) make_reward(node, where);

  const Words words(out.models[0].folder, settings.chat_template_path, data::EncodeOptions{});
  PreviewGeneration generation{.prompts = plan.prompts,
                               .completions = settings.num_generations,
                               .slots = settings.slots,
                               .max_completion_length = settings.max_completion_length,
                               .prompt_tokens = {},
                               .reference_pass = settings.loss.beta != 0.0 || plan.steps() > 1};
  const bool share = out.models[0].body->shares_prefixes();
  const auto look = [&](const std::string& set, const std::string& name, bool trained) {
    const FirstRows first = first_rows(name, settings.train.data, options.rows);
    require_prompts(name, first.type, first.form);
    PreviewFile file{.set = set,
                     .file = name,
                     .form = first.form,
                     .rows = static_cast<int64_t>(first.examples.size()),
                     .whole = first.whole,
                     .counts = {},
                     .groups = {}};
    for (const Example& example : first.examples) {
      std::vector<int64_t> tokens = words.encoder().prompt(example.prompt, example.fields);
      file.counts.add(settings.max_prompt_length
                          ? data::truncate_prompt(tokens, *settings.max_prompt_length)
                          : data::Cut::whole);
      const auto length = static_cast<int64_t>(tokens.size());
      const int64_t written = settings.num_generations * settings.max_completion_length;
      file.groups.push_back(
          {.tokens = (share ? length : settings.num_generations * length) + written,
           .targets = written});
      if (trained) generation.prompt_tokens.push_back(length);
    }
    out.files.push_back(std::move(file));
  };
  for (const std::string& name : settings.train.data.train) look("train", name, true);
  for (const auto& [set, files] : evaluation_files(settings.train.data, where))
    for (const std::string& name : files) look(set, name, false);
  out.generation = std::move(generation);
  return out;
}

std::unique_ptr<Algorithm> make_grpo(const GrpoSettings& settings, const std::string& where,
                                     RunFolder& run) {
  plan_grpo(settings, where);
  GrpoWorld world;
  world.reward = make_reward(reward_node(settings, where), where);
  world.folder = model::model_folder(settings.train.model_name_or_path);
  auto words =
      std::make_shared<Words>(world.folder, settings.chat_template_path, data::EncodeOptions{});
  world.words = words;
  const data::DataSource::Options options = source_options(settings.train.data);
  const auto open = [&](const std::vector<std::string>& files, const data::SamplerOptions& order) {
    return std::make_shared<Prompts>(files, options, order, words,
                                     settings.max_prompt_length.value_or(0));
  };
  world.prompts = open(settings.train.data.train, sampler_options(settings.train));
  for (const auto& [name, files] : evaluation_files(settings.train.data, where))
    world.evaluation.emplace_back(name, open(files, {}));
  world.probes = world.prompts->first(settings.probes);
  world.policy = model::load_decoder(world.folder, {.model = model_options(settings.train)});
  world.adapter =
      add_lora(*world.policy, settings.lora, static_cast<uint64_t>(settings.train.seed));
  if (settings.loss.beta != 0.0 && !world.adapter) {
    world.reference = model::load_decoder(world.folder, {.model = model_options(settings.train)});
    for (Tensor& parameter : world.reference->parameters()) parameter.requires_grad_(false);
  }
  world.samples = [&run](int64_t step, const Json& row) { run.add_sample(step, row); };
  return std::make_unique<Grpo>(settings, where, std::move(world));
}

}  // namespace guerdon::train
