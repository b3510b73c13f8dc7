// The operators on the CPU, each beside its plain LibTorch form in the same run, as a share of the
// machine's ceilings measured in the same run (kernels.md sections 4 and 10).
//
//     bench_ops [--quick] [--filter TEXT]
//
// A row kernel's roof is the longer of its bytes at the measured bandwidth and its exponentials at
// the measured rate; a fused product's is the bare GEMM of the same shape. Writes a table to
// standard error and one JSON object a case to standard output. Threads: OMP_NUM_THREADS.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/loss/policy.h"
#include "guerdon/ops/cross_entropy.h"
#include "guerdon/ops/divergence.h"
#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/layers.h"
#include "guerdon/ops/sampling.h"
#include "guerdon/ops/segment.h"
#include "guerdon/ops/token_stats.h"
#include "kernels/cpu/kernels.h"

namespace {

using at::Tensor;
using namespace guerdon;
using Work = std::function<void()>;

double seconds(const Work& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int rounds = 15;

/// Median seconds of each, run in turn so that a busy moment hits all of them.
std::vector<double> medians(const std::vector<Work>& all) {
  std::vector<std::vector<double>> times(all.size());
  for (const Work& work : all) work();
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < all.size(); ++i) times[i].push_back(seconds(all[i]));
  }
  std::vector<double> out;
  for (auto& t : times) out.push_back(median(t));
  return out;
}

struct Ceilings {
  double read, copy, in_place, exponentials;  // bytes/s, elements/s
};

Ceilings measure_ceilings() {
  const Tensor large = at::ones({int64_t{64} << 20}, at::kFloat);
  Tensor other = at::empty_like(large), mutable_large = large.clone();
  const double bytes = 4.0 * static_cast<double>(large.numel());
  // One row kernel reads with a block maximum: the same loads and one operation each.
  const auto t = medians({[&] { benchmark::DoNotOptimize(large.amax().item<float>()); },
                          [&] { other.copy_(large); }, [&] { mutable_large.mul_(1.0f); }});
  // Exponentials of a block that stays in the first cache.
  constexpr int64_t kCalls = 4096;
  const auto all = medians({[&] {
    at::parallel_for(0, kCalls, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> z(kernels::kColumnBlock, -1.5f), p(z.size());
      for (int64_t i = begin; i < end; ++i) {
        kernels::kernels().probabilities(z.data(), kernels::kColumnBlock, 0.1f, p.data());
        benchmark::DoNotOptimize(p.data());
      }
    });
  }});
  const double exponentials = static_cast<double>(kCalls * kernels::kColumnBlock) / all[0];
  return {bytes / t[0], 2 * bytes / t[1], 2 * bytes / t[2], exponentials};
}

struct Case {
  std::string name, shape;
  double bytes, exps;  ///< of the model; 0 where the roof is a GEMM
  bool in_place;
  Work ours, composed;
  Work roof;  ///< the bare GEMM
};

Tensor randn(std::vector<int64_t> shape, at::ScalarType type, double sigma = 2.0) {
  return (at::randn(shape) * sigma).to(type);
}

struct Logits {
  int64_t rows, columns;
};

