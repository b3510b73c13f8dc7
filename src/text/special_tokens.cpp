#include "guerdon/base/error.h"
#include "text/pipeline.h"

namespace guerdon::text {
namespace {

/// The JSON object of a file of the folder; {} when there is no such file.
Json object_of(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) return Json::object();
  Json json = read_json(file);
  if (!json.is_object()) fail_input(file.string(), "must be a JSON object");
  return json;
}

/// A token given as a string or as {"content": ...}.
std::optional<std::string> content_of(const Node& node) {
  if (node.json().is_string()) return node.text();
  if (node.json().is_object()) return node["content"].text();
  return std::nullopt;
}

}  // namespace

SpecialTokens read_special_tokens(
    const std::filesystem::path& folder,
    const std::function<std::optional<int64_t>(std::string_view)>& id_of, int64_t id_end) {
  struct File {
    std::string path;
    Json json;
  };
  std::vector<File> files;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json",
                           "generation_config.json", "config.json"})
    files.push_back({(folder / name).string(), object_of(folder / name)});

  const auto find = [&](const std::string& name) -> std::optional<int64_t> {
    for (size_t i = 0; i < 2; ++i) {
      const auto& [path, json] = files[i];
      if (!json.contains(name)) continue;
      if (json[name].is_null()) return std::nullopt;  // said to have none
      if (const auto content = content_of(Node(json[name], path, name))) return id_of(*content);
    }
    for (size_t i = 2; i < files.size(); ++i) {
      const Json& json = files[i].json;
      const auto id = json.find(name + "_id");
      if (id == json.end() || id->is_null()) continue;
      const Json& first = id->is_array() && !id->empty() ? (*id)[0] : *id;
      if (first.is_number_integer() && first >= 0 && first < id_end) return first.get<int64_t>();
    }
    return std::nullopt;
  };
  return {.bos = find("bos_token"),
          .eos = find("eos_token"),
          .pad = find("pad_token"),
          .unknown = find("unk_token")};
}

SentencePieceUse read_sentencepiece_use(const std::filesystem::path& folder) {
  const auto file = folder / "tokenizer_config.json";
  if (!std::filesystem::is_regular_file(file)) return {};
  const Json json = object_of(file);
  const Node config(json, file.string());
  // The defaults of Transformers' classes.
  const std::string name = config.text_or("tokenizer_class", "");
  const bool llama =
      name.starts_with("Llama") || name.starts_with("CodeLlama") || name.starts_with("Gemma");
  const bool t5 = name.starts_with("T5");
  return {.has_config = true,
          .add_bos = config.boolean_or("add_bos_token", llama),
          .add_eos = config.boolean_or("add_eos_token", t5)};
}

}  // namespace guerdon::text
