#include "guerdon/model/lora.h"

#include <gtest/gtest.h>

#include "guerdon/model/logprobs.h"
#include "guerdon/model/reward_model.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::model {
namespace {

PackedBatch batch_of(const std::string& name) {
  const std::vector<Sequence> one{
      test::all_targets(test::expected_models().at(name).at("sequences").at(2).at("tokens"))};
  return pack(one, {});
}

// Numbers instead of the zeros of B, so that the adapter does something.
void disturb(Backbone& body, double size) {
  const at::NoGradGuard no_grad;
  for (const auto& p : body.named_parameters())
    if (p.key().ends_with(".b"))
      p.value().copy_(at::arange(p.value().numel(), at::kFloat).sin().view_as(p.value()) * size);
}

double difference(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

// Separate, transposed, per-head and stacked projections.
class Lora : public testing::TestWithParam<std::string> {};

TEST_P(Lora, ChangesNothingUntilItLearns) {
  const auto decoder = load_decoder(test::fixture("models") / GetParam());
  const PackedBatch batch = batch_of(GetParam());
  const Tensor before = logprobs(*decoder, batch).detach();
  add_adapter(*decoder, "policy", {.r = 4, .target_modules = {"all-linear"}}, 1);
  const Tensor after = logprobs(*decoder, batch);
  EXPECT_TRUE(at::equal(before, after));
  after.sum().backward();
  for (const auto& p : decoder->named_parameters()) {
    const bool adapter = p.key().find(".lora_policy.") != std::string::npos;
    EXPECT_EQ(p.value().requires_grad(), adapter) << p.key();
    EXPECT_EQ(p.value().grad().defined(), adapter) << p.key();
  }
}

TEST_P(Lora, MergedSavedAndLoadedAreTheSameModel) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const PackedBatch batch = batch_of(GetParam());
  const auto decoder = load_decoder(test::fixture("models") / GetParam());
  const Tensor base = logprobs(*decoder, batch);
  add_adapter(*decoder, "policy", {.r = 4, .lora_alpha = 8, .target_modules = {"all-linear"}}, 1);
  disturb(*decoder, 0.1);
  const Tensor adapted = logprobs(*decoder, batch);
  EXPECT_GT(difference(base, adapted), 1e-3);

  NewFolder folder(out.path() / "adapter");
  write_adapter(folder, *decoder, "policy", "base");
  folder.commit();
  save_decoder(*decoder, out.path() / "saved");
  EXPECT_LT(difference(logprobs(*load_decoder(out.path() / "saved"), batch), adapted), 1e-5);

  const auto other = load_decoder(test::fixture("models") / GetParam());
  load_adapter(*other, "again", out.path() / "adapter");
  EXPECT_TRUE(at::equal(logprobs(*other, batch), adapted));

  merge_adapter(*decoder, "policy");
  EXPECT_LT(difference(logprobs(*decoder, batch), adapted), 1e-5);
  EXPECT_TRUE(adapter_names(*decoder).empty());
  EXPECT_EQ(decoder->named_parameters().size(),
            load_decoder(test::fixture("models") / GetParam())->named_parameters().size());
}

INSTANTIATE_TEST_SUITE_P(Models, Lora, testing::Values("llama", "gpt2", "gpt-neox", "gemma2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(LoraAdapters, TakeTurnsOnOneBody) {
  const at::NoGradGuard no_grad;
  const auto decoder = load_decoder(test::fixture("models/llama"));
  const PackedBatch batch = batch_of("llama");
  const Tensor base = logprobs(*decoder, batch);
  add_adapter(*decoder, "one", {.r = 2}, 1);
  disturb(*decoder, 0.2);
  const Tensor one = logprobs(*decoder, batch);
  add_adapter(*decoder, "two", {.r = 3}, 2);
  EXPECT_EQ(active_adapter(*decoder), "two");
  {
    const AdapterScope reference(*decoder, "");
    EXPECT_TRUE(at::equal(logprobs(*decoder, batch), base));
  }
  EXPECT_EQ(active_adapter(*decoder), "two");
  use_adapter(*decoder, "one");
  EXPECT_TRUE(at::equal(logprobs(*decoder, batch), one));
}

TEST(LoraAdapters, TargetWhatPeftWouldTarget) {
  const auto decoder = load_decoder(test::fixture("models/llama"));
  add_adapter(*decoder, "policy", {.r = 2}, 1);
  const auto parameters = decoder->named_parameters();
  EXPECT_TRUE(parameters.contains("layer1.query.lora_policy.a"));
  EXPECT_TRUE(parameters.contains("layer1.value.lora_policy.b"));
  EXPECT_FALSE(parameters.contains("layer1.key.lora_policy.a"));
}

TEST(LoraAdapters, NameATargetThatIsNotThere) {
  const auto decoder = load_decoder(test::fixture("models/llama"));
  const std::string text = test::refusal(Kind::settings, [&] {
    add_adapter(*decoder, "p", {.target_modules = {"q_proj", "qkv"}}, 1);
  });
  EXPECT_NE(text.find("no layer is called \"qkv\" (have: all-linear, down_proj, gate_proj"),
            std::string::npos)
      << text;
}

TEST(LoraAdapters, OfARewardModelCarryItsHead) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const auto model = load_reward_model(test::fixture("models/llama-score"));
  const std::vector<Sequence> rows{{.tokens = {5, 9, 12}}};
  add_adapter(model->body(), "reward", {.r = 2}, 1);
  disturb(model->body(), 0.2);
  model->head_weight().mul_(1.5);
  NewFolder folder(out.path() / "adapter");
  write_adapter(folder, *model, "reward", "base");
  folder.commit();
  const auto other = load_reward_model(test::fixture("models/llama-score"));
  load_adapter(*other, "reward", out.path() / "adapter");
  EXPECT_TRUE(at::equal(other->scores(pack(rows, {})), model->scores(pack(rows, {}))));
}

TEST(LoraAdapters, AreOpenedWithTheModelThatTheyName) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const std::vector<Sequence> rows{{.tokens = {5, 9, 12}}, {.tokens = {7, 3}}};
  // A head on a model that had none.
  const auto judge = load_reward_model(test::fixture("models/llama"), {.new_head = true});
  add_adapter(judge->body(), "reward", {.r = 2}, 1);
  disturb(judge->body(), 0.2);
  NewFolder judged(out.path() / "run/model");
  write_adapter(judged, *judge, "reward", test::fixture("models/llama").string());
  judged.commit();
  const auto opened = load_reward_model(out.path() / "run");
  EXPECT_TRUE(
      at::allclose(opened->scores(pack(rows, {})), judge->scores(pack(rows, {})), 1e-5, 1e-6));

