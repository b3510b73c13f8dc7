// Expected numbers: TRL 1.16.0's own loss on the same log-probs, value and gradient (evaluation
// mode, one process, float64).
#include "guerdon/loss/policy.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "support/errors.h"

namespace guerdon::loss {
namespace {

using Numbers = std::vector<double>;

Tensor row(const Numbers& values) { return at::tensor(values, at::kDouble); }

// Two rows of three tokens, the last token of the second masked.
PolicyTokens tokens() {
  return {.logprobs = row({-1, -2, -.5, -.7, -1.2, -9}).requires_grad_(),
          .old = row({-1.2, -1.7, -.5, -.9, -1, -3}),
          .reference = row({-1.1, -2.2, -.4, -.6, -1.5, -4}),
          .entropy = row({.1, .9, .5, .7, .3, .2}),
          .advantage = row({1, 1, 1, -.5, -.5, -.5}),
          .row = at::tensor(std::vector<int64_t>{0, 0, 0, 1, 1, 1}),
          .weight = row({1, 1, 1, 1, 1, 0}),
          .rows = 2};
}

Totals totals(const PolicyTokens& t) {
  Totals whole;
  whole.rows = static_cast<double>(t.rows);
  whole.target_weight = t.weight.sum().item<double>();
  return whole;
}

struct Case {
  std::string name;
  double loss;
  Numbers gradient;  // of the six tokens
  PolicyOptions options;
  std::function<void(PolicyTokens&)> change = [](PolicyTokens&) {};
  Divisors divisors = {};
};

std::vector<Case> cases() {
  const double s = -.161203, d = -.193443;
  const auto masks = [](Numbers weight) {
    return [weight](PolicyTokens& t) { t.weight = row(weight); };
  };
  const auto rollout = [](Numbers ratio) {
    return [ratio](PolicyTokens& t) { t.factor = row(ratio); };
  };
  const auto on_policy = [](PolicyTokens& t) { t.old = Tensor(); };
  return {
      {"grpo", -.235120, {0, -.123470, -.166667, .152675, .102341, 0}, {.loss_type = "grpo"}},
      {"bnpo", -.384150, {0, -.148164, -.2, .122140, .081873, 0}, {.loss_type = "bnpo"}},
      {"dapo", -.384150, {0, -.148164, -.2, .122140, .081873, 0}, {.loss_type = "dapo"}},
      {"dr_grpo",
       -.240094,
       {0, -.092602, -.125, .076338, .051171, 0},
       {.loss_type = "dr_grpo"},
       [](PolicyTokens&) {},
       {.max_completion_length = 4}},
      {"GSPO",
       -.233608,
       {s, s, s, .125, .125, 0},
       {.loss_type = "grpo", .importance_sampling_level = "sequence"}},
      {"dapo, sequence",
       -.380330,
       {d, d, d, .1, .1, 0},
       {.loss_type = "dapo", .importance_sampling_level = "sequence"}},
      {"luspo, sequence",
       -.950824,
       {-.483608, -.483608, -.483608, .25, .25, 0},
       {.loss_type = "luspo", .importance_sampling_level = "sequence"}},
      {"luspo, token", -.960376, {0, -.370409, -.5, .305351, .204683, 0}, {.loss_type = "luspo"}},
      {"sapo",
       -.512642,
       {-.201093, -.121419, -.166667, .150631, .101420, 0},
       {.loss_type = "sapo"}},
      {"sapo, sequence",
       -.507419,
       {-.161159, -.161159, -.161159, .125, .125, 0},
       {.loss_type = "sapo", .importance_sampling_level = "sequence"}},
      {"cispo 5",
       .456862,
       {-.244281, -.148164, -.2, .122140, .081873, 0},
       {.loss_type = "cispo", .epsilon_high = 5.0}},
      {"cispo 1.1",
       .441080,
       {-.22, -.148164, -.2, .11, .081873, 0},
       {.loss_type = "cispo", .epsilon_high = 1.1}},
      {"vespo", .572474, {-.217850, -.217850, -.217850, .1, .1, 0}, {.loss_type = "vespo"}},
      {"gmpo", -.233608, {s, s, s, .125, .125, 0}, {.loss_type = "gmpo", .epsilon = .4}},
      {"gmpo .1",
       -.204936,
       {0, -.155918, -.155918, .131409, 0, 0},
       {.loss_type = "gmpo", .epsilon = .1}},
      {"epsilon_high",
       -.238687,
       {-.203567, -.123470, -.166667, .152675, .102341, 0},
       {.loss_type = "grpo", .epsilon_high = .28}},
      {"delta",
       -.221128,
       {0, -.123470, -.166667, 0, .102341, 0},
       {.loss_type = "grpo", .delta = 1.1}},
      {"beta",
       -.234556,
       {.000814, -.122482, -.167333, .151454, .104798, 0},
       {.loss_type = "grpo", .beta = .04}},
      {"beta, uncorrected",
       -.234468,
       {.000634, -.122261, -.167368, .151624, .104933, 0},
       {.loss_type = "grpo", .beta = .04, .use_bias_correction_kl = false}},
      {"dapo, beta",
       -.383633,
       {.000977, -.146978, -.2008, .121163, .083838, 0},
       {.loss_type = "dapo", .beta = .04}},
      {"dapo, beta, uncorrected",
       -.383552,
       {.000761, -.146713, -.200841, .121299, .083947, 0},
       {.loss_type = "dapo", .beta = .04, .use_bias_correction_kl = false}},
      {"GSPO, beta",
       -.232963,
       {-.160527, -.159972, -.161819, .124178, .127822, 0},
       {.loss_type = "grpo", .importance_sampling_level = "sequence", .beta = .04}},
      {"gmpo, beta",
       -.232957,
       {-.160568, -.159994, -.161904, .123948, .127592, 0},
       {.loss_type = "gmpo", .epsilon = .4, .beta = .04}},
      {"on-policy",
       -.25,
       {-.166667, -.166667, -.166667, .125, .125, 0},
       {.loss_type = "grpo"},
       on_policy},
      {"on-policy, beta",
       -.249349,
       {-.166, -.165333, -.167333, .124, .128, 0},
       {.loss_type = "grpo", .beta = .04},
       on_policy},
      {"on-policy, uncorrected",
       -.249349,
       {-.166032, -.165458, -.167368, .123948, .127592, 0},
       {.loss_type = "grpo", .beta = .04, .use_bias_correction_kl = false},
       on_policy},
      {"top_entropy_quantile",
       .029206,
       {0, -.123470, 0, .152675, 0, 0},
       {.loss_type = "grpo", .top_entropy_quantile = .4}},
      {"off_policy_mask",
       -.490136,
       {0, -.123470, -.166667, 0, 0, 0},
       {.loss_type = "grpo", .off_policy_mask_threshold = -.05}},
      {"entropy_coef",
       -.240120,
       {0, -.123470, -.166667, .152675, .102341, 0},
       {.loss_type = "grpo", .entropy_coef = .01}},
      {"rollout ratio of sequences",
       -.607132,
       {.000814, -.184217, -.250667, .075116, .053627, 0},
       {.loss_type = "grpo", .beta = .04},
       rollout({1.5, 1.5, 1.5, .5, .5, .5})},
      {"rollout ratio of tokens",
       -.148881,
       {.000814, -.122482, -.084, .151454, .207139, 0},
       {.loss_type = "grpo", .beta = .04},
       rollout({1.5, 1, .5, 1, 2, 1})},
      {"vespo, rollout ratio",
       .639709,
       {-.241548, -.241548, -.241548, .108268, .108268, 0},
       {.loss_type = "vespo"},
       rollout({1.5, 1, .5, 1, 2, 1})},
      {"tool mask",
       -.294983,
       {0, 0, -.25, .152675, .102341, 0},
       {.loss_type = "grpo"},
       masks({1, 0, 1, 1, 1, 0})},
      {"row 2 masked",
       -.490136,
       {0, -.123470, -.166667, 0, 0, 0},
       {.loss_type = "grpo"},
       masks({1, 1, 1, 0, 0, 0})},
      {"dapo, row 2 masked",
       -.980273,
       {0, -.246939, -.333333, 0, 0, 0},
       {.loss_type = "dapo"},
       masks({1, 1, 1, 0, 0, 0})},
  };
}

/// float64 goes through the formula, float32 through the kernel.
PolicyTokens as(at::ScalarType type, PolicyTokens t) {
  for (Tensor* values : {&t.logprobs, &t.old, &t.reference, &t.sampling, &t.entropy, &t.factor,
                         &t.advantage, &t.weight}) {
    if (values->defined()) *values = values->detach().to(type);
  }
  t.logprobs.requires_grad_();
  return t;
}
std::vector<std::pair<at::ScalarType, Case>> with_types(const std::vector<Case>& all) {
  std::vector<std::pair<at::ScalarType, Case>> out;
  for (const Case& c : all) {
    out.emplace_back(at::kDouble, c);
    out.emplace_back(at::kFloat, c);
  }
  return out;
}

TEST(PolicyLoss, EqualsTrlInValueAndGradient) {
  for (const auto& [type, c] : with_types(cases())) {
    PolicyTokens t = tokens();
    c.change(t);
    t = as(type, t);
    const PolicyLoss out = policy_loss(t, c.options, totals(t), c.divisors);
    out.value.backward();
    EXPECT_NEAR(out.value.item<double>(), c.loss, 1e-6) << c.name;
    for (int64_t i = 0; i < 6; ++i) {
      EXPECT_NEAR(t.logprobs.grad()[i].item<double>(), c.gradient[static_cast<size_t>(i)], 1e-6)
          << c.name << ", token " << i;
    }
  }
}

// T18: the kernel against the formula in float64, from the same float32 numbers.
void expect_the_formula(const PolicyTokens& given, const PolicyOptions& options,
                        const Divisors& divisors, const std::string& name) {
  const PolicyTokens one = as(at::kFloat, given), other = as(at::kDouble, one);
  const PolicyLoss found = policy_loss(one, options, totals(one), divisors);
  const PolicyLoss expected = composed_policy_loss(other, options, totals(other), divisors);
  found.value.backward();
  expected.value.backward();
  const auto size = [](const Tensor& x) { return 1.0 + std::abs(x.item<double>()); };
  EXPECT_NEAR(found.value.item<double>(), expected.value.item<double>(),
              3e-6 * size(expected.value))
      << name;
  const Tensor wanted = other.logprobs.grad(), got = one.logprobs.grad().to(at::kDouble);
  EXPECT_LE((got - wanted).abs().max().item<double>(),
            3e-6 * (1e-3 + wanted.abs().max().item<double>()))
      << name;
  EXPECT_EQ(found.sums.live, expected.sums.live);
  using Sums = ops::PolicySums;
  for (Tensor Sums::*sum :
       {&Sums::low, &Sums::high, &Sums::least_low, &Sums::most_high, &Sums::kl, &Sums::k1,
        &Sums::k2, &Sums::k3, &Sums::entropy, &Sums::difference, &Sums::largest_difference}) {
    const Tensor &a = found.sums.*sum, &b = expected.sums.*sum;
    ASSERT_EQ(a.defined(), b.defined()) << name;
    if (b.defined()) {
      EXPECT_NEAR(a.item<double>(), b.item<double>(), 3e-6 * size(b)) << name;
    }
  }
}

/// Rows of 1 to 400 tokens in mixed order, some masked; ratios, and log-ratios beyond 20, of all
/// sizes. A third of the advantages are 0.
PolicyTokens many(int64_t n, int64_t rows) {
  const auto normal = [&](double deviation) { return at::randn({n}, at::kDouble) * deviation; };
  PolicyTokens t{.logprobs = -normal(2).abs(), .rows = rows};
  t.old = t.logprobs + normal(.3) + 30 * (at::rand({n}, at::kDouble) < .02);
  t.reference = t.logprobs + normal(.5) - 30 * (at::rand({n}, at::kDouble) < .02);
  t.sampling = t.old + normal(1e-3);
  t.entropy = normal(2).abs();
  t.row = at::randint(0, rows, {n}, at::kLong);
  t.advantage = (at::randn({rows}, at::kDouble) * (at::rand({rows}, at::kDouble) < .67))
                    .index_select(0, t.row);
  t.weight = (at::rand({n}, at::kDouble) < .9).to(at::kDouble) * at::randint(1, 3, {n});
  return t;
}

TEST(PolicyLoss, TheKernelComputesTheFormula) {
  at::manual_seed(3);
  for (const auto& [n, rows] : {std::pair<int64_t, int64_t>{1, 1}, {5, 2}, {33, 40}, {2'500, 7}}) {
    const PolicyTokens t = many(n, rows);
    for (const Case& c : cases()) {
      PolicyTokens changed = t;
      if (c.name.find("on-policy") == 0) changed.old = Tensor();
      if (c.name.find("ratio of") != std::string::npos || c.name.find("vespo, r") == 0)
        changed.factor = at::rand({n}, at::kDouble) + .5;
      expect_the_formula(changed, c.options, {.max_completion_length = 64},
                         str(c.name, ", ", n, " tokens"));
    }
  }
}

TEST(PolicyLoss, ExactlyAtTheBoundsTheUnclippedBranchGivesTheGradient) {
  PolicyTokens t = as(at::kFloat, tokens());
  t.old = t.logprobs.detach().clone();  // every ratio is 1, and 1 is the bound
  const PolicyOptions options{.loss_type = "bnpo", .epsilon = 0.0, .delta = 1.0};
  expect_the_formula(t, options, {}, "ratio 1");
  policy_loss(t, options, totals(t), {}).value.backward();
  EXPECT_NEAR(t.logprobs.grad()[0].item<double>(), -1.0 / 5, 1e-7);
  EXPECT_NEAR(t.logprobs.grad()[3].item<double>(), .5 / 5, 1e-7);
}

TEST(PolicyLoss, HasTheSameBitsAgainAndOnAnyNumberOfThreads) {
  at::manual_seed(5);
  const PolicyTokens t = as(at::kFloat, many(40'000, 300));
  const auto run = [&](int threads, const PolicyOptions& options) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    t.logprobs.mutable_grad() = Tensor();
    const PolicyLoss out = policy_loss(t, options, totals(t), {});
    out.value.backward();
    at::set_num_threads(before);
    return std::pair(out.value.detach(), t.logprobs.grad());
  };
  for (const char* level : {"token", "sequence"}) {
    const PolicyOptions options{
        .loss_type = "grpo", .importance_sampling_level = level, .beta = .1};
    const auto one = run(1, options);
    for (const int threads : {1, 2, 5}) {
      const auto other = run(threads, options);
      EXPECT_TRUE(other.first.equal(one.first));
      EXPECT_TRUE(other.second.equal(one.second));
    }
  }
}

TEST(PolicyLoss, ANaNStaysInItsRow) {
  PolicyTokens t = as(at::kFloat, tokens());
  t.logprobs = t.logprobs.detach().clone();
  t.logprobs[0] = std::numeric_limits<double>::quiet_NaN();
  t.logprobs.requires_grad_();
  for (const char* level : {"token", "sequence"}) {
    t.logprobs.mutable_grad() = Tensor();
    policy_loss(t, {.loss_type = "grpo", .importance_sampling_level = level}, totals(t), {})
        .value.backward();
    EXPECT_TRUE(t.logprobs.grad().slice(0, 3).isfinite().all().item<bool>());
    EXPECT_TRUE(t.logprobs.grad()[0].isnan().item<bool>() ||
                t.logprobs.grad()[0].item<double>() == 0.0);
  }
}

TEST(PolicyLoss, OnlyTheFormulaHasASecondDerivative) {
  const auto twice = [](at::ScalarType type, auto loss) {
    const PolicyTokens t = as(type, tokens());
    const Tensor value =
        loss(t, PolicyOptions{.loss_type = "grpo", .beta = .04}, totals(t), Divisors{}).value;
    const Tensor gradient = torch::autograd::grad({value}, {t.logprobs}, {}, true, true)[0];
    return torch::autograd::grad({gradient.square().sum()}, {t.logprobs})[0];
  };
  EXPECT_GT(twice(at::kFloat, composed_policy_loss).abs().sum().item<double>(), 0.0);
  EXPECT_GT(twice(at::kDouble, policy_loss).abs().sum().item<double>(), 0.0);
  test::refusal(Kind::bug, [&] { twice(at::kFloat, policy_loss); });
}

TEST(PolicyLoss, AccumulatesAsTrlDoes) {
  // A micro-batch of 2 rows (5 tokens) in a step of `rows` rows, out of a collect of 20 tokens:
  // accumulation 4, then 2.
  const auto share = [](const std::string& loss_type, double rows) {
    const PolicyTokens t = tokens();
    Totals whole;
    whole.rows = rows;
    whole.target_weight = rows * 2.5;
    return policy_loss(t, {.loss_type = loss_type}, whole,
                       {.max_completion_length = 4, .generation_tokens = rows * 2.5})
        .value.item<double>();
  };
  const std::vector<std::pair<std::string, double>> expected = {
      {"grpo", -.058780}, {"dapo", -.096038}, {"bnpo", -.096038}, {"dr_grpo", -.060023}};
  for (const auto& [loss_type, value] : expected) {
    EXPECT_NEAR(share(loss_type, 8), value, 1e-6) << loss_type;
    EXPECT_NEAR(share(loss_type, 4), 2 * value, 1e-6) << loss_type;
  }
}

TEST(PolicyLoss, LogsKlAndClippedSharesAsTrlDoes) {
  const PolicyTokens t = tokens();
  const auto kl = [&](const PolicyOptions& o) {
    return policy_loss(t, o, totals(t), {}).sums.kl.item<double>() / 5;
  };
  EXPECT_NEAR(kl({.loss_type = "grpo", .beta = .04}), .012938, 1e-6);
  EXPECT_NEAR(kl({.loss_type = "grpo", .beta = .04, .use_bias_correction_kl = false}), .014946,
              1e-6);
  EXPECT_NEAR(kl({.loss_type = "grpo", .importance_sampling_level = "sequence", .beta = .04}),
              .014757, 1e-6);
  const PolicyLoss plain = policy_loss(t, {.loss_type = "grpo"}, totals(t), {});
  EXPECT_EQ(plain.sums.low.item<double>(), 0.0);
  EXPECT_NEAR(plain.sums.high.item<double>() / 5, .2, 1e-12);
  EXPECT_NEAR(plain.sums.most_high.item<double>(), .333333, 1e-6);
}

TEST(PolicyLoss, NeverReadsAMaskedToken) {
  for (const auto& [type, c] : with_types(cases())) {
    PolicyTokens t = tokens();
    c.change(t);
    t = as(type, t);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Tensor masked = t.weight == 0;
    for (Tensor* values : {&t.old, &t.reference, &t.entropy, &t.advantage}) {
      if (values->defined()) *values = values->masked_fill(masked, nan);
    }
    t.logprobs = t.logprobs.detach().masked_fill(masked, nan).requires_grad_();
    const PolicyLoss out = policy_loss(t, c.options, totals(t), c.divisors);
    out.value.backward();
    EXPECT_NEAR(out.value.item<double>(), c.loss, 1e-6) << c.name;
    EXPECT_TRUE(t.logprobs.grad().isfinite().all().item<bool>()) << c.name;
    EXPECT_EQ(t.logprobs.grad().masked_select(masked).abs().sum().item<double>(), 0.0) << c.name;
  }
}

TEST(PolicyLoss, AllTokensMaskedIsALossOfZero) {
  for (const auto& [type, c] : with_types(cases())) {
    PolicyTokens t = tokens();
    c.change(t);
    t = as(type, t);
    t.weight = at::zeros({6}, type);
    const PolicyLoss out = policy_loss(t, c.options, totals(t), c.divisors);
    out.value.backward();
    EXPECT_EQ(out.value.item<double>(), 0.0) << c.name;
    EXPECT_EQ(t.logprobs.grad().abs().sum().item<double>(), 0.0) << c.name;
  }
}

TEST(PolicyLoss, SharesOfTwoPartsAddUp) {
  for (const Case& c : cases()) {
    if (c.options.top_entropy_quantile < 1) continue;  // needs the whole step at once
    PolicyTokens whole = tokens();
    c.change(whole);
    const auto part = [&](int64_t begin, int64_t end) {
      PolicyTokens t = whole;
      for (Tensor* values :
           {&t.logprobs, &t.old, &t.reference, &t.entropy, &t.factor, &t.advantage, &t.weight}) {
        if (values->defined()) *values = values->slice(0, begin, end);
      }
      t.row = at::zeros({end - begin}, at::kLong);
      t.rows = 1;
      return policy_loss(t, c.options, totals(whole), c.divisors).value.item<double>();
    };
    EXPECT_NEAR(part(0, 3) + part(3, 6), c.loss, 1e-6) << c.name;
  }
}

TEST(PolicyLoss, SendsNoGradientToOldReferenceOrAdvantage) {
  PolicyTokens t = tokens();
  t.old.requires_grad_();
  t.reference.requires_grad_();
  policy_loss(t, {.loss_type = "grpo", .beta = .04}, totals(t), {}).value.backward();
  EXPECT_FALSE(t.old.grad().defined());
  EXPECT_FALSE(t.reference.grad().defined());
}

TEST(PolicyLoss, AnExplodingRatioStaysFinite) {
  PolicyTokens t = tokens();
  t.old = row({-1000, -1.7, -.5, -.9, -1000, -3});
  const PolicyLoss out = policy_loss(t, {.loss_type = "grpo"}, totals(t), {});
  out.value.backward();
  EXPECT_TRUE(std::isfinite(out.value.item<double>()));
  EXPECT_TRUE(t.logprobs.grad().isfinite().all().item<bool>());
}

TEST(PolicyOptions, CispoNeedsAnExplicitLargestRatio) {
  std::vector<std::string> warnings;
  EXPECT_EQ(test::refusal(Kind::settings,
                          [&] { check_policy({.loss_type = "cispo"}, "grpo.json", warnings); }),
            "grpo.json: key epsilon_high: must be given with loss_type cispo, where it is the "
            "largest ratio itself (5.0 is usual)");
  check_policy({.loss_type = "cispo", .epsilon_high = 5.0}, "grpo.json", warnings);
  EXPECT_TRUE(warnings.empty());
  check_policy({.loss_type = "luspo"}, "grpo.json", warnings);
  EXPECT_EQ(warnings.size(), 1u);
}

// ---- masks and corrections

TEST(HighEntropyMask, KeepsTheTokensOverTheQuantile) {
  const Tensor active = row({.1, .2, .3, .4, .5, .6, .7, .8, .9, 1.0});
  const auto kept = [&](double share) {
    return high_entropy_mask(active, share).sum().item<double>();
  };
  EXPECT_EQ(kept(.2), 2);
  EXPECT_EQ(kept(.5), 5);
  EXPECT_EQ(kept(1), 10);
  EXPECT_EQ(kept(0), 1);
  EXPECT_EQ(high_entropy_mask(row({}), .5).numel(), 0);
  // TRL's second example: active entropies of two rows, threshold .8.
  const Tensor second = high_entropy_mask(row({.1, .2, .3, 1.4, .5, .6, .7, .8}), .2);
  EXPECT_TRUE(at::equal(second, row({0, 0, 0, 1, 0, 0, 0, 1})));
}

TEST(OffPolicyMask, DropsNegativeRowsThatDrifted) {
  // Sampling minus current log-prob 2, 0.5, 2 on each token; advantages 1, -1, -1; threshold 1.
  PolicyTokens t{.logprobs = row({-1, -1, -1, -1, -1, -1}),
                 .sampling = row({1, 1, -.5, -.5, 1, 1}),
                 .advantage = row({1, 1, -1, -1, -1, -1}),
                 .row = at::tensor(std::vector<int64_t>{0, 0, 1, 1, 2, 2}),
                 .weight = row({1, 1, 1, 1, 1, 1}),
                 .rows = 3};
  EXPECT_TRUE(at::equal(off_policy_mask(t, 1.0), row({1, 1, 1, 1, 0, 0})));
  // A token that the engine could not score is no evidence.
  t.sampling = row({1, 1, -.5, -.5, std::numeric_limits<double>::quiet_NaN(), -.5});
  EXPECT_TRUE(at::equal(off_policy_mask(t, 1.0), row({1, 1, 1, 1, 1, 1})));
}

TEST(RolloutRatio, TruncatesOrMasksByTokenOrSequence) {
  const Tensor old = row({-1, -2, -.5, -.7, -1.2}), sampling = row({-1.2, -1.9, -2, -1, -1.6});
  const Tensor sequence = at::tensor(std::vector<int64_t>{0, 0, 0, 1, 1});
  const auto ratio = [&](const std::string& mode, std::optional<double> low = {}) {
    return rollout_ratio(old, sampling, sequence, 2, {.mode = mode, .clip_min = low});
  };
  const auto expect = [](const Tensor& actual, const Numbers& expected) {
    EXPECT_TRUE(at::allclose(actual, row(expected), 0, 1e-6)) << actual;
  };
  expect(ratio("token_truncate"), {1.221403, .904837, 3, 1.349859, 1.491825});
  expect(ratio("token_mask"), {1.221403, .904837, 0, 1.349859, 1.491825});
  expect(ratio("sequence_truncate"), {3, 3, 3, 2.013753, 2.013753});
  expect(ratio("sequence_mask"), {0, 0, 0, 2.013753, 2.013753});
  expect(ratio("token_truncate", .95), {1.221403, .95, 3, 1.349859, 1.491825});
  expect(ratio("token_mask", .95), {1.221403, 0, 0, 1.349859, 1.491825});
}

TEST(Policy, ExplainsEveryLossTypeWithItsDenominator) {
  PolicyOptions options;
  const SettingList list = settings_of(options);
  for (const std::string& name : list.find("loss_type")->allowed.choices) {
    options.loss_type = name;
    options.epsilon_high = 0.5;
    const PolicyFormula formula = explain(options, {.rows = 6}, {.max_completion_length = 20});
    EXPECT_EQ(formula.term.size(), 2u) << name;
    EXPECT_EQ(formula.divided.size(), 1u) << name;
    EXPECT_EQ(formula.kl.size(), 1u) << name;
  }
  options.loss_type = "cispo";
  EXPECT_EQ(
      explain(options, {}, {}).term[0],
      "-min(r, epsilon_high) A log p, with no gradient through the minimum  =  -min(r, 0.5) A "
      "log p, with no gradient through the minimum");
  options = {.loss_type = "grpo",
             .delta = 2.0,
             .beta = 0.04,
             .use_bias_correction_kl = false,
             .top_entropy_quantile = 0.2,
             .off_policy_mask_threshold = 0.5,
             .entropy_coef = 0.01};
  const PolicyFormula all = explain(options, {.rows = 6}, {});
  EXPECT_EQ(all.term.size(), 5u);
  EXPECT_EQ(all.kl[0], "+ beta k3  =  + 0.04 k3, inside the loss of each token");
  EXPECT_EQ(all.divided[0],
            "sum over rows of the mean over their tokens / (rows of the step)  =  sum over rows of "
            "the mean over their tokens / 6");
  EXPECT_EQ(all.divided.size(), 2u);
}

}  // namespace
}  // namespace guerdon::loss
