#include "model/folder.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "model/modules.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

constexpr size_t kNamed = 10;  // offenders that an error names

std::string shape_text(at::IntArrayRef shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += str(i ? ", " : "", shape[i]);
  return out + "]";
}

std::string first_few(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < std::min(items.size(), kNamed); ++i) out += (i ? "; " : "") + items[i];
  if (items.size() > kNamed) out += str("; and ", items.size() - kNamed, " more");
  return out;
}

std::vector<Tensor> parts_of(const StoredTensor& stored,
                             const torch::OrderedDict<std::string, Tensor>& parameters) {
  std::vector<Tensor> out;
  for (const std::string& part : stored.parts) out.push_back(parameters[part]);
  return out;
}

// Older BERT files say gamma and beta.
std::string old_name(const std::string& name) {
  for (const auto& [now, then] :
       {std::pair{".LayerNorm.weight", ".LayerNorm.gamma"}, {".LayerNorm.bias", ".LayerNorm.beta"}})
    if (name.ends_with(now))
      return name.substr(0, name.size() - std::string_view(now).size()) + then;
  return {};
}

}  // namespace

Classes classes_of(const data::ModelConfig& config) {
  static const std::map<std::string, std::string> kStems{{"bert", "Bert"},
                                                         {"gemma", "Gemma"},
                                                         {"gemma2", "Gemma2"},
                                                         {"gpt_neox", "GPTNeoX"},
                                                         {"llama", "Llama"},
                                                         {"olmo2", "Olmo2"},
                                                         {"mistral", "Mistral"},
                                                         {"phi3", "Phi3"},
                                                         {"qwen2", "Qwen2"},
                                                         {"qwen3", "Qwen3"},
                                                         {"roberta", "Roberta"},
                                                         {"smollm3", "SmolLM3"},
                                                         {"xlm-roberta", "XLMRoberta"}};
  if (config.family == "gpt2")
    return {"GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification"};
  if (config.family == "gemma3_text")
    return {"Gemma3TextModel", "Gemma3ForCausalLM", "Gemma3TextForSequenceClassification"};
  const std::string& stem = kStems.at(config.family);
  return {stem + "Model", stem + "ForCausalLM", stem + "ForSequenceClassification"};
}

bool has_stored_pooler(const ModelTensors& files) {
  const std::vector<std::string> names = files.names();
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.ends_with("pooler.dense.weight"); });
}

int64_t heads_of(const data::ModelConfig& config) {
  return config.decoder() ? config.decoder()->heads : config.encoder()->heads;
}

void check_tensors(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                   const torch::nn::Module& module, const data::ModelConfig& config) {
  const auto parameters = module.named_parameters();
  std::vector<std::string> wrong;
  for (const StoredTensor& tensor : stored) {
    const std::vector<int64_t> expected = joined_shape(parts_of(tensor, parameters), tensor.layout);
    const data::TensorEntry* entry = files.find(tensor.name);
    if (entry == nullptr) {
      wrong.push_back("tensor " + show(tensor.name) + " is missing (expected " +
                      shape_text(expected) + ")");
    } else if (entry->shape != expected) {
      wrong.push_back("tensor " + show(tensor.name) + " has shape " + shape_text(entry->shape) +
                      ", expected " + shape_text(expected));
    }
  }
  if (wrong.empty()) return;
  const std::string count =
      wrong.size() == 1 ? "" : str(wrong.size(), " tensors do not fit config.json: ");
  fail_input(files.where(), count + first_few(wrong),
             "is " + config.where + " the one of these weights?");
}

