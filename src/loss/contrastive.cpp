#include "guerdon/loss/contrastive.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon::loss {
namespace {

Tensor of_length_one(const Tensor& x) { return x / x.norm(2, -1, true).clamp_min(1e-8); }

void check_views(const Tensor& s, const Tensor& t) {
  GUERDON_CHECK(s.dim() == 2 && s.sizes() == t.sizes(), "two views: ", s.sizes(), " and ",
                t.sizes());
}

}  // namespace

Tensor simcse(const Tensor& s, const Tensor& t, double temperature) {
  check_views(s, t);
  const Tensor cosines = of_length_one(s).matmul(of_length_one(t).t());
  return -at::log_softmax(cosines / temperature, 1).diagonal();
}

Tensor balanced(const Tensor& similarity, double sharpness, int64_t rounds) {
  // The largest is taken off first, which changes nothing and keeps exp in range.
  Tensor q = ((similarity.detach() - similarity.detach().max()) / sharpness).exp();
  for (int64_t round = 0; round < rounds; ++round) {
    q = q / q.sum(0, true).clamp_min(1e-30);
    q = q / q.sum(1, true).clamp_min(1e-30);
  }
  return q;
}

Tensor swav(const Tensor& s, const Tensor& t, const Tensor& prototypes, double temperature) {
  check_views(s, t);
  const Tensor directions = of_length_one(prototypes).t();
  const Tensor of_s = of_length_one(s).matmul(directions),
               of_t = of_length_one(t).matmul(directions);
  const Tensor log_s = at::log_softmax(of_s / temperature, 1),
               log_t = at::log_softmax(of_t / temperature, 1);
  return -(balanced(of_s) * log_t).sum(1) - (balanced(of_t) * log_s).sum(1);
}

}  // namespace guerdon::loss
