#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/math/statistics.h"
#include "guerdon/report/svg.h"
#include "report/run_metrics.h"

namespace guerdon::report {
namespace {

std::string percent(double share) { return short_number(std::round(share * 1000) / 10) + " %"; }

class Rules {
 public:
  explicit Rules(const RunRecord& run) : run_(run) {}

  std::vector<Diagnosis> all() {
    ending();
    numbers();
    overoptimisation();
    drift();
    lengths();
    signal();
    preference();
    overfitting();
    losses_of_data();
    return std::move(found_);
  }

 private:
  void say(Mood mood, std::string what, std::string advice = {}) {
    found_.push_back({mood, std::move(what), std::move(advice)});
  }

  void ending() {
    const std::string status = run_.status();
    if (status == "failed") {
      std::string error;
      if (run_.manifest.contains("error") && run_.manifest["error"].is_string())
        error = run_.manifest["error"].get<std::string>();
      say(Mood::problem, "The run failed" + (error.empty() ? "." : ": " + error),
          "The end of the log is at the bottom of this page.");
    } else if (status == "interrupted") {
      say(Mood::warning, "The run was interrupted.",
          "The same command with --resume goes on from the last checkpoint.");
    } else if (status == "running") {
      say(Mood::neutral, "The run was still going when this page was made.");
    }
    for (const std::string& file : run_.unread)
      say(Mood::warning, "Damaged, and left out here: " + file);
  }

  void numbers() {
    for (const char* name : {"loss", "grad_norm"}) {
      const Curve* curve = run_.find(name);
      if (!curve) continue;
      const auto bad = std::count_if(curve->values.begin(), curve->values.end(),
                                     [](double v) { return !std::isfinite(v); });
      if (bad > 0) {
        say(Mood::problem,
            str(name, " was not a finite number in ", bad, " of ", curve->values.size(), " steps."),
            "Those steps were skipped. A lower learning_rate or a longer warm-up usually helps; "
            "log.txt has the row ids.");
      }
    }
    if (const Curve* difference = run_.find("sampling/logp_difference");
        difference && !difference->values.empty()) {
      const double worst = *std::max_element(difference->values.begin(), difference->values.end());
      // In fp32 the two agree to 1e-5 (a promise that is tested); bf16 has three digits.
      const bool bf16 = run_.config.is_object() && run_.config.value("bf16", false);
      if (!bf16 && worst > 1e-5) {
        say(Mood::warning,
            str("Sampler and trainer disagree on log-probabilities by up to ", short_number(worst),
                " per token."),
            "In fp32 they should agree to 1e-5; please report this run.");
      }
    }
  }

  /// The proxy rises while the reward that is only watched falls (Goodhart; Gao et al. 2023,
  /// arXiv:2210.10760).
  void overoptimisation() {
    const std::vector<Component> components = reward_components(run_);
    for (const Component& gold : components) {
      if (gold.optimised) continue;
      const Ends watched = ends(gold.standardised);
      if (watched.count < 8) continue;
      const double peak = *std::max_element(watched.smooth.begin(), watched.smooth.end());
      for (const Component& proxy : components) {
        if (!proxy.optimised) continue;
        const Ends optimised = ends(proxy.standardised);
        // In units of the spread over samples at the start; 0.15 is far above the noise of a mean
        // over a batch.
        if (optimised.last - optimised.first > 0.15 && peak - watched.last > 0.15 &&
            watched.last < watched.middle) {
          say(Mood::problem,
              str("Over-optimisation: \"", proxy.name, "\", which is trained on, rose by ",
                  short_number(optimised.last - optimised.first), " standard deviations while \"",
                  gold.name, "\", which is only watched, fell by ",
                  short_number(peak - watched.last), " from its peak."),
              "Stop earlier, raise beta, or train the reward model on samples of the present "
              "policy.");
        } else if (watched.last - watched.first > 0.15 && optimised.last - optimised.first > 0.15) {
          say(Mood::good,
              str("\"", gold.name, "\", which is only watched, rose by ",
                  short_number(watched.last - watched.first), " standard deviations along with \"",
                  proxy.name, "\" (", short_number(optimised.last - optimised.first), ")."));
        }
      }
    }
  }

  void drift() {
    if (const Curve* kl = run_.find("kl"); kl && kl->values.size() >= 8) {
      const Ends e = ends(*kl);
      // Per token. 0.1 nat a token is about 20 nats for a response of 200: far from the reference.
      if (e.last > 0.25) {
        say(Mood::warning,
            str("The policy is ", short_number(e.last), " nats per token away from the reference."),
            "Beyond a point the reward model judges text that it has never seen: raise beta or "
            "lower learning_rate.");
      }
    }
    if (const Curve* entropy = run_.find("entropy");
        entropy && entropy->values.size() >= 8 && is_online(run_)) {
      const Ends e = ends(*entropy);
      if (e.first > 0.05 && e.last < 0.1 * e.first) {
        say(Mood::warning,
            str("The entropy fell from ", short_number(e.first), " to ", short_number(e.last),
                " nats per token."),
            "The policy hardly explores any more: raise temperature or beta, or stop here.");
      }
    }
  }

