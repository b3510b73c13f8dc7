// Five optimizer steps beside TRL 1.16's RewardTrainer, SFTTrainer and DPOTrainer: the same model,
// rows and options, in float32. tests/fixtures/generate_trl.py made the numbers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "guerdon/base/file.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/temporary.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

const Json& fixture() {
  static const Json json = read_json(test::fixture("trl/trl.json"));
  return json;
}

class Trl : public testing::TestWithParam<size_t> {};

TEST_P(Trl, FiveStepsAgree) {
  const Json& expected = fixture()["runs"][GetParam()];
  const test::TemporaryFolder folder;
  const std::string method = expected["method"];
  Json settings = expected["settings"];
  settings["model_name_or_path"] =
      test::fixture(method == "reward" ? "trl/reward_model" : "trl/model").string();
  settings["data"]["train"] =
      test::fixture("trl/" + expected["rows"].get<std::string>() + ".jsonl").string();
  settings["train_sampling_strategy"] = "sequential";
  settings["max_steps"] = 5;
  const TrainResult result = run_training(
      settings, {.method = method, .where = "settings", .output = folder.path() / "run"});

  std::istringstream text(read_file(folder.path() / "run" / "metrics.jsonl"));
  size_t step = 0;
  for (std::string line; std::getline(text, line); ++step) {
    const Json ours = parse_json(line, "metrics.jsonl");
    // Rounding of the first steps is carried through Adam, which makes the small gradients large.
    const double tolerance = step == 0 ? 1e-5 : 1e-4;
    for (const auto& [name, value] : expected["steps"][step].items()) {
      // TRL averages these over the forward passes of a step, guerdon over its tokens.
      const bool of_tokens = name == "entropy" || name == "mean_token_accuracy";
      if (of_tokens && expected["settings"].contains("gradient_accumulation_steps")) continue;
      ASSERT_TRUE(ours.contains(name)) << name;
      const double theirs = value.get<double>();
      EXPECT_NEAR(ours[name].get<double>(), theirs, tolerance * std::max(1.0, std::abs(theirs)))
          << "step " << step + 1 << " " << name;
    }
  }
  EXPECT_EQ(step, 5u);

  const model::TensorFile weights(result.model / "model.safetensors");
  for (const auto& [name, digest] : expected["weights"].items()) {
    const Tensor flat = weights.load(name).to(at::kDouble).flatten();
    const double norm = digest["norm"];
    EXPECT_NEAR(flat.norm().item<double>(), norm, 1e-4 * norm) << name;
    for (int64_t i = 0; i < static_cast<int64_t>(digest["first"].size()); ++i) {
      const auto at = static_cast<size_t>(i);
      EXPECT_NEAR(flat[i].item<double>(), digest["first"][at].get<double>(), 1e-4) << name;
      const int64_t end = flat.size(0) - static_cast<int64_t>(digest["last"].size()) + i;
      EXPECT_NEAR(flat[end].item<double>(), digest["last"][at].get<double>(), 1e-4) << name;
    }
  }
}

std::string name_of_run(const testing::TestParamInfo<size_t>& info) {
  return fixture()["runs"][info.param]["name"].get<std::string>();
}
INSTANTIATE_TEST_SUITE_P(Runs, Trl, testing::Range<size_t>(0, fixture()["runs"].size()),
                         name_of_run);

}  // namespace
}  // namespace guerdon::train
