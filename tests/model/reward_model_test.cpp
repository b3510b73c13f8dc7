#include "guerdon/model/reward_model.h"

#include <gtest/gtest.h>

#include "guerdon/base/file.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/text/tokenizer.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::model {
namespace {

namespace fs = std::filesystem;

PackedBatch rows_of(const std::vector<Sequence>& sequences) {
  return pack(sequences, {}, {.share_prefixes = false});
}

std::vector<Sequence> sequences_of(const std::string& name) {
  std::vector<Sequence> out;
  for (const Json& row : test::expected_models().at(name).at("sequences"))
    out.push_back({.tokens = row.at("tokens")});
  return out;
}

class RewardParity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { model_ = load_reward_model(test::fixture("models") / GetParam()); }
  const at::NoGradGuard no_grad_;
  std::shared_ptr<RewardModel> model_;
};

TEST_P(RewardParity, ScoresAreTransformersAndDoNotDependOnTheBatch) {
  const std::vector<Sequence> all = sequences_of(GetParam());
  const Tensor together = model_->scores(rows_of(all));
  ASSERT_EQ(together.scalar_type(), at::kFloat);
  for (size_t i = 0; i < all.size(); ++i) {
    const double expected =
        test::expected_models().at(GetParam()).at("sequences").at(i).at("score");
    EXPECT_NEAR(together[static_cast<int64_t>(i)].item<double>(), expected, 5e-5);
    EXPECT_TRUE(at::equal(model_->scores(rows_of({all[i]})),
                          together.narrow(0, static_cast<int64_t>(i), 1)))
        << "row " << i;
  }
}

TEST_P(RewardParity, ASavedModelScoresTheSameBits) {
  const test::TemporaryFolder out;
  const PackedBatch probe = rows_of(sequences_of(GetParam()));
  save_reward_model(*model_, out.path() / "rm", {.pad_token_id = 0}, &probe);
  EXPECT_TRUE(
      at::equal(load_reward_model(out.path() / "rm")->scores(probe), model_->scores(probe)));
  const Json config = read_json(out.path() / "rm/config.json");
  EXPECT_EQ(
      config.at("architectures").at(0),
      read_json(test::fixture("models") / GetParam() / "config.json").at("architectures").at(0));
  EXPECT_EQ(config.at("id2label").size(), 1U);
  EXPECT_EQ(config.at("pad_token_id"), GetParam() == "roberta-score" ? 1 : 0);  // part of the model
}

INSTANTIATE_TEST_SUITE_P(Models, RewardParity, testing::ValuesIn(test::models_with("score")),
                         [](const auto& info) {
                           return info.param.substr(0, info.param.find('-'));
                         });

TEST(RewardModel, SharedPromptsLeaveTheScoresAsTheyAre) {
  const at::NoGradGuard no_grad;
  const auto model = load_reward_model(test::fixture("models/llama-score"));
  const std::vector<Sequence> pair{{.tokens = {5, 9, 12, 40, 33}}, {.tokens = {5, 9, 12, 8}}};
  const std::vector<int64_t> offsets{0, 2};
  const PackedBatch shared = pack(pair, offsets);
  ASSERT_EQ(shared.tokens.size(0), 6);
  EXPECT_LT((model->scores(shared) - model->scores(rows_of(pair))).abs().max().item<double>(),
            1e-6);
}

TEST(RewardModel, ABeginningInsideAnotherScoresAsIfAlone) {
  const at::NoGradGuard no_grad;
  const auto model = load_reward_model(test::fixture("models/llama-score"));
  const std::vector<Sequence> steps{
      {.tokens = {5, 9}}, {.tokens = {5, 9, 12, 40}}, {.tokens = {5, 9, 12, 40, 33, 8}}};
  const std::vector<int64_t> offsets{0, 3};
  const PackedBatch inside = pack(steps, offsets);
  ASSERT_EQ(inside.tokens.size(0), 6);
  EXPECT_LT((model->scores(inside) - model->scores(rows_of(steps))).abs().max().item<double>(),
            1e-6);
}

