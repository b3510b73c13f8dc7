#include "guerdon/ops/scan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"

namespace guerdon::ops {
namespace {

Tensor numbers(const std::vector<double>& values, at::ScalarType type = at::kDouble) {
  return at::tensor(values, at::kDouble).to(type);
}
Tensor offsets(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

TEST(Gae, WorkedByHand) {
  // kernels.md 9.
  const GaeOptions options{.gamma = .99, .lambda = .95};
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const Tensor r = numbers({0, 0, 0, 1}, type), v = numbers({.1, .2, .3, .4}, type);
    const Gae whole = gae(r, v, {offsets({0, 4})}, options);
    EXPECT_TRUE(at::allclose(whole.advantage, numbers({.773290, .718012, .660300, .600000}, type),
                             0, 1e-6));
    EXPECT_TRUE(at::allclose(whole.returns, whole.advantage + v, 0, 1e-6));
    const Gae masked = gae(r, v, {offsets({0, 4}), numbers({1, 0, 1, 1}).to(at::kBool)}, options);
    EXPECT_TRUE(
        at::allclose(masked.advantage, numbers({.818012, 0, .660300, .600000}, type), 0, 1e-6));
    EXPECT_EQ(masked.returns[1].item<double>(), 0);
  }
}

/// By the definition: sums over all later live tokens of a sequence, eq. 16's left side.
std::vector<double> by_definition(const Tensor& r, const Tensor& v, const Tensor& mask,
                                  double bootstrap, double gamma, double lambda) {
  std::vector<int64_t> live;
  for (int64_t t = 0; t < r.size(0); ++t)
    if (mask[t].item<bool>()) live.push_back(t);
  const auto value = [&](size_t i) {
    return i < live.size() ? v[live[i]].item<double>() : bootstrap;
  };
  std::vector<double> out(static_cast<size_t>(r.size(0)), 0.0);
  for (size_t i = 0; i < live.size(); ++i) {
    double sum = 0;
    for (size_t k = i; k < live.size(); ++k) {
      const double delta = r[live[k]].item<double>() + gamma * value(k + 1) - value(k);
      sum += std::pow(gamma * lambda, static_cast<double>(k - i)) * delta;
    }
    out[static_cast<size_t>(live[i])] = sum;
  }
  return out;
}

// T17: random lengths (0 and 1 among them), masks in the middle and over a whole sequence, values
// after the end; a sequence alone is the same as among others.
TEST(Gae, IsItsDefinitionPackedAsAlone) {
  const std::vector<int64_t> ends{0, 1, 1, 40, 73, 80};
  const int64_t n = ends.back();
  const Tensor r = at::randn({n}), v = at::randn({n}), bootstrap = at::randn({5});
  Tensor mask = at::rand({n}) < .8;
  mask.slice(0, 73, 80).fill_(false);
  const GaeOptions options{.gamma = .97, .lambda = .9, .bootstrap = bootstrap};
  const Gae all = gae(r, v, {offsets(ends), mask}, options);
  for (size_t s = 0; s + 1 < ends.size(); ++s) {
    const int64_t begin = ends[s], end = ends[s + 1];
    const Tensor rs = r.slice(0, begin, end), vs = v.slice(0, begin, end),
                 ms = mask.slice(0, begin, end);
    const auto which = static_cast<int64_t>(s);
    const std::vector<double> expected =
        by_definition(rs, vs, ms, bootstrap[which].item<double>(), .97, .9);
    for (int64_t t = begin; t < end; ++t) {
      EXPECT_NEAR(all.advantage[t].item<double>(), expected[static_cast<size_t>(t - begin)], 1e-6);
    }
    const Gae alone = gae(rs, vs, {offsets({0, end - begin}), ms},
                          {.gamma = .97, .lambda = .9, .bootstrap = bootstrap.narrow(0, which, 1)});
    EXPECT_TRUE(alone.advantage.equal(all.advantage.slice(0, begin, end)));
    EXPECT_TRUE(alone.returns.equal(all.returns.slice(0, begin, end)));
  }
}

TEST(RewardToGo, IsGaeWithoutValues) {
  const Tensor r = numbers({1, 2, 3, 10, 20});
  EXPECT_TRUE(reward_to_go(r, {offsets({0, 3, 5})}).equal(numbers({6, 5, 3, 30, 20})));
  EXPECT_TRUE(at::allclose(reward_to_go(r, {offsets({0, 3, 5})}, .5),
                           numbers({2.75, 3.5, 3, 20, 20}), 1e-12));
  const Gae same = gae(r, at::zeros_like(r), {offsets({0, 3, 5})}, {.gamma = 1, .lambda = 1});
  EXPECT_TRUE(same.advantage.equal(reward_to_go(r, {offsets({0, 3, 5})})));
}

TEST(DiscountedScan, AZeroCutsAnEpisodeOff) {
  const Tensor b = numbers({1, 2, 4, 8}), a = numbers({.5, 0, .5, .5});
  EXPECT_TRUE(discounted_scan(b, a, {offsets({0, 4})}).equal(numbers({2, 2, 8, 8})));
}

TEST(DiscountedScan, KeepsItsDigitsAndItsBitsOnAnyNumberOfThreads) {
  const Tensor b = at::randn({20'000}), a = at::rand({20'000}) * .2 + .8;
  std::vector<int64_t> ends{0};
  while (ends.back() < 20'000) ends.push_back(std::min<int64_t>(20'000, ends.back() + 377));
  const auto run = [&](int threads, at::ScalarType type) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const Tensor y = discounted_scan(b.to(type), a.to(type), {offsets(ends)});
    at::set_num_threads(before);
    return y;
  };
  const Tensor one = run(1, at::kFloat), exact = run(1, at::kDouble);
  EXPECT_LE((one - exact).abs().max().item<double>(), 1e-6 * exact.abs().max().item<double>());
  for (const int threads : {2, 5}) EXPECT_TRUE(run(threads, at::kFloat).equal(one));
}

TEST(DiscountedScan, NothingIsNothing) {
  const Tensor none = at::empty({0});
  EXPECT_EQ(discounted_scan(none, none, {offsets({0})}).numel(), 0);
  EXPECT_EQ(discounted_scan(none, none, {offsets({0, 0, 0})}).numel(), 0);
}

TEST(DiscountedScan, RefusesWhatDoesNotFit) {
  const Tensor x = at::zeros({3});
  for (const std::vector<int64_t>& wrong :
       std::vector<std::vector<int64_t>>{{0, 2}, {1, 3}, {0, 2, 1, 3}})
    EXPECT_NE(test::refusal(Kind::bug, [&] { discounted_scan(x, x, {offsets(wrong)}); })
                  .find("must rise from 0 to 3"),
              std::string::npos);
  test::refusal(Kind::bug, [&] { discounted_scan(x, at::zeros({2}), {offsets({0, 3})}); });
  test::refusal(Kind::bug, [&] { discounted_scan(x, x, {offsets({0, 3}), at::zeros({3})}); });
  test::refusal(Kind::bug, [&] { gae(x, x, {offsets({0, 3})}, {.bootstrap = at::zeros({2})}); });
}

}  // namespace
}  // namespace guerdon::ops
