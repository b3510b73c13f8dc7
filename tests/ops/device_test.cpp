// Operators by their tensor interface on the device that GUERDON_TEST_DEVICE names, "cpu" (the
// default) or "cuda", beside the same in float64 on the CPU, or in float32 where there is no such
// form. Dead rows, infinities, odd widths and unaligned rows are among the rows.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <limits>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/ops/adamw.h"
#include "guerdon/ops/attention.h"
#include "guerdon/ops/cross_entropy.h"
#include "guerdon/ops/divergence.h"
#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/layers.h"
#include "guerdon/ops/policy_loss.h"
#include "guerdon/ops/sampling.h"
#include "guerdon/ops/scan.h"
#include "guerdon/ops/segment.h"
#include "guerdon/ops/token_stats.h"
#include "ops/device.h"

namespace guerdon::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool wants_cuda() {
  const char* name = std::getenv("GUERDON_TEST_DEVICE");
  return name != nullptr && std::string(name) == "cuda";
}

class Device : public testing::Test {
 protected:
  void SetUp() override {
    if (!wants_cuda()) return;
    ASSERT_EQ(open_device_library(), "");
    const bool torch = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
    if (!torch || at::getNumGPUs() == 0) {
      GTEST_SKIP() << "SKIPPED FOR WANT OF A GPU: "
                   << (torch ? "LibTorch finds none" : "libtorch_cuda.so does not open");
    }
    device_ = at::Device(at::kCUDA, 0);
  }

  Tensor here(const Tensor& x) const { return x.defined() ? x.to(device_) : x; }

  at::Device device_ = at::kCPU;
};

/// The largest difference, as it may be: `absolute` + `relative` of the value.
void expect_near(const Tensor& found, const Tensor& expected, double absolute, double relative) {
  const Tensor a = found.detach().to(at::kCPU, at::kDouble), b = expected.detach().to(at::kDouble);
  ASSERT_EQ(a.sizes(), b.sizes());
  const Tensor good =
      ((a - b).abs() <= absolute + relative * b.abs()) | (a == b) | (a.isnan() & b.isnan());
  EXPECT_TRUE(good.all().item<bool>())
      << "off by " << at::where(good, at::zeros_like(a), (a - b).abs()).max().item<double>();
}

/// By the norm of the difference.
void expect_alike(const Tensor& found, const Tensor& expected, double relative) {
  const Tensor off = found.detach().to(at::kCPU, at::kDouble) - expected.detach();
  EXPECT_LE(off.norm().item<double>(), relative * expected.norm().item<double>());
}

/// Gradients of the sum of `of` for float leaves, as float64 on the CPU.
std::vector<Tensor> gradients(const Tensor& of, const std::vector<Tensor>& leaves) {
  std::vector<Tensor> out;
  for (const Tensor& g : torch::autograd::grad({of.sum()}, leaves))
    out.push_back(g.to(at::kCPU, at::kDouble));
  return out;
}

Tensor leaf(const Tensor& x) { return x.detach().clone().requires_grad_(); }

/// Half-precision results are rounded once.
double unit(at::ScalarType type) {
  return type == at::kFloat ? 2e-5 : type == at::kHalf ? 1.0 / 1024 : 1.0 / 128;
}

const std::vector<LogitTransform> kTransforms{
    {}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 5}};

TEST_F(Device, TokenStatsAndTheirGradient) {
  for (const int64_t columns : {1, 9, 1025, 4097, 20001}) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      for (const LogitTransform& transform : kTransforms) {
        Tensor x = (at::randn({6, columns}) * 3).to(type);
        x[1].fill_(kNaN);  // dead
        if (columns > 8) x[2].slice(0, 3, columns / 2).fill_(-kInf);
        const Tensor tokens = at::tensor({0, -100, 0, 0, 0, 0}, at::kLong).clone();
        tokens[5] = columns - 1;
        const StatsRequest request{.entropy = true,
                                   .argmax = true,
                                   .mean_logit = true,
                                   .sum_squares = true,
                                   .raw_lse = true};
        const auto run = [&](const Tensor& given, const Tensor& token) {
          const Tensor z = leaf(given);
          const TokenStats s = token_stats(z, token, transform, request);
          std::vector<Tensor> out = gradients(s.logprob + s.entropy * 0.3 + s.lse * 0.1, {z});
          for (const Tensor& t :
               {s.logprob, s.entropy, s.lse, s.mean_logit, s.sum_squares, s.raw_lse, s.argmax})
            out.push_back(t.detach());
          return out;
        };
        const auto found = run(here(x), here(tokens)), expected = run(x.to(at::kDouble), tokens);
        SCOPED_TRACE(::guerdon::str(columns, " columns, ", type, ", softcap ", transform.softcap));
        expect_near(found[0], expected[0], type == at::kHalf ? 1e-5 : 4e-6, unit(type));
        for (size_t i = 1; i < 7; ++i) expect_near(found[i], expected[i], 1e-5, 1e-6);
        EXPECT_TRUE(found[7].to(at::kCPU).equal(expected[7]));
      }
    }
  }
}

