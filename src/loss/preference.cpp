#include "guerdon/loss/preference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"

namespace guerdon::loss {
namespace {

/// What a loss reads; the symbols of the header.
struct Pairs {
  Tensor c, r;    // log-ratios
  Tensor fc, fr;  // f of them
  Tensor h;       // b (f(c) - f(r))
  PairLogprobs policy, reference;
  PairLengths lengths;
  double b, e, tau;
};

Tensor minus_log_sigmoid(const Tensor& x) { return -at::log_sigmoid(x); }

Tensor smoothed_logistic(const Tensor& h, double e) {
  return (1.0 - e) * minus_log_sigmoid(h) + e * minus_log_sigmoid(-h);
}

Tensor averaged_difference(const Pairs& p) {
  GUERDON_CHECK(p.lengths.chosen.defined() && p.lengths.rejected.defined(),
                "dpo: this loss needs the lengths of the responses");
  return p.fc / p.lengths.chosen.clamp_min(1) - p.fr / p.lengths.rejected.clamp_min(1);
}

Tensor sigmoid(const Pairs& p) { return smoothed_logistic(p.h, p.e); }

Tensor robust(const Pairs& p) {
  return ((1.0 - p.e) * minus_log_sigmoid(p.h) - p.e * minus_log_sigmoid(-p.h)) / (1.0 - 2.0 * p.e);
}

Tensor hinge(const Pairs& p) { return at::relu(1.0 - p.h); }

Tensor ipo(const Pairs& p) { return (averaged_difference(p) - 1.0 / (2.0 * p.b)).square(); }

Tensor exo_pair(const Pairs& p) {
  const Tensor log_w = at::log_sigmoid(p.h), log_l = at::log_sigmoid(-p.h);
  return log_w.exp() * (log_w - std::log1p(-p.e)) + log_l.exp() * (log_l - std::log(p.e));
}

Tensor nca_pair(const Pairs& p) {
  return minus_log_sigmoid(p.b * p.c) +
         0.5 * (minus_log_sigmoid(-p.b * p.c) + minus_log_sigmoid(-p.b * p.r));
}

Tensor bco_pair(const Pairs& p) {
  return minus_log_sigmoid(p.b * p.c) + minus_log_sigmoid(-p.b * p.r);
}

Tensor sppo_hard(const Pairs& p) { return (p.c - 0.5 / p.b).square() + (p.r + 0.5 / p.b).square(); }

Tensor apo_zero(const Pairs& p) { return 1.0 - at::sigmoid(p.b * p.c) + at::sigmoid(p.b * p.r); }

Tensor apo_down(const Pairs& p) {
  return at::sigmoid(p.b * p.c) + 1.0 - at::sigmoid(p.b * (p.c - p.r));
}

Tensor discopop(const Pairs& p) {
  const Tensor m = at::sigmoid(p.h / p.tau);
  return (1.0 - m) * minus_log_sigmoid(p.h) + m * at::exp(-p.h);
}

Tensor sigmoid_norm(const Pairs& p) { return minus_log_sigmoid(p.b * averaged_difference(p)); }

Tensor sorted(const Tensor& x) { return std::get<0>(x.sort(0)); }

Tensor aot(const Pairs& p) {
  const Tensor policy = sorted(p.policy.chosen - p.policy.rejected);
  const Tensor reference = sorted(p.reference.chosen - p.reference.rejected);
  return smoothed_logistic(p.b * (policy - reference), p.e);
}

Tensor aot_unpaired(const Pairs& p) {
  return smoothed_logistic(p.b * (sorted(p.c) - sorted(p.r)), p.e);
}

/// `formula`: for explain(), numbers in braces; "" for what is no loss of a pair.
struct Entry {
  const char* name;
  Tensor (*loss)(const Pairs&);
  bool takes_divergence;  // otherwise the log-partition term would not cancel
  const char* formula;
};
constexpr Entry kLosses[] = {
    {"sigmoid", sigmoid, true, "-{1 - e} log sg(h) - {e} log sg(-h)"},
    {"hinge", hinge, true, "max(0, 1 - h)"},
    {"ipo", ipo, true, "(f(c) / Lc - f(r) / Lr - {1 / 2b})^2"},
    {"exo_pair", exo_pair, true, "KL( (sg(h), sg(-h)) || ({1 - e}, {e}) )"},
    {"nca_pair", nca_pair, false, "-log sg({b} c) - (log sg(-{b} c) + log sg(-{b} r)) / 2"},
    {"robust", robust, true, "(-{1 - e} log sg(h) + {e} log sg(-h)) / {1 - 2e}"},
    {"bco_pair", bco_pair, false, "-log sg({b} c) - log sg(-{b} r)"},
    {"sppo_hard", sppo_hard, false, "(c - {1 / 2b})^2 + (r + {1 / 2b})^2"},
    {"aot", aot, false,
     "-{1 - e} log sg(s) - {e} log sg(-s), s = {b} (policy margin - reference margin), each "
     "sorted over the step"},
    {"aot_unpaired", aot_unpaired, false,
     "-{1 - e} log sg(s) - {e} log sg(-s), s = {b} (c - r), each sorted over the step"},
    {"apo_zero", apo_zero, false, "1 - sg({b} c) + sg({b} r)"},
    {"apo_down", apo_down, false, "sg({b} c) + 1 - sg({b} (c - r))"},
    {"discopop", discopop, true, "-(1 - m) log sg(h) + m exp(-h), m = sg(h / {tau})"},
    {"sft", nullptr, true, ""},
    {"sigmoid_norm", sigmoid_norm, true, "-log sg({b} (f(c) / Lc - f(r) / Lr))"},
};

const Entry* find(const std::string& name) {
  const auto* entry = std::find_if(std::begin(kLosses), std::end(kLosses),
                                   [&](const Entry& e) { return name == e.name; });
  return entry == std::end(kLosses) ? nullptr : entry;
}

struct Divergence {
  const char* name;
  const char* formula;  // f(x)
};
constexpr Divergence kDivergences[] = {
    {"reverse_kl", "x"},
    {"forward_kl", "1 - exp(-x)"},
    {"js_divergence", "log 2 + log sg(x)"},
    {"alpha_divergence", "(exp({a - 1} x) - 1) / {a - 1}"},
};

Tensor divergence(const Tensor& x, const DpoOptions& o) {
  if (o.f_divergence_type == "reverse_kl") return x;
  if (o.f_divergence_type == "forward_kl") return 1.0 - at::exp(-x);
  if (o.f_divergence_type == "js_divergence") return std::numbers::ln2 + at::log_sigmoid(x);
  GUERDON_CHECK(o.f_divergence_type == "alpha_divergence", "dpo: no divergence is called ",
                show(o.f_divergence_type));
  const double a = o.f_alpha_divergence_coef - 1.0;
  if (std::abs(a) < 1e-6) return x;  // the limit
  return (at::exp((a * x).clamp_max(80.0)) - 1.0) / a;
}

}  // namespace

PairLoss dpo(const PairLogprobs& policy, const PairLogprobs& reference, const DpoOptions& options,
             const PairLengths& lengths) {
  GUERDON_CHECK(policy.chosen.sizes() == reference.chosen.sizes() &&
                    policy.chosen.sizes() == policy.rejected.sizes(),
                "dpo: policy has ", policy.chosen.sizes(), " pairs, reference ",
                reference.chosen.sizes());
  const double e = options.label_smoothing;
  GUERDON_CHECK(e >= 0.0 && e < 0.5, "dpo: label_smoothing must lie in [0, 0.5), got ", e);

  Pairs p{.policy = policy,
          .reference = {reference.chosen.detach(), reference.rejected.detach()},
          .lengths = lengths,
          .b = options.beta,
          .e = e,
          .tau = options.discopop_tau};
  p.c = policy.chosen - p.reference.chosen;
  p.r = policy.rejected - p.reference.rejected;
  p.fc = divergence(p.c, options);
  p.fr = divergence(p.r, options);
  p.h = p.b * (p.fc - p.fr);

  Tensor loss = at::zeros_like(p.c);
  for (size_t i = 0; i < options.loss_type.size(); ++i) {
    const Entry* entry = find(options.loss_type[i]);
    GUERDON_CHECK(entry, "dpo: no loss is called ", show(options.loss_type[i]));
    const double weight = options.loss_weights.empty() ? 1.0 : options.loss_weights.at(i);
    if (entry->loss) loss = loss + weight * entry->loss(p);
  }
  return {.loss = loss, .chosen_reward = p.b * p.c.detach(), .rejected_reward = p.b * p.r.detach()};
}

const std::vector<std::string>& dpo_loss_types() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Entry& entry : kLosses) out.emplace_back(entry.name);
    return out;
  }();
  return names;
}

