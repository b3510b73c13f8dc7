#include "guerdon/ops/restricted.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "guerdon/base/random.h"
#include "guerdon/ops/sampling.h"
#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

KeptTokens sets(const std::vector<std::vector<int32_t>>& all) {
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> ids;
  for (const auto& set : all) {
    ids.insert(ids.end(), set.begin(), set.end());
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  return {at::tensor(offsets, at::kLong), at::tensor(ids, at::kInt)};
}

KeptTokens everything(int64_t rows, int64_t vocabulary) {
  return {at::arange(rows + 1, at::kLong) * vocabulary,
          at::arange(vocabulary, at::kInt).repeat({rows})};
}

/// About a share of the vocabulary, the row's token among them.
KeptTokens random_sets(const Tensor& tokens, int64_t vocabulary, double share) {
  std::vector<std::vector<int32_t>> all;
  for (int64_t r = 0; r < tokens.size(0); ++r) {
    const Tensor chosen = at::rand({vocabulary}) < share;
    std::vector<int32_t> set;
    for (int64_t i = 0; i < vocabulary; ++i) {
      if (chosen[i].item<bool>() || i == tokens[r].item<int64_t>())
        set.push_back(static_cast<int32_t>(i));
    }
    all.push_back(set);
  }
  return sets(all);
}

TEST(RestrictedLogprob, WorkedByHand) {
  // kernels.md 9: x = (2, 1, 0.5, -1), kept set {0, 1}.
  const Tensor x = at::tensor({2.0, 1.0, 0.5, -1.0}, at::kDouble).unsqueeze(0);
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const RestrictedLogprob r =
        restricted_logprob(x.to(type), at::tensor({1}, at::kLong), sets({{0, 1}}));
    const TokenStats full = token_stats(x.to(type), {});
    EXPECT_NEAR(r.lse.item<double>(), 2.313262, 1e-6);
    EXPECT_NEAR(r.logprob.item<double>(), -1.313262, 1e-6);
    EXPECT_NEAR((r.lse - full.lse).exp().item<double>(), 0.833668, 1e-6);
    EXPECT_FALSE(r.dropped.item<bool>());
  }
}

TEST(RestrictedLogprob, HasTheGradientsOfCentralDifferences) {
  const Tensor tokens = at::tensor({1, 4, 0}, at::kLong);
  const KeptTokens kept = sets({{0, 1, 5}, {4}, {1, 2, 3}});  // the last token is dropped
  const Tensor a = at::randn({3}, at::kDouble), b = at::randn({3}, at::kDouble);
  for (const LogitTransform& t :
       {LogitTransform{}, LogitTransform{.scale = .7, .softcap = 3, .temperature = .5}}) {
    test::check_gradients(
        [&](const auto& in) {
          const RestrictedLogprob r = restricted_logprob(in[0], tokens, kept, t);
          return (r.logprob.masked_fill(r.dropped, 0) * a + r.lse * b).sum();
        },
        {at::randn({3, 7}, at::kDouble)});
  }
}

TEST(RestrictedLogprob, OfEveryTypeAgreesWithDouble) {
  at::manual_seed(2);
  for (const int64_t vocabulary : {1, 7, 33, 4097, 9001}) {
    const Tensor tokens = at::randint(0, vocabulary, {6}, at::kLong);
    const KeptTokens kept = random_sets(tokens, vocabulary, .6);
    const Tensor logits = at::randn({6, vocabulary}) * 3, a = at::randn({6}), b = at::randn({6});
    const LogitTransform transform{.softcap = 8, .temperatures = at::rand({6}) + .5};
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const Tensor stored = logits.to(type);
      const auto run = [&](const Tensor& given) {
        const Tensor x = given.detach().requires_grad_();
        const RestrictedLogprob r = restricted_logprob(x, tokens, kept, transform);
        const Tensor g = torch::autograd::grad(
            {(r.logprob * a.to(r.lse.scalar_type()) + r.lse * b.to(r.lse.scalar_type())).sum()},
            {x})[0];
        return std::vector<Tensor>{r.logprob.detach().to(at::kDouble),
                                   r.lse.detach().to(at::kDouble), g.to(at::kDouble)};
      };
      const auto found = run(stored), expected = run(stored.to(at::kDouble));
      EXPECT_TRUE(at::allclose(found[0], expected[0], 3e-7, 3e-6));
      EXPECT_TRUE(at::allclose(found[1], expected[1], 3e-7, 3e-6));
      EXPECT_TRUE(at::allclose(found[2], expected[2], type == at::kFloat ? 2e-5 : 1e-2, 3e-6));
    }
  }
}