TEST(RewardModel, KeepsItsHeadInFloat32) {
  const auto model = load_reward_model(test::fixture("models/qwen2-score"),
                                       {.load = {.model = {.parameters = at::kBFloat16}}});
  EXPECT_EQ(model->head_weight().scalar_type(), at::kFloat);
  EXPECT_EQ(model->body().parameters()[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(model->scores(rows_of({{.tokens = {5, 6}}})).scalar_type(), at::kFloat);
}

TEST(RewardModel, RefusesAModelWithoutAHead) {
  const std::string text =
      test::refusal(Kind::input, [] { load_reward_model(test::fixture("models/llama")); });
  EXPECT_NE(text.find("tensor \"score.weight\": is missing: this model has no reward head"),
            std::string::npos)
      << text;
}

/// The head's row of a model of one label twice, the second time doubled: a classifier of two
/// labels whose file says nothing about a score.
fs::path two_labels(const test::TemporaryFolder& folder) {
  const fs::path one = test::fixture("models/llama-score");
  NewFolder out(folder.path() / "built");
  out.add("config.json", read_file(one / "config.json"));
  NamedTensors tensors;
  const TensorFile source(one / "model.safetensors");
  for (const data::TensorEntry& entry : source.entries()) {
    const Tensor tensor = source.load(entry.name);
    tensors.emplace_back(entry.name,
                         entry.name == "score.weight" ? at::cat({tensor, 2 * tensor}) : tensor);
  }
  add_tensors(out, "model.safetensors", tensors);
  out.commit();
  return folder.path() / "built";
}

TEST(RewardModel, RefusesAHeadWithTwoLabelsUntilWeightsMakeThemAScore) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const fs::path two = two_labels(folder);
  const std::string text = test::refusal(Kind::input, [&] { load_reward_model(two); });
  EXPECT_NE(text.find("model.safetensors: tensor \"score.weight\": has shape [2, 32], a reward "
                      "head needs [1, 32]"),
            std::string::npos)
      << text;
  const PackedBatch probe = rows_of(sequences_of("llama-score"));
  const auto weighted = load_reward_model(two, {.weights = {0.5, 0.25}});
  EXPECT_TRUE(at::allclose(weighted->scores(probe),
                           load_reward_model(test::fixture("models/llama-score"))->scores(probe)));
  EXPECT_NE(test::refusal(Kind::settings, [&] { load_reward_model(two, {.weights = {1}}); })
                .find("the head has 2 outputs, got 1 weights"),
            std::string::npos);
  EXPECT_NE(test::refusal(Kind::input, [&] { load_reward_model(two, {.readout = Readout{}}); })
                .find("is a head of 2 outputs (value), and 1 (value) are wanted"),
            std::string::npos);
}

TEST(RewardModel, SavesSeveralOutputsAsLabelsWithTheirWeights) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const PackedBatch probe = rows_of(sequences_of("llama-score"));
  for (const char* name : {"llama", "bert"}) {
    const auto model = load_reward_model(
        test::fixture("models") / name,
        {.new_head = true,
         .readout = Readout{.names = {"helpfulness", "brevity"}, .weights = {0.75, 0.25}}});
    ASSERT_EQ(model->outputs(probe).sizes(), (std::vector<int64_t>{probe.rows(), 2}));
    const fs::path saved = folder.path() / name;
    save_reward_model(*model, saved, {.pad_token_id = 0}, &probe);
    const Json config = read_json(saved / "config.json");
    EXPECT_EQ(config["num_labels"], 2) << name;
    EXPECT_EQ(config["id2label"], (Json{{"0", "helpfulness"}, {"1", "brevity"}}));
    EXPECT_EQ(config["label2id"], (Json{{"helpfulness", 0}, {"brevity", 1}}));
    EXPECT_EQ(config["problem_type"], "regression");

    const auto again = load_reward_model(saved);
    EXPECT_EQ(again->readout().names, model->readout().names);
    EXPECT_TRUE(at::equal(again->outputs(probe), model->outputs(probe)));
    const Tensor by_hand =
        0.75 * model->outputs(probe).select(1, 0) + 0.25 * model->outputs(probe).select(1, 1);
    EXPECT_TRUE(at::allclose(again->scores(probe), by_hand, 1e-6, 1e-7));

    // What Bradley-Terry starts from: one output, the same score.
    const auto merged = load_reward_model(saved, {.merge_outputs = true});
    EXPECT_EQ(merged->head_weight().size(0), 1);
    EXPECT_TRUE(at::allclose(merged->scores(probe), by_hand, 1e-5, 1e-6));
    save_reward_model(*merged, folder.path() / "merged", {.pad_token_id = 0}, &probe);
    EXPECT_TRUE(at::equal(load_reward_model(folder.path() / "merged")->scores(probe),
                          merged->scores(probe)));
  }
}

TEST(RewardModel, ARowsOutputsDoNotDependOnTheOthers) {
  const at::NoGradGuard no_grad;
  const auto model = load_reward_model(
      test::fixture("models/llama"),
      {.new_head = true, .readout = Readout{.names = {"a", "b", "c"}, .weights = {}}});
  const std::vector<Sequence> all = sequences_of("llama-score");
  const Tensor together = model->outputs(rows_of(all));
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_TRUE(at::equal(model->outputs(rows_of({all[i]})),
                          together.narrow(0, static_cast<int64_t>(i), 1)));
}

