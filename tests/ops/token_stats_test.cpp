#include "guerdon/ops/token_stats.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "guerdon/base/error.h"
#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

const StatsRequest kAll{.entropy = true, .argmax = true, .mean_logit = true, .sum_squares = true};

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble).unsqueeze(0); }

/// Logits as a linear form: hidden is the identity's row, the weight holds the logits as a column
/// each.
TokenStats through_linear(const Tensor& logits, const Tensor& tokens,
                          const LogitTransform& transform) {
  return linear_token_stats(at::ones({1, 1}, logits.options()), logits.t(), {}, tokens, transform,
                            kAll);
}

// kernels.md section 9.
TEST(TokenStats, WorkedByHand) {
  const Tensor x = row({2, 1, 0.5, -1}), token = at::tensor({1}, at::kLong);
  for (const TokenStats& s : {token_stats(x, token, {}, kAll), through_linear(x, token, {})}) {
    EXPECT_NEAR(s.lse.item<double>(), 2.495182, 1e-6);
    EXPECT_NEAR(s.logprob.item<double>(), -1.495182, 1e-6);
    EXPECT_NEAR(s.entropy.item<double>(), 1.014403, 1e-6);
    EXPECT_EQ(s.argmax.item<int64_t>(), 0);
    EXPECT_NEAR(s.mean_logit.item<double>(), 0.625, 1e-12);
    EXPECT_NEAR(
        s.sum_squares.item<double>(),
        std::log(.609460 * .609460 + .224208 * .224208 + .135989 * .135989 + .030343 * .030343),
        1e-5);
  }
  const LogitTransform capped{.softcap = 3, .temperature = 0.5};
  for (const TokenStats& s :
       {token_stats(x, token, capped, kAll), through_linear(x, token, capped)}) {
    EXPECT_NEAR(s.lse.item<double>(), 3.754859, 1e-6);
    EXPECT_NEAR(s.logprob.item<double>(), -1.825783, 1e-6);
    EXPECT_NEAR(s.entropy.item<double>(), 0.687105, 1e-6);
  }
}

TEST(TokenStats, GradientsWorkedByHand) {
  const Tensor token = at::tensor({1}, at::kLong);
  Tensor x = row({2, 1, 0.5, -1}).requires_grad_();
  const auto gradient = [&](const Tensor& of) { return torch::autograd::grad({of}, {x})[0]; };
  EXPECT_TRUE(at::allclose(gradient(token_stats(x, token, {}, kAll).logprob.sum()),
                           row({-.609460, .775792, -.135989, -.030343}), 0, 1e-6));
  EXPECT_TRUE(at::allclose(gradient(through_linear(x, token, {}).entropy.sum()),
                           row({-.316444, .107794, .133375, .075275}), 0, 1e-6));
  const LogitTransform capped{.softcap = 3, .temperature = 0.5};
  EXPECT_TRUE(at::allclose(gradient(through_linear(x, token, capped).logprob.sum()),
                           row({-1.020223, 1.504380, -.122638, -.006097}), 0, 1e-6));
}

TEST(TokenStats, BothFormsHaveTheGradientsOfCentralDifferences) {
  const Tensor hidden = at::randn({5, 4}, at::kDouble), weight = at::randn({9, 4}, at::kDouble),
               bias = at::randn({9}, at::kDouble);
  const Tensor tokens = at::tensor({0, 8, 3, 3, 1}, at::kLong), a = at::randn({5}, at::kDouble),
               b = at::randn({5}, at::kDouble);
  for (const auto& transform : std::vector<LogitTransform>{
           {}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 2.0, .temperature = 1.3}}) {
    test::check_gradients(
        [&](const auto& in) {
          const TokenStats s =
              linear_token_stats(in[0], in[1], in[2], tokens, transform, {.entropy = true});
          return (s.logprob * a + s.entropy * b).sum();
        },
        {hidden, weight, bias});
    test::check_gradients(
        [&](const auto& in) {
          const TokenStats s = token_stats(in[0], tokens, transform, {.entropy = true});
          return (s.logprob * a + s.entropy * b).sum();
        },
        {at::randn({5, 9}, at::kDouble)});
  }
}