void add_logit_cases(std::vector<Case>& all, Logits n, at::ScalarType type) {
  const auto x = std::make_shared<Tensor>(randn({n.rows, n.columns}, type));
  const Tensor tokens = at::randint(0, n.columns, {n.rows}, at::kLong);
  const double elements = static_cast<double>(n.rows * n.columns),
               width = type == at::kFloat ? 4 : 2;
  const std::string shape =
      ::guerdon::str(n.rows, "x", n.columns, type == at::kFloat ? " fp32" : " bf16");
  const auto add = [&](const char* name, double bytes, double exps, bool in_place, Work ours,
                       Work composed) {
    all.push_back({name,
                   shape,
                   bytes * elements,
                   exps * elements,
                   in_place,
                   std::move(ours),
                   std::move(composed),
                   {}});
  };
  const auto log_p = [x, tokens](const Tensor& logits) {
    return logits.to(at::kFloat).log_softmax(-1);
  };
  add(
      "F1 logprob", width, 1, false,
      [=] {
        c10::NoGradGuard g;
        ops::token_stats(*x, tokens);
      },
      [=] {
        c10::NoGradGuard g;
        log_p(*x).gather(1, tokens.unsqueeze(1));
      });
  add(
      "F1 logprob, entropy", width, 1, false,
      [=] {
        c10::NoGradGuard g;
        ops::token_stats(*x, tokens, {}, {.entropy = true});
      },
      [=] {
        c10::NoGradGuard g;
        const Tensor lp = log_p(*x);
        lp.gather(1, tokens.unsqueeze(1));
        (lp.exp() * lp).sum(-1);
      });
  // The gradient alone: forward outside the clock would keep a graph, so both are timed with it and
  // the forward pass's time is in both.
  add(
      "F1 + F2", 3 * width, 2, true,
      [=] {
        Tensor leaf = x->detach().requires_grad_();
        const Tensor lp = ops::token_stats(leaf, tokens).logprob;
        benchmark::DoNotOptimize(torch::autograd::grad({lp.sum()}, {leaf}));
      },
      [=] {
        Tensor leaf = x->detach().requires_grad_();
        const Tensor lp = log_p(leaf).gather(1, tokens.unsqueeze(1));
        benchmark::DoNotOptimize(torch::autograd::grad({lp.sum()}, {leaf}));
      });
  const auto w = std::make_shared<Tensor>(randn({n.rows, n.columns}, type));
  const auto composed_kl = [=](bool train) {
    Tensor leaf = x->detach().requires_grad_(train);
    const Tensor lp = log_p(leaf), lq = log_p(*w);
    const Tensor kl = (lp.exp() * (lp - lq)).sum(-1);
    if (train) benchmark::DoNotOptimize(torch::autograd::grad({kl.sum()}, {leaf}));
  };
  const auto ours = [=](ops::Divergence kind, bool fast, bool train) {
    Tensor leaf = x->detach().requires_grad_(train);
    const Tensor value = ops::divergence(leaf, *w, kind, {.fast = fast});
    if (train) benchmark::DoNotOptimize(torch::autograd::grad({value.sum()}, {leaf}));
  };
  using ops::Divergence;
  add(
      "F6 KL, fast", 2 * width, 2, false, [=] { ours(Divergence::reverse_kl, true, false); },
      [=] { composed_kl(false); });
  add(
      "F6 KL, robust", 4 * width, 4, false, [=] { ours(Divergence::reverse_kl, false, false); },
      [=] { composed_kl(false); });
  add(
      "F6 KL, fast, with gradient", 5 * width, 4, true,
      [=] { ours(Divergence::reverse_kl, true, true); }, [=] { composed_kl(true); });
  const auto composed_jsd = [=] {
    const Tensor lp = log_p(*x), lq = log_p(*w), lm = at::logaddexp(lp, lq) - std::log(2.0);
    (0.5 * (lp.exp() * (lp - lm)).sum(-1) + 0.5 * (lq.exp() * (lq - lm)).sum(-1));
  };
  add(
      "F7 JSD", 4 * width, 6, false, [=] { ours(Divergence::jsd, false, false); }, composed_jsd);
  add(
      "F9 total variation", 4 * width, 4, false,
      [=] { ours(Divergence::total_variation, false, false); },
      [=] { (log_p(*x).exp() - log_p(*w).exp()).abs().sum(-1); });
}

void add_sampling_cases(std::vector<Case>& all, Logits n) {
  const auto x = std::make_shared<Tensor>(randn({n.rows, n.columns}, at::kFloat));
  const std::vector<double> u(static_cast<size_t>(n.rows), 0.4);
  for (const bool restricted : {false, true}) {
    const ops::SamplingOptions options{.top_k = restricted ? 50 : 0,
                                       .top_p = restricted ? 0.9 : 1.0};
    all.push_back({restricted ? "F21 top-k, top-p" : "F21",
                   ::guerdon::str(n.rows, "x", n.columns, " fp32"),
                   4.0 * static_cast<double>(n.rows * n.columns),
                   static_cast<double>(n.rows * n.columns),
                   false,
                   [=] { ops::sample_tokens(*x, u, {}, options); },
                   [=] {
                     Tensor p = x->softmax(-1);
                     if (restricted) {
                       const auto [sorted, index] = p.sort(-1, true);
                       const Tensor keep = (sorted.cumsum(-1) - sorted) < 0.9;
                       Tensor kept = at::where(keep, sorted, at::zeros({}));
                       kept.narrow(1, 50, n.columns - 50).zero_();
                       index.gather(1, at::multinomial(kept, 1));
                     } else {
                       at::multinomial(p, 1);
                     }
                   },
                   {}});
  }
}

