/// Learning rate schedules, under Transformers' names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace guerdon::optim {

struct ScheduleOptions {
  std::string lr_scheduler_type = "linear";
  double warmup_steps = 0.0;  ///< 1 or more: steps of linear warm-up; below 1: share of all steps
  double warmup_ratio = 0.0;  ///< in [0, 1): that share, when warmup_steps is 0

  // lr_scheduler_kwargs
  std::optional<double> num_cycles;  ///< waves of a cosine (0.5), restarts (1)
  std::optional<double> min_lr;      ///< cosine_with_min_lr: last learning rate ...
  double min_lr_rate = 0.0;          ///< ... or its share of the peak
  double power = 1.0;                ///< polynomial
  double lr_end = 1e-7;              ///< polynomial: the last learning rate
  int64_t num_decay_steps = 0;       ///< warmup_stable_decay: steps of the decay at the end ...
  double min_lr_ratio = 0.0;         ///< ... to this share of the peak, where its warm-up begins
};

const std::vector<std::string>& schedule_names();

/// The warm-up in steps.
int64_t warmup_length(const ScheduleOptions& options, int64_t total);

/// What the peak learning rate is multiplied with in step `step` (0 is the first) of `total`, as
/// Transformers' get_scheduler counts. With w the warm-up steps, the first step of a warm-up has
/// the factor 0 and step w has 1; after it, with x = (step - w) / (total - w):
///
///     constant              1, without warm-up
///     constant_with_warmup  1
///     linear                1 - x
///     cosine                (1 + cos(2 pi num_cycles x)) / 2
///     cosine_with_restarts  (1 + cos(pi (num_cycles x mod 1))) / 2
///     cosine_with_min_lr    the cosine, scaled to end at min_lr
///     polynomial            (1 - x)^power, from the peak to lr_end
///     inverse_sqrt          sqrt(w / step), with w = 10000 when there is no warm-up
///     warmup_stable_decay   1, then in the last num_decay_steps the cosine down to min_lr_ratio
///
/// Throws Error (Kind::bug) for an unknown name.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t total,
                       double peak_learning_rate);

}  // namespace guerdon::optim