TEST(LinearTokenStats, DoesNotDependOnTheChunk) {
  const Tensor hidden = at::randn({100, 32}), weight = at::randn({501, 32}),
               tokens = at::randint(0, 501, {100}, at::kLong);
  const auto run = [&](int64_t bytes) {
    std::vector<Tensor> in{hidden.clone().requires_grad_(), weight.clone().requires_grad_()};
    const TokenStats s = linear_token_stats(in[0], in[1], {}, tokens, {}, {.entropy = true}, {},
                                            {.workspace_bytes = bytes});
    auto out = torch::autograd::grad({(s.logprob * 0.3 + s.entropy).sum()}, in);
    out.push_back(s.logprob);
    return out;
  };
  const auto small = run(1), large = run(int64_t{1} << 30);
  EXPECT_TRUE(small[2].equal(large[2]));
  for (size_t i = 0; i < 2; ++i)
    EXPECT_LE((small[i] - large[i]).norm().item<double>(), 1e-5 * large[i].norm().item<double>());
}

TEST(LinearTokenStats, HoldsKernelsMdTolerancesInFloat) {
  for (const double sigma : {1.0, 4.0}) {
    const Tensor hidden = at::randn({64, 128}),
                 weight = at::randn({5003, 128}) * (sigma / std::sqrt(128.0)),
                 tokens = at::randint(0, 5003, {64}, at::kLong);
    const TokenStats found = linear_token_stats(hidden, weight, {}, tokens, {}, {.entropy = true});
    const TokenStats expected = token_stats(
        hidden.to(at::kDouble).matmul(weight.to(at::kDouble).t()), tokens, {}, {.entropy = true});
    EXPECT_LE((found.logprob.to(at::kDouble) - expected.logprob).abs().max().item<double>(), 2e-5);
    EXPECT_LE((found.entropy.to(at::kDouble) - expected.entropy).abs().max().item<double>(), 2e-5);
  }
}

TEST(LinearTokenStats, TheKernelsGradientsAgreeWithDouble) {
  for (const auto& transform :
       std::vector<LogitTransform>{{}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 3.0}}) {
    const Tensor hidden = at::randn({37, 64}), weight = at::randn({4099, 64}) * 0.3,
                 bias = at::randn({4099});
    const Tensor tokens = at::randint(0, 4099, {37}, at::kLong), a = at::randn({37}),
                 b = at::randn({37});
    const auto run = [&](at::ScalarType type) {
      std::vector<Tensor> in;
      for (const Tensor& x : {hidden, weight, bias})
        in.push_back(x.to(type).detach().requires_grad_());
      const TokenStats s = linear_token_stats(in[0], in[1], in[2], tokens, transform, kAll);
      auto out =
          torch::autograd::grad({(s.logprob * a.to(type) + s.entropy * b.to(type)).sum()}, in);
      for (const Tensor& x : {s.logprob, s.entropy, s.lse, s.mean_logit, s.sum_squares})
        out.push_back(x.detach());
      EXPECT_TRUE(
          s.argmax.equal(token_stats(at::linear(hidden, weight, bias), tokens, {}, kAll).argmax));
      return out;
    };
    const auto found = run(at::kFloat), expected = run(at::kDouble);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
                1e-5 * expected[i].norm().item<double>())
          << "output " << i;
    }
  }
}

TEST(LinearTokenStats, ASecondBackwardPassGivesTheSame) {
  std::vector<Tensor> in{at::randn({9, 8}).requires_grad_(), at::randn({21, 8}).requires_grad_()};
  const Tensor loss =
      linear_token_stats(in[0], in[1], {}, at::randint(0, 21, {9}, at::kLong)).logprob.sum();
  const auto first = torch::autograd::grad({loss}, in, {}, true),
             second = torch::autograd::grad({loss}, in);
  EXPECT_TRUE(first[0].equal(second[0]) && first[1].equal(second[1]));
}

