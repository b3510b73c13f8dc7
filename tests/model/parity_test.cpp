// fp32 log-probabilities of tiny models of every family against Transformers
// (tests/fixtures/generate_models.py).
#include <gtest/gtest.h>

#include "guerdon/model/encoder.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/pretrained.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::model {
namespace {

double largest(const Tensor& a, const Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// Models whose rotary frequencies do not follow the length of the sequence.
std::vector<std::string> models_that_share() {
  std::vector<std::string> out = test::models_with("lm");
  std::erase_if(out, [](const std::string& name) {
    return name == "llama-dynamic" || name == "llama-longrope" || name == "phi3";
  });
  return out;
}

class Parity : public testing::TestWithParam<std::string> {
 protected:
  const Json& entry() const { return test::expected_models().at(GetParam()); }
  std::filesystem::path folder() const { return test::model_fixture(GetParam(), scratch_); }
  test::TemporaryFolder scratch_;
};

TEST_P(Parity, LogprobsAndEntropiesAreTransformers) {
  const at::NoGradGuard no_grad;
  const auto decoder = load_decoder(folder());
  for (const Json& row : entry().at("sequences")) {
    const std::vector<Sequence> one{test::all_targets(row.at("tokens"))};
    const PackedBatch batch = pack(one, {});
    const ops::TokenStats stats = token_stats(*decoder, batch, 1.0, {.entropy = true});
    EXPECT_LT(largest(stats.logprob, test::doubles(row.at("logprobs"))), 5e-5);
    EXPECT_LT(largest(stats.entropy, test::doubles(row.at("entropy"))), 5e-5);
    const Tensor hidden = decoder->forward(batch, batch.last);
    Tensor logits = at::linear(hidden, decoder->head_weight());
    if (const double cap = decoder->logit_transform().softcap; cap > 0)
      logits = cap * at::tanh(logits / cap);
    EXPECT_LT(largest(logits.flatten(), test::doubles(row.at("last_logits"))), 1e-4);
  }
}

TEST_P(Parity, SequencesInOneBatchAreThoseAlone) {
  const at::NoGradGuard no_grad;
  const auto decoder = load_decoder(folder());
  std::vector<Sequence> all;
  std::vector<Tensor> alone;
  for (const Json& row : entry().at("sequences")) {
    all.push_back(test::all_targets(row.at("tokens")));
    alone.push_back(logprobs(*decoder, pack(std::vector<Sequence>{all.back()}, {})));
  }
  EXPECT_LT(largest(logprobs(*decoder, pack(all, {})), at::cat(alone)), 1e-6);
}

// Prompt and completions of one group: packed with the prompt once, against each on its own,
// outputs and gradients.
class SharedParity : public Parity {};

TEST_P(SharedParity, SharedPrefixesChangeNeitherLogprobsNorGradients) {
  const auto decoder = load_decoder(folder());
  ASSERT_TRUE(decoder->shares_prefixes());
  const std::vector<int64_t> prompt = entry().at("sequences").at(2).at("tokens");
  std::vector<Sequence> group;
  for (const size_t source : {1, 3, 2}) {
    Sequence s = test::all_targets(prompt);
    for (const int64_t token : entry().at("sequences").at(source).at("tokens"))
      s.tokens.push_back(token);
    s.weight.resize(s.tokens.size(), 1.0F);
    group.push_back(s);
  }
  const std::vector<int64_t> offsets{0, 3};
  const auto run = [&](const PackOptions& options) {
    decoder->zero_grad();
    const Tensor out = logprobs(*decoder, pack(group, offsets, options));
    (out * at::arange(out.size(0), out.options())).mean().backward();
    std::vector<Tensor> gradients;
    for (const Tensor& p : decoder->parameters()) gradients.push_back(p.grad().clone());
    return std::pair{out.detach(), gradients};
  };
  ASSERT_LT(pack(group, offsets).tokens.size(0),
            pack(group, offsets, {.share_prefixes = false}).tokens.size(0));
  const auto [shared, shared_gradients] = run({});
  const auto [separate, separate_gradients] = run({.share_prefixes = false});
  EXPECT_LT(largest(shared, separate), 1e-5);
  for (size_t i = 0; i < shared_gradients.size(); ++i) {
    const double scale = std::max(1.0, separate_gradients[i].abs().max().item<double>());
    EXPECT_LT(largest(shared_gradients[i], separate_gradients[i]) / scale, 1e-5);
  }
}

TEST_P(Parity, CheckpointingChangesNoBitOfLossOrGradient) {
  const auto plain = load_decoder(folder());
  const auto checkpointed = load_decoder(folder(), {.model = {.checkpointing = true}});
  const std::vector<Sequence> one{test::all_targets(entry().at("sequences").at(3).at("tokens"))};
  const PackedBatch batch = pack(one, {});
  const Tensor a = logprobs(*plain, batch), b = logprobs(*checkpointed, batch);
  EXPECT_TRUE(at::equal(a, b));
  a.sum().backward();
  b.sum().backward();
  const auto ours = plain->parameters(), theirs = checkpointed->parameters();
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(at::equal(ours[i].grad(), theirs[i].grad()));
}

TEST_P(Parity, Bfloat16IsNearAndTrainsFloat32Weights) {
  const auto decoder = load_decoder(folder(), {.model = {.compute = at::kBFloat16}});
  const Json& row = entry().at("sequences").at(3);
  const std::vector<Sequence> one{test::all_targets(row.at("tokens"))};
  const Tensor out = logprobs(*decoder, pack(one, {}));
  EXPECT_LT((out.detach().to(at::kDouble) - test::doubles(row.at("logprobs")))
                .abs()
                .mean()
                .item<double>(),
            0.05);
  out.sum().backward();
  for (const Tensor& p : decoder->parameters()) {
    EXPECT_EQ(p.scalar_type(), at::kFloat);
    ASSERT_TRUE(p.grad().defined());
    EXPECT_EQ(p.grad().scalar_type(), at::kFloat);
  }
}

TEST_P(Parity, WhatIsSavedLoadsAgainBitForBit) {
  const auto decoder = load_decoder(folder());
  const test::TemporaryFolder out;
  save_decoder(*decoder, out.path() / "whole");
  save_decoder(*decoder, out.path() / "shards", {.shard_bytes = 20000});
  EXPECT_TRUE(std::filesystem::exists(out.path() / "shards/model.safetensors.index.json"));
  for (const char* name : {"whole", "shards"}) {
    const auto again = load_decoder(out.path() / name);
    const auto before = decoder->named_parameters(), after = again->named_parameters();
    ASSERT_EQ(before.size(), after.size());
    for (const auto& p : before) EXPECT_TRUE(at::equal(p.value(), after[p.key()])) << p.key();
  }
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Models, Parity, testing::ValuesIn(test::models_with("lm")), test_name);
INSTANTIATE_TEST_SUITE_P(Models, SharedParity, testing::ValuesIn(models_that_share()), test_name);

TEST(Decoder, SharesNoPrefixWhereFrequenciesFollowTheLength) {
  EXPECT_FALSE(load_decoder(test::fixture("models/phi3"))->shares_prefixes());
}

TEST(EncoderParity, PoolerAndMeanAreTransformers) {
  const at::NoGradGuard no_grad;
  const auto bert = load_backbone(test::fixture("models/bert"));
  std::vector<Sequence> all;
  for (const Json& row : test::expected_models().at("bert").at("sequences")) {
    const std::vector<Sequence> one{{.tokens = row.at("tokens")}};
    const PackedBatch batch = pack(one, {}, {.share_prefixes = false});
    EXPECT_LT(
        largest(pooled(*bert, batch, Pooling::pooler).flatten(), test::doubles(row.at("pooler"))),
        2e-5);
    EXPECT_LT(largest(pooled(*bert, batch, Pooling::mean).flatten(), test::doubles(row.at("mean"))),
              2e-5);
    all.push_back(one[0]);
  }
  const Tensor together = pooled(*bert, pack(all, {}, {.share_prefixes = false}), Pooling::mean);
  EXPECT_LT(
      largest(together[2],
              test::doubles(test::expected_models().at("bert").at("sequences").at(2).at("mean"))),
      2e-5);
}

TEST(Decoder, AgreesWithTheTinyModelsFloat64Figures) {
  GUERDON_NEEDS_DATA("tiny-models");
  const auto folder = test::data_folder() / "tiny-models/digit-completion";
  const auto decoder = load_decoder(folder);
  std::ifstream file(folder / "expected.jsonl");
  int rows = 0;
  for (std::string line; std::getline(file, line); ++rows) {
    const Json row = parse_json(line, "expected.jsonl");
    Sequence s{.tokens = row.at("prompt_ids").get<std::vector<int64_t>>()};
    s.weight.resize(s.tokens.size(), 0.0F);
    for (const int64_t id : row.at("completion_ids").get<std::vector<int64_t>>())
      s.tokens.push_back(id);
    s.weight.resize(s.tokens.size(), 1.0F);
    const at::NoGradGuard no_grad;
    EXPECT_LT(largest(logprobs(*decoder, pack(std::vector<Sequence>{s}, {})),
                      test::doubles(row.at("completion_logprobs"))),
              5e-5);
  }
  EXPECT_EQ(rows, 24);
}

TEST(Decoder, RefusesATokenThatIsNotInTheVocabulary) {
  const auto decoder = load_decoder(test::fixture("models/llama"));
  const std::vector<Sequence> beyond{{.tokens = {3, 64}}};
  EXPECT_NE(test::refusal(Kind::input, [&] { decoder->forward(pack(beyond, {})); })
                .find("token id 64 is outside the vocabulary of 64"),
            std::string::npos);
}

TEST(Decoder, RefusesASequenceLongerThanItsPositionTable) {
  const auto decoder = load_decoder(test::fixture("models/gpt2"));
  const std::vector<Sequence> longer{{.tokens = std::vector<int64_t>(65, 3)}};
  EXPECT_NE(test::refusal(Kind::input, [&] { decoder->forward(pack(longer, {})); })
                .find("a sequence has 65 tokens, the model has 64 positions"),
            std::string::npos);
}

TEST(Decoder, GivesTheRowsThatAreAskedFor) {
  const at::NoGradGuard no_grad;
  const auto decoder = load_decoder(test::fixture("models/gemma2"));
  const std::vector<Sequence> one{{.tokens = {5, 9, 12, 40, 33, 21, 7}}};
  const PackedBatch batch = pack(one, {});
  const Tensor rows = at::tensor({6, 2, 2}, at::kLong);
  EXPECT_LT(largest(decoder->forward(batch, rows), decoder->forward(batch).index_select(0, rows)),
            1e-6);
}

TEST(Decoder, PutsSoftTokensInPlaceOfEmbeddings) {
  const at::NoGradGuard no_grad;
  const auto decoder = load_decoder(test::fixture("models/llama"));
  const std::vector<Sequence> one{{.tokens = {5, 9, 12}}};
  PackedBatch batch = pack(one, {});
  const Tensor before = decoder->forward(batch);
  batch.soft = SoftTokens{at::tensor({1}, at::kLong),
                          decoder->named_parameters()["embedding.weight"].narrow(0, 30, 1)};
  const Tensor soft = decoder->forward(batch);
  const std::vector<Sequence> other{{.tokens = {5, 30, 12}}};
  EXPECT_TRUE(at::equal(soft, decoder->forward(pack(other, {}))));
  EXPECT_FALSE(at::equal(soft, before));
}

}  // namespace
}  // namespace guerdon::model