void add_head_cases(std::vector<Case>& all, int64_t rows, int64_t width, int64_t vocabulary) {
  const auto hidden = std::make_shared<Tensor>(randn({rows, width}, at::kFloat, 1.0)),
             weight = std::make_shared<Tensor>(randn({vocabulary, width}, at::kFloat, 0.05));
  const Tensor tokens = at::randint(0, vocabulary, {rows}, at::kLong);
  const std::string shape = ::guerdon::str(rows, "x", width, "x", vocabulary, " fp32");
  // What does not fit in the workspace is computed again in the backward pass.
  const auto again = [=](int64_t copies) {
    return rows * vocabulary * 4 * copies > ops::HeadOptions{}.workspace_bytes;
  };
  const auto gemms = [=](bool train, int extra = 0) {
    Tensor x = at::mm(*hidden, weight->t());
    if (!train) return;
    for (int i = 0; i < extra; ++i) x = at::mm(*hidden, weight->t());
    benchmark::DoNotOptimize(at::mm(x, *weight));
    benchmark::DoNotOptimize(at::mm(x.t(), *hidden));
  };
  const auto run = [=](int kind, bool train) {
    Tensor h = hidden->detach().requires_grad_(train), w = weight->detach().requires_grad_(train);
    const Tensor loss = kind == 0   ? -ops::linear_token_stats(h, w, {}, tokens).logprob.mean()
                        : kind == 1 ? ops::linear_cross_entropy(h, w, {}, tokens)
                                    : at::cross_entropy_loss(at::linear(h, w), tokens);
    if (train) benchmark::DoNotOptimize(torch::autograd::grad({loss}, {h, w}));
  };
  const auto add = [&](const char* name, int kind, bool train) {
    all.push_back({name, shape, 0, 0, false, [=] { run(kind, train); }, [=] { run(2, train); },
                   [=] { gemms(train, kind == 0 && again(1)); }});
  };
  add("F12 forward", 0, false);
  add("F12 forward, backward", 0, true);
  add("F13 forward, backward", 1, true);
  const auto teacher = std::make_shared<Tensor>(randn({rows, width}, at::kFloat, 1.0));
  all.push_back(
      {"F15 KL forward, backward", shape, 0, 0, false,
       [=] {
         Tensor h = hidden->detach().requires_grad_(), w = weight->detach().requires_grad_();
         const Tensor kl =
             ops::linear_divergence({h, w}, {*teacher, *weight}, ops::Divergence::reverse_kl);
         benchmark::DoNotOptimize(torch::autograd::grad({kl.sum()}, {h, w}));
       },
       [=] {
         Tensor h = hidden->detach().requires_grad_(), w = weight->detach().requires_grad_();
         const Tensor lp = at::linear(h, w).log_softmax(-1),
                      lq = at::linear(*teacher, *weight).log_softmax(-1);
         const Tensor kl = (lp.exp() * (lp - lq)).sum(-1);
         benchmark::DoNotOptimize(torch::autograd::grad({kl.sum()}, {h, w}));
       },
       [=] {
         gemms(true);
         benchmark::DoNotOptimize(at::mm(*teacher, weight->t()));
       }});
}

