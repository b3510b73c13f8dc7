/// Losses that turn judgements of pairs into a reward model: Bradley-Terry, and what changed one
/// thing in it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/loss/row_field.h"
#include "guerdon/model/batch.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// Scores of the two responses of each pair, each [B].
struct PairScores {
  Tensor chosen;
  Tensor rejected;
};

/// Named as in TRL where TRL has them. All off: plain Bradley-Terry with the row's margin.
struct PairOptions {
  /// How a difference becomes a probability: "bradley_terry", the logistic function; "probit", the
  /// normal distribution's (Thurstone). Or, of demonstrations against samples of a policy,
  /// "discriminator" and "linear".
  std::string loss_type = "bradley_terry";
  double irl_beta = 1.0;  ///< "linear": what the difference is divided by
  /// Weight of (chosen + rejected)^2, which keeps the scores around zero (Eisenstein et al. 2023,
  /// arXiv:2312.09244); they suggest 0.01.
  std::optional<double> center_rewards_coefficient;
  /// Weight of (chosen^2 + rejected^2) / 2, which keeps them small (ReMoDetect, arXiv:2405.17382:
  /// 0.01).
  double score_penalty = 0.0;
  double constant_margin = 0.0;  ///< of every pair, beside the row's own
  /// What the field `strength` does (HelpSteer2-Preference, arXiv:2410.01257): "ignore", "scale"
  /// the loss of its pair, or be its "margin".
  std::string strength = "ignore";
  bool row_weights = false;  ///< a pair counts as its field `weight` says

  // Wrong labels (Secrets of RLHF II, arXiv:2401.06080). The field `strength_mean` is the mean
  // difference chosen - rejected that an ensemble of reward models gives to the pair.
  double label_smoothing = 0.0;        ///< share of pairs taken to be mislabelled, in [0, 0.5)
  std::optional<double> smooth_below;  ///< smoothing for pairs with a lower strength_mean alone
  std::optional<double> flip_below;    ///< pairs with a lower strength_mean are read in reverse
  bool adaptive_margin = false;        ///< strength_mean is a margin, a negative one too
  /// How far a pair's label moves towards the model's own belief each time it is seen, and whether
  /// the loss reads it "before" or "after" the move (POWER-DL, arXiv:2412.09544).
  double dynamic_label_rate = 0.0;
  std::string dynamic_label_update = "before";

  /// What the field `tie` does: "ignore"; "rao_kupper", the model of three outcomes with its
  /// threshold tie_theta (VideoAlign, arXiv:2501.13918, which takes 5); or "win_tie", a pull
  /// towards equal scores of weight tie_weight (SoliReward, arXiv:2512.22170: 1 in its code, 0.5 in
  /// its formula).
  std::string ties = "ignore";
  double tie_theta = 5.0;
  double tie_weight = 1.0;
};
/// Lists all but loss_type, which is of the trainer: one of pair_loss_types().
void describe(SettingList& field, PairOptions& options);
const std::vector<std::string>& pair_loss_types();

/// Combinations that cannot be meant. Throws Error (Kind::settings) that names the key.
void check_pair_options(const PairOptions& options, const std::string& where);

/// The loss of each pair, [B], times its weight.
///
///     win   =  (chosen - rejected) - m - mu      m  = margin + constant_margin (+ strength)
///     lose  = -(chosen - rejected) - m + mu      mu = strength_mean, with adaptive_margin
///     loss  = -l log F(win) - (1 - l) log F(lose)          (times strength, when it scales)
///             + k (chosen + rejected)^2 + c (chosen^2 + rejected^2) / 2
///
/// F is the logistic function, or the normal distribution's. For chosen = demonstration and
/// rejected = sample (inverse reinforcement learning; arXiv:2507.13158, arXiv:2503.18991) the first
/// two terms are
///
///     discriminator   -log sigmoid(chosen) - log sigmoid(-rejected), without margins: the score is
///                     the logit of a classifier (GAIL's, at the level of sequences)
///     linear          -(chosen - rejected - m) / irl_beta, unbounded: score_penalty holds it
///
/// The label l is 1, less the smoothing;
/// the other way round for a flipped pair; and what became of it with dynamic labels. Of a tie, t =
/// tie_theta:
///
///     rao_kupper   -log F(win - log t) - log F(lose - log t) - log(t^2 - 1); pairs with an order
///                  have their thresholds log t too, so that win, loss and tie add up to 1
///     win_tie      tie_weight (-log F(win) - log F(lose))
///
/// `columns`, each [B], are those of fields_of() (Llama 2's margin: arXiv:2307.09288, eq. 2), and
/// "label": the labels so far, NaN for a pair that is new. Without "label" no label moves. A column
/// that is not there is as its field is where it is missing. Throws Error (Kind::bug) when sizes
/// differ.
Tensor pair_loss(const PairScores& scores, const Columns& columns = {},
                 const PairOptions& options = {});

/// The fields of the data that pair_loss reads under these options.
std::vector<RowField> fields_of(const PairOptions& options);

/// What the labels in columns["label"] become, [B]: (1 - r) l + r F(chosen - rejected). No
/// gradient.
Tensor moved_labels(const PairScores& scores, const Columns& columns, const PairOptions& options);

/// How much each pair counts, [B]: its weight, which a step's losses are divided by the sum of; and
/// the same, 0 for a tie, for what asks which response is better.
struct PairWeights {
  Tensor all, ordered;
};
PairWeights pair_weights(const Columns& columns, const PairOptions& options, int64_t pairs);

/// Whether adding one number to every score changes the loss.
bool feels_shifts(const PairOptions& options);

/// The formula in force, with the options' numbers put in.
std::vector<std::string> explain(const PairOptions& options);

}  // namespace guerdon::loss