  const auto policy = load_decoder(test::fixture("models/llama"));
  add_adapter(*policy, "p", {.r = 2}, 1);
  disturb(*policy, 0.2);
  NewFolder written(out.path() / "policy");
  write_adapter(written, *policy, "p", test::fixture("models/llama").string());
  written.commit();
  const auto same = load_decoder(out.path() / "policy");
  EXPECT_TRUE(
      at::allclose(same->forward(pack(rows, {})), policy->forward(pack(rows, {})), 1e-5, 1e-5));
  // A policy's adapter has no head to score with.
  EXPECT_NE(test::refusal(Kind::input, [&] { load_reward_model(out.path() / "policy"); })
                .find("no reward head"),
            std::string::npos);
}

/// An adapter of the llama fixture, saved with its head.
std::shared_ptr<RewardModel> saved_judge(const std::filesystem::path& folder,
                                         std::optional<Readout> readout, uint64_t seed) {
  const auto out =
      load_reward_model(test::fixture("models/llama-score"),
                        {.new_head = true, .seed = seed, .readout = readout, .replace_head = true});
  add_adapter(out->body(), "p", {.r = 2}, seed);
  disturb(out->body(), 0.1 * static_cast<double>(seed));
  NewFolder written(folder);
  write_adapter(written, *out, "p", test::fixture("models/llama-score").string());
  written.commit();
  return out;
}