TEST(LinearTokenStats, NaNPoisonsItsOwnRowOnly) {
  Tensor hidden = at::randn({5, 8});
  const Tensor weight = at::randn({33, 8}), tokens = at::zeros({5}, at::kLong);
  const Tensor clean = linear_token_stats(hidden, weight, {}, tokens).logprob;
  hidden[2][3] = std::numeric_limits<float>::quiet_NaN();
  const TokenStats s = linear_token_stats(hidden, weight, {}, tokens, {}, {.entropy = true});
  EXPECT_TRUE(std::isnan(s.logprob[2].item<float>()) && std::isnan(s.entropy[2].item<float>()));
  for (const int64_t i : {0, 1, 3, 4})
    EXPECT_EQ(s.logprob[i].item<float>(), clean[i].item<float>());
}

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const StatsRequest kEverything{
    .entropy = true, .argmax = true, .mean_logit = true, .sum_squares = true, .raw_lse = true};
const std::vector<LogitTransform> kTransforms{
    {}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 5.0}, {.softcap = 3.0, .temperature = 2.0}};

/// kernels.md section 7, both of `found` and `expected` from the same rounded logits.
void expect_stats(const TokenStats& found, const TokenStats& expected) {
  const auto error = [](const Tensor& a, const Tensor& b) {
    return (a.to(at::kDouble) - b).abs().max().item<double>();
  };
  const double size =
      expected.lse.abs().max().item<double>() + expected.logprob.abs().max().item<double>();
  EXPECT_LE(error(found.lse, expected.lse), 2e-6 + 2.5e-7 * size);
  EXPECT_LE(error(found.logprob, expected.logprob), 2e-6 + 2.5e-7 * size);
  EXPECT_LE(error(found.entropy, expected.entropy), 1e-5);
  EXPECT_LE(error(found.sum_squares, expected.sum_squares), 1e-5);
  EXPECT_LE(error(found.mean_logit, expected.mean_logit), 2e-6 * (1 + size));
  EXPECT_LE(error(found.raw_lse, expected.raw_lse), 4e-6 + 2.5e-7 * size);
  EXPECT_TRUE(found.argmax.equal(expected.argmax));
}

// T1.
TEST(TokenStats, TheKernelHoldsKernelsMdTolerancesForEveryWidthAndType) {
  for (const int64_t columns : {1, 2, 3, 7, 8, 9, 31, 33, 255, 1000, 1024, 1025, 4095, 4096, 4097,
                                8192, 8193, 32000, 50257}) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const Tensor x = (at::randn({5, columns}) * 4).to(type);
      const Tensor tokens = at::randint(0, columns, {5}, at::kLong);
      for (const LogitTransform& transform : kTransforms) {
        SCOPED_TRACE(::guerdon::str(columns, " columns, softcap ", transform.softcap));
        expect_stats(token_stats(x, tokens, transform, kEverything),
                     token_stats(x.to(at::kDouble), tokens, transform, kEverything));
      }
    }
  }
}