// T15.
TEST(RestrictedLogprob, OfAllTokensHasTheBitsOfTokenStats) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t vocabulary : {1, 31, 4096, 9000}) {
      const Tensor logits = (at::randn({9, vocabulary}) * 4).to(type),
                   tokens = at::randint(0, vocabulary, {9}, at::kLong);
      for (const LogitTransform& t :
           {LogitTransform{}, LogitTransform{.softcap = 10, .temperature = .7}}) {
        const RestrictedLogprob r =
            restricted_logprob(logits, tokens, everything(9, vocabulary), t);
        const TokenStats full = token_stats(logits, tokens, t);
        EXPECT_TRUE(r.logprob.equal(full.logprob));
        EXPECT_TRUE(r.lse.equal(full.lse));
      }
    }
  }
}

TEST(RestrictedLogprob, ADroppedTokenIsToldAndGetsNoGradient) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const Tensor x = at::randn({2, 5}, type).requires_grad_();
    const RestrictedLogprob r =
        restricted_logprob(x, at::tensor({4, 1}, at::kLong), sets({{0, 1}, {0, 1}}));
    EXPECT_EQ(r.logprob[0].item<double>(), -kInfinity);
    EXPECT_TRUE(r.dropped[0].item<bool>() && !r.dropped[1].item<bool>());
    const Tensor g = torch::autograd::grad({r.logprob.sum()}, {x})[0];
    EXPECT_EQ(g[0].abs().sum().item<double>(), 0);
    EXPECT_EQ(g[1].slice(0, 2).abs().sum().item<double>(), 0);  // outside the set
    EXPECT_GT(g[1][1].item<double>(), 0);
  }
}

TEST(RestrictedLogprob, WhatLiesOutsideTheSetIsNeverRead) {
  Tensor x = at::full({2, 6}, std::numeric_limits<double>::quiet_NaN(), at::kFloat);
  x[0][2] = 1, x[0][3] = 1, x[1][5] = -kInfinity, x[1][0] = 2;
  x.requires_grad_();
  const RestrictedLogprob r =
      restricted_logprob(x, at::tensor({2, 0}, at::kLong), sets({{2, 3}, {0, 5}}));
  EXPECT_NEAR(r.logprob[0].item<double>(), -std::log(2.0), 1e-6);
  EXPECT_EQ(r.logprob[1].item<double>(), 0);
  const Tensor g = torch::autograd::grad({r.logprob.sum()}, {x})[0];
  EXPECT_TRUE(g.isfinite().all().item<bool>());
}