TEST(RewardModel, MakesAHeadWhenAsked) {
  const auto a = load_reward_model(test::fixture("models/llama"), {.new_head = true, .seed = 3});
  const auto b = load_reward_model(test::fixture("models/llama"), {.new_head = true, .seed = 3});
  const auto c = load_reward_model(test::fixture("models/llama"), {.new_head = true, .seed = 4});
  EXPECT_TRUE(at::equal(a->head_weight(), b->head_weight()));
  EXPECT_FALSE(at::equal(a->head_weight(), c->head_weight()));
  EXPECT_NEAR(a->head_weight().std().item<double>(), 0.02, 0.008);
}

TEST(RewardModel, ContrastsTwoTokensOfAnLmHead) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const fs::path folder = test::fixture("trl/model");
  const auto decoder = load_decoder(folder);
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  const auto judge = load_reward_model(
      folder, {.contrast = {"Y", "N"}, .presentation = Presentation{.question = "{response}?"}});
  const std::vector<int64_t> ids = {40, 41, 7, 99};
  const auto after = [&](const std::string& text) {
    std::vector<int64_t> all = ids;
    all.push_back(tokenizer.encode(text).at(0));
    const std::vector<Sequence> one{test::all_targets(all)};
    return logprobs(*decoder, pack(one, {}))[-1].item<double>();
  };
  const PackedBatch probe = rows_of({{.tokens = ids}});
  EXPECT_NEAR(judge->scores(probe).item<double>(), after("Y") - after("N"), 1e-5);
  // Saved as an ordinary reward model, which remembers its question.
  save_reward_model(*judge, out.path() / "rm", {}, &probe);
  EXPECT_EQ(load_reward_model(out.path() / "rm")->presentation().question, "{response}?");
  const auto refused = [&](const RewardLoadOptions& options, const fs::path& from) {
    return test::refusal(Kind::input, [&] { load_reward_model(from, options); });
  };
  EXPECT_NE(refused({.contrast = {"Y", "Y"}}, folder).find("begin with the same token"),
            std::string::npos);
  EXPECT_NE(refused({.contrast = {"Y", "N"}}, out.path() / "rm").find("is a reward head already"),
            std::string::npos);
  EXPECT_NE(refused({.contrast = {"Y", "N"}}, test::fixture("models/bert")).find("has no LM head"),
            std::string::npos);
  EXPECT_NE(
      refused({.contrast = {"Y", "N"}}, test::fixture("models/gemma2")).find("caps its logits"),
      std::string::npos);
}

TEST(RewardModel, PoolsAnEncoderAsItsFolderSays) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const auto model =
      load_reward_model(test::fixture("models/bert"), {.new_head = true, .pooling = Pooling::mean});
  const PackedBatch probe = rows_of(sequences_of("bert"));
  save_reward_model(*model, out.path() / "rm", {}, &probe);
  const Json config = read_json(out.path() / "rm/config.json");
  EXPECT_EQ(config.at("architectures").at(0),
            "BertModel");  // Transformers has no class that scores so
  EXPECT_EQ(load_reward_model(out.path() / "rm")->pooling(), Pooling::mean);
  EXPECT_EQ(load_reward_model(test::fixture("models/bert-score"))->pooling(), Pooling::pooler);
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            load_reward_model(test::fixture("models/llama"),
                                              {.new_head = true, .pooling = Pooling::mean});
                          })
                .find("a decoder is pooled at the last token"),
            std::string::npos);
}

TEST(RewardModel, DoesNotTakeASavedModelThatScoresDifferently) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const auto model = load_reward_model(test::fixture("models/llama-score"));
  const PackedBatch probe = rows_of(sequences_of("llama-score"));
  save_reward_model(*model, out.path() / "rm");
  model->head_weight().add_(0.01);
  EXPECT_NE(
      test::refusal(Kind::surroundings, [&] { verify_saved(out.path() / "rm", *model, probe); })
          .find("does not give the scores of the model in memory"),
      std::string::npos);
}

TEST(RewardModel, NeverSavesWeightsThatAreNotFinite) {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder out;
  const auto model = load_reward_model(test::fixture("models/llama-score"));
  model->head_weight()[0][3] = std::numeric_limits<float>::infinity();
  EXPECT_NE(test::refusal(Kind::stopped, [&] { save_reward_model(*model, out.path() / "rm"); })
                .find("1 values that are not finite"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(out.path() / "rm"));
}

}  // namespace
}  // namespace guerdon::model
