#include "guerdon/data/model_folder.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::data {
namespace fs = std::filesystem;
namespace {

bool is_adapter(const fs::path& folder) {
  return fs::exists(folder / "adapter_config.json") && !fs::exists(folder / "config.json");
}

/// The folder itself, or its model/ when it is a run.
fs::path model_or_adapter(const fs::path& path) {
  for (const fs::path& folder : {path / "model", path})
    if (fs::exists(folder / "config.json") || is_adapter(folder)) return folder;
  fail_input(path.string(), "holds no model: neither config.json nor model/config.json is there");
}

/// The model that an adapter is for.
fs::path base_of(const fs::path& adapter) {
  const fs::path file = adapter / "adapter_config.json";
  const Json config = read_json(file);
  const auto base = config.find("base_model_name_or_path");
  const std::string hint = "guerdon model merge --model BASE --adapter " + adapter.string() +
                           " --output DIR makes a model of it";
  if (base == config.end() || !base->is_string())
    fail_input(file.string() + ": key base_model_name_or_path", "is missing", hint);
  const fs::path named = base->get<std::string>();
  for (const fs::path& folder : {named, adapter / named})
    if (fs::is_directory(folder)) return folder;
  fail_input(file.string() + ": key base_model_name_or_path",
             "names " + show(named.string()) + ", which is no folder here", hint);
}

}  // namespace

ModelPath find_model(const fs::path& path) {
  const fs::path folder = model_or_adapter(path);
  if (!is_adapter(folder)) return {folder, {}};
  return {model_folder(base_of(folder)), folder};
}

fs::path model_folder(const fs::path& path) {
  fs::path folder = model_or_adapter(path);
  if (is_adapter(folder)) {
    fail_input(folder.string(), "is an adapter, not a model",
               "guerdon model merge --model BASE --adapter " + folder.string() +
                   " --output DIR makes a model of it");
  }
  return folder;
}

fs::path tokenizer_path(const fs::path& path) {
  const fs::path model = path / "model";
  const bool other = fs::exists(model / "config.json") || is_adapter(model) || is_adapter(path);
  return other ? find_model(path).folder : path;
}

}  // namespace guerdon::data
