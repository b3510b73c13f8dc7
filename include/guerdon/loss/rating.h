/// Losses that turn ratings into a reward model: one number, or one for each of several attributes.
#pragma once

#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/model/readout.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

struct RatingOptions {
  std::string loss_type = "mse";
  double huber_delta = 1.0;       ///< huber: errors beyond it count linearly
  double least_deviation = 0.05;  ///< gaussian: added to the deviation, which never gets to 0
  std::vector<double> quantiles = {0.1, 0.3, 0.5, 0.7, 0.9};  ///< quantile: in (0, 1)
  std::vector<double> classes = {0, 1, 2, 3,
                                 4};  ///< classes: the ratings that there are, ascending
};
/// Lists all but loss_type, which is of the trainer: one of rating_loss_types().
void describe(SettingList& field, RatingOptions& options);
const std::vector<std::string>& rating_loss_types();
/// Throws Error (Kind::settings) that names the key.
void check_rating_options(const RatingOptions& options, const std::string& where);

/// How a rating's number is read from the head's outputs for it.
model::NumberForm number_form(const RatingOptions& options);

/// Regression on K ratings: outputs [B, K M] of a head, a rating's side by side; ratings [B, K],
/// NaN where there is none; of
/// classes, within them. With e = output - rating
///
///     mse        e^2                                (HelpSteer2, arXiv:2406.08673)
///     huber      e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) beyond
///     gaussian   log(2 pi s^2) / 2 + e^2 / (2 s^2), s = softplus(raw deviation) + least_deviation
///                (BRME's gnll, arXiv:2409.15360)
///     quantile   mean over the quantiles q of -q e where e < 0, (1 - q) e elsewhere
///                (Koenker and Bassett 1978)
///     bce        -rating log sigmoid(output) - (1 - rating) log sigmoid(-output), ratings in [0,
///     1]:
///                yes and no (RLBFF's two-way loss, arXiv:2509.21319)
///     classes    -sum over the classes c of t_c log softmax(outputs)_c, t the rating's class; of a
///                rating between two classes its shares of both, so that their mean is the rating
///
/// [B, K], 0 without a gradient where there is no rating. The step's sum is divided by its ratings.
/// Throws Error (Kind::bug) when sizes differ.
Tensor rating_loss(const Tensor& outputs, const Tensor& ratings, const RatingOptions& options = {});

/// The formula in force, with the options' numbers put in.
std::vector<std::string> explain(const RatingOptions& options);

}  // namespace guerdon::loss
