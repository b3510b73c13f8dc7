#include "guerdon/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "guerdon/base/error.h"

namespace guerdon::optim {
namespace {

// Transformers' default timescale of inverse_sqrt without warm-up.
constexpr double kTimescale = 10000.0;

double cosine(double waves, double x, double last) {
  const double factor = 0.5 * (1.0 + std::cos(2.0 * std::numbers::pi * waves * x));
  return std::max(0.0, factor * (1.0 - last) + last);
}

}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = {"linear",
                                                 "constant",
                                                 "constant_with_warmup",
                                                 "cosine",
                                                 "cosine_with_restarts",
                                                 "cosine_with_min_lr",
                                                 "polynomial",
                                                 "inverse_sqrt",
                                                 "warmup_stable_decay"};
  return names;
}

int64_t warmup_length(const ScheduleOptions& o, int64_t total) {
  if (o.warmup_steps >= 1.0) return static_cast<int64_t>(o.warmup_steps);
  const double share = o.warmup_steps > 0.0 ? o.warmup_steps : o.warmup_ratio;
  return static_cast<int64_t>(std::ceil(static_cast<double>(total) * share));
}

double schedule_factor(const ScheduleOptions& o, int64_t step, int64_t total, double peak) {
  const std::string& name = o.lr_scheduler_type;
  if (name == "constant") return 1.0;
  const int64_t warmup = warmup_length(o, total);
  if (step < warmup) {
    const double factor = static_cast<double>(step) / static_cast<double>(warmup);
    return name == "warmup_stable_decay" ? factor * (1.0 - o.min_lr_ratio) + o.min_lr_ratio
                                         : factor;
  }
  if (name == "constant_with_warmup") return 1.0;

  const double after = static_cast<double>(step - warmup);
  const double x = after / static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double last = o.min_lr && peak > 0.0 ? *o.min_lr / peak : o.min_lr_rate;
  if (name == "linear") return std::max(0.0, 1.0 - x);
  if (name == "cosine") return cosine(o.num_cycles.value_or(0.5), x, 0.0);
  if (name == "cosine_with_min_lr") return cosine(o.num_cycles.value_or(0.5), x, last);
  if (name == "cosine_with_restarts") {
    if (x >= 1.0) return 0.0;
    return cosine(0.5, std::fmod(o.num_cycles.value_or(1.0) * x, 1.0), 0.0);
  }
  if (name == "polynomial") {
    const double end = peak > 0.0 ? o.lr_end / peak : 0.0;
    return x >= 1.0 ? end : (1.0 - end) * std::pow(1.0 - x, o.power) + end;
  }
  if (name == "inverse_sqrt") {
    const double timescale = warmup > 0 ? static_cast<double>(warmup) : kTimescale;
    return 1.0 / std::sqrt((after + timescale) / timescale);
  }
  GUERDON_CHECK(name == "warmup_stable_decay", "no schedule is called ", show(name));
  const int64_t decay_begin = total - o.num_decay_steps;
  if (step < decay_begin) return 1.0;
  if (step >= total) return o.min_lr_ratio;
  const double y = static_cast<double>(step - decay_begin) /
                   static_cast<double>(std::max<int64_t>(1, o.num_decay_steps));
  return cosine(o.num_cycles.value_or(0.5), y, o.min_lr_ratio);
}

}  // namespace guerdon::optim