TEST_F(Device, ANaNStaysInItsRowAndRunsRepeat) {
  Tensor x = at::randn({5, 5000});
  x[1][4321] = kNaN, x[3].fill_(-kInf);
  const Tensor tokens = at::zeros({5}, at::kLong);
  const TokenStats s = token_stats(here(x), here(tokens), {}, {.entropy = true});
  const Tensor logprob = s.logprob.to(at::kCPU);
  EXPECT_TRUE(std::isnan(logprob[1].item<float>()));
  EXPECT_EQ(logprob[3].item<double>(), -kInf);
  for (const int64_t i : {0, 2, 4}) EXPECT_TRUE(std::isfinite(logprob[i].item<float>()));
  const Tensor again = token_stats(here(x), here(tokens)).logprob.to(at::kCPU);
  const Tensor alone = token_stats(here(x.narrow(0, 2, 1)), here(tokens.narrow(0, 2, 1))).logprob;
  EXPECT_EQ(again[2].item<float>(), logprob[2].item<float>());
  EXPECT_EQ(alone.to(at::kCPU)[0].item<float>(), logprob[2].item<float>());
}

TEST_F(Device, Divergences) {
  const Tensor student = at::randn({4, 5001}) * 2, teacher = at::randn({4, 5001}) * 2;
  student[1].slice(0, 0, 100).fill_(-kInf);
  teacher[1].slice(0, 0, 100).fill_(-kInf);
  const Tensor mask = at::tensor({1, 1, 0, 1}, at::kByte);
  for (const Divergence kind : {Divergence::reverse_kl, Divergence::forward_kl, Divergence::jsd,
                                Divergence::total_variation}) {
    for (const bool fast : {false, true}) {
      const DivergenceOptions options{.beta = 0.3, .student = {.temperature = 0.8}, .fast = fast};
      // The composed form of jsd has no gradient where both sides are -inf.
      const double least = kind == Divergence::jsd ? -60 : -kInf;
      const auto run = [&](const Tensor& z, const Tensor& w, const Tensor& live) {
        const Tensor own = leaf(z.clamp_min(least));
        const Tensor value = divergence(own, w.clamp_min(least), kind, options, live);
        return std::vector<Tensor>{value.detach(), gradients(value, {own})[0]};
      };
      const auto found = run(here(student), here(teacher).to(at::kBFloat16), here(mask)),
                 expected =
                     run(student.to(at::kDouble), teacher.to(at::kBFloat16).to(at::kDouble), mask);
      expect_near(found[0], expected[0], 5e-6, 2e-4);
      expect_near(found[1], expected[1], 4e-6, 1e-4);
    }
  }
  const Tensor a = at::rand({4}), b = -at::rand({4});
  expect_near(
      combined_kl(here(student), here(teacher), here(student), here(a), here(b)),
      combined_kl(student.to(at::kDouble), teacher.to(at::kDouble), student.to(at::kDouble), a, b),
      1e-5, 2e-4);
}

