#include "guerdon/loss/reward_model.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"

namespace guerdon::loss {
namespace {

bool discriminates(const PairOptions& o) { return o.loss_type == "discriminator"; }
bool is_linear(const PairOptions& o) { return o.loss_type == "linear"; }

/// log F(x).
Tensor log_probability(const Tensor& x, const PairOptions& o) {
  if (is_linear(o)) return x / o.irl_beta;
  return o.loss_type == "probit" ? at::special_log_ndtr(x) : at::log_sigmoid(x);
}

Tensor probability(const Tensor& x, const PairOptions& o) {
  return o.loss_type == "probit" ? at::special_ndtr(x) : at::sigmoid(x);
}

/// A column of the pairs, in the scores' type; undefined when there is none.
Tensor column(const Columns& columns, const char* name, const Tensor& scores) {
  const auto found = columns.find(name);
  if (found == columns.end()) return {};
  GUERDON_CHECK(found->second.sizes() == scores.sizes(), "pair_loss: column ", name, " has ",
                found->second.sizes(), " values for ", scores.sizes(), " pairs");
  return found->second.to(scores.options());
}

bool reads_strength_mean(const PairOptions& o) {
  return o.adaptive_margin || o.flip_below || o.smooth_below;
}

/// m of the header.
Tensor margin_of(const Columns& columns, const Tensor& difference, const PairOptions& o) {
  Tensor m = at::full_like(difference, o.constant_margin);
  if (const Tensor own = column(columns, "margin", difference); own.defined())
    m = m + at::nan_to_num(own);
  if (o.strength == "margin") m = m + column(columns, "strength", difference);
  return m;
}

/// The labels before any of them moved; undefined when all are 1.
Tensor first_labels(const Columns& columns, const Tensor& difference, const PairOptions& o) {
  if (o.label_smoothing == 0.0 && !o.flip_below) return {};
  const double e = o.label_smoothing;
  Tensor label = at::full_like(difference, 1.0 - e);
  const Tensor mean = column(columns, "strength_mean", difference);
  if (o.smooth_below) label = at::where(mean < *o.smooth_below, label, at::ones_like(label));
  if (o.flip_below) label = at::where(mean < *o.flip_below, 1.0 - label, label);
  return label;
}

/// The labels in columns["label"], the first ones where a pair is new.
Tensor labels_so_far(const Columns& columns, const Tensor& difference, const PairOptions& o) {
  Tensor first = first_labels(columns, difference, o);
  const Tensor known = column(columns, "label", difference);
  if (o.dynamic_label_rate == 0.0 || !known.defined()) return first;
  if (!first.defined()) first = at::ones_like(difference);
  return at::where(known.isnan(), first, known);
}

void check_sizes(const PairScores& scores) {
  GUERDON_CHECK(scores.chosen.dim() == 1 && scores.chosen.sizes() == scores.rejected.sizes(),
                "pair_loss: ", scores.chosen.sizes(), " chosen scores, ", scores.rejected.sizes(),
                " rejected");
}

}  // namespace

const std::vector<std::string>& pair_loss_types() {
  static const std::vector<std::string> names = {"bradley_terry", "probit", "discriminator",
                                                 "linear"};
  return names;
}

void describe(SettingList& field, PairOptions& o) {
  field("irl_beta", o.irl_beta, "linear: what the difference of the scores is divided by",
        {.above = 0.0});
  field("center_rewards_coefficient", o.center_rewards_coefficient,
        "Weight of (chosen + rejected)^2, which keeps scores around zero; 0.01 is usual",
        {.min = 0.0});
  field("score_penalty", o.score_penalty,
        "Weight of (chosen^2 + rejected^2) / 2, which keeps scores small; 0.01 is usual",
        {.min = 0.0});
  field("constant_margin", o.constant_margin,
        "Margin of every pair, beside that of its field margin", {.min = 0.0});
  field("strength", o.strength,
        "What the field strength does: nothing, scale the loss of its pair, or be its margin",
        {.choices = {"ignore", "scale", "margin"}});
  field("row_weights", o.row_weights,
        "Weigh each pair by its field weight (1 where it is missing)");
  field("label_smoothing", o.label_smoothing, "Share of pairs taken to be mislabelled",
        {.min = 0.0, .below = 0.5});
  field("smooth_below", o.smooth_below,
        "Smooth the labels of pairs whose strength_mean is below this alone (null: of all)");
  field("flip_below", o.flip_below,
        "Read pairs whose strength_mean is below this the other way round (null: none)");
  field("adaptive_margin", o.adaptive_margin,
        "Take the field strength_mean, the mean difference that an ensemble gives to the pair, for "
        "a margin");
  field("dynamic_label_rate", o.dynamic_label_rate,
        "How far a pair's label moves towards the model's own belief each time it is seen",
        {.min = 0.0, .max = 1.0});
  field("dynamic_label_update", o.dynamic_label_update,
        "Whether a label moves before the loss reads it, or after",
        {.choices = {"before", "after"}});
  field("ties", o.ties,
        "What the field tie does: nothing, a third outcome with its threshold, or a pull towards "
        "equal scores",
        {.choices = {"ignore", "rao_kupper", "win_tie"}});
  field("tie_theta", o.tie_theta, "rao_kupper: how much better a response must be to win",
        {.above = 1.0});
  field("tie_weight", o.tie_weight, "win_tie: weight of a tie's loss", {.min = 0.0});
}

void check_pair_options(const PairOptions& o, const std::string& where) {
  if (o.smooth_below && o.label_smoothing == 0.0)
    fail_settings(where, "key smooth_below: does nothing while label_smoothing is 0",
                  "label_smoothing=0.1, for instance");
  if (o.loss_type == "probit" && o.ties == "rao_kupper")
    fail_settings(where,
                  "key ties: rao_kupper is a model of the logistic function, got loss_type "
                  "\"probit\"",
                  "ties=win_tie works with both");
  if (!discriminates(o) && !is_linear(o)) return;
  const auto refuse = [&](bool given, const char* key, const char* why) {
    if (given)
      fail_settings(where, str("key ", key, ": ", why, ", got loss_type ", show(o.loss_type)));
  };
  refuse(o.ties != "ignore", "ties", "needs a probability");
  refuse(o.dynamic_label_rate > 0.0, "dynamic_label_rate", "needs a probability");
  refuse(is_linear(o) && o.score_penalty == 0.0 && !o.center_rewards_coefficient, "score_penalty",
         "must hold the scores, which nothing else does");
  if (!discriminates(o)) return;
  const char* alone = "each response is judged by itself";
  refuse(o.constant_margin > 0.0, "constant_margin", alone);
  refuse(o.adaptive_margin, "adaptive_margin", alone);
  refuse(o.strength == "margin", "strength", alone);
  refuse(o.label_smoothing > 0.0, "label_smoothing", alone);
  refuse(o.flip_below.has_value(), "flip_below", alone);
}

std::vector<RowField> fields_of(const PairOptions& o) {
  std::vector<RowField> out;
  if (!discriminates(o)) out.push_back({.name = "margin", .missing = 0.0});
  if (o.strength != "ignore")
    out.push_back({.name = "strength", .needed = true, .allowed = {.above = 0.0}});
  if (o.row_weights) out.push_back({.name = "weight", .missing = 1.0, .allowed = {.min = 0.0}});
  if (reads_strength_mean(o)) out.push_back({.name = "strength_mean", .needed = true});
  if (o.ties != "ignore")
    out.push_back({.name = "tie", .missing = 0.0, .allowed = {.min = 0.0, .max = 1.0}});
  return out;
}

Tensor moved_labels(const PairScores& scores, const Columns& columns, const PairOptions& o) {
  check_sizes(scores);
  const Tensor difference = (scores.chosen - scores.rejected).detach();
  GUERDON_CHECK(columns.count("label") > 0, "moved_labels: there is no column label");
  const double r = o.dynamic_label_rate;
  return (1.0 - r) * labels_so_far(columns, difference, o) + r * probability(difference, o);
}

Tensor pair_loss(const PairScores& scores, const Columns& columns, const PairOptions& o) {
  check_sizes(scores);
  const Tensor difference = scores.chosen - scores.rejected;
  const Tensor m = margin_of(columns, difference, o);
  Tensor win = difference - m, lose = -difference - m;
  if (o.adaptive_margin) {
    const Tensor mu = column(columns, "strength_mean", difference);
    win = win - mu;
    lose = lose + mu;
  }
  if (o.ties == "rao_kupper") {
    win = win - std::log(o.tie_theta);
    lose = lose - std::log(o.tie_theta);
  }
  Tensor log_win = log_probability(win, o);
  const Tensor log_lose = log_probability(lose, o);
  if (discriminates(o))
    log_win = at::log_sigmoid(scores.chosen) + at::log_sigmoid(-scores.rejected);

  const bool moves = o.dynamic_label_rate > 0.0 && columns.count("label") > 0;
  const Tensor l = moves && o.dynamic_label_update == "before"
                       ? moved_labels(scores, columns, o)
                       : labels_so_far(columns, difference.detach(), o);
  Tensor loss = l.defined() ? -l * log_win - (1.0 - l) * log_lose : -log_win;

  if (const Tensor tie = column(columns, "tie", difference); o.ties != "ignore" && tie.defined()) {
    const Tensor both = -log_win - log_lose;
    // P(tie) = (t^2 - 1) P(win) P(loss) (Rao and Kupper 1967).
    const Tensor of_tie = o.ties == "rao_kupper" ? both - std::log(o.tie_theta * o.tie_theta - 1.0)
                                                 : o.tie_weight * both;
    loss = at::where(tie == 1, of_tie, loss);
  }
  if (o.strength == "scale") loss = loss * column(columns, "strength", difference);
  if (o.center_rewards_coefficient)
    loss = loss + *o.center_rewards_coefficient * (scores.chosen + scores.rejected).square();
  if (o.score_penalty > 0.0)
    loss = loss + o.score_penalty / 2 * (scores.chosen.square() + scores.rejected.square());
  if (const Tensor weight = column(columns, "weight", difference);
      o.row_weights && weight.defined())
    loss = loss * weight;
  return loss;
}

PairWeights pair_weights(const Columns& columns, const PairOptions& o, int64_t pairs) {
  const Tensor ones = at::ones({pairs}, at::kDouble);
  PairWeights out{ones, ones};
  if (const Tensor weight = column(columns, "weight", ones); o.row_weights && weight.defined())
    out.all = weight;
  const Tensor tie = column(columns, "tie", ones);
  out.ordered = o.ties != "ignore" && tie.defined() ? out.all * (tie != 1) : out.all;
  return out;
}

bool feels_shifts(const PairOptions& o) {
  return o.center_rewards_coefficient.has_value() || o.score_penalty > 0.0 || discriminates(o);
}

std::vector<std::string> explain(const PairOptions& o) {
  const double t = o.tie_theta;
  const std::map<std::string, double> values = {{"k", o.center_rewards_coefficient.value_or(0.0)},
                                                {"c", o.score_penalty},
                                                {"constant_margin", o.constant_margin},
                                                {"r", o.dynamic_label_rate},
                                                {"1 - r", 1.0 - o.dynamic_label_rate},
                                                {"e", o.label_smoothing},
                                                {"1 - e", 1.0 - o.label_smoothing},
                                                {"smooth_below", o.smooth_below.value_or(0.0)},
                                                {"flip_below", o.flip_below.value_or(0.0)},
                                                {"log t", std::log(t)},
                                                {"log(t^2 - 1)", std::log(t * t - 1.0)},
                                                {"tie_weight", o.tie_weight},
                                                {"irl_beta", o.irl_beta}};
  const auto filled = [&](const std::string& formula) { return numbers(formula, values); };
  const auto both = [&](const std::string& formula) {
    const std::string named = symbols(formula);
    return named == filled(formula) ? named : named + "  =  " + filled(formula);
  };
  std::string f = o.loss_type == "probit" ? "log Phi" : "log sg";
  std::string margins = " - margin";
  if (o.constant_margin > 0.0) margins += " - {constant_margin}";
  if (o.strength == "margin") margins += " - strength";
  std::string win = "chosen - rejected" + margins, lose = "rejected - chosen" + margins;
  if (o.adaptive_margin) win += " - strength_mean", lose += " + strength_mean";
  if (o.ties == "rao_kupper") win += " - {log t}", lose += " - {log t}";
  const bool labels = o.label_smoothing > 0.0 || o.flip_below || o.dynamic_label_rate > 0.0;
  const bool named = labels || o.ties != "ignore";  // win and lose stand more than once

  if (is_linear(o)) f = "1/{irl_beta} ";
  std::string formula = "-" + f + (named ? "(win)" : "(" + win + ")");
  if (discriminates(o)) formula = "-log sg(chosen) - log sg(-rejected)";
  if (labels) formula = "-l " + f + "(win) - (1 - l) " + f + "(lose)";
  if (o.strength == "scale")
    formula = labels || discriminates(o) ? "strength (" + formula + ")"
                                         : "-strength " + formula.substr(1);
  if (o.center_rewards_coefficient) formula += " + {k} (chosen + rejected)^2";
  if (o.score_penalty > 0.0) formula += " + {c} (chosen^2 + rejected^2) / 2";

  std::vector<std::string> lines = {both(formula)};
  if (named) lines.push_back(filled("win = " + win + ", lose = " + lose));
  if (labels) {
    const bool smooth = o.label_smoothing > 0.0;
    lines.push_back(smooth ? filled("l = {1 - e}") : "l = 1");
    if (o.smooth_below) lines.push_back(filled("l = 1 where strength_mean >= {smooth_below}"));
    if (o.flip_below) lines.push_back(filled("1 - l for l where strength_mean < {flip_below}"));
    if (o.dynamic_label_rate > 0.0) {
      lines.push_back(filled("each time a pair is seen its l becomes {1 - r} l + {r} ") +
                      (o.loss_type == "probit" ? "Phi" : "sg") + "(chosen - rejected), " +
                      o.dynamic_label_update + " the loss reads it; no gradient");
    }
  }
  if (o.ties == "rao_kupper")
    lines.push_back(
        filled("of a tie: -log sg(win) - log sg(lose) - {log(t^2 - 1)}, t = tie_theta"));
  if (o.ties == "win_tie")
    lines.push_back(filled("of a tie: {tie_weight} (-" + f + "(win) - " + f + "(lose))"));
  if (o.row_weights)
    lines.emplace_back("all of it times the row's field weight, 1 where it is missing");
  lines.push_back(
      std::string("chosen, rejected: the two scores; ") +
      (discriminates(o) ? "" : "margin: the row's field of that name, 0 where it is missing; ") +
      std::string(o.loss_type == "probit" ? "Phi the normal distribution's function"
                                          : "sg the sigmoid"));
  return lines;
}

}  // namespace guerdon::loss
