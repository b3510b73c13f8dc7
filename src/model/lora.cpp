#include "guerdon/model/lora.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/random.h"
#include "guerdon/model/reward_model.h"
#include "model/folder.h"
#include "model/modules.h"
#include "model/reward_head.h"

namespace guerdon::model {
namespace fs = std::filesystem;

/// Reaches the private records of a Backbone.
struct Adapters {
  static std::map<std::string, LoraOptions>& all(Backbone& body) { return body.adapters_; }
  static const std::map<std::string, LoraOptions>& all(const Backbone& body) {
    return body.adapters_;
  }
  static std::string& active(Backbone& body) { return body.active_adapter_; }
  static const std::string& active(const Backbone& body) { return body.active_adapter_; }
};

namespace {

/// A linear layer as files name it, and the projections of ours that it holds.
struct Site {
  std::string name;  ///< "model.layers.0.self_attn.q_proj"
  std::vector<std::shared_ptr<Linear>> parts;
  Layout layout;
};

std::vector<Site> sites_of(const Backbone& body) {
  const TensorNames names = tensor_names(body.config(), body);
  std::map<std::string, std::shared_ptr<Linear>> linears;
  for (const auto& child : body.named_modules())
    if (auto linear = std::dynamic_pointer_cast<Linear>(child.value()))
      linears[child.key()] = std::move(linear);
  const size_t layers = body.config().decoder()
                            ? body.config().decoder()->layers.size()
                            : static_cast<size_t>(body.config().encoder()->layers);
  std::vector<Site> out;
  for (size_t i = 0; i < layers; ++i) {
    for (const TensorNames::LinearName& linear : names.linears) {
      Site site{.name = str(names.layer_prefix, i, ".", linear.name),
                .parts = {},
                .layout = linear.layout};
      for (const std::string& part : linear.parts)
        if (const auto at = linears.find(str("layer", i, ".", part)); at != linears.end())
          site.parts.push_back(at->second);
      if (!site.parts.empty()) out.push_back(std::move(site));
    }
  }
  return out;
}

std::vector<std::string> default_targets(const std::string& family) {
  if (family == "gpt2") return {"c_attn"};
  if (family == "gpt_neox") return {"query_key_value"};
  if (family == "phi3") return {"qkv_proj"};
  if (family == "bert" || family.ends_with("roberta")) return {"query", "value"};
  return {"q_proj", "v_proj"};
}

bool is_target(const std::string& name, const std::vector<std::string>& targets) {
  for (const std::string& target : targets)
    if (target == "all-linear" || name == target || name.ends_with("." + target)) return true;
  return false;
}

double scale_of(const LoraOptions& options) {
  const auto r = static_cast<double>(options.r);
  return options.lora_alpha / (options.use_rslora ? std::sqrt(r) : r);
}

/// Gives a site's projections their low-rank pairs: one A for all, B cut as the stored weight is.
void attach(const Site& site, const std::string& name, const Tensor& a, const Tensor& b,
            double scale, int64_t heads) {
  std::vector<int64_t> rows;
  for (const auto& part : site.parts) rows.push_back(part->weight.size(0));
  // PEFT's B is [out, r] for Conv1D too, so a transposed weight makes no difference here.
  const std::vector<Tensor> pieces =
      split(b, site.layout == Layout::transposed ? Layout::stacked : site.layout, rows, heads);
  const Tensor low = a.to(site.parts[0]->weight.device());
  for (size_t i = 0; i < site.parts.size(); ++i)
    site.parts[i]->add_adapter(
        name, std::make_shared<Linear::Adapter>(
                  low, i == 0, pieces[i].contiguous().clone().to(low.device()), scale));
}

void freeze(Backbone& body) {
  for (const auto& parameter : body.named_parameters())
    if (parameter.key().find(".lora_") == std::string::npos)
      parameter.value().requires_grad_(false);
}

void check_new(const Backbone& body, const std::string& name) {
  const bool plain = !name.empty() && name.find_first_of("./ ") == std::string::npos;
  GUERDON_CHECK(plain, "adapter name ", show(name),
                " must not be empty nor hold dots, slashes or spaces");
  GUERDON_CHECK(!Adapters::all(body).contains(name), "there is an adapter ", show(name),
                " already");
}

Tensor stored_b(const Site& site, const std::string& name, int64_t heads) {
  std::vector<Tensor> pieces;
  for (const auto& part : site.parts) pieces.push_back(part->adapter(name)->b.detach());
  return join(pieces, site.layout == Layout::transposed ? Layout::stacked : site.layout, heads);
}

void write(NewFolder& folder, const Backbone& body, const RewardModel* reward,
           const std::string& name, const std::string& base) {
  const auto options = Adapters::all(body).find(name);
  GUERDON_CHECK(options != Adapters::all(body).end(), "no adapter ", show(name));
  NamedTensors tensors;
  std::set<std::string> targets;
  for (const Site& site : sites_of(body)) {
    const auto first = site.parts[0]->adapter(name);
    if (!first) continue;
    targets.insert(site.name.substr(site.name.rfind('.') + 1));
    tensors.emplace_back("base_model.model." + site.name + ".lora_A.weight", first->a.detach());
    tensors.emplace_back("base_model.model." + site.name + ".lora_B.weight",
                         stored_b(site, name, heads_of(body.config())));
  }
  // Short names may stand for more layers than were meant ("dense"); then what was asked for is
  // what is written.
  const LoraOptions& lora = options->second;
  const bool asked =
      !lora.target_modules.empty() && lora.target_modules != std::vector<std::string>{"all-linear"};
  Json config = {{"peft_type", "LORA"},
                 {"task_type", reward ? "SEQ_CLS" : "CAUSAL_LM"},
                 {"base_model_name_or_path", base},
                 {"r", lora.r},
                 {"lora_alpha", lora.lora_alpha},
                 {"lora_dropout", 0.0},
                 {"use_rslora", lora.use_rslora},
                 {"target_modules", asked ? Json(lora.target_modules) : Json(targets)},
                 {"fan_in_fan_out", body.config().family == "gpt2"},
                 {"bias", "none"},
                 {"modules_to_save", nullptr},
                 {"init_lora_weights", true},
                 {"inference_mode", true}};
  if (reward) {
    const std::string head = body.config().decoder() ? "score" : "classifier";
    GUERDON_CHECK(!body.config().family.ends_with("roberta"),
                  "adapters of RoBERTa reward models are not saved");
    config["modules_to_save"] = Json::array({head});
    tensors.emplace_back("base_model.model." + head + ".weight", reward->head_weight().detach());
    if (reward->head_bias().defined())
      tensors.emplace_back("base_model.model." + head + ".bias", reward->head_bias().detach());
  }
  if (reward) {
    Json keys = Json::object();
    keys.merge_patch(head_keys(*reward));
    folder.add(kHeadFile, keys.dump(2) + "\n");
  }
  write_checked(folder, "adapter_model.safetensors", tensors);
  folder.add("adapter_config.json", config.dump(2) + "\n");
}

LoraOptions read_options(const Json& json, const std::string& where) {
  const auto refuse = [&](const std::string& key, const std::string& what) {
    fail_input(where + ": key " + key, what);
  };
  const auto is_set = [&](const char* key) {
    if (!json.contains(key)) return false;
    const Json& value = json.at(key);
    return !(value.is_null() || value == false ||
             ((value.is_object() || value.is_array()) && value.empty()));
  };
  if (!json.is_object()) fail_input(where, "must be a JSON object");
  if (!json.contains("peft_type") || json.at("peft_type") != "LORA")
    refuse("peft_type", "only LORA adapters are supported");
  for (const char* key :
       {"use_dora", "rank_pattern", "alpha_pattern", "lora_bias", "trainable_token_indices",
        "target_parameters", "layer_replication", "use_qalora"})
    if (is_set(key)) refuse(key, "is not supported");
  if (json.contains("bias") && json.at("bias") != "none")
    refuse("bias", "only \"none\" is supported");
  LoraOptions options;
  if (!json.contains("r") || !json.at("r").is_number_integer() || json.at("r").get<int64_t>() < 1 ||
      json.at("r").get<int64_t>() > 65536)
    refuse("r", "must be a whole number in [1, 65536]");
  if (!json.contains("lora_alpha") || !json.at("lora_alpha").is_number())
    refuse("lora_alpha", "must be a number");
  options.r = json.at("r").get<int64_t>();
  options.lora_alpha = json.at("lora_alpha").get<double>();
  options.use_rslora = is_set("use_rslora");
  if (json.contains("target_modules") && json.at("target_modules").is_array())
    for (const Json& target : json.at("target_modules"))
      if (target.is_string()) options.target_modules.push_back(target.get<std::string>());
  if (json.contains("lora_dropout") && json.at("lora_dropout").is_number() &&
      json.at("lora_dropout").get<double>() > 0)
    log::warning(where + ": lora_dropout is not applied");
  return options;
}

void load(Backbone& body, RewardModel* reward, const std::string& name, const fs::path& folder) {
  check_new(body, name);
  if (!fs::exists(folder / "adapter_config.json"))
    fail_input(folder.string(), "holds no adapter: adapter_config.json is missing");
  const LoraOptions options = read_options(read_json(folder / "adapter_config.json"),
                                           (folder / "adapter_config.json").string());
  if (!fs::exists(folder / "adapter_model.safetensors"))
    fail_input(folder.string(), "holds no adapter_model.safetensors",
               "guerdon does not load pickle files (they can run code)");
  const ModelTensors files = ModelTensors::of_file(folder / "adapter_model.safetensors");

  const auto expect = [&](const std::string& tensor, const std::vector<int64_t>& shape) {
    const data::TensorEntry* entry = files.find(tensor);
    if (entry == nullptr) fail_input(files.where(), "tensor " + show(tensor) + " is missing");
    if (entry->shape != shape)
      fail_input(files.where(),
                 "tensor " + show(tensor) + " has another shape than this model and r need");
    return files.load(tensor).to(at::kFloat);
  };
  struct Found {
    Site site;
    Tensor a, b;
  };
  std::vector<Found> found;
  std::set<std::string> used;
  for (const Site& site : sites_of(body)) {
    const std::string stem = "base_model.model." + site.name;
    if (files.find(stem + ".lora_A.weight") == nullptr) continue;
    int64_t out = 0;
    for (const auto& part : site.parts) out += part->weight.size(0);
    found.push_back({site,
                     expect(stem + ".lora_A.weight", {options.r, site.parts[0]->weight.size(1)}),
                     expect(stem + ".lora_B.weight", {out, options.r})});
    used.insert({stem + ".lora_A.weight", stem + ".lora_B.weight"});
  }
  const std::string head =
      std::string("base_model.model.") + (body.config().decoder() ? "score" : "classifier");
  const bool has_head = files.find(head + ".weight") != nullptr;
  Tensor head_weight, head_bias;
  if (reward && has_head) {
    head_weight = expect(head + ".weight", reward->head_weight().sizes().vec());
    if (reward->head_bias().defined())
      head_bias = expect(head + ".bias", reward->head_bias().sizes().vec());
  }
  if (has_head) used.insert({head + ".weight", head + ".bias"});
  for (const std::string& tensor : files.names())
    if (!used.contains(tensor))
      fail_input(files.where() + ": tensor " + show(tensor),
                 "belongs to no linear layer of this " + body.config().family + " model");

  for (const Found& f : found)
    attach(f.site, name, f.a, f.b, scale_of(options), heads_of(body.config()));
  Adapters::all(body)[name] = options;
  const at::NoGradGuard no_grad;
  if (head_weight.defined()) reward->head_weight().copy_(head_weight);
  if (head_bias.defined()) reward->head_bias().copy_(head_bias);
  freeze(body);
  use_adapter(body, name);
}

}  // namespace

void add_adapter(Backbone& body, const std::string& name, const LoraOptions& options,
                 uint64_t seed) {
  check_new(body, name);
  const std::vector<std::string> targets = options.target_modules.empty()
                                               ? default_targets(body.config().family)
                                               : options.target_modules;
  const std::vector<Site> sites = sites_of(body);
  for (const std::string& target : targets) {
    if (std::any_of(sites.begin(), sites.end(),
                    [&](const Site& site) { return is_target(site.name, {target}); }))
      continue;
    std::set<std::string> have{"all-linear"};
    for (const Site& site : sites) have.insert(site.name.substr(site.name.rfind('.') + 1));
    std::string list;
    for (const std::string& one : have) list += (list.empty() ? "" : ", ") + one;
    fail_settings("lora.target_modules",
                  "no layer is called " + show(target) + " (have: " + list + ")");
  }
  for (const Site& site : sites) {
    if (!is_target(site.name, targets)) continue;
    const int64_t in = site.parts[0]->weight.size(1);
    int64_t out = 0;
    for (const auto& part : site.parts) out += part->weight.size(0);
    const Random random(seed, Purpose::initialise, name_hash(site.name));
    Tensor a = at::empty({options.r, in}, at::kFloat);
    const double bound = 1.0 / std::sqrt(static_cast<double>(in));
    for (int64_t i = 0; i < a.numel(); ++i)
      a.mutable_data_ptr<float>()[i] =
          static_cast<float>((2.0 * random.uniform(static_cast<uint64_t>(i)) - 1.0) * bound);
    attach(site, name, a, at::zeros({out, options.r}, at::kFloat), scale_of(options),
           heads_of(body.config()));
  }
  Adapters::all(body)[name] = options;
  freeze(body);
  use_adapter(body, name);
}

void use_adapter(Backbone& body, const std::string& name) {
  GUERDON_CHECK(name.empty() || Adapters::all(body).contains(name), "no adapter ", show(name));
  for (const Site& site : sites_of(body))
    for (const auto& part : site.parts) part->use(name);
  Adapters::active(body) = name;
}

const std::string& active_adapter(const Backbone& body) { return Adapters::active(body); }

std::vector<std::string> adapter_names(const Backbone& body) {
  std::vector<std::string> out;
  for (const auto& [name, options] : Adapters::all(body)) out.push_back(name);
  return out;
}

AdapterScope::AdapterScope(Backbone& body, const std::string& name)
    : body_(body), before_(active_adapter(body)) {
  use_adapter(body, name);
}
AdapterScope::~AdapterScope() { use_adapter(body_, before_); }

void merge_adapter(Backbone& body, const std::string& name) {
  GUERDON_CHECK(Adapters::all(body).contains(name), "no adapter ", show(name));
  const at::NoGradGuard no_grad;
  for (const Site& site : sites_of(body)) {
    for (const auto& part : site.parts) {
      part->use(name);
      part->weight.copy_(part->effective_weight());
      part->remove_adapter(name);
    }
  }
  Adapters::all(body).erase(name);
  use_adapter(body, "");
}

void write_adapter(NewFolder& folder, const Backbone& body, const std::string& name,
                   const std::string& base) {
  write(folder, body, nullptr, name, base);
}
void write_adapter(NewFolder& folder, const RewardModel& model, const std::string& name,
                   const std::string& base) {
  write(folder, model.body(), &model, name, base);
}
bool adapter_has_head(const fs::path& folder) {
  const Json config = read_json(folder / "adapter_config.json");
  const auto saved = config.find("modules_to_save");
  if (saved == config.end() || !saved->is_array()) return false;
  return std::any_of(saved->begin(), saved->end(),
                     [](const Json& name) { return name == "score" || name == "classifier"; });
}
void load_adapter(Backbone& body, const std::string& name, const fs::path& folder) {
  load(body, nullptr, name, folder);
}
void load_adapter(RewardModel& model, const std::string& name, const fs::path& folder) {
  load(model.body(), &model, name, folder);
}

}  // namespace guerdon::model
