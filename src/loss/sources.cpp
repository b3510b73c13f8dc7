#include "guerdon/loss/sources.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "guerdon/base/error.h"
#include "guerdon/math/simplex.h"

namespace guerdon::loss {

Tensor head_gradients(const PairScores& scores, const Columns& columns, const PairOptions& options,
                      const Tensor& chosen, const Tensor& rejected, const Tensor& source,
                      int64_t sources) {
  GUERDON_CHECK(chosen.dim() == 2 && chosen.sizes() == rejected.sizes() &&
                    chosen.size(0) == scores.chosen.size(0) &&
                    source.sizes() == scores.chosen.sizes(),
                "head_gradients: ", scores.chosen.sizes(), " scores, ", chosen.sizes(), " and ",
                rejected.sizes(), " states, ", source.sizes(), " sources");
  const c10::AutoGradMode with_graph(true);
  const PairScores leaves{scores.chosen.detach().clone().set_requires_grad(true),
                          scores.rejected.detach().clone().set_requires_grad(true)};
  const auto slopes = torch::autograd::grad({pair_loss(leaves, columns, options).sum()},
                                            {leaves.chosen, leaves.rejected});
  const Tensor per_pair =
      slopes[0].unsqueeze(1) * chosen.detach() + slopes[1].unsqueeze(1) * rejected.detach();
  const Tensor sums =
      at::zeros({sources, chosen.size(1)}, per_pair.options()).index_add(0, source, per_pair);
  const Tensor counts = at::bincount(source, {}, sources).clamp_min(1).unsqueeze(1);
  return sums / counts;
}

std::vector<double> source_weights(const Tensor& g, const std::vector<bool>& present,
                                   bool of_length_one) {
  GUERDON_CHECK(g.dim() == 2 && g.size(0) == static_cast<int64_t>(present.size()),
                "source_weights: ", g.sizes(), " gradients, ", present.size(), " sources");
  std::vector<int64_t> places;
  for (size_t i = 0; i < present.size(); ++i)
    if (present[i]) places.push_back(static_cast<int64_t>(i));
  std::vector<double> out(present.size(), 0.0);
  if (places.empty()) return out;
  Tensor of = g.detach().to(at::kCPU, at::kDouble).index_select(0, at::tensor(places, at::kLong));
  if (of_length_one) {
    const Tensor length = of.norm(2, 1, true);
    of = of / at::where(length > 0, length, at::ones_like(length));
  }
  const Tensor products = of.matmul(of.t()).contiguous();
  const std::vector<double> lambda = math::shortest_mixture(
      {products.const_data_ptr<double>(), static_cast<size_t>(products.numel())});
  for (size_t i = 0; i < places.size(); ++i)
    out[static_cast<size_t>(places[i])] = static_cast<double>(places.size()) * lambda[i];
  return out;
}

}  // namespace guerdon::loss
