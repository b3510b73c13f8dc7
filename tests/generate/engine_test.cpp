#include "guerdon/generate/engine.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/signals.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/pretrained.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::generate {
namespace {

using test::refusal;

/// Word "wN " for id N: 64 words, as the fixtures' vocabularies.
text::Tokenizer words() {
  Json vocabulary = Json::object();
  for (int i = 0; i < 64; ++i) vocabulary["w" + std::to_string(i)] = i;
  const Json json = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
      {"post_processor", nullptr},
      {"decoder", nullptr},
      {"model", {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "w0"}}}};
  return text::Tokenizer::from_json(json, "words");
}

std::vector<Prompt> prompts_of(const std::vector<std::vector<int64_t>>& tokens) {
  std::vector<Prompt> out;
  for (size_t i = 0; i < tokens.size(); ++i)
    out.push_back({.example = nullptr, .tokens = tokens[i], .key = i});
  return out;
}

const std::vector<std::vector<int64_t>> kPrompts = {
    {25}, {10, 28, 18, 40, 21}, {3, 4}, {7, 7, 7, 7, 7, 7, 7, 9}, {60, 1, 2}};

// Models with an LM head whose rotary frequencies do not depend on the longest sequence beside them
// (`dynamic` and `longrope` do, as in Transformers: there a cache and a whole pass differ).
std::vector<std::string> models() {
  std::vector<std::string> out;
  for (const std::string& name : test::models_with("lm")) {
    const Json& sequence = test::expected_models().at(name).at("sequences").at(0);
    if (sequence.contains("greedy")) out.push_back(name);
  }
  return out;
}

class EngineTest : public ::testing::Test {
 protected:
  std::shared_ptr<model::Decoder> decoder(const std::string& name = "llama") {
    return model::load_decoder(test::model_fixture(name, scratch_));
  }
  test::TemporaryFolder scratch_;
  text::Tokenizer words_ = words();
};

TEST_F(EngineTest, GreedyEqualsTransformersForEveryFamily) {
  for (const std::string& name : models()) {
    const auto model = decoder(name);
    std::vector<std::vector<int64_t>> tokens, expected;
    for (const Json& sequence : test::expected_models().at(name).at("sequences")) {
      tokens.push_back(sequence.at("tokens").get<std::vector<int64_t>>());
      expected.push_back(sequence.at("greedy").get<std::vector<int64_t>>());
    }
    ASSERT_FALSE(expected.empty()) << name;
    Engine engine(*model, words_,
                  {.max_new_tokens = static_cast<int64_t>(expected[0].size()),
                   .sampling = {.temperature = 0},
                   .slots = 2});
    const std::vector<Rollout> rollouts = engine.sample(prompts_of(tokens), 1);
    for (size_t i = 0; i < rollouts.size(); ++i)
      EXPECT_EQ(rollouts[i].tokens, expected[i]) << name << ", sequence " << i;
  }
}

TEST_F(EngineTest, RecordsTheLogProbsThatTheTrainerComputes) {
  for (const std::string& name : models()) {
    const auto model = decoder(name);
    Engine engine(
        *model, words_,
        {.max_new_tokens = 20, .sampling = {.temperature = .7}, .stop_ids = {5, 9}, .slots = 4});
    const Batch batch = pack(engine.sample(prompts_of(kPrompts), 3));
    const at::NoGradGuard no_gradient;
    const Tensor trained = model::logprobs(*model, batch.sequences, .7);
    EXPECT_LE((trained - batch.sequences.targets.columns.at("sampling")).abs().max().item<double>(),
              1e-5)
        << name;
  }
}

