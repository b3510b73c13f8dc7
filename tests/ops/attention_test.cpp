#include "guerdon/ops/attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/attention_reference.h"
#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

using Segments = std::vector<AttentionSegment>;

struct Case {
  Tensor q, k, v;
};
Case random_case(int64_t tokens, int64_t heads, int64_t key_heads, int64_t width,
                 at::ScalarType type = at::kFloat) {
  at::manual_seed(tokens * 31 + heads);
  const auto options = at::TensorOptions().dtype(type);
  return {at::randn({tokens, heads, width}, options),
          at::randn({tokens, key_heads, width}, options),
          at::randn({tokens, key_heads, width}, options)};
}

/// The rows of one sequence, computed alone: its tokens gathered end to end.
Tensor alone(const Case& c, const std::vector<int64_t>& tokens,
             const AttentionOptions& options = {}) {
  const Tensor index = at::tensor(tokens, at::kLong);
  const Segments one{{0, static_cast<int64_t>(tokens.size())}};
  return packed_attention(c.q.index_select(0, index), c.k.index_select(0, index),
                          c.v.index_select(0, index), one, options);
}

std::vector<int64_t> range(int64_t begin, int64_t end, std::vector<int64_t> before = {}) {
  for (int64_t i = begin; i < end; ++i) before.push_back(i);
  return before;
}

TEST(PackedAttention, EqualsTheReference) {
  // Two groups: a prompt of 70 with answers of 5, 130 and 1 tokens and a grandchild; a lone
  // sequence of 65; an empty segment.
  const Segments segments{{0, 70},       {70, 75, 0}, {75, 205, 0}, {205, 206, 0},
                          {206, 216, 1}, {216, 281},  {281, 281}};
  for (const auto& options : std::vector<AttentionOptions>{{},
                                                           {.scale = 0.3},
                                                           {.softcap = 2.0},
                                                           {.window = 1},
                                                           {.window = 64},
                                                           {.softcap = 5.0, .window = 100}}) {
    for (const auto& [heads, key_heads, width] :
         {std::tuple<int64_t, int64_t, int64_t>{4, 4, 16}, {8, 2, 64}, {3, 1, 20}, {2, 1, 128}}) {
      const Case c = random_case(281, heads, key_heads, width);
      const Case wide{c.q.to(at::kDouble), c.k.to(at::kDouble), c.v.to(at::kDouble)};
      const Tensor expected = packed_attention_reference(wide.q, wide.k, wide.v, segments, options);
      const Tensor found = packed_attention(c.q, c.k, c.v, segments, options);
      // kernels.md section 7: 4e-6 x max |v| in float32.
      EXPECT_LE((found.to(at::kDouble) - expected).abs().max().item<double>(),
                4e-6 * c.v.abs().max().item<double>())
          << heads << " heads, width " << width << ", window " << options.window << ", softcap "
          << options.softcap;
    }
  }
}

TEST(PackedAttention, ARowDependsOnItsOwnSequenceOnly) {
  const Segments segments{{0, 63}, {63, 64, 0}, {64, 129, 0}, {129, 329}};
  const Case c = random_case(329, 4, 2, 32);
  for (const auto& options : std::vector<AttentionOptions>{{}, {.window = 50}, {.softcap = 3.0}}) {
    const Tensor packed = packed_attention(c.q, c.k, c.v, segments, options);
    const std::vector<int64_t> first = range(63, 64, range(0, 63)),
                               second = range(64, 129, range(0, 63)), third = range(129, 329);
    EXPECT_TRUE(packed.slice(0, 0, 64).equal(alone(c, first, options)));
    EXPECT_TRUE(packed.slice(0, 64, 129).equal(alone(c, second, options).slice(0, 63)));
    EXPECT_TRUE(packed.slice(0, 129, 329).equal(alone(c, third, options)));
  }
}

TEST(PackedAttention, HasTheGradientsOfCentralDifferences) {
  const Segments segments{{0, 3}, {3, 5, 0}, {5, 8, 0}, {8, 9, 1}, {9, 12}};
  const Case c = random_case(12, 4, 2, 3, at::kDouble);
  const Tensor seed = at::randn({12, 4, 3}, at::kDouble);
  for (const auto& options : std::vector<AttentionOptions>{{}, {.softcap = 2.0}, {.window = 2}}) {
    test::check_gradients(
        [&](const auto& in) {
          return (packed_attention(in[0], in[1], in[2], segments, options) * seed).sum();
        },
        {c.q, c.k, c.v});
  }
  const Segments encoder{{0, 5}, {5, 12}};
  test::check_gradients(
      [&](const auto& in) {
        return (packed_attention(in[0], in[1], in[2], encoder, {.causal = false}) * seed).sum();
      },
      {c.q, c.k, c.v});
}