TEST(TokenStats, TheKernelsGradientsHoldTheToleranceForEveryType) {
  for (const int64_t columns : {1, 9, 33, 1025, 4097}) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      for (const LogitTransform& transform : kTransforms) {
        const Tensor x = (at::randn({6, columns}) * 3).to(type);
        const Tensor tokens = at::randint(0, columns, {6}, at::kLong);
        const std::vector<Tensor> up{at::randn({6}), at::randn({6}), at::randn({6}),
                                     at::randn({6})};
        const auto gradient = [&](Tensor leaf) {
          leaf = leaf.detach().requires_grad_();
          const TokenStats s =
              token_stats(leaf, tokens, transform, {.entropy = true, .mean_logit = true});
          const auto take = [&](const Tensor& value, size_t i) {
            return (value * up[i].to(value.scalar_type())).sum();
          };
          return torch::autograd::grad({take(s.logprob, 0) + take(s.entropy, 1) + take(s.lse, 2) +
                                        take(s.mean_logit, 3)},
                                       {leaf})[0]
              .to(at::kDouble);
        };
        const Tensor expected = gradient(x.to(at::kDouble)), found = gradient(x);
        const double unit = type == at::kFloat ? 2e-5 : type == at::kHalf ? 1.0 / 1024 : 1.0 / 128;
        const double least = type == at::kHalf ? 1e-5 : 4e-6;
        EXPECT_TRUE(((found - expected).abs() <= least + unit * expected.abs()).all().item<bool>())
            << columns << " columns, softcap " << transform.softcap;
      }
    }
  }
}

// T3.
TEST(TokenStats, ExtremeRowsStayExact) {
  const Tensor tokens = at::zeros({1}, at::kLong);
  for (const double level : {-1000.0, 1000.0}) {
    const Tensor x = (at::rand({1, 5000}) + level);
    expect_stats(token_stats(x, tokens, {}, kEverything),
                 token_stats(x.to(at::kDouble), tokens, {}, kEverything));
  }
  Tensor huge = at::zeros({1, 5000});
  huge[0][0] = 1e4;
  huge.requires_grad_();
  const TokenStats s = token_stats(huge, tokens, {}, kEverything);
  EXPECT_EQ(s.logprob.item<float>(), 0);
  EXPECT_EQ(s.entropy.item<float>(), 0);
  EXPECT_TRUE(torch::autograd::grad({s.logprob.sum() + s.entropy.sum()}, {huge})[0]
                  .isfinite()
                  .all()
                  .item<bool>());
  const TokenStats flat = token_stats(at::full({1, 5000}, 3.25), tokens, {}, kEverything);
  EXPECT_NEAR(flat.logprob.item<double>(), -std::log(5000.0), 2e-6);
  EXPECT_NEAR(flat.entropy.item<double>(), std::log(5000.0), 5e-6);
}

// T4.
TEST(TokenStats, InfinitiesAndNaN) {
  for (const LogitTransform& transform : kTransforms) {
    Tensor x = at::randn({7, 4500});
    x[1].slice(0, 10, 4400).fill_(-kInf);
    x[2].fill_(-kInf);
    x[2][4200] = 1.5;
    x[3].fill_(-kInf);
    x[4][4300] = kNaN;
    x[5][17] = kInf;
    const Tensor tokens = at::tensor({3, 3, 4200, 3, 3, 3, 3}, at::kLong);
    const TokenStats s = token_stats(x, tokens, transform, kEverything);
    const TokenStats d = token_stats(x.to(at::kDouble), tokens, transform, kEverything);
    for (const int64_t row : {0, 1, 6}) {
      EXPECT_NEAR(s.logprob[row].item<double>(), d.logprob[row].item<double>(), 1e-5);
      EXPECT_NEAR(s.entropy[row].item<double>(), d.entropy[row].item<double>(), 1e-5);
    }
    EXPECT_EQ(s.logprob[2].item<float>(), 0);
    EXPECT_EQ(s.entropy[2].item<float>(), 0);
    EXPECT_EQ(s.logprob[3].item<double>(), -kInf);
    EXPECT_EQ(s.entropy[3].item<float>(), 0);
    EXPECT_TRUE(std::isnan(s.logprob[4].item<float>()) && std::isnan(s.entropy[4].item<float>()));
    if (transform.softcap == 0) {
      EXPECT_TRUE(std::isnan(s.lse[5].item<float>()));
    }

    Tensor leaf = x.clone().requires_grad_();
    const TokenStats t = token_stats(leaf, tokens, transform, {.entropy = true});
    const Tensor g = torch::autograd::grad({t.logprob.sum() + t.entropy.sum()}, {leaf})[0];
    for (const int64_t row : {0, 1, 2, 3, 6})
      EXPECT_TRUE(g[row].isfinite().all().item<bool>()) << row;
    EXPECT_EQ(g[1][100].item<float>(), 0);
  }
}

