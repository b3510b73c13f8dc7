#include "guerdon/train/loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/optim/state.h"
#include "guerdon/train/checkpoint.h"
#include "guerdon/train/gradients.h"
#include "train/movement.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

// Steps in a row whose loss or gradient is not finite, until the run is stopped.
constexpr int64_t kSkippedInARow = 3;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The most memory that this process has held, in MB.
double peak_memory_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::round(std::stod(line.substr(6)) / 1024.0);
  }
  return 0.0;
}

class Loop {
 public:
  Loop(Algorithm& algorithm, const TrainSettings& settings, RunFolder& run,
       const LoopOptions& options)
      : algorithm_(algorithm),
        settings_(settings),
        run_(run),
        options_(options),
        optimizer_(optim::trained_parameters([&](Parts& p) { p.nested("algorithm", algorithm); }),
                   settings.adam),
        movement_(optimizer_),
        micro_{.groups = std::max<int64_t>(
                   1, settings.per_device_train_batch_size / algorithm.rows_in_group()),
               .tokens = settings.micro_batch_tokens},
        per_epoch_(algorithm.steps_per_epoch()) {
    GUERDON_CHECK(per_epoch_ > 0, "an epoch has ", per_epoch_, " steps");
    if (optimizer_.parameters().empty()) {
      fail_settings("training", "no parameter is trained: everything is frozen");
    }
    total_ = total_steps(settings, per_epoch_);
    log_every_ = steps_of(settings.logging_steps, total_);
    evaluate_every_ = settings.eval_strategy == "no"      ? 0
                      : settings.eval_strategy == "epoch" ? per_epoch_
                      : settings.eval_steps               ? steps_of(*settings.eval_steps, total_)
                                                          : log_every_;
    save_every_ = settings.save_strategy == "steps"   ? steps_of(settings.save_steps, total_)
                  : settings.save_strategy == "epoch" ? per_epoch_
                                                      : 0;
  }

  TrainResult run() {
    const StopSignals signals;
    resume();
    run_.begin(step_, settings_.report.tensorboard);
    write_manifest(RunStatus::running);
    TrainResult result;
    try {
      if (step_ == 0 && settings_.eval_on_start) run_.add_metrics(0, evaluate_all());
      while (step_ < total_ && !stop_early_ && stop_signal() == 0) one_collect();
      finish_saving();
      if (saved_step_ != step_) save(/*beside=*/false);
      result.status = step_ < total_ && !stop_early_ ? RunStatus::interrupted : RunStatus::finished;
      if (result.status == RunStatus::finished) result.model = link_final_model();
    } catch (const std::exception& e) {
      write_manifest(RunStatus::failed, e.what());
      throw;
    }
    write_manifest(result.status);
    result.step = step_;
    result.last = last_;
    return result;
  }

 private:
  // ---- state ---------------------------------------------------------------------------------

  void parts(Parts& parts) {
    parts.integer("step", step_);
    parts.integer("tokens", tokens_);
    parts.number("seconds", seconds_);
    parts.integer("micro_batch.groups", micro_.groups);
    parts.integer("micro_batch.tokens", micro_.tokens);
    parts.integer("skipped", skipped_);
    parts.integer("skipped_in_a_row", skipped_in_a_row_);
    parts.number("best", best_);
    parts.integer("best_step", best_step_);
    parts.integer("evaluations_without_better", without_better_);
    parts.nested("optimizer", optimizer_);
    parts.nested("algorithm", algorithm_);
  }
  optim::PartsOf all_parts() {
    return [this](Parts& visitor) { parts(visitor); };
  }

  void resume() {
    std::optional<fs::path> from = options_.resume_from;
    if (!from && options_.resume) from = newest_intact(run_.checkpoints());
    if (!from) {
      if (options_.resume && !list_checkpoints(run_.checkpoints()).empty()) {
        fail_input(run_.checkpoints().string(), "no checkpoint is intact");
      }
      return;
    }
    const CheckpointInfo info = verify_checkpoint(*from);
    if (info.data_fingerprint != algorithm_.data_fingerprint() && !settings_.data.allow_changed) {
      fail_input(from->string(), "was made with other data than data.train names now",
                 "data.allow_changed=true resumes all the same");
    }
    optim::restore_state(all_parts(), load_state(*from), from->string(), hashes_);
    saved_step_ = step_;
    const auto patience = settings_.early_stopping_patience;
    stop_early_ = patience && without_better_ >= *patience;
    log::info(str("resumed from ", from->string(), ", step ", step_));
  }