// T15: what the sampler records and what the operator makes of it.
TEST(RestrictedLogprob, OfTheSamplersSetsIsTheChanceThatItDrewWith) {
  const Random random(3, Purpose::sample);
  std::vector<double> uniforms;
  for (uint64_t i = 0; i < 24; ++i) uniforms.push_back(random.uniform(i));
  const Tensor logits = at::randn({24, 5'000}) * 3;
  for (const SamplingOptions& o :
       std::vector<SamplingOptions>{{.temperature = .8, .top_p = .9, .record_sets = true},
                                    {.top_k = 20, .record_sets = true},
                                    {.min_p = .05, .record_sets = true},
                                    {.record_sets = true},
                                    {.temperature = 0, .record_sets = true}}) {
    const Sampled s = sample_tokens(logits, uniforms, {}, o);
    const LogitTransform transform{.temperature = o.temperature > 0 ? o.temperature : 1};
    const RestrictedLogprob r = restricted_logprob(logits, s.token, s.sets, transform);
    EXPECT_FALSE(r.dropped.any().item<bool>());
    if (o.temperature == 0) {
      EXPECT_EQ(r.logprob.abs().max().item<double>(), 0);
      continue;
    }
    EXPECT_TRUE(at::allclose(r.logprob, s.logprob - s.kept.log(), 0, 2e-5));
    const Tensor mass = (r.lse - token_stats(logits, {}, transform).lse).exp();
    EXPECT_TRUE(at::allclose(mass, s.kept, 0, 2e-5));
  }
}

TEST(RestrictedLogprob, LinearFormIsThatOfTheLogits) {
  at::manual_seed(6);
  constexpr int64_t kRows = 37, kVocabulary = 300;
  const Tensor tokens = at::randint(0, kVocabulary, {kRows}, at::kLong);
  const KeptTokens kept = random_sets(tokens, kVocabulary, .2);
  const Tensor hidden = at::randn({kRows, 12}), weight = at::randn({kVocabulary, 12}),
               bias = at::randn({kVocabulary}), a = at::randn({kRows});
  const LogitTransform transform{.temperatures = at::rand({kRows}) + .5};
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const auto run = [&](bool linear, int64_t workspace) {
      std::vector<Tensor> in;
      for (const Tensor& t : {hidden, weight, bias})
        in.push_back(t.to(type).detach().requires_grad_());
      const RestrictedLogprob r =
          linear ? linear_restricted_logprob(in[0], in[1], in[2], tokens, kept, transform,
                                             {.workspace_bytes = workspace})
                 : restricted_logprob(at::linear(in[0], in[1], in[2]), tokens, kept, transform);
      auto all = torch::autograd::grad({(r.logprob * a.to(type) + r.lse).sum()}, in);
      all.push_back(r.logprob.detach());
      return all;
    };
    const auto expected = run(false, 0);
    for (const int64_t workspace : {int64_t{1}, int64_t{1} << 24}) {
      const auto found = run(true, workspace);
      for (size_t i = 0; i < 4; ++i)
        EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-5, 1e-5)) << i;
    }
  }
  EXPECT_EQ(
      linear_restricted_logprob(hidden.slice(0, 0, 0), weight, {}, tokens.slice(0, 0, 0), sets({}))
          .logprob.numel(),
      0);
}

TEST(RestrictedLogprob, ARowDependsOnItselfAloneOnAnyNumberOfThreads) {
  const Tensor logits = at::randn({20, 6'000}), tokens = at::randint(0, 6'000, {20}, at::kLong);
  const KeptTokens kept = random_sets(tokens, 6'000, .5);
  const RestrictedLogprob all = restricted_logprob(logits, tokens, kept);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  for (const int64_t row : {0, 7, 19}) {
    const RestrictedLogprob one =
        restricted_logprob(logits.narrow(0, row, 1), tokens.narrow(0, row, 1),
                           {kept.offsets.narrow(0, row, 2), kept.ids});
    EXPECT_TRUE(one.logprob.equal(all.logprob.narrow(0, row, 1)));
  }
  at::set_num_threads(before);
}

TEST(RestrictedLogprob, RefusesSetsThatAreNone) {
  const Tensor x = at::randn({1, 4}), token = at::tensor({1}, at::kLong);
  const auto text = [&](const KeptTokens& kept) {
    return test::refusal(Kind::bug, [&] { restricted_logprob(x, token, kept); });
  };
  EXPECT_NE(text(sets({{}})).find("row 0 kept no token"), std::string::npos);
  for (const std::vector<int32_t>& set :
       std::vector<std::vector<int32_t>>{{1, 0}, {1, 1}, {-1, 1}, {1, 4}})
    EXPECT_NE(text(sets({set})).find("must rise within [0, 4)"), std::string::npos);
  text(sets({{0}, {1}}));
  test::refusal(Kind::bug, [&] { restricted_logprob(x, at::tensor({4}, at::kLong), sets({{0}})); });
}

}  // namespace
}  // namespace guerdon::ops
