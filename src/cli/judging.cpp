#include "cli/judging.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/settings.h"
#include "guerdon/data/model_folder.h"
#include "guerdon/model/feature_model.h"

namespace guerdon::cli {

namespace fs = std::filesystem;

NamedReward open_reward(const std::string& text, const std::string& flag) {
  Json node;
  std::string where = "flag " + flag, path = "reward";
  if (fs::is_directory(text)) {
    node = {{"use", model::is_feature_model(text) ? "features" : "model"}, {"path", text}};
  } else if (text.starts_with("{")) {
    node = parse_json(text, where);
  } else if (fs::is_regular_file(text)) {
    node = read_settings(text);
    where = text;
    if (node.contains("reward")) node = Json(node["reward"]);
  } else if (text.find_first_of("/.") != std::string::npos) {
    fail_input(text,
               "no such file or folder (" + flag +
                   " takes a model folder, a file of settings, JSON, or the name of a reward)");
  } else {
    node = {{"use", text}};
  }
  NamedReward out;
  for (const char* key : {"name", "use"}) {
    if (out.name.empty() && node.is_object() && node.contains(key) && node[key].is_string())
      out.name = node[key].get<std::string>();
  }
  out.reward = make_reward(node, where, path);
  return out;
}

std::vector<Example> next_rows(const data::DataSource& source, int64_t row, int64_t count) {
  std::vector<Example> out;
  for (const int64_t end = std::min(source.size(), row + count); row < end; ++row)
    out.push_back(source.at(row));
  return out;
}

void JudgingArguments::add_to(CLI::App* command) {
  command->add_option("--tokenizer", tokenizer,
                      "Folder whose tokenizer counts tokens, for rewards that ask for them");
  command
      ->add_option("--batch-size", batch_size,
                   "Rows that are judged in one call; a model's float32 scores are the same")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

std::optional<text::Tokenizer> JudgingArguments::open_tokenizer() const {
  if (tokenizer.empty()) return std::nullopt;
  return text::Tokenizer::load(data::tokenizer_path(tokenizer));
}

}  // namespace guerdon::cli