// T5.
TEST(TokenStats, RowsMayBeFurtherApartThanTheVocabulary) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Tensor wide = at::full({3, 1030}, kNaN).to(type);
    wide.narrow(1, 0, 1001).copy_(at::randn({3, 1001}));
    const Tensor x = wide.narrow(1, 0, 1001), tokens = at::tensor({1, 1000, 7}, at::kLong);
    EXPECT_TRUE(token_stats(x, tokens).logprob.equal(token_stats(x.contiguous(), tokens).logprob));
  }
}

TEST(TokenStats, AMaskMayBeAColumnOfAWiderTensor) {
  const Tensor x = at::randn({4, 50}), tokens = at::tensor({4, 3, 2, 0}, at::kLong);
  const Tensor masks = at::tensor({1, 0, 0, 1, 1, 0, 1, 1}).reshape({4, 2}).to(at::kBool);
  for (const int64_t i : {0, 1}) {
    const Tensor mask = masks.select(1, i);
    EXPECT_TRUE(token_stats(x, tokens, {}, {}, {.mask = mask})
                    .logprob.equal(token_stats(x, tokens).logprob * mask));
  }
}

// T6.
TEST(TokenStats, DeadRowsAreZeroAndNeverRead) {
  Tensor x = at::randn({5, 5001});
  x[1].fill_(kNaN), x[3].fill_(kNaN);
  const Tensor tokens = at::tensor({4, -100, 2, 0, 5000}, at::kLong);
  const LiveRows live{.mask = at::tensor({1, 1, 1, 0, 1}, at::kByte)};
  const Tensor rows = at::tensor({0, 2, 4}, at::kLong);
  const TokenStats alone =
      token_stats(x.index_select(0, rows), tokens.index_select(0, rows), {}, kEverything);
  for (const auto type : {at::kFloat, at::kDouble}) {
    Tensor leaf = x.to(type).requires_grad_();
    const TokenStats s = token_stats(leaf, tokens, {}, kEverything, live);
    if (type == at::kFloat) {
      EXPECT_TRUE(s.logprob.index_select(0, rows).equal(alone.logprob));
      EXPECT_TRUE(s.entropy.index_select(0, rows).equal(alone.entropy));
    }
    const Tensor g = torch::autograd::grad({s.logprob.sum() + s.entropy.sum()}, {leaf})[0];
    for (const int64_t row : {1, 3}) {
      EXPECT_EQ(s.logprob[row].item<double>(), 0);
      EXPECT_EQ(g[row].abs().sum().item<double>(), 0);
    }
    EXPECT_TRUE(g.isfinite().all().item<bool>());
  }
  const Tensor hidden = at::randn({3, 6}), weight = at::randn({11, 6});
  const TokenStats s = linear_token_stats(hidden, weight, {}, at::tensor({1, -100, 3}, at::kLong));
  EXPECT_EQ(s.logprob[1].item<float>(), 0);
  EXPECT_EQ(token_stats(x, at::full({5}, -100, at::kLong)).logprob.abs().sum().item<float>(), 0);
}

// T8.
TEST(TokenStats, ARowDoesNotDependOnTheOthersNorOnThreads) {
  const Tensor x = at::randn({64, 20000}), tokens = at::randint(0, 20000, {64}, at::kLong);
  const TokenStats many = token_stats(x, tokens, {}, kEverything);
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 5}) {
    at::set_num_threads(count);
    for (const int64_t row : {0, 31, 63}) {
      const TokenStats one =
          token_stats(x.narrow(0, row, 1), tokens.narrow(0, row, 1), {}, kEverything);
      EXPECT_EQ(one.logprob[0].item<float>(), many.logprob[row].item<float>());
      EXPECT_EQ(one.entropy[0].item<float>(), many.entropy[row].item<float>());
      EXPECT_EQ(one.mean_logit[0].item<float>(), many.mean_logit[row].item<float>());
    }
  }
  at::set_num_threads(threads);
}