  /// With `beside` the next steps are made while it is written.
  void save(bool beside) {
    finish_saving();
    const CheckpointInfo info{step_, options_.settings_sha256, algorithm_.data_fingerprint()};
    const bool written = unless_disk_fails([&] {
      optim::State state = optim::read_state(all_parts(), hashes_);
      if (beside) {
        for (auto& [name, tensor] : state.tensors) tensor = tensor.clone();
      }
      writer_.begin(run_.checkpoints(), info, std::move(state), [&](NewFolder& folder) {
        algorithm_.save(folder);
        algorithm_.check_saved(folder.path());
      });
    });
    if (!written) return;
    being_saved_ = {step_, best_step_};
    if (!beside) finish_saving();
  }

  /// Waits for the checkpoint that is being written; older ones are removed only then.
  void finish_saving() {
    if (!writer_.is_writing() || !unless_disk_fails([&] { writer_.finish(); })) return;
    saved_step_ = being_saved_.step;
    const auto best = being_saved_.best_step;
    prune_checkpoints(run_.checkpoints(), settings_.save_total_limit,
                      best >= 0 ? std::optional<int64_t>(best) : std::nullopt);
  }

  /// False when `write` failed, and checkpoint.on_error lets training go on.
  template <class Write>
  bool unless_disk_fails(Write&& write) {
    try {
      write();
      return true;
    } catch (const Error& e) {
      if (e.kind != Kind::surroundings || settings_.checkpoint.on_error != "warn") throw;
      log::warning(std::string(e.what()) + "; training goes on without this checkpoint");
      return false;
    }
  }

  fs::path link_final_model() {
    const bool best = settings_.load_best_model_at_end && best_step_ >= 0;
    link_model(run_.checkpoints() / checkpoint_name(best ? best_step_ : step_), run_.model());
    if (best) log::info(str("the model is that of step ", best_step_, ", the best evaluation"));
    return run_.model();
  }

  void write_manifest(RunStatus status, const std::string& error = {}) {
    run_.write_manifest({.command = options_.command,
                         .status = status,
                         .step = step_,
                         .seconds = seconds_,
                         .settings_sha256 = options_.settings_sha256,
                         .data_fingerprint = algorithm_.data_fingerprint(),
                         .error = error});
  }

  // ---- steps ---------------------------------------------------------------------------------

  void one_collect() {
    if (writer_.is_ready()) finish_saving();  // a full disk is told now, not at the next save
    const int64_t before = step_;
    step_began_ = seconds_now();
    Batch batch;
    try {
      batch = algorithm_.collect(step_);
    } catch (const CollectStopped&) {
      GUERDON_CHECK(stop_signal() != 0, "a collect gave up, but no stop was asked for");
      return;
    }
    Numbers numbers = numbers_of(algorithm_.collect_metrics());
    const UpdatePlan plan = batch.plan;
    for (int64_t i = 0; i < plan.iterations && step_ < total_; ++i) {
      for (int64_t m = 0; m < plan.minibatches && step_ < total_; ++m) {
        if (step_ > before) write_step(std::move(numbers));
        const Numbers of_step = one_step(minibatch(batch, m));
        numbers.insert(numbers.begin(), of_step.begin(), of_step.end());
      }
    }
    // State is whole again between collects: what is due in between happens here.
    const bool last = step_ >= total_;
    bool best = false;
    if (evaluate_every_ > 0 && (last || crossed(before, evaluate_every_))) {
      const Numbers found = evaluate_all();
      best = note_best(found);
      numbers.insert(numbers.end(), found.begin(), found.end());
    }
    write_step(std::move(numbers));
    const bool keep_best =
        best && (settings_.load_best_model_at_end || settings_.save_strategy == "best");
    if (keep_best || (save_every_ > 0 && crossed(before, save_every_)))
      save(settings_.checkpoint.in_background && !last);
  }

  bool crossed(int64_t before, int64_t every) const { return before / every < step_ / every; }

  Batch minibatch(const Batch& batch, int64_t m) const {
    const int64_t count = batch.plan.minibatches;
    if (count == 1) return batch;
    const int64_t groups = static_cast<int64_t>(batch.group.size()) - 1;
    GUERDON_CHECK(groups >= count, "a collect of ", groups, " groups cannot give ", count,
                  " steps");
    std::vector<int64_t> taken;
    for (int64_t g = m * groups / count; g < (m + 1) * groups / count; ++g) taken.push_back(g);
    return take(batch, taken);
  }