void copy_tensors(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                  torch::nn::Module& module, const data::ModelConfig& config,
                  bool allow_nonfinite) {
  const at::NoGradGuard no_grad;
  const auto parameters = module.named_parameters();
  std::vector<std::string> bad;
  for (const StoredTensor& tensor : stored) {
    const Tensor source = files.load(tensor.name);
    if (!allow_nonfinite && !at::isfinite(source).all().item<bool>())
      bad.push_back(str("tensor ", show(tensor.name), " has ",
                        at::isfinite(source).logical_not().sum().item<int64_t>(),
                        " values that are not finite"));
    const std::vector<Tensor> parts = parts_of(tensor, parameters);
    std::vector<int64_t> rows;
    for (const Tensor& part : parts) rows.push_back(part.size(0));
    const std::vector<Tensor> values = split(source, tensor.layout, rows, heads_of(config));
    for (size_t i = 0; i < parts.size(); ++i) parts[i].copy_(values[i]);
  }
  if (!bad.empty())
    fail_input(files.where(), first_few(bad), "set allow_nonfinite to load it all the same");
}

void warn_of_unexpected(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                        const std::vector<std::string>& known) {
  std::set<std::string> expected(known.begin(), known.end());
  for (const StoredTensor& tensor : stored) expected.insert(tensor.name);
  std::vector<std::string> unexpected;
  for (const std::string& name : files.names())
    if (!expected.contains(name) && !is_buffer_of_old(name)) unexpected.push_back(show(name));
  if (!unexpected.empty())
    log::warning(
        str(files.where(), ": ", unexpected.size(),
            " tensors are not part of the model and are left out: ", first_few(unexpected)));
}

std::vector<StoredTensor> names_in(const ModelTensors& files, const TensorNames& names) {
  const std::vector<std::string> there = files.names();
  const bool bare = std::none_of(there.begin(), there.end(), [&](const std::string& name) {
    return name.starts_with(names.prefix);
  });
  std::vector<StoredTensor> out = names.tensors;
  for (StoredTensor& tensor : out) {
    if (bare && tensor.name.starts_with(names.prefix))
      tensor.name = tensor.name.substr(names.prefix.size());
    if (files.find(tensor.name) != nullptr) continue;
    if (const std::string old = old_name(tensor.name); !old.empty() && files.find(old) != nullptr)
      tensor.name = old;
    // GPT-NeoX: Transformers 5 has both names.
    if (tensor.name == "embed_out.weight" && files.find("lm_head.weight") != nullptr)
      tensor.name = "lm_head.weight";
  }
  return out;
}

NamedTensors stored_tensors(const std::vector<StoredTensor>& stored,
                            const torch::nn::Module& module, const data::ModelConfig& config,
                            at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  // What the model computes is saved: with the adapter in use.
  for (const auto& child : module.named_modules())
    if (const auto linear = std::dynamic_pointer_cast<Linear>(child.value()))
      parameters[child.key() + ".weight"] = linear->effective_weight();
  NamedTensors out;
  for (const StoredTensor& tensor : stored)
    out.emplace_back(
        tensor.name,
        join(parts_of(tensor, parameters), tensor.layout, heads_of(config)).detach().to(dtype));
  return out;
}

std::string config_text(const data::ModelConfig& config, const Json& changes,
                        const SaveOptions& options) {
  Json json = *config.json;
  for (const auto& [key, value] : changes.items()) {
    json[key] = value;
    if (value.is_null()) json.erase(key);
  }
  const char* dtype = options.dtype == at::kFloat      ? "float32"
                      : options.dtype == at::kBFloat16 ? "bfloat16"
                      : options.dtype == at::kHalf     ? "float16"
                                                       : "float64";
  json[json.contains("torch_dtype") && !json.contains("dtype") ? "torch_dtype" : "dtype"] = dtype;
  // RoBERTa counts its positions from the padding id: another one would be another model.
  const bool part_of_model = config.encoder() && config.encoder()->position_offset > 0;
  if (options.pad_token_id && !part_of_model) json["pad_token_id"] = *options.pad_token_id;
  return json.dump(2) + "\n";
}

void copy_assets(NewFolder& folder, const SaveOptions& options, bool generation) {
  if (options.assets.empty()) return;
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
        "chat_template.jinja", "generation_config.json"}) {
    const fs::path file = options.assets / name;
    if (!fs::is_regular_file(file) ||
        (!generation && std::string_view(name) == "generation_config.json"))
      continue;
    folder.add(name, read_file(file));
  }
}

}  // namespace guerdon::model