// T9.
TEST(TokenStats, TemporaryLogitsTakeTheGradientInPlace) {
  const Tensor x = at::randn({4, 5000}), tokens = at::randint(0, 5000, {4}, at::kLong);
  Tensor own = x.clone().requires_grad_(), temporary = x.clone().requires_grad_();
  const Tensor apart = torch::autograd::grad({token_stats(own, tokens).logprob.sum()}, {own})[0];
  const Tensor loss = token_stats(temporary, tokens, {}, {}, {}, true).logprob.sum();
  const Tensor place = torch::autograd::grad({loss}, {temporary}, {}, true)[0];
  EXPECT_TRUE(apart.equal(place));
  EXPECT_EQ(place.data_ptr(), temporary.data_ptr());
  EXPECT_NE(test::refusal(Kind::bug, [&] { torch::autograd::grad({loss}, {temporary}); })
                .find("second backward"),
            std::string::npos);
}

// T10.
TEST(TokenStats, AShiftChangesNothing) {
  const Tensor x = (at::randn({8, 9000}) * 256).round() / 256;
  const Tensor tokens = at::randint(0, 9000, {8}, at::kLong);
  const TokenStats a = token_stats(x, tokens, {}, {.entropy = true}),
                   b = token_stats(x + 100, tokens, {}, {.entropy = true});
  EXPECT_LE((a.logprob - b.logprob).abs().max().item<double>(), 2e-5);
  EXPECT_LE((a.entropy - b.entropy).abs().max().item<double>(), 2e-5);
}

TEST(TokenStats, EachRowMayHaveItsOwnTemperature) {
  const Tensor x = at::randn({3, 300}), tokens = at::tensor({5, 6, 7}, at::kLong);
  const LogitTransform rows{.softcap = 4.0, .temperatures = at::tensor({0.5f, 1.0f, 3.0f})};
  const TokenStats together = token_stats(x, tokens, rows, {.entropy = true});
  const TokenStats wide = token_stats(x.to(at::kDouble), tokens, rows, {.entropy = true});
  for (const int64_t row : {0, 1, 2}) {
    const LogitTransform one{.softcap = 4.0, .temperature = rows.temperatures[row].item<double>()};
    const TokenStats alone =
        token_stats(x.narrow(0, row, 1), tokens.narrow(0, row, 1), one, {.entropy = true});
    EXPECT_EQ(together.logprob[row].item<float>(), alone.logprob[0].item<float>());
    EXPECT_NEAR(together.entropy[row].item<double>(), wide.entropy[row].item<double>(), 1e-5);
  }
}

// T14: two rows more than 2^31 elements apart; only the pages that are touched exist.
TEST(TokenStats, IndexesBeyondTwoToTheThirtyOne) {
  const int64_t stride = (int64_t{1} << 31) + 64;
  const Tensor lazy = at::empty({stride + 16}, at::kBFloat16);
  const Tensor x = lazy.as_strided({2, 16}, {stride, 1});
  x.copy_(at::randn({2, 16}));
  const Tensor tokens = at::tensor({3, 4}, at::kLong);
  EXPECT_TRUE(token_stats(x, tokens).logprob.equal(token_stats(x.contiguous(), tokens).logprob));
}