TEST_F(Device, HeadsWithoutLogits) {
  const Tensor hidden = at::randn({70, 32}), weight = at::randn({4099, 32}) * 0.4,
               bias = at::randn({4099}), tokens = at::randint(0, 4099, {70}, at::kLong);
  const auto run = [&](auto of, const auto& put) {
    const Tensor h = leaf(put(hidden)), w = leaf(put(weight)), b = leaf(put(bias));
    const Tensor value = of(h, w, b);
    std::vector<Tensor> out = gradients(value, {h, w, b});
    out.push_back(value.detach());
    return out;
  };
  const auto wide = [](const Tensor& x) { return x.to(at::kDouble); };
  const auto put = [&](const Tensor& x) { return here(x); };
  const HeadOptions small{.workspace_bytes = 1 << 19};
  const auto both = [&](const auto& of) {
    const auto found = run(of(here(tokens)), put), expected = run(of(tokens), wide);
    for (size_t i = 0; i < found.size(); ++i) {
      expect_alike(found[i], expected[i], 1e-5);
    }
  };
  both([&](const Tensor& t) {
    return [&, t](const Tensor& h, const Tensor& w, const Tensor& b) {
      return linear_token_stats(h, w, b, t, {}, {}, {}, small).logprob;
    };
  });
  both([&](const Tensor& t) {
    return [&, t](const Tensor& h, const Tensor& w, const Tensor& b) {
      return linear_cross_entropy(h, w, b, t, {.label_smoothing = 0.1}, {}, {}, small);
    };
  });
}

TEST_F(Device, NumbersOfTokens) {
  const int64_t n = 3000;
  const Tensor logprob = at::randn({n}) - 2, other = logprob + at::randn({n}) * 0.2,
               row = at::randint(0, 7, {n}, at::kLong),
               weight = (at::rand({n}) > 0.2).to(at::kFloat);
  for (const KlEstimate kind : {KlEstimate::k1, KlEstimate::k2, KlEstimate::k3, KlEstimate::abs}) {
    expect_near(kl_estimate(here(logprob), here(other), kind),
                kl_estimate(logprob.to(at::kDouble), other.to(at::kDouble), kind), 1e-6, 2e-6);
  }
  const SegmentLogprob s = segment_logprob(here(logprob), here(row), 7, here(weight)),
                       t = segment_logprob(logprob.to(at::kDouble), row, 7, weight);
  expect_near(s.sum, t.sum, 0, 1e-6);
  expect_near(s.mean, t.mean, 0, 1e-6);
  expect_near(s.weight, t.weight, 0, 0);

  const Tensor offsets = at::tensor({0, 0, 1, 700, 3000}, at::kLong), mask = weight > 0,
               bootstrap = at::randn({4}), a = at::rand({n});
  expect_near(discounted_scan(here(logprob), here(a), {here(offsets), here(mask)}),
              discounted_scan(logprob.to(at::kDouble), a.to(at::kDouble), {offsets, mask}), 1e-5,
              1e-6);
  const Gae found = gae(here(logprob), here(other), {here(offsets), here(mask)},
                        {.gamma = 0.99, .bootstrap = here(bootstrap)}),
            expected = gae(logprob.to(at::kDouble), other.to(at::kDouble), {offsets, mask},
                           {.gamma = 0.99, .bootstrap = bootstrap.to(at::kDouble)});
  expect_near(found.advantage, expected.advantage, 1e-4, 1e-6);
  expect_near(found.returns, expected.returns, 1e-4, 1e-6);
}