TEST(PackedAttention, HasTheReferencesGradientsInFloat) {
  const Segments segments{{0, 70},       {70, 75, 0},   {75, 205, 0},
                          {205, 206, 0}, {206, 216, 1}, {216, 281}};
  for (const auto& options : std::vector<AttentionOptions>{{}, {.window = 64}, {.softcap = 2.0}}) {
    const Case c = random_case(281, 8, 2, 64);
    const Tensor seed = at::randn_like(c.q);
    std::vector<Tensor> inputs, wide;
    for (const Tensor& x : {c.q, c.k, c.v}) {
      inputs.push_back(x.clone().requires_grad_());
      wide.push_back(x.to(at::kDouble).requires_grad_());
    }
    const auto found = torch::autograd::grad(
        {(packed_attention(inputs[0], inputs[1], inputs[2], segments, options) * seed).sum()},
        inputs);
    const auto expected = torch::autograd::grad(
        {(packed_attention_reference(wide[0], wide[1], wide[2], segments, options) * seed).sum()},
        wide);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
                1e-5 * expected[i].norm().item<double>())
          << "input " << i;
    }
  }
}

TEST(PackedAttention, TheEncoderFormSeesBothSides) {
  const Case c = random_case(10, 2, 2, 8);
  const Segments segments{{0, 4}, {4, 10}};
  const Tensor out = packed_attention(c.q, c.k, c.v, segments, {.causal = false});
  const Tensor expected = at::softmax(
      at::einsum("qhd,khd->hqk", {c.q.slice(0, 0, 4), c.k.slice(0, 0, 4)}) / std::sqrt(8.0), -1);
  EXPECT_TRUE(at::allclose(out.slice(0, 0, 4),
                           at::einsum("hqk,khd->qhd", {expected, c.v.slice(0, 0, 4)}), 1e-5, 1e-5));
  const Segments with_parent{{0, 4}, {4, 10, 0}};
  EXPECT_NE(test::refusal(Kind::bug,
                          [&] { packed_attention(c.q, c.k, c.v, with_parent, {.causal = false}); })
                .find("has a parent"),
            std::string::npos);
}

TEST(PackedAttention, RefusesSegmentsThatDoNotCover) {
  const Case c = random_case(10, 2, 2, 8);
  const Segments gap{{0, 4}, {5, 10}};
  EXPECT_NE(test::refusal(Kind::bug, [&] { packed_attention(c.q, c.k, c.v, gap); })
                .find("expected begin 4"),
            std::string::npos);
}

TEST(DecodeAttention, EqualsTheRowsOfTheFullPass) {
  for (const auto& options : std::vector<AttentionOptions>{{}, {.window = 20}, {.softcap = 3.0}}) {
    const Case c = random_case(200, 8, 2, 32);
    const Segments one{{0, 200}};
    const Tensor full = packed_attention(c.q, c.k, c.v, one, options);
    const std::vector<int64_t> at{0, 1, 62, 63, 64, 65, 127, 128, 199};
    const int64_t n = static_cast<int64_t>(at.size());
    const Tensor index = at::tensor(at, at::kLong);
    // Every query has a cache row of its own, with garbage past its length.
    Tensor keys = c.k.unsqueeze(0).repeat({n, 1, 1, 1}),
           values = c.v.unsqueeze(0).repeat({n, 1, 1, 1});
    for (int64_t i = 0; i < n; ++i) {
      keys[i].slice(0, at[static_cast<size_t>(i)] + 1).fill_(1e30);
      values[i]
          .slice(0, at[static_cast<size_t>(i)] + 1)
          .fill_(std::numeric_limits<float>::quiet_NaN());
    }
    const Tensor step =
        decode_attention(c.q.index_select(0, index), keys, values, index + 1, options);
    EXPECT_TRUE(step.equal(full.index_select(0, index)))
        << (step - full.index_select(0, index)).abs().max();
  }
}

}  // namespace
}  // namespace guerdon::ops