TEST_F(EngineTest, SameSeedSameSamplesWhateverTheSlots) {
  const auto model = decoder();
  const auto sample = [&](int64_t slots, std::vector<Prompt> prompts, int64_t samples) {
    Engine engine(*model, words_,
                  {.max_new_tokens = 30, .stop_ids = {5, 9, 22}, .seed = 7, .slots = slots});
    return engine.sample(prompts, samples);
  };
  const std::vector<Rollout> one = sample(1, prompts_of(kPrompts), 4);
  for (const int64_t slots : {3, 16}) {
    const std::vector<Rollout> other = sample(slots, prompts_of(kPrompts), 4);
    ASSERT_EQ(other.size(), 20u);
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(one[i].tokens, other[i].tokens) << slots << " slots, rollout " << i;
      EXPECT_EQ(one[i].finish, other[i].finish);
      EXPECT_TRUE(at::allclose(one[i].logprobs, other[i].logprobs, 0, 1e-5));
    }
  }
  // Nor on the prompts beside it, nor on how many samples are asked for.
  std::vector<Prompt> alone = {prompts_of(kPrompts)[3]};
  const std::vector<Rollout> apart = sample(16, alone, 2);
  EXPECT_EQ(apart[0].tokens, one[12].tokens);
  EXPECT_EQ(apart[1].tokens, one[13].tokens);
  // Samples of one prompt differ, and so do keys.
  EXPECT_NE(one[12].tokens, one[13].tokens);
  alone[0].key = 99;
  EXPECT_NE(sample(16, alone, 1)[0].tokens, one[12].tokens);
}

TEST_F(EngineTest, EndsAtAStopIdWhichBelongsToTheCompletion) {
  const auto model = decoder();
  Engine free(*model, words_, {.max_new_tokens = 12, .sampling = {.temperature = 0}});
  const std::vector<int64_t> tokens = free.sample(prompts_of({{25}}), 1)[0].tokens;
  const int64_t last = tokens[3];
  const auto first =
      static_cast<size_t>(std::find(tokens.begin(), tokens.end(), last) - tokens.begin());
  Engine stopped(*model, words_,
                 {.max_new_tokens = 12, .sampling = {.temperature = 0}, .stop_ids = {63, last}});
  const Rollout r = stopped.sample(prompts_of({{25}}), 1)[0];
  EXPECT_EQ(r.tokens, std::vector<int64_t>(tokens.begin(),
                                           tokens.begin() + static_cast<ptrdiff_t>(first) + 1));
  EXPECT_EQ(r.finish, Finish::stop);
  EXPECT_EQ(r.logprobs.size(0), static_cast<int64_t>(r.tokens.size()));
  EXPECT_EQ(free.sample(prompts_of({{25}}), 1)[0].finish, Finish::length);
}

TEST_F(EngineTest, AOneTokenCompletionIsWhole) {
  const auto model = decoder();
  Engine engine(*model, words_, {.max_new_tokens = 1, .sampling = {.temperature = 0}, .slots = 2});
  for (const Rollout& r : engine.sample(prompts_of(kPrompts), 2)) {
    EXPECT_EQ(r.tokens.size(), 1u);
    EXPECT_EQ(r.finish, Finish::length);
  }
}

TEST_F(EngineTest, AStopTextEndsTheCompletionAndIsCutFromItsText) {
  const auto model = decoder();
  Engine free(*model, words_, {.max_new_tokens = 12, .sampling = {.temperature = 0}});
  const Rollout whole = free.sample(prompts_of({{10, 28, 18, 40, 21}}), 1)[0];
  const std::string stop = "w" + std::to_string(whole.tokens[2]);
  Engine stopped(
      *model, words_,
      {.max_new_tokens = 12, .sampling = {.temperature = 0}, .stop = {"no such word", stop}});
  const Rollout r = stopped.sample(prompts_of({{10, 28, 18, 40, 21}}), 1)[0];
  EXPECT_EQ(r.finish, Finish::stop);
  EXPECT_EQ(r.text, whole.text.substr(0, whole.text.find(stop)));
  EXPECT_LE(r.tokens.size(), 3u);
  EXPECT_TRUE(std::equal(r.tokens.begin(), r.tokens.end(), whole.tokens.begin()));
}