/// What a decoder layer does to its rows, forward and backward: `bytes` an element and pass.
void add_layer_cases(std::vector<Case>& all, int64_t rows, int64_t width, at::ScalarType type) {
  const auto x = std::make_shared<Tensor>(randn({rows, width}, type)),
             y = std::make_shared<Tensor>(randn({rows, width}, type));
  const Tensor weight = at::ones({width});
  const auto numbers = static_cast<double>(rows * width);
  const double bytes = (type == at::kFloat ? 4.0 : 2.0) * numbers;
  const std::string shape =
      ::guerdon::str(rows, "x", width, type == at::kFloat ? " fp32" : " bf16");
  using Form = std::function<Tensor(const Tensor&, const Tensor&)>;
  const auto add = [&](const char* name, double read_or_written, double exps, const Form& ours,
                       const Form& composed) {
    const auto timed = [=](const Form& form) {
      return [=] {
        const Tensor a = x->detach().requires_grad_(), b = y->detach().requires_grad_();
        benchmark::DoNotOptimize(
            torch::autograd::grad({form(a, b)}, {a, b}, {*x}, std::nullopt, false, true));
      };
    };
    all.push_back({name,
                   shape,
                   read_or_written * bytes,
                   exps * numbers,
                   true,
                   timed(ours),
                   timed(composed),
                   {}});
  };
  const auto plain_norm = [=](const Tensor& v) {
    const Tensor wide = v.to(at::kFloat);
    return (wide * at::rsqrt(wide.square().mean(-1, true) + 1e-6) * weight).to(v.scalar_type());
  };
  add(
      "F24 rms_norm", 5, 0,
      [=](const Tensor& a, const Tensor&) { return ops::rms_norm(a, weight, 1e-6); },
      [=](const Tensor& a, const Tensor&) { return plain_norm(a); });
  // The sum has a second reader, as a residual stream has.
  add(
      "F24 add_rms_norm", 8, 0,
      [=](const Tensor& a, const Tensor& b) {
        const ops::AddedNorm out = ops::add_rms_norm(a, b, weight, 1e-6);
        return at::add(out.sum, out.norm);
      },
      [=](const Tensor& a, const Tensor& b) {
        const Tensor sum = a + b;
        return at::add(sum, plain_norm(sum));
      });
  add(
      "F24 swiglu", 8, 2, [](const Tensor& a, const Tensor& b) { return ops::swiglu(a, b); },
      [](const Tensor& a, const Tensor& b) { return at::silu(a) * b; });
  add(
      "F24 geglu", 8, 2, [](const Tensor& a, const Tensor& b) { return ops::geglu(a, b); },
      [](const Tensor& a, const Tensor& b) { return at::gelu(a, "tanh") * b; });
}

void add_embedding_case(std::vector<Case>& all, int64_t rows, int64_t width, int64_t vocabulary) {
  const auto table = std::make_shared<Tensor>(randn({vocabulary, width}, at::kFloat));
  const Tensor ids = at::randint(0, vocabulary, {rows}, at::kLong), seed = at::randn({rows, width});
  const auto run = [=](bool ours) {
    const Tensor w = table->detach().requires_grad_();
    const Tensor out = ours ? ops::embedding(w, ids) : at::embedding(w, ids);
    benchmark::DoNotOptimize(torch::autograd::grad({out}, {w}, {seed}));
  };
  // Rows read and written forward, read backward with the table's rows; the table's zeros.
  all.push_back({"F24 embedding, gradient",
                 ::guerdon::str(rows, "x", width, " of ", vocabulary),
                 4.0 * static_cast<double>(width * (5 * rows + vocabulary)),
                 0,
                 true,
                 [=] { run(true); },
                 [=] { run(false); },
                 {}});
}

