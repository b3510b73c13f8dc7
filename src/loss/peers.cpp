#include "guerdon/loss/peers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon::loss {

Tensor kept_by_peer(const Tensor& margins, double rate) {
  GUERDON_CHECK(margins.dim() == 1 && rate > 0.0 && rate <= 1.0, "kept_by_peer: ", margins.sizes(),
                " margins, rate ", rate);
  const Tensor plain = margins.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* margin = plain.const_data_ptr<double>();
  std::vector<int64_t> order(static_cast<size_t>(plain.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::erase_if(order, [&](int64_t i) { return std::isnan(margin[i]); });
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return margin[a] > margin[b]; });
  const auto wanted = static_cast<size_t>(std::ceil(rate * static_cast<double>(plain.numel())));
  order.resize(std::min(order.size(), std::max<size_t>(wanted, 1)));
  const Tensor kept = at::zeros({plain.numel()}, at::kBool);
  for (const int64_t i : order) kept.data_ptr<bool>()[i] = true;
  return kept;
}

double keep_rate(double noise, double warmup, int64_t done, int64_t total) {
  const double until = warmup * static_cast<double>(total);
  return 1.0 - noise * (until > 0.0 ? std::min(1.0, static_cast<double>(done) / until) : 1.0);
}

}  // namespace guerdon::loss