TEST_F(EngineTest, LearnedPositionsEndTheCompletion) {
  const auto model = decoder("gpt2");
  const int64_t positions = model->shape().max_positions;
  const std::vector<int64_t> prompt(static_cast<size_t>(positions) - 2, 4);
  Engine engine(*model, words_, {.max_new_tokens = 50});
  const Rollout r = engine.sample(prompts_of({prompt}), 1)[0];
  EXPECT_EQ(r.tokens.size(), 3u);
  EXPECT_EQ(r.finish, Finish::length);
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      engine.sample(
                          prompts_of({std::vector<int64_t>(static_cast<size_t>(positions) + 1, 4)}),
                          1);
                    }),
            str("prompt: the prompt has ", positions + 1, " tokens, the model has positions for ",
                positions));
}

TEST_F(EngineTest, AnEmptyPromptIsRefused) {
  const auto model = decoder();
  Engine engine(*model, words_, {.max_new_tokens = 2});
  EXPECT_EQ(refusal(Kind::input, [&] { engine.sample(prompts_of({{}}), 1); }),
            "prompt: the prompt has no tokens, so there is nothing to continue");
  EXPECT_TRUE(engine.sample({}, 3).empty());
}

TEST_F(EngineTest, AStopRequestAbortsWhatIsUnderWay) {
  const auto model = decoder();
  Engine engine(*model, words_, {.max_new_tokens = 8});
  request_stop(15);
  const std::vector<Rollout> rollouts = engine.sample(prompts_of(kPrompts), 1);
  request_stop(0);
  for (const Rollout& r : rollouts) EXPECT_EQ(r.finish, Finish::aborted);
}

TEST_F(EngineTest, ReadsTheWeightsThatTheModelHasNow) {
  const auto model = decoder();
  Engine engine(*model, words_, {.max_new_tokens = 12, .sampling = {.temperature = 0}});
  const std::vector<int64_t> before = engine.sample(prompts_of(kPrompts), 1)[1].tokens;
  {
    const at::NoGradGuard no_gradient;
    for (Tensor& p : model->parameters())
      p.add_(0.3 * at::sin(at::arange(p.numel(), at::kFloat)).view(p.sizes()));
  }
  EXPECT_NE(engine.sample(prompts_of(kPrompts), 1)[1].tokens, before);
}

TEST(PackRollouts, SharesThePromptAndMasksWhatIsAskedFor) {
  const auto rollout = [](int64_t group, std::vector<int64_t> prompt, std::vector<int64_t> tokens,
                          Finish finish) {
    Rollout r;
    r.group = group;
    r.prompt_tokens = std::move(prompt);
    r.tokens = std::move(tokens);
    r.turns = {{0, static_cast<int64_t>(r.tokens.size())}};
    r.logprobs = -at::arange(1, static_cast<int64_t>(r.tokens.size()) + 1, at::kFloat);
    r.finish = finish;
    return r;
  };
  const std::vector<Rollout> rollouts = {rollout(0, {1, 2, 3}, {4, 5}, Finish::stop),
                                         rollout(0, {1, 2, 3}, {6}, Finish::length),
                                         rollout(1, {7}, {8, 9}, Finish::stop)};
  EXPECT_EQ(group_offsets(rollouts), (std::vector<int64_t>{0, 2, 3}));
  const Batch batch = pack(rollouts);
  EXPECT_EQ(batch.sequences.tokens.size(0), 3 + 2 + 1 + 3);  // the prompt of group 0 once
  const Targets& t = batch.sequences.targets;
  EXPECT_TRUE(at::equal(t.token, at::tensor(std::vector<int64_t>{4, 5, 6, 8, 9})));
  EXPECT_TRUE(at::equal(t.row, at::tensor(std::vector<int64_t>{0, 0, 1, 2, 2})));
  EXPECT_TRUE(
      at::equal(t.columns.at("sampling"), at::tensor({-1.0, -2.0, -1.0, -1.0, -2.0}, at::kFloat)));
  const Batch masked = pack(rollouts, {.mask_truncated = true});
  EXPECT_EQ(masked.sequences.rows(), 3);
  EXPECT_TRUE(
      at::equal(masked.sequences.targets.row, at::tensor(std::vector<int64_t>{0, 0, 2, 2})));
  EXPECT_EQ(group_offsets({}), std::vector<int64_t>{0});
}

}  // namespace
}  // namespace guerdon::generate
