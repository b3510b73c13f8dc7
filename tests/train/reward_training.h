/// Reward models trained on a few rows, as a user would.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "guerdon/base/file.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/temporary.h"

namespace guerdon::test {

/// Runs of `train reward` on the fixtures' pairs and reward model.
class RewardTraining : public testing::Test {
 protected:
  /// The fixtures' pairs, each changed, as a file of its own.
  std::string pairs(const std::function<void(Json& row, size_t index)>& change,
                    size_t rows = 20) const {
    std::istringstream text(read_file(fixture("trl/plain.jsonl")));
    std::string out;
    size_t index = 0;
    for (std::string line; index < rows && std::getline(text, line); ++index) {
      Json row = parse_json(line, "plain.jsonl");
      change(row, index);
      out += row.dump() + "\n";
    }
    return folder_.file("pairs-" + std::to_string(count_++) + ".jsonl", out).string();
  }
  Json settings(const std::string& file, Json more = Json::object()) const {
    more["model_name_or_path"] =
        fixture(more.contains("attributes") ? "trl/model" : "trl/reward_model").string();
    more["data"]["train"] = file;
    const Json usual = {{"train_sampling_strategy", "sequential"},
                        {"per_device_train_batch_size", 4},
                        {"max_steps", 1},
                        {"learning_rate", 3e-3}};
    for (const auto& [name, value] : usual.items()) {
      if (!more.contains(name)) more[name] = value;
    }
    return more;
  }
  std::filesystem::path run(const Json& s, bool resume = false,
                            std::filesystem::path output = {}) const {
    if (output.empty()) output = folder_.path() / ("run-" + std::to_string(count_++));
    train::run_training(
        s, {.method = "reward", .where = "settings.json", .output = output, .resume = resume});
    return output;
  }
  /// The lines of a run's metrics.jsonl.
  static std::vector<Json> metrics(const std::filesystem::path& output) {
    std::vector<Json> out;
    std::istringstream text(read_file(output / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);)
      out.push_back(parse_json(line, "metrics.jsonl"));
    return out;
  }
  Json first_step(const Json& s) const { return metrics(run(s)).at(0); }
  double first_loss(const Json& s) const { return first_step(s)["loss"].get<double>(); }

  const TemporaryFolder folder_;
  mutable int count_ = 0;
};

}  // namespace guerdon::test
