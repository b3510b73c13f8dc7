/// Work timed beside its plain form in the same run, as a share of what the machine allows.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace guerdon::benchmarks {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using Work = std::function<void()>;
using Form = std::function<Tensor(const Tensors&)>;

/// What bounds a case: bytes, read alone or read and written, and exponentials, at the rates that
/// the same run measures; or products, which are timed.
struct Roof {
  double bytes = 0, exps = 0;
  bool written = false;
  Work products = {};
};

/// The form without a graph.
Work forward(const Form& form, const Tensors& inputs);
/// The form with a graph, and backward to the inputs; `upstream` undefined: of the output's sum. A
/// gradient alone would need a graph from outside the clock, so the forward pass's time is in both.
Work both(const Form& form, const Tensors& inputs, const Tensor& upstream = {});

/// Registers a case, "FUNCTION/SHAPE".
void add(const std::string& name, const Roof& roof, const Work& ours, const Work& plain);

/// main: --quick and Google Benchmark's flags. Measures the ceilings, calls `cases` to register,
/// runs. The table goes to standard error, one JSON object a case to standard output.
int run(int argc, char** argv, const std::function<void(bool quick)>& cases);

}  // namespace guerdon::benchmarks
