#include "judged.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"

namespace guerdon {
namespace {

constexpr int64_t kToldFailures = 20;
constexpr double kFailedShare = 0.2;

bool failed(Verdict v) { return v == Verdict::failed || v == Verdict::timed_out; }

std::string row_of(const Rollout& rollout) {
  const std::string id = rollout.example ? rollout.example->id : "";
  return str(id.empty() ? str("group ", rollout.group) : id, ", sample ", rollout.sample);
}

}  // namespace

Judged::Judged(std::string name, std::string where, std::unique_ptr<Reward> inner,
               std::vector<std::unique_ptr<Transform>> transforms, OnError on_error)
    : name_(std::move(name)),
      where_(std::move(where)),
      inner_(std::move(inner)),
      transforms_(std::move(transforms)),
      on_error_(on_error) {}

// The inner reward's scores with a verdict and a finite number for every row that is `scored`.
Scores Judged::judge(const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Scores s;
  try {
    s = inner_->score(batch);
  } catch (const std::exception& e) {
    // The whole call failed. A guard's stop and a wrong setting stay what they are.
    const auto* error = dynamic_cast<const Error*>(&e);
    if (error && (error->kind == Kind::stopped || error->kind == Kind::settings)) throw;
    s.total =
        at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
    s.verdicts.assign(n, Verdict::failed);
    s.notes.assign(n, e.what());
  }
  GUERDON_CHECK(
      s.total.defined() && s.total.dim() == 1 && s.total.size(0) == static_cast<int64_t>(n), where_,
      ": ", n, " rollouts, but its total has another size");
  GUERDON_CHECK(s.verdicts.empty() || s.verdicts.size() == n, where_, ": ", n, " rollouts, but ",
                s.verdicts.size(), " verdicts");
  s.total = s.total.detach().to(at::kCPU, at::kFloat).clone();
  const bool silent = s.verdicts.empty();
  if (silent) s.verdicts.assign(n, Verdict::scored);
  float* total = s.total.data_ptr<float>();
  for (size_t i = 0; i < n; ++i) {
    if (s.verdicts[i] == Verdict::scored && !std::isfinite(total[i])) {
      // NaN without a verdict is a reward's plainest way to say that it has no opinion.
      const bool no_opinion = silent && std::isnan(total[i]);
      s.verdicts[i] = no_opinion ? Verdict::no_opinion : Verdict::failed;
      if (!no_opinion) {
        s.notes.resize(n);
        s.notes[i] = str("the score is ", std::isnan(total[i]) ? "not a number" : "infinite");
      }
    }
    if (s.verdicts[i] != Verdict::scored) total[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return s;
}

Scores Judged::score(const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Scores s = judge(batch);
  float* total = s.total.data_ptr<float>();

  std::vector<double> values;
  for (size_t i = 0; i < n; ++i) {
    if (s.verdicts[i] == Verdict::scored) values.push_back(total[i]);
  }
  for (const auto& transform : transforms_) transform->apply(values, batch.measuring);
  size_t next = 0;
  for (size_t i = 0; i < n; ++i) {
    if (s.verdicts[i] == Verdict::scored) total[i] = static_cast<float>(values[next++]);
  }

  if (on_error_.way == OnError::Way::pass) return s;
  int64_t errors = 0, timeouts = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!failed(s.verdicts[i])) continue;
    (s.verdicts[i] == Verdict::failed ? errors : timeouts) += 1;
    const std::string text = s.verdicts[i] == Verdict::timed_out ? "timed out"
                             : s.notes.size() == n               ? s.notes[i]
                                                                 : "failed";
    const std::string what =
        "reward " + show(name_) + " failed on " + row_of(batch.rollouts[i]) + ": " + text;
    if (on_error_.way == OnError::Way::fail) {
      throw Error(Kind::stopped, where_, what,
                  "on_error=none leaves such rows out, on_error=NUMBER gives them that score");
    }
    if (told_ < kToldFailures) {
      if (!batch.measuring) ++told_;
      log::warning(where_ + ": " + what);
    }
    if (on_error_.way == OnError::Way::number) {
      total[i] = static_cast<float>(on_error_.number);
      s.verdicts[i] = Verdict::scored;
    }
  }
  s.counts[name_ + "/errors"] += static_cast<double>(errors);
  s.counts[name_ + "/timeouts"] += static_cast<double>(timeouts);
  if (!batch.measuring) stop_when_too_many(batch.step, errors + timeouts, static_cast<int64_t>(n));
  return s;
}

void Judged::stop_when_too_many(int64_t step, int64_t failures, int64_t rows) {
  if (recent_[2].step != step) {
    recent_[0] = recent_[1];
    recent_[1] = recent_[2];
    recent_[2] = {.step = step};
  }
  recent_[2].failed += failures;
  recent_[2].rows += rows;
  if (recent_[0].step < 0) return;  // fewer than three steps so far
  const int64_t all_failed = recent_[0].failed + recent_[1].failed + recent_[2].failed;
  const int64_t all_rows = recent_[0].rows + recent_[1].rows + recent_[2].rows;
  if (static_cast<double>(all_failed) > kFailedShare * static_cast<double>(all_rows)) {
    fail_stopped(where_,
                 str("reward ", show(name_), " failed on ", all_failed,
                     " of the last three steps' ", all_rows, " rows"),
                 "more than 20 % failures stop the run whatever on_error says; the log has the "
                 "first of them");
  }
}

void Judged::StepCount::parts(Parts& p) {
  p.integer("step", step);
  p.integer("failed", failed);
  p.integer("rows", rows);
}

void Judged::parts(Parts& p) {
  for (size_t i = 0; i < 3; ++i) p.nested(str("recent", i), recent_[i]);
  p.integer("told", told_);
  for (size_t i = 0; i < transforms_.size(); ++i) p.nested(str("transform", i), *transforms_[i]);
  p.nested("of", *inner_);
}

}  // namespace guerdon
