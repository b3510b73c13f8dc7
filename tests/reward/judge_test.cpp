#include "guerdon/reward/judge.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "guerdon/data/encode.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/text/tokenizer.h"
#include "reward/rollouts.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon {
namespace {

using test::numbers, test::refusal, test::reward, test::rollout, test::score;
using Floats = std::vector<float>;

/// A model of random weights over the signs that questions and verdicts are made of.
class JudgeTest : public testing::Test {
 protected:
  JudgeTest() {
    const std::string signs = "abcdAB[]: \n";
    const Json config = {{"model_type", "llama"},
                         {"architectures", {"LlamaForCausalLM"}},
                         {"vocab_size", static_cast<int64_t>(signs.size()) + 2},
                         {"hidden_size", 32},
                         {"intermediate_size", 48},
                         {"num_hidden_layers", 2},
                         {"num_attention_heads", 4},
                         {"num_key_value_heads", 2},
                         {"max_position_embeddings", 256},
                         {"rms_norm_eps", 1e-6},
                         {"hidden_act", "silu"},
                         {"tie_word_embeddings", false},
                         {"eos_token_id", 0},
                         {"initializer_range", 0.4}};
    model::save_decoder(*model::new_decoder(config, "judge", 3), path_);
    folder_.file("judge/tokenizer.json", test::character_tokenizer({"<e>", "<u>"}, signs).dump());
    folder_.file("judge/tokenizer_config.json", R"({"eos_token": "<e>", "unk_token": "<u>"})");
    question_ = folder_.file("q.jinja", "{{ prompt }}: A {{ a }} B {{ b }}:").string();
  }
  std::unique_ptr<Reward> judge(Json more = Json::object()) const {
    more["use"] = "judge";
    more["path"] = path_.string();
    if (!more.contains("question") && more.value("form", "pair") == "pair")
      more["question"] = question_;
    if (!more.contains("max_new_tokens")) more["max_new_tokens"] = 4;
    return reward(more.dump());
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "judge";
  std::string question_;
};

Rollout asked(const std::string& response) {
  Rollout r = rollout(response);
  auto example = std::make_shared<Example>(*r.example);
  example->prompt = std::string("ab");
  r.example = example;
  return r;
}

TEST_F(JudgeTest, TheContrastIsTheLogOddsInBothOrders) {
  const auto decoder = model::load_decoder(path_);
  const text::Tokenizer tokenizer = text::Tokenizer::load(path_);
  const at::NoGradGuard no_gradient;
  const auto logprob = [&](const std::string& question, const std::string& answer) {
    Sequence sequence{.tokens = tokenizer.encode(question + answer)};
    sequence.weight.assign(sequence.tokens.size(), 0.0F);
    for (size_t i = question.size(); i < sequence.tokens.size(); ++i) sequence.weight[i] = 1.0F;
    const std::vector<Sequence> one = {sequence};
    return model::logprobs(*decoder, pack(one, {})).sum().item<double>();
  };
  const auto odds = [&](const std::string& a, const std::string& b) {
    const std::string question = "ab: A " + a + " B " + b + ":";
    return logprob(question, "[[A]]") - logprob(question, "[[B]]");
  };
  const double expected = (odds("c", "dd") - odds("dd", "c")) / 2;
  const auto contrast = judge({{"read", "contrast"}});
  const Floats total = numbers(score(*contrast, {asked("c"), asked("dd")}).total);
  EXPECT_NEAR(total[0], expected, 1e-4);
  EXPECT_NEAR(total[1], -expected, 1e-4);
  EXPECT_NE(total[0], 0.0F);
  // Twins are equally good, whatever the judge thinks of positions.
  EXPECT_NEAR(score(*contrast, {asked("c"), asked("c")}).total[0].item<float>(), 0.0, 1e-6);
}

TEST_F(JudgeTest, AsksAsItWasTrained) {
  const auto said = [&](Json more) {
    more["read"] = "contrast";
    return numbers(score(*judge(more), {asked("c"), asked("dd")}).total)[0];
  };
  const float plain = said(Json::object());
  folder_.file("judge/chat_template.jinja",
               "{% for message in messages %}{{ 'd: ' + message.content + '\n' }}{% endfor %}"
               "{% if add_generation_prompt %}{{ 'd: ' }}{% endif %}");
  EXPECT_NE(said(Json::object()), plain);
  EXPECT_EQ(said({{"conversational", false}}), plain);
}

TEST_F(JudgeTest, AResponseIsComparedWithAllOthersOrSome) {
  const auto all = judge({{"read", "contrast"}});
  const auto value = [&](const std::string& a, const std::string& b) {
    return score(*all, {asked(a), asked(b)}).total[0].item<float>();
  };
  const std::vector<Rollout> four = {asked("a"), asked("b"), asked("c"), asked("d")};
  const Floats total = numbers(score(*all, four).total);
  EXPECT_NEAR(total[0], (value("a", "b") + value("a", "c") + value("a", "d")) / 3, 1e-5);
  const Floats next = numbers(score(*judge({{"read", "contrast"}, {"opponents", 1}}), four).total);
  EXPECT_NEAR(next[0], (value("a", "b") + value("a", "d")) / 2, 1e-5);
  const Floats many = numbers(score(*judge({{"read", "contrast"}, {"opponents", 9}}), four).total);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(many[i], total[i], 1e-6);
}

TEST_F(JudgeTest, WithoutAVerdictThereIsNoOpinion) {
  // This model's replies are noise, too long for one that happens to be a letter.
  const auto talker = judge({{"max_new_tokens", 40}});
  const Scores s = score(*talker, {asked("c"), asked("dd")});
  EXPECT_EQ(s.verdicts, (std::vector<Verdict>{Verdict::no_opinion, Verdict::no_opinion}));
  EXPECT_EQ(s.counts.at("judge/malformed"), 2.0);
  EXPECT_TRUE(std::isnan(s.total[0].item<float>()));
  EXPECT_EQ(score(*talker, {asked("alone")}).verdicts[0], Verdict::no_opinion);
  const auto list = judge({{"form", "list"}});
  const Scores of_list = score(*list, {asked("c"), asked("dd"), asked("a")});
  EXPECT_EQ(of_list.verdicts[2], Verdict::no_opinion);
  EXPECT_EQ(of_list.counts.at("judge/malformed"), 1.0);
}

TEST_F(JudgeTest, RefusesWhatCannotBeMeant) {
  EXPECT_EQ(refusal(Kind::settings, [] { reward(R"({"use": "judge"})"); }),
            "reward judge: key path: must name a language model's folder or run");
  EXPECT_EQ(refusal(Kind::settings,
                    [&] {
                      judge({{"form", "list"}, {"read", "contrast"}});
                    }),
            "reward judge: keys read and opponents: are of form pair");
  EXPECT_EQ(refusal(Kind::settings,
                    [&] {
                      judge({{"read", "contrast"}, {"votes", 5}});
                    }),
            "reward judge: key votes: nothing is drawn by chance with read contrast");
}

TEST(VerdictRewardTest, OfAPairIsOneForTheRightVerdict) {
  const auto pair = reward(R"({"use": "verdict"})");
  const Scores s = score(
      *pair, {rollout("so [[A]]", {{"verdict", "A"}}), rollout("so [[B]]", {{"verdict", "A"}}),
              rollout("hm", {{"verdict", "A"}}), rollout("[[A]]")});
  EXPECT_EQ(s.total[0].item<float>(), 1.0F);
  EXPECT_EQ(s.total[1].item<float>(), 0.0F);
  EXPECT_EQ(s.total[2].item<float>(), 0.0F);
  EXPECT_EQ(s.verdicts[3], Verdict::no_opinion);
}

TEST(VerdictRewardTest, OfAListIsRewardAnythings) {
  const auto list = reward(R"({"use": "verdict", "form": "list"})");
  const Json gold = {{"gold_scores", {{"a", 5}, {"b", 3}, {"c", 1}, {"d", 4}}}};
  const std::string reply =
      R"(b errs. {"scores": {"a": 5, "b": 4, "c": 2, "d": 3}, "ranking": ["a", "b", "d", "c"]})";
  EXPECT_NEAR(score(*list, {rollout(reply, gold)}).total[0].item<float>(), 0.872977, 1e-6);
}

}  // namespace
}  // namespace guerdon
