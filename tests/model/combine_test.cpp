#include "guerdon/model/combine.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "guerdon/base/file.h"
#include "guerdon/model/tensor_file.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::model {
namespace {

namespace fs = std::filesystem;

class Combine : public testing::Test {
 protected:
  /// The fixtures' model with every weight set to `value`, or as it is.
  fs::path model(const std::string& name, std::optional<double> value = {}) const {
    const fs::path folder = folder_.path() / name;
    const fs::path source = test::fixture("models/llama-score");
    NewFolder out(folder);
    out.add("config.json", read_file(source / "config.json"));
    const TensorFile file(source / "model.safetensors");
    NamedTensors tensors;
    for (const data::TensorEntry& entry : file.entries()) {
      const Tensor tensor = file.load(entry.name);
      tensors.emplace_back(entry.name, value ? at::full_like(tensor, *value, at::kFloat) : tensor);
    }
    add_tensors(out, "model.safetensors", tensors);
    out.commit();
    return folder;
  }
  std::vector<double> values(const fs::path& folder) const {
    const TensorFile file(folder / "model.safetensors");
    std::vector<double> out;
    for (const data::TensorEntry& entry : file.entries()) {
      const Tensor tensor = file.load(entry.name).to(at::kDouble);
      EXPECT_EQ(tensor.min().item<double>(), tensor.max().item<double>()) << entry.name;
      out.push_back(tensor.min().item<double>());
    }
    return out;
  }
  const test::TemporaryFolder folder_;
};

TEST_F(Combine, GoesOnPastTheSecondModel) {  // HelpSteer2-Preference
  const fs::path from = model("from", 1.0), to = model("to", 1.2);
  combine_models({{from, 1 - 1.52}, {to, 1.52}}, folder_.path() / "out");
  for (const double value : values(folder_.path() / "out")) EXPECT_NEAR(value, 1.304, 1e-6);
  combine_models({{from, 0.5}, {to, 0.5}}, folder_.path() / "out");
  for (const double value : values(folder_.path() / "out")) EXPECT_NEAR(value, 1.1, 1e-6);
}

TEST_F(Combine, AFactorOfOneIsTheTrainedModelBitForBit) {
  const fs::path from = model("from", 0.3), to = model("to");
  combine_models({{from, 0.0}, {to, 1.0}}, folder_.path() / "out");
  EXPECT_EQ(read_json(folder_.path() / "out/config.json"), read_json(to / "config.json"));
  const TensorFile ours(folder_.path() / "out/model.safetensors"), theirs(to / "model.safetensors");
  ASSERT_EQ(ours.entries().size(), theirs.entries().size());
  for (const data::TensorEntry& entry : theirs.entries())
    EXPECT_TRUE(at::equal(ours.load(entry.name), theirs.load(entry.name))) << entry.name;
}

TEST_F(Combine, RefusesModelsThatAreNotAlike) {
  const auto refused = [&](const fs::path& a, const fs::path& b) {
    return test::refusal(Kind::input, [&] {
      combine_models({{a, 0.5}, {b, 0.5}}, folder_.path() / "out");
    });
  };
  const fs::path score = test::fixture("models/llama-score"),
                 causal = test::fixture("models/llama");
  EXPECT_NE(refused(score, test::fixture("models/qwen2-score")).find("is a qwen2 model"),
            std::string::npos);
  EXPECT_NE(refused(score, causal).find("is missing, which"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_.path() / "out"));
}

}  // namespace
}  // namespace guerdon::model