TEST(LoraAdapters, OfRewardModelsSayHowTheirOutputsMakeAScore) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const std::vector<Sequence> rows{{.tokens = {5, 9, 12}}, {.tokens = {7, 3}}};
  // The model that it is for has one output.
  const Readout readout{.names = {"a", "b"},
                        .weights = {0.75, -0.25},
                        .form = {.name = "classes", .points = {0, 1, 4}}};
  const auto judge = saved_judge(out.path() / "run/model", readout, 1);
  const auto opened = load_reward_model(out.path() / "run");
  EXPECT_EQ(opened->readout().labels(), readout.labels());
  EXPECT_EQ(opened->readout().form.points, readout.form.points);
  EXPECT_TRUE(
      at::allclose(opened->scores(pack(rows, {})), judge->scores(pack(rows, {})), 1e-5, 1e-6));
  // One of PEFT's own, which says nothing about a score.
  std::filesystem::remove(out.path() / "run/model/reward_head.json");
  EXPECT_NE(test::refusal(Kind::input, [&] { load_reward_model(out.path() / "run"); })
                .find("has shape [6, 32], a reward head needs [1, 32]"),
            std::string::npos);
  const std::vector<double> sum(6, 1.0);
  const auto weighted = load_reward_model(out.path() / "run", {.weights = sum});
  EXPECT_TRUE(at::allclose(weighted->scores(pack(rows, {})), judge->outputs(pack(rows, {})).sum(1),
                           1e-5, 1e-6));
}

TEST(LoraAdapters, SeveralJudgesShareOneBody) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const std::vector<Sequence> rows{{.tokens = {5, 9, 12}}, {.tokens = {7, 3}}};
  const std::filesystem::path one = out.path() / "one", two = out.path() / "two";
  const auto first = saved_judge(one, {}, 1), second = saved_judge(two, {}, 2);
  const auto both = load_adapted_ensemble({one, two});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(&both[0]->body(), &both[1]->body());
  use_adapter(both[0]->body(), "member0");
  EXPECT_TRUE(at::equal(both[0]->scores(pack(rows, {})), first->scores(pack(rows, {}))));
  use_adapter(both[0]->body(), "member1");
  EXPECT_TRUE(at::equal(both[1]->scores(pack(rows, {})), second->scores(pack(rows, {}))));
  EXPECT_NE(test::refusal(Kind::input,
                          [&] {
                            load_adapted_ensemble({one, test::fixture("models/llama-score")});
                          })
                .find("is no adapter"),
            std::string::npos);
}

TEST(LoraAdapters, OfRewardModelsBringTheirHeadAndAreNoModels) {
  const test::TemporaryFolder out;
  const auto model = load_reward_model(test::fixture("models/llama"), {.new_head = true});
  add_adapter(model->body(), "p", {.r = 2}, 1);
  NewFolder judge(out.path() / "model"), policy(out.path() / "policy");
  write_adapter(judge, *model, "p", "base");
  judge.commit();
  write_adapter(policy, model->body(), "p", "base");
  policy.commit();
  EXPECT_TRUE(adapter_has_head(out.path() / "model"));
  EXPECT_FALSE(adapter_has_head(out.path() / "policy"));
  // As a folder, and as the model of a run folder.
  for (const auto& path : {out.path() / "policy", out.path()}) {
    EXPECT_NE(test::refusal(Kind::input, [&] { model_folder(path); }).find("is an adapter"),
              std::string::npos);
  }
}

TEST(LoraAdapters, RefuseWhatIsNotPlainLora) {
  const test::TemporaryFolder out;
  const auto decoder = load_decoder(test::fixture("models/llama"));
  add_adapter(*decoder, "p", {.r = 2}, 1);
  NewFolder folder(out.path() / "adapter");
  write_adapter(folder, *decoder, "p", "base");
  folder.commit();
  Json config = read_json(out.path() / "adapter/adapter_config.json");
  const auto refused = [&](const std::string& key, const Json& value) {
    Json changed = config;
    changed[key] = value;
    write_file(out.path() / "adapter/adapter_config.json", changed.dump());
    const auto fresh = load_decoder(test::fixture("models/llama"));
    return test::refusal(Kind::input, [&] { load_adapter(*fresh, "p", out.path() / "adapter"); });
  };
  EXPECT_NE(refused("use_dora", true).find("key use_dora: is not supported"), std::string::npos);
  EXPECT_NE(refused("peft_type", "IA3").find("key peft_type: only LORA"), std::string::npos);
  EXPECT_NE(refused("r", 3).find("has another shape than this model and r need"),
            std::string::npos);
  write_file(out.path() / "adapter/adapter_config.json", config.dump());
  const auto phi = load_decoder(test::fixture("models/phi3"));
  EXPECT_NE(test::refusal(Kind::input, [&] { load_adapter(*phi, "p", out.path() / "adapter"); })
                .find("belongs to no linear layer of this phi3 model"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::model
