/// The models of tests/fixtures/generate_models.py and what Transformers said about them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/model/batch.h"
#include "support/data.h"
#include "support/temporary.h"

namespace guerdon::test {

/// What expected.json says of all models.
inline const Json& expected_models() {
  static const Json json = read_json(fixture("models/expected.json")).at("models");
  return json;
}

/// The names of the models with this head: "lm", "score" or "body".
inline std::vector<std::string> models_with(const std::string& head) {
  std::vector<std::string> out;
  for (const auto& [name, entry] : expected_models().items())
    if (entry.at("head") == head) out.push_back(name);
  return out;
}

/// The folder of a model; one that shares another's weights is put together in `scratch`.
inline std::filesystem::path model_fixture(const std::string& name,
                                           const TemporaryFolder& scratch) {
  namespace fs = std::filesystem;
  const Json& entry = expected_models().at(name);
  const fs::path own = fixture("models") / name;
  if (!entry.contains("weights")) return own;
  const fs::path folder = scratch.path() / name;
  fs::create_directories(folder);
  fs::copy_file(own / "config.json", folder / "config.json", fs::copy_options::skip_existing);
  fs::copy_file(fixture("models") / entry.at("weights").get<std::string>() / "model.safetensors",
                folder / "model.safetensors", fs::copy_options::skip_existing);
  return folder;
}

/// Every token but the first is a target.
inline Sequence all_targets(const std::vector<int64_t>& tokens) {
  return {.tokens = tokens, .weight = std::vector<float>(tokens.size(), 1.0F)};
}

inline Tensor doubles(const Json& numbers) {
  return at::tensor(numbers.get<std::vector<double>>(), at::kDouble);
}

}  // namespace guerdon::test