TEST(LinearTokenStats, LogitsOfABfloat16ModelAreFloat32UnlessAskedOtherwise) {
  const Tensor hidden = at::randn({40, 64}).to(at::kBFloat16),
               weight = (at::randn({6000, 64}) * 0.5).to(at::kBFloat16),
               tokens = at::randint(0, 6000, {40}, at::kLong);
  const TokenStats exact =
      token_stats(hidden.to(at::kDouble).matmul(weight.to(at::kDouble).t()), tokens);
  const auto error = [&](bool wide) {
    const TokenStats s =
        linear_token_stats(hidden, weight, {}, tokens, {}, {}, {}, {.float_logits = wide});
    return (s.logprob.to(at::kDouble) - exact.logprob).abs().max().item<double>();
  };
  EXPECT_LE(error(true), 2e-5);
  EXPECT_GT(error(false), 1e-3);
  std::vector<Tensor> in{hidden.clone().requires_grad_(), weight.clone().requires_grad_()};
  std::vector<Tensor> reference{hidden.to(at::kDouble).requires_grad_(),
                                weight.to(at::kDouble).requires_grad_()};
  const auto found =
      torch::autograd::grad({linear_token_stats(in[0], in[1], {}, tokens).logprob.sum()}, in);
  const auto expected = torch::autograd::grad(
      {linear_token_stats(reference[0], reference[1], {}, tokens).logprob.sum()}, reference);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
              5e-3 * expected[i].norm().item<double>());
  }
}

TEST(GatherLogprobs, GivesTheLogProbsOfSeveralTokens) {
  const Tensor x = row({2, 1, 0.5, -1}).requires_grad_(),
               ids = at::tensor({1, 1, -1, 0}, at::kLong).unsqueeze(0);
  const Tensor found = gather_logprobs(x, ids);
  EXPECT_TRUE(at::allclose(found, row({-1.495182, -1.495182, 0, -0.495182}), 0, 1e-6));
  // Two copies of d logp[1] (kernels.md section 9): duplicates accumulate.
  EXPECT_TRUE(at::allclose(torch::autograd::grad({found.narrow(1, 0, 3).sum()}, {x})[0],
                           2 * row({-.609460, .775792, -.135989, -.030343}), 0, 2e-6));
  const Tensor single = x.detach().to(at::kFloat);
  EXPECT_TRUE(at::allclose(gather_logprobs(single, ids).to(at::kDouble), found, 0, 1e-6));
  EXPECT_NE(test::refusal(Kind::bug, [&] { gather_logprobs(single, ids + 4); }).find("[-1, 4)"),
            std::string::npos);
}

TEST(TokenStats, TakesMaskedLogitsAndEmptyBatches) {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor token = at::tensor({1}, at::kLong);
  const TokenStats s = token_stats(row({-inf, 1, 1, -inf}), token, {}, kAll);
  EXPECT_NEAR(s.logprob.item<double>(), -std::log(2.0), 1e-12);
  EXPECT_NEAR(s.entropy.item<double>(), std::log(2.0), 1e-12);
  EXPECT_EQ(linear_token_stats(at::zeros({0, 4}), at::zeros({9, 4}), {}, at::zeros({0}, at::kLong))
                .logprob.numel(),
            0);
  EXPECT_NE(test::refusal(Kind::bug,
                          [&] {
                            token_stats(row({1, 2}), at::tensor({2}, at::kLong));
                          })
                .find("outside [0, 2)"),
            std::string::npos);
}

TEST(TokenStats, RefusesSecondDerivativesButInDouble) {
  const auto twice = [](at::ScalarType type) {
    const Tensor x = at::randn({2, 5}, type).requires_grad_();
    const Tensor logprob = token_stats(x, at::tensor({1, 4}, at::kLong)).logprob.sum();
    const Tensor g = torch::autograd::grad({logprob}, {x}, {}, true, true)[0];
    return torch::autograd::grad({g.square().sum()}, {x})[0];
  };
  EXPECT_GT(twice(at::kDouble).abs().sum().item<double>(), 0);
  EXPECT_NE(test::refusal(Kind::bug, [&] { twice(at::kFloat); }).find("second derivative"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::ops
