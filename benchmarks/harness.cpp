#include "harness.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "kernels/cpu/kernels.h"

namespace guerdon::benchmarks {
namespace {

double seconds(const Work& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double median_seconds(const Work& work) {
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) times.push_back(seconds(work));
  return median(times);
}

struct Ceilings {
  double read = 0, copy = 0, exponentials = 0;  // bytes/s, elements/s
};

Ceilings measure_ceilings() {
  const Tensor large = at::ones({int64_t{64} << 20}, at::kFloat);
  Tensor other = at::empty_like(large);
  const double bytes = 4.0 * static_cast<double>(large.numel());
  // One row kernel reads with a block maximum: the same loads and one operation each.
  const double read = median_seconds([&] { benchmark::DoNotOptimize(large.amax().item<float>()); });
  const double copy = median_seconds([&] { other.copy_(large); });
  // Exponentials of a block that stays in the first cache.
  constexpr int64_t kCalls = 4096;
  const double exponentials = median_seconds([&] {
    at::parallel_for(0, kCalls, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> z(kernels::kColumnBlock, -1.5f), p(z.size());
      for (int64_t i = begin; i < end; ++i) {
        kernels::kernels().probabilities(z.data(), kernels::kColumnBlock, 0.1f, p.data());
        benchmark::DoNotOptimize(p.data());
      }
    });
  });
  return {bytes / read, 2 * bytes / copy,
          static_cast<double>(kCalls * kernels::kColumnBlock) / exponentials};
}

Ceilings ceilings;
int64_t iterations = 21;

/// Ours and the plain form run in turn, so that a busy moment hits both.
void measure(benchmark::State& state, const Roof& roof, const Work& ours, const Work& plain) {
  std::vector<double> own, other, products;
  ours(), plain();
  for (auto _ : state) {
    own.push_back(seconds(ours));
    other.push_back(seconds(plain));
    if (roof.products) products.push_back(seconds(roof.products));
    state.SetIterationTime(own.back());
  }
  const double time = median(own), bandwidth = roof.written ? ceilings.copy : ceilings.read;
  const double bound = roof.products
                           ? median(products)
                           : std::max(roof.bytes / bandwidth, roof.exps / ceilings.exponentials);
  state.counters["median_ms"] = 1e3 * time;
  state.counters["times_plain"] = median(other) / time;
  if (roof.bytes > 0) {
    state.counters["MB"] = roof.bytes / 1e6;
    state.counters["GB/s"] = roof.bytes / time / 1e9;
  }
  if (bound > 0) state.counters["of_roof_%"] = 100 * bound / time;
}

/// The table to standard error, and a line of JSON for each case to standard output.
class Reporter final : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_Tabular) { SetOutputStream(&std::cerr); }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const std::string& name = run.run_name.function_name;
      const size_t slash = name.find('/');
      nlohmann::json row{{"function", name.substr(0, slash)},
                         {"shape", name.substr(slash + 1)},
                         {"threads", at::get_num_threads()}};
      for (const auto& [counter, value] : run.counters) row[counter] = value.value;
      std::cout << row.dump() << std::endl;
    }
    ConsoleReporter::ReportRuns(runs);
  }
};

}  // namespace

Work forward(const Form& form, const Tensors& inputs) {
  return [=] {
    const c10::NoGradGuard no_gradient;
    benchmark::DoNotOptimize(form(inputs));
  };
}

Work both(const Form& form, const Tensors& inputs, const Tensor& upstream) {
  return [=] {
    Tensors leaves;
    for (const Tensor& x : inputs) leaves.push_back(x.detach().requires_grad_());
    const Tensor out = form(leaves);
    benchmark::DoNotOptimize(upstream.defined() ? torch::autograd::grad({out}, leaves, {upstream},
                                                                        std::nullopt, false, true)
                                                : torch::autograd::grad({out.sum()}, leaves));
  };
}

void add(const std::string& name, const Roof& roof, const Work& ours, const Work& plain) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { measure(state, roof, ours, plain); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(iterations);
}

int run(int argc, char** argv, const std::function<void(bool quick)>& cases) {
  const auto end = std::remove(argv + 1, argv + argc, std::string_view("--quick"));
  const bool quick = end != argv + argc;
  if (quick) iterations = 7;
  argc = static_cast<int>(end - argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  ceilings = measure_ceilings();
  std::cerr << at::get_num_threads() << " threads: read " << ceilings.read / 1e9 << " GB/s, copy "
            << ceilings.copy / 1e9 << " GB/s, exp " << ceilings.exponentials / 1e9 << " G/s\n";
  cases(quick);
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return 0;
}

}  // namespace guerdon::benchmarks