  /// The gradients of a step. Where memory runs out the parts are halved, and the step is done
  /// again: the gradient is the same.
  StepLoss gradients(const Batch& batch) {
    for (;;) {
      try {
        optimizer_.zero_grad();
        return accumulate(algorithm_, batch, micro_);
      } catch (const c10::OutOfMemoryError& e) {
        int64_t& size = micro_.tokens > 0 ? micro_.tokens : micro_.groups;
        if (size <= 1) {
          fail_surroundings("training", "memory ran out with one row per forward pass",
                            "use shorter rows, gradient_checkpointing=true, or a smaller model");
        }
        size /= 2;
        log::warning(str("memory ran out; from step ", step_ + 1, " on a forward pass has at most ",
                         size, micro_.tokens > 0 ? " tokens" : " rows"));
      }
    }
  }

  Numbers one_step(const Batch& batch) {
    const StepLoss loss = gradients(batch);
    const double rate =
        settings_.learning_rate *
        optim::schedule_factor(settings_.schedule, step_, total_, settings_.learning_rate);
    if (!movement_.done()) movement_.look_at_gradients();
    const optim::Clipping clipping = optim::clipping_of(optimizer_, settings_.max_grad_norm);
    const double norm = clipping.norm;
    const bool finite = std::isfinite(loss.loss) && std::isfinite(norm);
    if (finite) {
      optimizer_.step(rate, clipping);
      if (!movement_.done() && rate > 0.0 && norm > 0.0) movement_.look_at_weights();
      skipped_in_a_row_ = 0;
    }
    const int64_t tokens = unshared_tokens(batch.sequences);
    ++step_;
    tokens_ += tokens;
    if (finite) {
      algorithm_.after_step(step_);
    } else {
      skip(batch, loss.loss, norm);
    }
    const double time = seconds_now() - step_began_;
    step_began_ += time;
    seconds_ += time;

    Numbers numbers = {{"loss", loss.loss}, {"learning_rate", rate}, {"grad_norm", norm}};
    numbers.insert(numbers.end(), loss.metrics.begin(), loss.metrics.end());
    numbers.emplace_back("num_tokens", static_cast<double>(tokens_));
    numbers.emplace_back("epoch", static_cast<double>(step_) / static_cast<double>(per_epoch_));
    if (skipped_ > 0) numbers.emplace_back("skipped_steps", static_cast<double>(skipped_));
    numbers.emplace_back("tokens_per_second", static_cast<double>(tokens) / std::max(time, 1e-9));
    numbers.emplace_back("step_time", time);
    numbers.emplace_back("peak_memory_mb", peak_memory_mb());
    return numbers;
  }

  void skip(const Batch& batch, double loss, double norm) {
    ++skipped_;
    ++skipped_in_a_row_;
    std::string rows;
    for (const std::string& id : batch.ids) rows += (rows.empty() ? "" : ", ") + id;
    log::warning(str("step ", step_, " is skipped: the ", std::isfinite(loss) ? "gradient" : "loss",
                     " is not finite (loss ", loss, ", gradient norm ", norm, "); rows: ", rows));
    if (skipped_in_a_row_ < kSkippedInARow) return;
    finish_saving();
    const auto checkpoints = list_checkpoints(run_.checkpoints());
    fail_stopped("training",
                 str("loss or gradient was not finite in ", kSkippedInARow,
                     " steps in a row, the last ", step_, "; rows of that step: ", rows),
                 checkpoints.empty()
                     ? "there is no checkpoint yet"
                     : "the last good checkpoint is " + checkpoints.front().string());
  }

  // ---- numbers -------------------------------------------------------------------------------

  static Numbers numbers_of(const std::vector<Metric>& metrics) {
    Numbers out;
    for (const Metric& metric : metrics) {
      out.emplace_back(metric.name, metric.value.to(at::kDouble).item<double>());
    }
    return out;
  }

