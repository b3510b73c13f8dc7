#include "head.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/ops/linear.h"
#include "inputs.h"

namespace guerdon::ops {

void check_head(const char* who, const Tensor& hidden, const Tensor& weight, const Tensor& bias) {
  GUERDON_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1) &&
                    weight.size(0) > 0,
                who, ": hidden ", hidden.sizes(), " and weight ", weight.sizes(), " do not fit");
  GUERDON_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)), who,
                ": bias ", bias.defined() ? bias.sizes() : at::IntArrayRef(), " does not fit ",
                weight.sizes());
}

Tensor chunk_logits(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                    const HeadOptions& options) {
  const bool low = weight.scalar_type() == at::kBFloat16 || weight.scalar_type() == at::kHalf;
  if (!low || !options.float_logits) {
    return linear(hidden.to(weight.scalar_type()), weight, bias)
        .to(at_least_float(weight))
        .contiguous();
  }
  if (weight.is_cuda()) {  // products of bfloat16 may have float32 results there
    const Tensor out = at::mm(hidden.to(weight.scalar_type()), weight.t(), at::kFloat);
    return bias.defined() ? out + bias.to(at::kFloat) : out;
  }
  // Vendor products of bfloat16 have bfloat16 results: the head becomes float32 a panel at a time.
  const Tensor h = hidden.to(at::kFloat);
  const int64_t vocabulary = weight.size(0);
  Tensor out = at::empty({h.size(0), vocabulary}, h.options());
  for (int64_t begin = 0; begin < vocabulary; begin += kLogitSlice) {
    const int64_t count = std::min(kLogitSlice, vocabulary - begin);
    const Tensor b = bias.defined() ? bias.narrow(0, begin, count).to(at::kFloat) : Tensor();
    out.narrow(1, begin, count).copy_(linear(h, weight.narrow(0, begin, count).to(at::kFloat), b));
  }
  return out;
}

int64_t logit_row_bytes(const Tensor& hidden, const Tensor& weight) {
  return weight.size(0) * (hidden.scalar_type() == at::kDouble ? 8 : 4);
}

int64_t chunk_rows(int64_t row_bytes, const HeadOptions& options, int64_t copies) {
  return std::max<int64_t>(16, options.workspace_bytes / (row_bytes * copies) / 16 * 16);
}

HeadGradients::HeadGradients(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                             bool of_hidden, bool of_weight, bool of_bias)
    : hidden_(hidden), weight_(weight), bias_(bias) {
  const auto zeros = [&](const Tensor& like, bool wanted) {
    return wanted ? at::zeros(like.sizes(), like.options().dtype(at_least_float(like))) : Tensor();
  };
  if (of_hidden) d_hidden_ = at::empty_like(hidden);
  if (of_weight) {
    d_weight_ = hidden.size(0) == 0
                    ? zeros(weight, true)
                    : at::empty(weight.sizes(), weight.options().dtype(at_least_float(weight)));
  }
  d_bias_ = zeros(bias, of_bias && bias.defined());
}

void HeadGradients::add(int64_t begin, const Tensor& d_logits) {
  const Tensor g = d_logits.to(weight_.scalar_type());
  const Tensor h = hidden_.narrow(0, begin, g.size(0));
  if (d_hidden_.defined()) {
    Tensor target = d_hidden_.narrow(0, begin, g.size(0));
    if (hidden_.scalar_type() == g.scalar_type()) {
      at::mm_out(target, g, weight_);
    } else {
      target.copy_(at::mm(g, weight_));
    }
  }
  if (d_weight_.defined()) {
    if (d_weight_.scalar_type() == g.scalar_type()) {  // the first chunk overwrites
      at::addmm_out(d_weight_, d_weight_, g.t(), h.to(g.scalar_type()), first_ ? 0.0 : 1.0, 1.0);
    } else {
      const Tensor product = at::mm(g.t(), h.to(g.scalar_type()));
      first_ ? d_weight_.copy_(product) : d_weight_.add_(product);
    }
  }
  if (d_bias_.defined()) d_bias_.add_(d_logits.sum(0));
  first_ = false;
}

Tensor HeadGradients::weight() const {
  return d_weight_.defined() ? d_weight_.to(weight_.scalar_type()) : d_weight_;
}

Tensor HeadGradients::bias() const {
  return d_bias_.defined() ? d_bias_.to(bias_.scalar_type()) : d_bias_;
}

}  // namespace guerdon::ops