/// Losses over tokens: forward and backward, with what is logged.
void add_token_cases(std::vector<Case>& all, int64_t tokens, int64_t rows) {
  const Tensor logprobs = -at::rand({tokens}) * 3, old = logprobs + at::randn({tokens}) * .1,
               reference = logprobs + at::randn({tokens}) * .3, weight = at::ones({tokens}),
               row = at::arange(tokens).mul(rows).floor_divide(tokens),
               advantage = at::randn({rows}).index_select(0, row);
  const std::string shape = ::guerdon::str(tokens, " tokens");
  const auto add = [&](const char* name, double bytes, double exps, auto ours, auto composed) {
    const auto timed = [=](auto form) {
      return [=] {
        const Tensor x = logprobs.detach().requires_grad_();
        benchmark::DoNotOptimize(torch::autograd::grad({form(x)}, {x}));
      };
    };
    all.push_back({name,
                   shape,
                   bytes * static_cast<double>(tokens),
                   exps * static_cast<double>(tokens),
                   true,
                   timed(ours),
                   timed(composed),
                   {}});
  };
  add(
      "F5 k3", 28, 1,
      [=](const Tensor& x) { return ops::kl_estimate(x, reference, ops::KlEstimate::k3).sum(); },
      [=](const Tensor& x) {
        const Tensor r = (reference - x).clamp(-20, 20);
        return (at::expm1(r) - r).sum();
      });
  add(
      "F22 segment_logprob", 24, 0,
      [=](const Tensor& x) { return ops::segment_logprob(x, row, rows, weight).sum.sum(); },
      [=](const Tensor& x) {
        return at::zeros({rows})
            .index_add(0, row, at::where(weight != 0, x, at::zeros({})) * weight)
            .sum();
      });
  loss::PolicyTokens t{.old = old,
                       .reference = reference,
                       .sampling = old,
                       .entropy = weight,
                       .advantage = advantage,
                       .row = row,
                       .weight = weight,
                       .rows = rows};
  Totals whole;
  whole.rows = static_cast<double>(rows), whole.target_weight = static_cast<double>(tokens);
  for (const char* level : {"token", "sequence"}) {
    const loss::PolicyOptions options{
        .loss_type = "grpo", .importance_sampling_level = level, .beta = .04};
    const auto with = [=](const Tensor& x) {
      loss::PolicyTokens all = t;
      all.logprobs = x;
      return all;
    };
    add(
        std::strcmp(level, "token") == 0 ? "F17 GRPO with KL" : "F17 GSPO with KL", 44, 2,
        [=](const Tensor& x) { return loss::policy_loss(with(x), options, whole, {}).value; },
        [=](const Tensor& x) {
          return loss::composed_policy_loss(with(x), options, whole, {}).value;
        });
  }
}

void run_case(const Case& c, const Ceilings& ceilings) {
  std::vector<Work> work{c.ours, c.composed};
  if (c.roof) work.push_back(c.roof);
  const std::vector<double> t = medians(work);
  const double bandwidth = c.in_place ? ceilings.copy : ceilings.read;
  const double roof = c.roof ? t[2] : std::max(c.bytes / bandwidth, c.exps / ceilings.exponentials);
  const nlohmann::json row{{"function", c.name},
                           {"shape", c.shape},
                           {"seconds", t[0]},
                           {"composed_seconds", t[1]},
                           {"times_composed", t[1] / t[0]},
                           {"share_of_roof", roof / t[0]},
                           {"bytes", c.bytes},
                           {"bytes_per_second", c.bytes / t[0]},
                           {"threads", at::get_num_threads()}};
  std::cout << row.dump() << std::endl;
  std::fprintf(stderr, "%-28s %-24s %9.3f ms  %5.2fx composed  %4.0f %% of roof\n", c.name.c_str(),
               c.shape.c_str(), t[0] * 1e3, t[1] / t[0], 100 * roof / t[0]);
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false;
  std::string filter;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) quick = true;
    if (std::strcmp(argv[i], "--filter") == 0 && i + 1 < argc) filter = argv[++i];
  }
  if (quick) rounds = 5;
  const Ceilings ceilings = measure_ceilings();
  std::fprintf(stderr,
               "%d threads: read %.1f GB/s, copy %.1f GB/s, in place %.1f GB/s, exp %.2f G/s\n",
               at::get_num_threads(), ceilings.read / 1e9, ceilings.copy / 1e9,
               ceilings.in_place / 1e9, ceilings.exponentials / 1e9);
  // kernels.md section 10, N / 16; quick: / 64.
  const int64_t part = quick ? 64 : 16;
  std::vector<Case> all;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    for (const Logits n : {Logits{8192, 32000}, {8192, 128256}, {8192, 50257}})
      add_logit_cases(all, {n.rows / part, n.columns}, type);
    if (!quick) add_logit_cases(all, {2169 / part, 151936}, type);
  }
  for (const Logits n : {Logits{16, 32000}, {quick ? 16 : 256, 151936}}) add_sampling_cases(all, n);
  add_head_cases(all, 256, 512, 32000);
  if (!quick) {
    add_head_cases(all, 512, 896, 151936);
    add_head_cases(all, 1024, 1024, 50257);
  }
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    add_layer_cases(all, 2048, 896, type);
    if (!quick) add_layer_cases(all, 8192, 2048, type);
  }
  add_embedding_case(all, 2048, 512, 16384);
  for (const int64_t tokens : {1024, 8192, 65536}) add_token_cases(all, tokens, tokens / 128);
  for (const Case& c : all) {
    if (c.name.find(filter) != std::string::npos) run_case(c, ceilings);
  }
}
