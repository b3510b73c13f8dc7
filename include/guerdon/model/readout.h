/// How the outputs of a reward model's head become numbers, and the numbers a score.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// How one number is read from its M outputs z:
///
///     value      M = 1                z; no deviation
///     gaussian   M = 2                z_1; deviation softplus(z_2) + least_deviation
///     quantiles  one z for a point    mean z; no deviation
///     classes    one z for a point    sum_m p_m point_m with p = softmax z; deviation that of p
struct NumberForm {
  std::string name = "value";
  std::vector<double> points = {};  ///< classes: what they stand for; quantiles: which ones
  double least_deviation = 0.0;     ///< gaussian

  /// What is added to a number's name, one for each of its M outputs: "", "/raw_deviation", "/0.5".
  std::vector<std::string> suffixes() const;
};
const std::vector<std::string>& number_forms();

/// Numbers and how unsure each is; `deviation` is undefined where nothing says so.
struct Numbers {
  Tensor value, deviation;
};

/// Outputs [N, A M], a number's side by side -> [N, A]. Throws Error (Kind::bug) when they do not
/// divide.
Numbers read_numbers(const Tensor& outputs, const NumberForm& form);

/// How the scores that the members of an ensemble give to one response become one (Eisenstein et
/// al. 2023, arXiv:2312.09244; BRME, arXiv:2409.15360).
struct MemberOptions {
  std::string combine = "mean";  ///< one of member_combinations()
  double deviation_weight = 1.0;
  double nominal_weight = 0.5;
};
void describe(SettingList& field, MemberOptions& options);
const std::vector<std::string>& member_combinations();

/// Members' scores r_1 ... r_M, [N, M], with their own deviations s where they have some -> [N]:
///
///     mean, median, min      (of an even number the median is the mean of the two middle ones)
///     mean_minus_deviation   mean - deviation_weight x std, over the members' number
///     robust                 nominal_weight x nominal + (1 - nominal_weight) x min, nominal the
///                            score of the member with the least deviation (the first of equals),
///                            the mean where members have none
///
/// The deviation is that of their mixture, sqrt(var(r) + mean(s^2)), whatever is combined.
Numbers combine_members(const Numbers& members, const MemberOptions& options);

/// The whole way from outputs to a score: members, each with the same numbers, each of M outputs.
///
///     score of a member = sum over its numbers of weight x number
struct Readout {
  std::vector<std::string> names = {"LABEL_0"};  ///< [A]
  std::vector<double> weights = {1.0};           ///< [A]
  NumberForm form = {};
  int64_t members = 1;
  MemberOptions combination = {};

  int64_t outputs() const;                  ///< K = members x A x M
  std::vector<std::string> labels() const;  ///< [K]: "member0/helpfulness/0.5"
  /// Whether the score is a weighted sum of the outputs; then its weights, [K].
  bool is_linear() const;
  std::vector<double> output_weights() const;
};

/// What a head's outputs say about N responses.
struct Judgement {
  Tensor score;                    ///< [N]
  std::vector<std::string> names;  ///< C names; none where the score is all there is
  Tensor numbers, deviation;       ///< [N, C]; `deviation` undefined, or NaN where there is none
};

/// Outputs [N, K]. A model of several numbers names them, of quantiles each of these too; an
/// ensemble is as judge_members has it, and then names the mean of each of several numbers.
Judgement judge(const Tensor& outputs, const Readout& readout);
/// The members' scores made one, and named: "mean", whose deviation is the combination's, then each
/// member with its own. `names` [M].
Judgement judge_members(const Numbers& members, const std::vector<std::string>& names,
                        const MemberOptions& options);
/// "member0", "member1", ...
std::vector<std::string> member_names(int64_t members);
/// The score alone. Differentiable.
Tensor score_of(const Tensor& outputs, const Readout& readout);

}  // namespace guerdon::model
