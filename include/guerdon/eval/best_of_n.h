/// Best of n: what choosing the best of n samples by a reward does, exactly for known laws, and
/// estimated from samples with a gold reward beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/eval/items.h"
#include "guerdon/math/intervals.h"

namespace guerdon::eval {

// --- laws (Yang et al. 2024, "Asymptotics of language model alignment", arXiv:2404.01730) --------
// A law is a list of probabilities, `reward` has a value for each outcome. All throw Error
// (Kind::bug) when the sizes differ, a probability is negative, or they do not add up to 1 within
// 1e-6.

/// The law of the best of n independent draws: F(r)^n - F(r-)^n for the outcomes of reward r, with
/// F the distribution of the reward; outcomes of equal reward share it by their probability. n >= 1
/// may be a real number.
std::vector<double> best_of_law(std::span<const double> law, std::span<const double> reward,
                                double n);

/// Sum of q log(q / p).
double kl_of_laws(std::span<const double> q, std::span<const double> p);

/// log n - (n - 1) / n: the KL divergence of best of n from its base where no two rewards are
/// equal and none has a positive probability; else a bound (arXiv:2401.01879).
double best_of_kl_bound(double n);

/// The base tilted by e^(a r) / Z: the law of highest mean reward at its KL divergence.
struct Tilt {
  double a = 0;
  std::vector<double> law;
  double mean = 0;  ///< of the reward; d log Z / d a
  double kl = 0;    ///< from the base: a mean - log Z
  double log_z = 0;
};
Tilt tilt(std::span<const double> law, std::span<const double> reward, double a);
/// The tilt, a >= 0, of a given KL divergence; where that is more than -log P(highest reward), the
/// base within the outcomes of the highest reward (a infinite).
Tilt tilt_of_kl(std::span<const double> law, std::span<const double> reward, double kl);
/// The tilt, a >= 0, of a given mean reward, between the base's and the highest.
Tilt tilt_of_mean(std::span<const double> law, std::span<const double> reward, double mean);

/// For sequences of m independent tokens with rewards that add up, (1/m) log E[e^(t r)] under the
/// tilted law, the same for every m: L(a + t) - L(a), L(t) = log E[e^(t g)] of a token.
double log_moment(std::span<const double> law, std::span<const double> reward, double a, double t);
/// How fast the probability of a mean reward near x vanishes with m under the tilted law, as
/// exp(-m rate): the supremum over t of t x - L(a + t) + L(a). x lies within the rewards.
double deviation_rate(std::span<const double> law, std::span<const double> reward, double a,
                      double x);

// --- samples ------------------------------------------------------------------------------------

/// The mean `value` of the best of n by `score`, over all subsets of n of the given samples; ties
/// share. Unbiased for n draws of the policy. Throws Error (Kind::bug) unless 1 <= n <= samples.
double best_of(std::span<const double> score, std::span<const double> value, size_t n);

/// A prompt with samples of one policy.
struct Samples {
  std::string where;
  Example row;               ///< prompt and responses; without responses when scores stand alone
  size_t count = 0;          ///< of samples
  std::vector<double> gold;  ///< [samples]; NaN where there is none
  std::map<std::string, std::vector<double>> scores;  ///< judge to [samples]
  std::map<std::string, size_t> picks;                ///< judge to the sample it chose among all
};

struct SampleOptions {
  std::string gold;                          ///< column; "": gold, correct, gold_pref_vs_reference
  std::vector<std::string> proxies;          ///< further columns of scores: lengths and the like
  std::string reduction = "geometric_mean";  ///< of step scores
};

/// Rows {"prompt", "responses" (or "samples", "completions"), "gold": [number, true, false or null,
/// ...], "scores": ... (items.h), "selected_by": {"JUDGE": index}}; gold may have another name.
/// Throws Error (Kind::input) at the row.
std::vector<Samples> read_samples(const std::filesystem::path& file, const SampleOptions& options);

struct BestOfPoint {
  int64_t n = 1;
  double kl = 0;     ///< best_of_kl_bound
  double score = 0;  ///< the judge's own, by best_of; so is gold
  double gold = 0;
  math::Interval interval{0, 0};  ///< of gold, 95 %, bootstrap over prompts
  /// With the samples for the policy, each as likely: best of n draws with replacement, exactly,
  /// and the highest mean score that any law of the same divergence has. Means over prompts.
  struct Exact {
    double kl = 0;  ///< at most the bound; less where scores are equal, or n is not small
    double score = 0, optimum = 0;
  } exact;
};

struct BestOfCurve {
  std::string judge;
  int64_t prompts = 0;      ///< with gold for what is chosen among
  bool picks_only = false;  ///< the judge told its choice among all samples and no more
  std::vector<BestOfPoint> points;
  /// gold(d) - gold(0) = d (alpha - beta d), d = sqrt(kl), by least squares (Gao et al. 2022,
  /// arXiv:2210.10760, eq. 1); nullopt with fewer than three points.
  struct Overoptimisation {
    double alpha, beta;
  };
  std::optional<Overoptimisation> fit;
  int64_t best_n = 1;  ///< where gold is highest
};

/// For every judge, gold against n = 1, 2, 4, ... and all; and, last, "gold" itself as the judge:
/// the most that could be had. Samples without gold are left out. Throws Error (Kind::input) when a
/// judge has scores for some prompts only, or no prompt has two samples with gold.
std::vector<BestOfCurve> best_of_curves(std::span<const Samples> rows,
                                        const math::BootstrapOptions& options = {});

Json best_of_json(std::span<const BestOfCurve> curves);
std::string best_of_text(std::span<const BestOfCurve> curves);

}  // namespace guerdon::eval