const std::vector<std::string>& f_divergence_types() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Divergence& entry : kDivergences) out.emplace_back(entry.name);
    return out;
  }();
  return names;
}

bool needs_whole_batch(const DpoOptions& options) {
  return std::any_of(options.loss_type.begin(), options.loss_type.end(),
                     [](const std::string& name) { return name.starts_with("aot"); });
}

void check_dpo_options(const DpoOptions& o, const std::string& where) {
  if (o.loss_type.empty()) fail_settings(where, "key loss_type: must name at least one loss");
  if (!o.loss_weights.empty() && o.loss_weights.size() != o.loss_type.size()) {
    fail_settings(where, str("key loss_weights: has ", o.loss_weights.size(), " weights for ",
                             o.loss_type.size(), " losses"));
  }
  for (const std::string& name : o.loss_type) {
    const Entry* entry = find(name);
    if (!entry) {
      fail_settings(where, "key loss_type: no loss is called " + show(name) +
                               did_you_mean(name, dpo_loss_types()));
    }
    if (name == "exo_pair" && o.label_smoothing <= 0.0) {
      fail_settings(where,
                    "key label_smoothing: exo_pair needs a value above 0 (it "
                    "takes its logarithm), got 0",
                    "the paper uses 0.001");
    }
    if (o.f_divergence_type != "reverse_kl" && !entry->takes_divergence) {
      fail_settings(where,
                    "key f_divergence_type: " + name + " is defined for reverse_kl only, got " +
                        show(o.f_divergence_type),
                    "other divergences work with sigmoid, sigmoid_norm, hinge, "
                    "ipo, exo_pair, robust and discopop");
    }
  }
}