TEST_F(Device, PolicyLosses) {
  const int64_t n = 2500, rows = 9;
  PolicyTokens cpu{.logprobs = at::randn({n}) * 0.5 - 2,
                   .advantage = at::randn({n}),
                   .row = at::randint(0, rows, {n}, at::kLong),
                   .weight = (at::rand({n}) > 0.1).to(at::kFloat),
                   .rows = rows};
  cpu.old = cpu.logprobs + at::randn({n}) * 0.2, cpu.reference = cpu.old + at::randn({n}) * 0.3;
  cpu.sampling = cpu.old + 1e-3 * at::randn({n}), cpu.entropy = at::rand({n});
  for (const Tensor& x : {cpu.logprobs, cpu.old, cpu.reference, cpu.advantage, cpu.entropy})
    x.masked_fill_(cpu.weight == 0, kNaN);  // never read
  for (const PolicyTerm term : {PolicyTerm::clipped, PolicyTerm::geometric, PolicyTerm::soft,
                                PolicyTerm::detached, PolicyTerm::plain}) {
    for (const bool by_row : {false, true}) {
      PolicyObjective objective{
          .term = term, .row_ratio = by_row, .beta = 0.1, .row_means = by_row, .divisor = 17};
      if (term == PolicyTerm::geometric) objective.low = -0.1, objective.high = 0.1;
      const auto run = [&](PolicyTokens t, const auto& put) {
        for (Tensor* x : {&t.logprobs, &t.old, &t.reference, &t.sampling, &t.entropy, &t.advantage,
                          &t.row, &t.weight})
          *x = put(*x);
        t.logprobs = leaf(t.logprobs);
        const PolicyLoss out = policy_loss(t, objective);
        const PolicySums& s = out.sums;
        std::vector<Tensor> all = gradients(out.loss, {t.logprobs});
        for (const Tensor& x : {out.loss, s.low, s.high, s.least_low, s.most_high, s.kl, s.k1, s.k2,
                                s.k3, s.entropy, s.difference, s.largest_difference})
          all.push_back(x.detach());
        all.push_back(at::tensor(s.live, at::kLong));
        return all;
      };
      const auto found = run(cpu, [&](const Tensor& x) { return here(x); });
      const DeviceKernels* given = device_kernels(at::ones({1}));
      set_device_kernels(at::kCPU, nullptr);  // beside the CPU's own, whichever these are
      const auto expected = run(cpu, [](const Tensor& x) { return x; });
      set_device_kernels(at::kCPU, given);
      for (size_t i = 0; i < found.size(); ++i) {
        SCOPED_TRACE(::guerdon::str("term ", static_cast<int>(term), " by row ", by_row, ": ", i));
        expect_near(found[i], expected[i], 1e-6, 1e-5);
      }
    }
  }
}

// The same numbers draw the same tokens, unless one falls into the rounding between two.
TEST_F(Device, Sampling) {
  const Tensor x = at::randn({40, 9001}) * 2;
  x[3].fill_(-kInf), x[5].fill_(1.5);  // no distribution; all alike
  std::vector<double> uniforms;
  for (int64_t i = 0; i < x.size(0); ++i) uniforms.push_back((static_cast<double>(i) + 0.37) / 40);
  for (const SamplingOptions& options :
       std::vector<SamplingOptions>{{},
                                    {.temperature = 0},
                                    {.temperature = 0.7, .top_k = 50},
                                    {.top_k = 1},
                                    {.top_p = 0.9},
                                    {.top_k = 100, .top_p = 0.8, .min_p = 0.02},
                                    {.min_p = 0.1}}) {
    const Sampled found = sample_tokens(here(x), uniforms, {}, options);
    const DeviceKernels* given = device_kernels(at::ones({1}));
    set_device_kernels(at::kCPU, nullptr);
    const Sampled expected = sample_tokens(x, uniforms, {}, options);
    set_device_kernels(at::kCPU, given);
    const Tensor same = found.token.to(at::kCPU) == expected.token;
    EXPECT_GE(same.sum().item<int64_t>(), 39);
    expect_near(found.logprob.to(at::kCPU).masked_select(same),
                expected.logprob.masked_select(same), 1e-5, 0);
    expect_near(found.kept, expected.kept, 1e-5, 0);
  }
}

