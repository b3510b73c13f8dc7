#include "guerdon/loss/listwise.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"

namespace guerdon::loss {
namespace {

/// Places of the values, best first.
std::vector<int64_t> order_of(const std::vector<double>& values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  return order;
}

/// [k, k]: row i is the distribution of the next best among i, i + 1, ...
Tensor next_best(const Tensor& r, const Tensor& left, double temperature) {
  const Tensor none = at::full({}, -std::numeric_limits<double>::infinity(), r.options());
  if (temperature > 0.0)
    return at::softmax(at::where(left, (r / temperature).unsqueeze(0), none), 1);
  const Tensor best = (left & (r.unsqueeze(0) == r.unsqueeze(1))).to(r.scalar_type());
  return best / best.sum(1, true);
}

/// `s` and `r` sorted.
Tensor plackett_luce(const Tensor& s, const Tensor& r, const ListOptions& o) {
  const int64_t k = s.size(0);
  const Tensor left = at::ones({k, k}, at::kBool).triu();
  const Tensor none = at::full({}, -std::numeric_limits<double>::infinity(), s.options());
  const Tensor normaliser = at::logsumexp(at::where(left, s.unsqueeze(0), none), 1);
  const Tensor chosen = (next_best(r, left, o.list_temperature) * s.unsqueeze(0)).sum(1);
  return (normaliser - chosen).slice(0, 0, k - 1).sum();
}

/// `s` and `r` sorted.
Tensor ordered_chain(const Tensor& s, const std::vector<double>& r, const ListOptions& o) {
  const size_t k = r.size();
  GUERDON_CHECK(o.chain_weights.empty() || o.chain_weights.size() == k * (k - 1) / 2,
                "ordered_chain: ", o.chain_weights.size(), " weights for a list of ", k);
  Tensor sum = at::zeros({}, s.options());
  int64_t pairs = 0;
  size_t pair = 0;
  for (size_t a = 0; a < k; ++a) {
    for (size_t b = a + 1; b < k; ++b, ++pair) {
      if (!(r[a] > r[b])) continue;
      const Tensor better = s[static_cast<int64_t>(a)], worse = s[static_cast<int64_t>(b)];
      const double weight = o.chain_weights.empty() ? 1.0 : o.chain_weights[pair];
      sum = sum + weight * (-at::log_sigmoid(better - worse) +
                            o.score_penalty / 2 * (better.square() + worse.square()));
      ++pairs;
    }
  }
  return sum / static_cast<double>(pairs);
}

}  // namespace

const std::vector<std::string>& list_loss_types() {
  static const std::vector<std::string> names = {"plackett_luce", "ordered_chain"};
  return names;
}

void describe(SettingList& field, ListOptions& o) {
  field("list_temperature", o.list_temperature,
        "plackett_luce: 0 learns the order alone, above 0 the values count", {.min = 0.0});
  field("chain_weights", o.chain_weights,
        "ordered_chain: weights of the pairs (1, 2), (1, 3), ..., (2, 3), ... of ranks (empty: all "
        "1)");
}

Tensor list_loss(const Tensor& scores, const std::vector<double>& values, const ListOptions& o) {
  GUERDON_CHECK(scores.dim() == 1 && scores.size(0) == static_cast<int64_t>(values.size()),
                "list_loss: ", scores.sizes(), " scores, ", values.size(), " values");
  const std::vector<int64_t> order = order_of(values);
  std::vector<double> r;
  for (const int64_t place : order) r.push_back(values[static_cast<size_t>(place)]);
  if (r.empty() || r.front() == r.back()) return (scores * 0.0).sum();
  const Tensor s = scores.index_select(0, at::tensor(order, at::kLong));
  if (o.loss_type == "ordered_chain") return ordered_chain(s, r, o);
  GUERDON_CHECK(o.loss_type == "plackett_luce", "list_loss: no loss is called ", show(o.loss_type));
  return plackett_luce(s, at::tensor(r, at::kDouble).to(s.options()), o);
}

Tensor separation(const Tensor& scores) {
  const int64_t k = scores.size(0);
  GUERDON_CHECK(scores.dim() == 1 && k >= 2, "separation: ", scores.sizes(), " scores");
  const Tensor distance = (scores.unsqueeze(0) - scores.unsqueeze(1)).abs();
  return 2.0 / static_cast<double>(k * k) * at::sigmoid(distance).triu(1).sum();
}

double ordered_share(const Tensor& scores, const std::vector<double>& values) {
  const Tensor plain = scores.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* s = plain.const_data_ptr<double>();
  int64_t pairs = 0, right = 0;
  for (size_t a = 0; a < values.size(); ++a) {
    for (size_t b = 0; b < values.size(); ++b) {
      if (!(values[a] > values[b])) continue;
      ++pairs;
      right += s[a] > s[b];
    }
  }
  return pairs == 0 ? -1.0 : static_cast<double>(right) / static_cast<double>(pairs);
}

std::vector<std::string> explain(const ListOptions& o) {
  const std::map<std::string, double> values = {{"t", o.list_temperature}, {"c", o.score_penalty}};
  const auto both = [&](const std::string& formula) {
    const std::string named = symbols(formula), filled = numbers(formula, values);
    return named == filled ? named : named + "  =  " + filled;
  };
  if (o.loss_type == "ordered_chain") {
    const std::string penalty = o.score_penalty > 0.0 ? " + {c} (s_a^2 + s_b^2) / 2" : "";
    const std::string weight = o.chain_weights.empty() ? "" : "w_ab ";
    std::vector<std::string> lines = {
        both("mean over the pairs a before b of " + weight + "(-log sg(s_a - s_b)" + penalty + ")"),
        "s the scores, best value first; pairs of equal values are left out; sg the sigmoid"};
    if (!o.chain_weights.empty()) {
      std::string all;
      for (const double w : o.chain_weights) all += (all.empty() ? "" : ", ") + str(w);
      lines.push_back("w of the ranks (1, 2), (1, 3), ..., (2, 3), ...: " + all);
    }
    return lines;
  }
  return {"sum over i < k of log sum_{m >= i} exp s_m - sum_{j >= i} q_i(j) s_j",
          o.list_temperature > 0.0
              ? numbers("q_i = softmax of r / {t} over those from i on", values)
              : "q_i = 1 for the best of those from i on, shared where several are equal",
          "s the scores, r the values, both best value first"};
}

}  // namespace guerdon::loss