std::vector<std::string> explain(const DpoOptions& o) {
  const double b = o.beta, e = o.label_smoothing;
  const std::map<std::string, double> values = {{"b", b},
                                                {"e", e},
                                                {"1 - e", 1.0 - e},
                                                {"1 - 2e", 1.0 - 2.0 * e},
                                                {"1 / 2b", 1.0 / (2.0 * b)},
                                                {"tau", o.discopop_tau},
                                                {"a - 1", o.f_alpha_divergence_coef - 1.0}};
  const auto both = [&](const std::string& formula) {
    const std::string named = symbols(formula), filled = numbers(formula, values);
    return named == filled ? named : named + "  =  " + filled;
  };
  std::vector<std::string> lines;
  for (size_t i = 0; i < o.loss_type.size(); ++i) {
    const Entry* entry = find(o.loss_type[i]);
    GUERDON_CHECK(entry, "dpo: no loss is called ", show(o.loss_type[i]));
    const double weight = o.loss_weights.empty() ? 1.0 : o.loss_weights.at(i);
    const std::string times = o.loss_type.size() > 1 ? str(weight, " x ") : "";
    if (entry->loss) lines.push_back(times + entry->name + ": " + both(entry->formula));
  }
  const auto* f = std::find_if(std::begin(kDivergences), std::end(kDivergences),
                               [&](const Divergence& d) { return o.f_divergence_type == d.name; });
  GUERDON_CHECK(f != std::end(kDivergences), "dpo: no divergence is called ",
                show(o.f_divergence_type));
  lines.push_back("h = " + both("{b} (f(c) - f(r))") + ", f(x) = " + both(f->formula) + " (" +
                  f->name + "), sg the sigmoid");
  lines.emplace_back(
      "c = log p(chosen) - log p_ref(chosen) summed over the response, r the same of rejected; Lc, "
      "Lr their tokens");
  return lines;
}

}  // namespace guerdon::loss