TEST_F(Device, PiecesOfLayers) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Tensor x = at::randn({300, 97}).to(type), y = at::randn({300, 97}).to(type),
                 weight = at::rand({97}) + 0.5;
    const auto compare = [&](const auto& of, std::vector<Tensor> in) {
      const auto run = [&](bool on_device) {
        std::vector<Tensor> leaves;
        for (const Tensor& t : in) leaves.push_back(leaf(on_device ? here(t) : t.to(at::kDouble)));
        const Tensor value = of(leaves);
        std::vector<Tensor> out = gradients(value * value, leaves);
        out.push_back(value.detach());
        return out;
      };
      const auto found = run(true), expected = run(false);
      for (size_t i = 0; i < found.size(); ++i) {
        expect_alike(found[i], expected[i], (type == at::kFloat ? 1e-5 : 1e-2));
      }
    };
    compare([](const auto& in) { return rms_norm(in[0], in[1], 1e-6, 1.0); }, {x, weight});
    compare(
        [](const auto& in) {
          const AddedNorm n = add_rms_norm(in[0], in[1], in[2], 1e-6);
          return n.sum + n.norm;
        },
        {x, y, weight});
    compare([](const auto& in) { return swiglu(in[0], in[1]); }, {x, y});
    compare([](const auto& in) { return geglu(in[0], in[1]); }, {x, y});
    const Tensor angle = at::rand({100, 12}) * 6, wide = at::randn({100, 3, 32}).to(type);
    const auto turned = [&](const auto& in) {
      const bool wide_type = in[0].scalar_type() == at::kDouble;
      const auto table = [&](const Tensor& t) { return wide_type ? t : here(t); };
      return ops::rope(in[0], table(angle.cos()), table(angle.sin()));
    };
    compare(turned, {wide});
  }
  const Tensor table = at::randn({50, 33}), ids = at::randint(0, 50, {400}, at::kLong);
  const Tensor there = leaf(here(table)), expected = leaf(table.to(at::kDouble));
  const Tensor g = at::randn({400, 33});
  expect_near(gradients(ops::embedding(there, here(ids)) * here(g), {there})[0],
              gradients(at::embedding(expected, ids) * g.to(at::kDouble), {expected})[0], 1e-5,
              1e-5);
}

TEST_F(Device, TheOptimizer) {
  const Tensor p = at::randn({3, 50000}), g = at::randn({3, 50000}), m = at::randn({3, 50000}),
               v = at::rand({3, 50000});
  EXPECT_NEAR(square_sum(here(g)), square_sum(g.to(at::kDouble)), 1e-6 * 150000);
  const AdamWStep step{
      .learning_rate = 1e-2, .weight_decay = 0.1, .step = 3, .gradient_scale = 0.5};
  const auto run = [&](const auto& put) {
    const std::vector<Tensor> all{put(p).clone(), put(m).clone(), put(v).clone()};
    adamw_step(all[0], put(g), all[1], all[2], step);
    return all;
  };
  const auto found = run([&](const Tensor&x) { return here(x); }),
             expected = run([](const Tensor&x) { return x.to(at::kDouble); });
  for (size_t i = 0; i < 3; ++i) expect_near(found[i], expected[i], 1e-6, 1e-6);
}

TEST_F(Device, Attention) {
  const std::vector<AttentionSegment> segments{{0, 70}, {70, 75, 0}, {75, 139, 0}, {139, 160, 2}};
  for (const AttentionOptions& options : std::vector<AttentionOptions>{
           {}, {.softcap = 4.0, .window = 30}, {.scale = 0.3, .window = 100}}) {
    const std::vector<Tensor> in{at::randn({160, 4, 40}), at::randn({160, 2, 40}),
                                 at::randn({160, 2, 40})};
    const Tensor d = at::randn({160, 4, 40});
    const auto run = [&](const auto& put) {
      std::vector<Tensor> leaves;
      for (const Tensor& x : in) leaves.push_back(leaf(put(x)));
      const Tensor value = packed_attention(leaves[0], leaves[1], leaves[2], segments, options);
      std::vector<Tensor> out = gradients(value * put(d), leaves);
      out.push_back(value.detach());
      return out;
    };
    const auto found = run([&](const Tensor&x) { return here(x); }),
               expected = run([](const Tensor&x) { return x.to(at::kDouble); });
    for (size_t i = 0; i < 4; ++i) {
      expect_alike(found[i], expected[i], 1e-5);
    }
  }
}

// The rows of the full pass, bit for bit.
TEST_F(Device, DecodingSteps) {
  const Tensor q = here(at::randn({70, 4, 24})), k = here(at::randn({70, 2, 24})),
               v = here(at::randn({70, 2, 24}));
  const std::vector<AttentionSegment> whole{{0, 70}};
  const Tensor full = packed_attention(q, k, v, whole);
  for (const int64_t t : {0, 1, 63, 64, 69}) {
    const Tensor step = decode_attention(q.narrow(0, t, 1), k.unsqueeze(0), v.unsqueeze(0),
                                         here(at::tensor({t + 1}, at::kLong)));
    EXPECT_TRUE(step[0].equal(full[t])) << t;
  }
}

}  // namespace
}  // namespace guerdon::ops
