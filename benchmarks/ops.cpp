// The operators on the CPU, each beside its plain LibTorch form in the same run, as a share of the
// machine's ceilings measured in the same run (kernels.md sections 4 and 10).
//
//     bench_ops [--quick] [Google Benchmark's flags: --benchmark_filter=F24, ...]
//
// A row kernel's roof is the longer of its bytes at the measured bandwidth and its exponentials at
// the measured rate; a fused product's is the bare GEMMs of the same shapes. Threads:
// OMP_NUM_THREADS.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/loss/policy.h"
#include "guerdon/ops/adamw.h"
#include "guerdon/ops/attention.h"
#include "guerdon/ops/cross_entropy.h"
#include "guerdon/ops/divergence.h"
#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/layers.h"
#include "guerdon/ops/linear.h"
#include "guerdon/ops/sampling.h"
#include "guerdon/ops/scan.h"
#include "guerdon/ops/segment.h"
#include "guerdon/ops/token_stats.h"
#include "harness.h"
#include "ops/attention_reference.h"

namespace guerdon::benchmarks {
namespace {

Tensor randn(std::vector<int64_t> shape, at::ScalarType type, double sigma = 2.0) {
  return (at::randn(shape) * sigma).to(type);
}

const char* name_of(at::ScalarType type) { return type == at::kFloat ? " fp32" : " bf16"; }

double bytes_of(const Tensor& x) { return static_cast<double>(x.nbytes()); }

double count_of(const Tensor& x) { return static_cast<double>(x.numel()); }

void add_logit_cases(int64_t rows, int64_t columns, at::ScalarType type) {
  const Tensor x = randn({rows, columns}, type), w = randn({rows, columns}, type),
               tokens = at::randint(0, columns, {rows}, at::kLong), index = tokens.unsqueeze(1);
  const double size = bytes_of(x), count = count_of(x);
  const std::string shape = str("/", rows, "x", columns, name_of(type));
  const auto log_p = [](const Tensor& z) { return z.to(at::kFloat).log_softmax(-1); };
  const Form logprob = [=](const Tensors& in) { return ops::token_stats(in[0], tokens).logprob; };
  const Form plain_logprob = [=](const Tensors& in) { return log_p(in[0]).gather(1, index); };
  add("F1 logprob" + shape, {size, count}, forward(logprob, {x}), forward(plain_logprob, {x}));
  const Form plain_entropy = [=](const Tensors& in) {
    const Tensor lp = log_p(in[0]);
    benchmark::DoNotOptimize(lp.gather(1, index));
    return (lp.exp() * lp).sum(-1);
  };
  const Form entropy = [=](const Tensors& in) {
    return ops::token_stats(in[0], tokens, {}, {.entropy = true}).entropy;
  };
  add("F1 logprob, entropy" + shape, {size, count}, forward(entropy, {x}),
      forward(plain_entropy, {x}));
  add("F1 + F2" + shape, {3 * size, 2 * count, true}, both(logprob, {x}), both(plain_logprob, {x}));

  using ops::Divergence;
  const auto ours = [=](Divergence kind, bool fast) -> Form {
    return [=](const Tensors& in) { return ops::divergence(in[0], w, kind, {.fast = fast}); };
  };
  const Form kl = [=](const Tensors& in) {
    const Tensor lp = log_p(in[0]);
    return (lp.exp() * (lp - log_p(w))).sum(-1);
  };
  const Form jsd = [=](const Tensors& in) {
    const Tensor lp = log_p(in[0]), lq = log_p(w), lm = at::logaddexp(lp, lq) - std::log(2.0);
    return 0.5 * (lp.exp() * (lp - lm)).sum(-1) + 0.5 * (lq.exp() * (lq - lm)).sum(-1);
  };
  const Form distance = [=](const Tensors& in) {
    return (log_p(in[0]).exp() - log_p(w).exp()).abs().sum(-1);
  };
  const Form fast = ours(Divergence::reverse_kl, true);
  add("F6 KL, fast" + shape, {2 * size, 2 * count}, forward(fast, {x}), forward(kl, {x}));
  add("F6 KL, robust" + shape, {4 * size, 4 * count},
      forward(ours(Divergence::reverse_kl, false), {x}), forward(kl, {x}));
  add("F6 KL, fast, with gradient" + shape, {5 * size, 4 * count, true}, both(fast, {x}),
      both(kl, {x}));
  add("F7 JSD" + shape, {4 * size, 5 * count}, forward(ours(Divergence::jsd, false), {x}),
      forward(jsd, {x}));
  add("F9 total variation" + shape, {4 * size, 4 * count},
      forward(ours(Divergence::total_variation, false), {x}), forward(distance, {x}));
}

void add_sampling_cases(int64_t rows, int64_t columns) {
  const Tensor x = randn({rows, columns}, at::kFloat);
  const std::vector<double> u(static_cast<size_t>(rows), 0.4);
  const std::string shape = str("/", rows, "x", columns);
  const Roof roof{bytes_of(x), count_of(x)};
  add("F21 sample" + shape, roof,
      forward([=](const Tensors& in) { return ops::sample_tokens(in[0], u, {}, {}).token; }, {x}),
      forward([](const Tensors& in) { return at::multinomial(in[0].softmax(-1), 1); }, {x}));
  const Form restricted = [=](const Tensors& in) {
    return ops::sample_tokens(in[0], u, {}, {.top_k = 50, .top_p = 0.9}).token;
  };
  const Form plain = [=](const Tensors& in) {
    const auto [sorted, index] = in[0].softmax(-1).sort(-1, true);
    const Tensor keep = (sorted.cumsum(-1) - sorted) < 0.9;
    Tensor kept = at::where(keep, sorted, at::zeros({}));
    kept.narrow(1, 50, columns - 50).zero_();
    return index.gather(1, at::multinomial(kept, 1));
  };
  add("F21 sample, top-k and top-p" + shape, roof, forward(restricted, {x}), forward(plain, {x}));
}

void add_head_cases(int64_t rows, int64_t width, int64_t vocabulary) {
  const Tensor hidden = randn({rows, width}, at::kFloat, 1.0),
               weight = randn({vocabulary, width}, at::kFloat, 0.05),
               teacher = randn({rows, width}, at::kFloat, 1.0),
               tokens = at::randint(0, vocabulary, {rows}, at::kLong);
  const std::string shape = str("/", rows, "x", width, "x", vocabulary);
  // What does not fit in the workspace is computed again in the backward pass.
  const auto again = [=](int64_t copies) {
    return rows * vocabulary * 4 * copies > ops::HeadOptions{}.workspace_bytes;
  };
  const auto products = [=](int forwards, bool train) -> Roof {
    return {.products = [=] {
      Tensor x;
      for (int i = 0; i < forwards; ++i) x = at::mm(hidden, weight.t());
      benchmark::DoNotOptimize(x);
      if (!train) return;
      benchmark::DoNotOptimize(at::mm(x, weight));
      benchmark::DoNotOptimize(at::mm(x.t(), hidden));
    }};
  };
  const Form stats = [=](const Tensors& in) {
    return -ops::linear_token_stats(in[0], in[1], {}, tokens).logprob.mean();
  };
  const Form loss = [=](const Tensors& in) {
    return ops::linear_cross_entropy(in[0], in[1], {}, tokens);
  };
  const Form plain = [=](const Tensors& in) {
    return at::cross_entropy_loss(at::linear(in[0], in[1]), tokens);
  };
  const Tensors in{hidden, weight};
  add("F12" + shape, products(1, false), forward(stats, in), forward(plain, in));
  add("F12, with gradient" + shape, products(again(1) ? 2 : 1, true), both(stats, in),
      both(plain, in));
  add("F13, with gradient" + shape, products(1, true), both(loss, in), both(plain, in));
  const Form kl = [=](const Tensors& in) {
    return ops::linear_divergence({in[0], in[1]}, {teacher, weight}, ops::Divergence::reverse_kl);
  };
  const Form plain_kl = [=](const Tensors& in) {
    const Tensor lp = at::linear(in[0], in[1]).log_softmax(-1),
                 lq = at::linear(teacher, weight).log_softmax(-1);
    return (lp.exp() * (lp - lq)).sum(-1);
  };
  add("F15 KL, with gradient" + shape, products(again(2) ? 4 : 2, true), both(kl, in),
      both(plain_kl, in));
}

/// What a decoder layer does to its rows, forward and backward; `passes`: over the rows' bytes.
void add_layer_cases(int64_t rows, int64_t width, at::ScalarType type) {
  const Tensor x = randn({rows, width}, type), y = randn({rows, width}, type),
               weight = at::ones({width});
  const std::string shape = str("/", rows, "x", width, name_of(type));
  const auto layer = [&](const char* name, double passes, double exps, const Form& ours,
                         const Form& plain) {
    add(name + shape, {passes * bytes_of(x), exps * count_of(x), true}, both(ours, {x, y}, x),
        both(plain, {x, y}, x));
  };
  const auto norm = [=](const Tensor& v) {
    const Tensor wide = v.to(at::kFloat);
    return (wide * at::rsqrt(wide.square().mean(-1, true) + 1e-6) * weight).to(v.scalar_type());
  };
  layer(
      "F24 rms_norm", 5, 0, [=](const Tensors& in) { return ops::rms_norm(in[0], weight, 1e-6); },
      [=](const Tensors& in) { return norm(in[0]); });
  // The sum has a second reader, as a residual stream has.
  layer(
      "F24 add_rms_norm", 8, 0,
      [=](const Tensors& in) {
        const ops::AddedNorm out = ops::add_rms_norm(in[0], in[1], weight, 1e-6);
        return at::add(out.sum, out.norm);
      },
      [=](const Tensors& in) {
        const Tensor sum = in[0] + in[1];
        return at::add(sum, norm(sum));
      });
  layer(
      "F24 swiglu", 8, 2, [](const Tensors& in) { return ops::swiglu(in[0], in[1]); },
      [](const Tensors& in) { return at::silu(in[0]) * in[1]; });
  layer(
      "F24 geglu", 8, 2, [](const Tensors& in) { return ops::geglu(in[0], in[1]); },
      [](const Tensors& in) { return at::gelu(in[0], "tanh") * in[1]; });
}

void add_model_cases() {
  const Tensor table = randn({16384, 512}, at::kFloat), ids = at::randint(0, 16384, {2048}),
               seed = at::randn({2048, 512});
  // Rows read and written forward, read backward with the table's rows; the table's zeros.
  add("F24 embedding, with gradient/2048x512 of 16384",
      {5 * bytes_of(seed) + bytes_of(table), 0, true},
      both([=](const Tensors& in) { return ops::embedding(in[0], ids); }, {table}, seed),
      both([=](const Tensors& in) { return at::embedding(in[0], ids); }, {table}, seed));
  const Tensor weight = randn({2048, 512}, at::kFloat, .05);
  for (const int64_t rows : {1, 3, 16, 64, 512}) {
    const Tensor x = at::randn({rows, 512});
    add(str("linear, rows padded/", rows, "x512x2048"), {},
        forward([=](const Tensors& in) { return ops::linear(in[0], weight, {}); }, {x}),
        forward([=](const Tensors& in) { return at::linear(in[0], weight); }, {x}));
  }
  const Tensor p = at::randn({4'000'000}), g = at::randn_like(p), m = at::zeros_like(p),
               v = at::ones_like(p);
  add(
      "F25 norm and adamw/4M", {32 * count_of(p), 0, true},
      [=] {
        benchmark::DoNotOptimize(ops::square_sum(g));
        ops::adamw_step(p, g, m, v, {.learning_rate = 1e-6, .weight_decay = .01});
      },
      [=] {
        const c10::NoGradGuard no_gradient;
        benchmark::DoNotOptimize(g.square().sum().item<float>());
        p.mul_(1 - 1e-8);
        m.lerp_(g, .1);
        v.mul_(.999).addcmul_(g, g, .001);
        p.addcdiv_(m, (v.sqrt() / .0316).add_(1e-8), -1e-5);
      });
}

/// Groups of `rows` sequences of `own` tokens after a shared prefix.
void add_attention_case(const char* name, int64_t groups, int64_t prefix, int64_t rows,
                        int64_t own) {
  std::vector<ops::AttentionSegment> segments;
  int64_t at = 0;
  for (int64_t group = 0; group < groups; ++group) {
    const auto parent = static_cast<int64_t>(segments.size());
    segments.push_back({at, at + prefix});
    at += prefix;
    for (int64_t row = 0; row < rows; ++row, at += own) segments.push_back({at, at + own, parent});
  }
  const Tensors in{at::randn({at, 8, 64}), at::randn({at, 2, 64}), at::randn({at, 2, 64})};
  add(str("F23, with gradient/", name), {},
      both([=](const Tensors& t) { return ops::packed_attention(t[0], t[1], t[2], segments); }, in),
      both(
          [=](const Tensors& t) {
            return ops::packed_attention_reference(t[0], t[1], t[2], segments, {});
          },
          in));
}

void add_decode_case(int64_t sequences, int64_t length) {
  const Tensor q = at::randn({sequences, 8, 64}), keys = at::randn({sequences, length, 2, 64}),
               values = at::randn_like(keys), lengths = at::full({sequences}, length, at::kLong);
  add(str("F23 decode/", sequences, " at ", length), {bytes_of(keys) * 2},
      forward([=](const Tensors& t) { return ops::decode_attention(t[0], keys, values, lengths); },
              {q}),
      forward(
          [=](const Tensors& t) {
            return at::scaled_dot_product_attention(t[0].unsqueeze(2), keys.transpose(1, 2),
                                                    values.transpose(1, 2), std::nullopt, 0.0,
                                                    false, std::nullopt, true);
          },
          {q}));
}

void add_scan_case(int64_t sequences, int64_t length) {
  const Tensor rewards = at::randn({sequences, length}), values = at::randn_like(rewards),
               offsets = at::arange(0, sequences * length + 1, length);
  add(
      str("F18 GAE/", sequences, "x", length), {},
      [=] {
        benchmark::DoNotOptimize(
            ops::gae(rewards.flatten(), values.flatten(), {.offsets = offsets}, {}));
      },
      [=] {
        Tensor next = at::zeros({sequences}), next_value = next;
        const Tensor advantage = at::empty_like(rewards);
        for (int64_t t = length; t-- > 0;) {
          next = rewards.select(1, t) + next_value - values.select(1, t) + .95 * next;
          advantage.select(1, t).copy_(next);
          next_value = values.select(1, t);
        }
      });
}

/// Losses over tokens: forward and backward, with what is logged.
void add_token_cases(int64_t tokens, int64_t rows) {
  const Tensor logprobs = -at::rand({tokens}) * 3, old = logprobs + at::randn({tokens}) * .1,
               reference = logprobs + at::randn({tokens}) * .3, weight = at::ones({tokens}),
               row = at::arange(tokens).mul(rows).floor_divide(tokens),
               advantage = at::randn({rows}).index_select(0, row);
  const std::string shape = str("/", tokens, " tokens");
  const auto count = static_cast<double>(tokens);
  add("F5 k3" + shape, {28 * count, count, true},
      both(
          [=](const Tensors& in) {
            return ops::kl_estimate(in[0], reference, ops::KlEstimate::k3);
          },
          {logprobs}),
      both(
          [=](const Tensors& in) {
            const Tensor r = (reference - in[0]).clamp(-20, 20);
            return at::expm1(r) - r;
          },
          {logprobs}));
  add("F22 segment_logprob" + shape, {24 * count, 0, true},
      both([=](const Tensors& in) { return ops::segment_logprob(in[0], row, rows, weight).sum; },
           {logprobs}),
      both(
          [=](const Tensors& in) {
            const Tensor live = at::where(weight != 0, in[0], at::zeros({})) * weight;
            return at::zeros({rows}).index_add(0, row, live);
          },
          {logprobs}));
  const loss::PolicyTokens given{.old = old,
                                 .reference = reference,
                                 .sampling = old,
                                 .entropy = weight,
                                 .advantage = advantage,
                                 .row = row,
                                 .weight = weight,
                                 .rows = rows};
  Totals whole;
  whole.rows = static_cast<double>(rows), whole.target_weight = count;
  for (const std::string level : {"token", "sequence"}) {
    const loss::PolicyOptions options{
        .loss_type = "grpo", .importance_sampling_level = level, .beta = .04};
    const auto form = [=](auto loss) -> Form {
      return [=](const Tensors& in) {
        loss::PolicyTokens all = given;
        all.logprobs = in[0];
        return loss(all, options, whole, loss::Divisors{}).value;
      };
    };
    add((level == "token" ? "F17 GRPO with KL" : "F17 GSPO with KL") + shape,
        {44 * count, 2 * count, true}, both(form(loss::policy_loss), {logprobs}),
        both(form(loss::composed_policy_loss), {logprobs}));
  }
}

/// kernels.md section 10, N / 16; quick: / 64 and fewer of them.
void add_cases(bool quick) {
  const int64_t part = quick ? 64 : 16;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t columns : {32000, 128256, 50257})
      add_logit_cases(8192 / part, columns, type);
    add_layer_cases(2048, 896, type);
    if (quick) continue;
    add_logit_cases(2169 / part, 151936, type);
    add_layer_cases(8192, 2048, type);
  }
  add_sampling_cases(16, 32000);
  add_sampling_cases(quick ? 16 : 256, 151936);
  add_head_cases(256, 512, 32000);
  if (!quick) {
    add_head_cases(512, 896, 151936);
    add_head_cases(1024, 1024, 50257);
  }
  add_model_cases();
  add_attention_case("8 pairs", 8, 122, 2, 44);
  add_attention_case("8 answers of 128 on 512", 1, 512, 8, 128);
  for (const int64_t sequences : {1, 16, 256}) add_decode_case(sequences, 1024);
  add_scan_case(64, 4096);
  if (!quick) add_scan_case(1, 131072);
  for (const int64_t tokens : {1024, 8192, 65536}) add_token_cases(tokens, tokens / 128);
}

}  // namespace
}  // namespace guerdon::benchmarks

int main(int argc, char** argv) {
  return guerdon::benchmarks::run(argc, argv, guerdon::benchmarks::add_cases);
}
