#include "guerdon/ops/sampling.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "guerdon/base/random.h"
#include "ops/device.h"

namespace guerdon::ops {
namespace {

Tensor repeated(std::vector<double> values, int64_t rows) {
  return at::tensor(values, at::kFloat).unsqueeze(0).repeat({rows, 1});
}

std::vector<double> uniforms(int64_t count) {
  const Random random(7, Purpose::sample);
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(random.uniform(static_cast<uint64_t>(i)));
  return out;
}

std::vector<double> shares(const Tensor& tokens, int64_t vocabulary) {
  std::vector<double> out;
  for (int64_t i = 0; i < vocabulary; ++i)
    out.push_back((tokens == i).to(at::kDouble).mean().item<double>());
  return out;
}

TEST(SampleTokens, FollowsTheSoftmaxAtItsTemperature) {
  constexpr int64_t kRows = 20'000;
  const Tensor logits = repeated({2, 1, 0.5, -1}, kRows);
  const Sampled s = sample_tokens(logits, uniforms(kRows), {}, {});
  const std::vector<double> p{.609460, .224208, .135989, .030343};
  const std::vector<double> found = shares(s.token, 4);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(found[i], p[i], 4 * std::sqrt(p[i] * (1 - p[i]) / kRows));
  EXPECT_NEAR(s.logprob[0].item<double>(),
              std::log(p[static_cast<size_t>(s.token[0].item<int64_t>())]), 1e-5);
  const Sampled hot = sample_tokens(logits, uniforms(kRows), {}, {.temperature = 100});
  EXPECT_NEAR(shares(hot.token, 4)[3], 0.25, 0.02);
}

TEST(SampleTokens, GreedyTakesTheLowestOfEqualMaxima) {
  const Sampled s = sample_tokens(repeated({1, 3, 3, 0}, 1), uniforms(1), {}, {.temperature = 0});
  EXPECT_EQ(s.token.item<int64_t>(), 1);
  EXPECT_NEAR(s.logprob.item<double>(), 3 - std::log(std::exp(1.0) + 2 * std::exp(3.0) + 1), 1e-6);
}

TEST(SampleTokens, KeepsWhatTopKTopPAndMinPSay) {
  constexpr int64_t kRows = 2'000;
  const Tensor logits = repeated({2, 1, 0.5, -1}, kRows);  // p = .609, .224, .136, .030
  const auto kept = [&](const SamplingOptions& options) {
    std::vector<int> out;
    const auto found = shares(sample_tokens(logits, uniforms(kRows), {}, options).token, 4);
    for (const double share : found) out.push_back(share > 0);
    return out;
  };
  EXPECT_EQ(kept({.top_k = 2}), (std::vector<int>{1, 1, 0, 0}));
  EXPECT_EQ(kept({.top_p = 0.6}), (std::vector<int>{1, 0, 0, 0}));
  EXPECT_EQ(kept({.top_p = 0.62}), (std::vector<int>{1, 1, 0, 0}));
  EXPECT_EQ(kept({.min_p = 0.2}), (std::vector<int>{1, 1, 1, 0}));
  EXPECT_EQ(kept({.top_k = 3, .top_p = 0.9}), (std::vector<int>{1, 1, 1, 0}));
  EXPECT_EQ(kept({.top_k = 4, .top_p = 1.0}), (std::vector<int>{1, 1, 1, 1}));
  // The record is of the full vocabulary, whatever was kept.
  EXPECT_NEAR(sample_tokens(logits, uniforms(kRows), {}, {.top_k = 1}).logprob[0].item<double>(),
              std::log(.609460), 1e-5);
}

/// The kept set by sorting, as kernels.md F21 states it.
std::vector<char> kept_by_sorting(const Tensor& logits, const SamplingOptions& o) {
  const Tensor z = (logits.to(at::kDouble) / o.temperature), p = z.softmax(-1);
  std::vector<int64_t> order(static_cast<size_t>(z.numel()));
  std::iota(order.begin(), order.end(), 0);
  const auto* values = z.const_data_ptr<double>();
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  if (o.top_k > 0 && o.top_k < z.numel()) order.resize(static_cast<size_t>(o.top_k));
  const auto* chance = p.const_data_ptr<double>();
  double total = 0, mass = 0;
  for (const int64_t i : order) total += chance[i];
  size_t count = 0;
  while (count < order.size() && (count == 0 || mass < o.top_p * total))
    mass += chance[order[count++]];
  if (o.top_p < 1.0) order.resize(count);
  std::vector<char> kept(static_cast<size_t>(z.numel()), 0);
  for (const int64_t i : order)
    kept[static_cast<size_t>(i)] = chance[i] >= o.min_p * chance[order[0]];
  return kept;
}

// T16: also with ties, flat and peaked rows, and vocabularies past one slice.
TEST(SampleTokens, DrawsFromExactlyTheSetThatSortingKeeps) {
  // Few draws where the kernels are those of a GPU, since the emulator takes its time.
  const int64_t draws = device_kernels(at::ones({1})) ? 3 : 400;
  for (const int64_t vocabulary : {1, 5, 300, 9000}) {
    for (const double sigma : {0.0, 0.3, 3.0}) {
      // Multiples of 1/8: many ties.
      const Tensor logits = (at::randn({1, vocabulary}) * sigma * 8).round() / 8;
      for (const SamplingOptions& o :
           std::vector<SamplingOptions>{{.top_k = 3},
                                        {.top_k = 400},
                                        {.top_p = 0.503},
                                        {.top_p = 0.9501},
                                        {.top_k = 50, .top_p = 0.7003},
                                        {.min_p = 0.3},
                                        {.top_p = 0.9003, .min_p = 0.05},
                                        {.temperature = 0.6, .top_p = 0.8003}}) {
        const std::vector<char> kept = kept_by_sorting(logits, o);
        const Sampled s = sample_tokens(logits.expand({draws, vocabulary}), uniforms(draws), {}, o);
        double mass = 0;
        const Tensor p = (logits.to(at::kDouble) / o.temperature).softmax(-1);
        for (int64_t i = 0; i < vocabulary; ++i)
          mass += kept[static_cast<size_t>(i)] ? p[0][i].item<double>() : 0.0;
        ASSERT_NEAR(s.kept[0].item<double>(), mass, 2e-5)
            << vocabulary << " tokens, sigma " << sigma << ", top_k " << o.top_k << ", top_p "
            << o.top_p << ", min_p " << o.min_p;
        for (int64_t i = 0; i < draws; ++i)
          ASSERT_TRUE(kept[static_cast<size_t>(s.token[i].item<int64_t>())]);
      }
    }
  }
}

TEST(SampleTokens, RecordsTheBitsOfTokenStats) {
  const Tensor logits = at::randn({9, 5000}) * 2;
  for (const double temperature : {0.0, 0.7, 1.0}) {
    const Sampled s =
        sample_tokens(logits, uniforms(9), {.softcap = 20}, {.temperature = temperature});
    const LogitTransform transform{.softcap = 20,
                                   .temperature = temperature == 0 ? 1 : temperature};
    EXPECT_TRUE(s.logprob.equal(token_stats(logits, s.token, transform).logprob));
  }
}

TEST(SampleTokens, SaysWhenARowHasNoDistribution) {
  Tensor logits = at::zeros({3, 7});
  logits[0].fill_(-std::numeric_limits<double>::infinity());
  logits[1][2] = std::numeric_limits<double>::quiet_NaN();
  for (const double temperature : {0.0, 1.0}) {
    const Sampled s = sample_tokens(logits, uniforms(3), {}, {.temperature = temperature});
    EXPECT_EQ(s.token[0].item<int64_t>(), -1);
    EXPECT_EQ(s.token[1].item<int64_t>(), -1);
    EXPECT_GE(s.token[2].item<int64_t>(), 0);
  }
}

TEST(SampleTokens, ATokenDoesNotDependOnItsBatch) {
  const Tensor logits = at::randn({16, 50});
  const std::vector<double> u = uniforms(16);
  const Sampled whole = sample_tokens(logits, u, {}, {.top_p = 0.9});
  for (int64_t i = 0; i < 16; ++i) {
    const Sampled one =
        sample_tokens(logits.narrow(0, i, 1), std::span(u).subspan(static_cast<size_t>(i), 1), {},
                      {.top_p = 0.9});
    EXPECT_EQ(one.token.item<int64_t>(), whole.token[i].item<int64_t>());
    EXPECT_EQ(one.logprob.item<float>(), whole.logprob[i].item<float>());
  }
}

}  // namespace
}  // namespace guerdon::ops