  void lengths() {
    if (const Curve* length = run_.find("completions/mean_length");
        length && length->values.size() >= 8) {
      const Ends e = ends(*length);
      if (e.first > 0 && (e.last > 1.5 * e.first || e.last < 0.6 * e.first)) {
        say(Mood::warning,
            str("Completions went from ", short_number(e.first), " to ", short_number(e.last),
                " tokens."),
            "Does the reward like length (or brevity) for itself? guerdon eval reward shows the "
            "correlation.");
      }
    }
    if (const Curve* clipped = run_.find("completions/clipped_ratio");
        clipped && !clipped->values.empty()) {
      const Ends e = ends(*clipped);
      if (e.last > 0.3) {
        say(Mood::warning,
            percent(e.last) + " of the last completions were cut at max_completion_length.",
            "Cut completions are judged unfinished. Raise max_completion_length, or see whether "
            "the end token is trained.");
      }
    }
  }

  void signal() {
    if (const Curve* zero = run_.find("frac_reward_zero_std"); zero && zero->values.size() >= 8) {
      const Ends e = ends(*zero);
      if (e.last > 0.5) {
        say(Mood::warning,
            "In " + percent(e.last) +
                " of the last groups all completions got the same reward: they teach nothing.",
            "Harder or easier prompts, a finer reward, a higher temperature, or more generations "
            "give a signal again.");
      }
    }
    if (const Curve* reward = run_.find("reward"); reward && reward->values.size() >= 16) {
      const Curve* spread = run_.find("reward_std");
      const Ends e = ends(*reward);
      const double unit = spread && !spread->values.empty() ? ends(*spread).first : 0;
      if (unit > 0 && std::abs(e.last - e.first) < 0.05 * unit) {
        say(Mood::warning,
            str("The reward did not move: ", short_number(e.first), " at the start, ",
                short_number(e.last), " at the end."),
            "learning_rate may be too low for the number of steps, or the reward too coarse.");
      }
    }
    for (const auto& [name, curve] : run_.metrics) {
      const bool errors =
          name.starts_with("reward/") && (name.ends_with("/errors") || name.ends_with("/timeouts"));
      if (!errors) continue;
      double sum = 0;
      for (const double v : curve.values) sum += std::isfinite(v) ? v : 0;
      if (sum > 0)
        say(Mood::problem, str(name, ": ", sum, " in all."),
            "Failed rewards are left out as on_error says; log.txt has their texts.");
    }
  }

  void preference() {
    const Curve* accuracy = run_.find("eval_accuracy");
    const bool held_out = accuracy != nullptr;
    if (!accuracy) accuracy = run_.find("accuracy");
    if (accuracy && accuracy->values.size() >= (held_out ? 1U : 8U) && !is_online(run_)) {
      const double last = held_out ? accuracy->values.back() : ends(*accuracy).last;
      const std::string on = held_out ? "on held-out pairs" : "on the training pairs";
      if (last < 0.55) {
        say(Mood::problem,
            "The model prefers the chosen response in " + percent(last) + " of the cases " + on +
                ": hardly better than a coin.",
            "Look at the pairs with guerdon data lint, then at learning_rate and the number of "
            "steps.");
      }
    }
  }

  void overfitting() {
    const Curve* held_out = run_.find("eval_loss");
    if (!held_out || held_out->values.size() < 3) return;
    const auto best = std::min_element(held_out->values.begin(), held_out->values.end());
    const double last = held_out->values.back();
    if (std::isfinite(*best) && last > *best * 1.03) {
      const double step = held_out->steps[static_cast<size_t>(best - held_out->values.begin())];
      say(Mood::warning,
          str("Overfitting: the held-out loss was lowest at step ", short_number(step), " (",
              short_number(*best), ") and ended at ", short_number(last), "."),
          "Fewer epochs, or load_best_model_at_end, keep the better model.");
    }
  }

  void losses_of_data() {
    for (const std::string& warning : run_.warnings)
      say(Mood::neutral, "Warning in the log: " + warning);
  }

  const RunRecord& run_;
  std::vector<Diagnosis> found_;
};

}  // namespace

std::vector<Diagnosis> diagnoses(const RunRecord& run) { return Rules(run).all(); }

}  // namespace guerdon::report
