/// Private to `ops`: an objective as its kernels take it, on the CPU and on GPUs.
#pragma once

#include "guerdon/ops/policy_loss.h"
#include "kernels/numbers.h"

namespace guerdon::ops {

inline kernels::PolicyTerm kernel_of(PolicyTerm term) {
  switch (term) {
    case PolicyTerm::clipped: return kernels::PolicyTerm::clipped;
    case PolicyTerm::geometric: return kernels::PolicyTerm::geometric;
    case PolicyTerm::soft: return kernels::PolicyTerm::soft;
    case PolicyTerm::detached: return kernels::PolicyTerm::detached;
    case PolicyTerm::plain: break;
  }
  return kernels::PolicyTerm::plain;
}

inline kernels::PolicyNumbers numbers_of(const PolicyObjective& o) {
  const auto number = [](double x) { return static_cast<float>(x); };
  return {.term = kernel_of(o.term),
          .low = number(o.low),
          .high = number(o.high),
          .cap = number(o.cap),
          .positive_temperature = number(o.positive_temperature),
          .negative_temperature = number(o.negative_temperature),
          .beta = number(o.beta),
          .kl_times_ratio = o.kl_times_ratio && o.term != PolicyTerm::geometric,
          .share = number(1.0 / o.divisor)};
}

}  // namespace guerdon::ops