  void write_step(Numbers numbers) {
    run_.add_metrics(step_, numbers);
    if (step_ % log_every_ == 0 || step_ == total_) {
      log::info(str("step ", step_, "/", total_, summary(numbers)));
    }
    if (options_.progress) {
      options_.progress({.task = options_.command,
                         .done = step_,
                         .total = total_,
                         .unit = "step",
                         .tokens = tokens_,
                         .note = str("loss ", numbers.empty() ? 0.0 : numbers.front().second)});
    }
    last_ = std::move(numbers);
  }

  static std::string summary(const Numbers& numbers) {
    std::string out;
    for (const auto& [name, value] : numbers) {
      const bool told = name == "loss" || name == "learning_rate" || name == "grad_norm" ||
                        name == "tokens_per_second" || name.starts_with("eval_");
      if (told) out += str("  ", name, " ", value);
    }
    return out;
  }

  /// "eval_loss" for the one set called "eval", "eval_NAME_loss" for others.
  Numbers evaluate_all() {
    Numbers out;
    for (const std::string& set : algorithm_.evaluation_sets()) {
      const std::string prefix = set == "eval" ? "eval_" : "eval_" + set + "_";
      for (const auto& [name, value] : evaluate_set(set)) out.emplace_back(prefix + name, value);
    }
    step_began_ = seconds_now();  // no part of the next step's time
    return out;
  }

  Numbers evaluate_set(const std::string& set) {
    if (const auto own = algorithm_.evaluate(set)) return numbers_of(*own);
    const StepLoss found = evaluate(algorithm_, set, evaluation_totals_[set]);
    Numbers out = {{"loss", found.loss}};
    out.insert(out.end(), found.metrics.begin(), found.metrics.end());
    return out;
  }

  /// Whether this evaluation is the best so far; early stopping counts those that are not.
  bool note_best(const Numbers& found) {
    if (found.empty()) return false;
    const std::string name = settings_.metric_for_best_model.value_or("loss");
    const auto is_it = [&](const std::string& key) { return key == name || key == "eval_" + name; };
    auto metric = std::find_if(found.begin(), found.end(), [&](auto& n) { return is_it(n.first); });
    // Without a name: the first set's first metric, its loss or its mean reward.
    if (metric == found.end() && !settings_.metric_for_best_model) metric = found.begin();
    if (metric == found.end()) {
      std::string known;
      for (const auto& entry : found) known += (known.empty() ? "" : ", ") + entry.first;
      fail_settings("key metric_for_best_model",
                    "no evaluation gives " + show(name) + " (there are " + known + ")");
    }
    const bool greater = settings_.greater_is_better.value_or(!metric->first.ends_with("loss"));
    const double value = metric->second;
    const bool first = best_step_ < 0;
    const bool better = first ? !std::isnan(value) : greater ? value > best_ : value < best_;
    const bool counts = first || std::abs(value - best_) > settings_.early_stopping_threshold;
    without_better_ = better && counts ? 0 : without_better_ + 1;
    if (better) {
      best_ = value;
      best_step_ = step_;
    }
    const auto patience = settings_.early_stopping_patience;
    if (patience && without_better_ >= *patience) {
      stop_early_ = true;
      log::info(str("stopped early: ", metric->first, " has not become better in ", without_better_,
                    " evaluations"));
    }
    return better;
  }

  Algorithm& algorithm_;
  const TrainSettings& settings_;
  RunFolder& run_;
  const LoopOptions& options_;
  optim::AdamW optimizer_;
  MovementCheck movement_;
  optim::FrozenHashes hashes_;
  std::map<std::string, std::optional<Totals>> evaluation_totals_;

  // What a checkpoint holds beside optimizer and algorithm.
  int64_t step_ = 0, tokens_ = 0;
  double seconds_ = 0.0;
  MicroBatches micro_;
  int64_t skipped_ = 0, skipped_in_a_row_ = 0;
  double best_ = std::numeric_limits<double>::quiet_NaN();
  int64_t best_step_ = -1, without_better_ = 0;

  int64_t per_epoch_, total_ = 0, log_every_ = 0, evaluate_every_ = 0, save_every_ = 0;
  int64_t saved_step_ = -1;
  struct {
    int64_t step, best_step;
  } being_saved_{};
  CheckpointWriter writer_;
  bool stop_early_ = false;
  double step_began_ = 0.0;
  Numbers last_;
};

}  // namespace

TrainResult train(Algorithm& algorithm, const TrainSettings& settings, RunFolder& run,
                  const LoopOptions& options) {
  return Loop(algorithm, settings, run, options).run();
}

}  // namespace guerdon::train
