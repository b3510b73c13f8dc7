/// `guerdon model`: what a model folder holds; adapters merged into their model; averages.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/model.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/data/hf_config.h"
#include "guerdon/data/safetensors_header.h"
#include "guerdon/model/lora.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/model/reward_model.h"

namespace guerdon::cli {
namespace {
namespace fs = std::filesystem;

struct InfoArguments {
  std::string model;
  bool json = false;
};

struct MergeArguments {
  std::string model, adapter, output, dtype = "float32";
};

/// Headers alone are read: no weight is looked at.
Json describe(const fs::path& folder) {
  const data::ModelConfig config = data::read_model_config(folder);
  const data::ShardIndex index = data::read_shard_index(folder);
  int64_t parameters = 0, bytes = 0, tensors = 0;
  std::map<std::string, int64_t> dtypes;
  bool lm_head = false, reward_head = false;
  for (const std::string& file : index.files) {
    const MappedFile mapped(folder / file);
    const auto header = data::read_safetensors_header(mapped.bytes(), (folder / file).string());
    data::check_shard(index, file, header, (folder / file).string());
    for (const data::TensorEntry& tensor : header.tensors) {
      parameters += tensor.elements();
      bytes += static_cast<int64_t>(tensor.bytes());
      dtypes[tensor.dtype] += tensor.elements();
      ++tensors;
      lm_head = lm_head || tensor.name == "lm_head.weight" || tensor.name == "embed_out.weight";
      reward_head =
          reward_head || tensor.name == "score.weight" || tensor.name.starts_with("classifier.");
    }
  }
  Json out = {{"folder", folder.string()},
              {"family", config.family},
              {"architectures", config.architectures}};
  if (const data::DecoderConfig* c = config.decoder()) {
    const std::string head = reward_head                     ? "reward"
                             : lm_head || c->tied_embeddings ? "language model"
                                                             : "none";
    out.update(Json{{"kind", "decoder"},
                    {"head", head},
                    {"layers", c->layers.size()},
                    {"hidden_size", c->hidden_size},
                    {"heads", c->heads},
                    {"kv_heads", c->kv_heads},
                    {"head_dim", c->head_dim},
                    {"intermediate_size", c->intermediate_size},
                    {"vocabulary_size", c->vocabulary_size},
                    {"max_positions", c->max_positions},
                    {"tied_embeddings", c->tied_embeddings}});
  } else {
    const data::EncoderConfig& e = *config.encoder();
    out.update(Json{{"kind", "encoder"},
                    {"head", reward_head ? "reward" : "none"},
                    {"layers", e.layers},
                    {"hidden_size", e.hidden_size},
                    {"heads", e.heads},
                    {"intermediate_size", e.intermediate_size},
                    {"vocabulary_size", e.vocabulary_size},
                    {"max_positions", e.max_positions - e.position_offset}});
  }
  Json shares = Json::object();
  for (const auto& [dtype, elements] : dtypes) shares[dtype] = elements;
  out.update(Json{{"parameters", parameters},
                  {"bytes", bytes},
                  {"tensors", tensors},
                  {"files", index.files.size()},
                  {"dtypes", shares},
                  {"tokenizer", fs::exists(folder / "tokenizer.json")}});
  return out;
}

void info(const InfoArguments& arguments) {
  const Json facts = describe(model::model_folder(arguments.model));
  if (arguments.json) {
    write_standard_output(facts.dump(1) + "\n");
    return;
  }
  std::string text;
  for (const auto& [name, value] : facts.items()) {
    std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
    if (name == "architectures" || name == "dtypes")
      std::erase_if(shown, [](char c) {
        return std::string_view("[]{}\"").find(c) != std::string_view::npos;
      });
    text += name + std::string(20 - std::min<size_t>(name.size(), 19), ' ') + shown + "\n";
  }
  write_standard_output(text);
}

void merge(const MergeArguments& arguments) {
  const fs::path folder = model::model_folder(arguments.model);
  const model::SaveOptions save{.dtype = arguments.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat,
                                .assets = folder};
  const bool has_head = describe(folder).at("head") == "reward";
  const bool reward = has_head || model::adapter_has_head(arguments.adapter);
  if (reward) {
    const auto model = model::load_adapted_reward_model(folder, arguments.adapter);
    model::save_reward_model(*model, arguments.output, save);
  } else {
    const auto decoder = model::load_decoder(folder);
    model::load_adapter(*decoder, "adapter", arguments.adapter);
    model::save_decoder(*decoder, arguments.output, save);
  }
  write_standard_output(str(arguments.output, ": the ", reward ? "reward" : "language",
                            " model with its adapter merged\n"));
}

}  // namespace

void add_model(CLI::App& program) {
  CLI::App* command = add_command(program, "model", "guerdon model info --model models/m");
  command->require_subcommand(1);
  add_model_new(command);

  auto asked = std::make_shared<InfoArguments>();
  CLI::App* one = add_subcommand(command, "info", "Say what a model folder holds",
                                 "guerdon model info --model models/m");
  one->add_option("--model", asked->model, "Model folder or run folder")->required();
  one->add_flag("--json", asked->json, "As a JSON object");
  one->callback([asked] { info(*asked); });

  auto merged = std::make_shared<MergeArguments>();
  CLI::App* two = add_subcommand(
      command, "merge", "Merge a LoRA adapter into its model",
      "guerdon model merge --model models/m --adapter runs/a/adapter --output models/merged");
  two->add_option("--model", merged->model, "Model folder or run folder")->required();
  two->add_option("--adapter", merged->adapter, "Folder with adapter_config.json")->required();
  two->add_option("-o,--output", merged->output, "Folder to write")->required();
  two->add_option("--dtype", merged->dtype, "float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  two->callback([merged] { merge(*merged); });
  add_model_combine(command);
}

}  // namespace guerdon::cli
