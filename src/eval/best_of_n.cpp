#include "guerdon/eval/best_of_n.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/conversation.h"
#include "eval/item_parts.h"
#include "guerdon/base/error.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> gold_of(const Fields& row, const SampleOptions& options) {
  std::string name = options.gold;
  for (const char* known : {"gold", "correct", "gold_pref_vs_reference"}) {
    if (name.empty() && row.has(known)) name = known;
  }
  if (name.empty() || !row.has(name)) row.numbers(name.empty() ? "gold" : name);  // refuses
  const Json& values = row.json()[name];
  if (!values.is_array()) fail_input(row.where(), "field " + show(name) + " must be a list");
  std::vector<double> out;
  for (const Json& value : values) {
    if (value.is_null()) {
      out.push_back(kNaN);
    } else if (value.is_boolean()) {
      out.push_back(value.get<bool>() ? 1.0 : 0.0);
    } else if (value.is_number()) {
      out.push_back(value.get<double>());
    } else {
      fail_input(row.where(),
                 "field " + show(name) + " must hold numbers, true, false or null, got " +
                     value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
    }
  }
  return out;
}

Samples samples_of(const Fields& row, const SampleOptions& options) {
  Samples out{.where = row.where()};
  out.gold = gold_of(row, options);
  out.count = out.gold.size();
  out.scores = scores_in_order(row, options.reduction);
  for (const std::string& proxy : options.proxies) out.scores[proxy] = row.numbers(proxy);
  const auto check = [&](const std::string& what, size_t count) {
    if (count != out.count)
      fail_input(row.where(), str(what, " has ", count, " values, gold has ", out.count));
  };
  for (const auto& [judge, scores] : out.scores) {
    check(judge.empty() ? "the row's scores" : "judge " + show(judge), scores.size());
    for (const double score : scores) {
      if (!std::isfinite(score)) fail_input(row.where(), "a score is not finite");
    }
  }
  if (row.has("selected_by")) {
    const Json& picks = row.json()["selected_by"];
    if (!picks.is_object())
      fail_input(row.where(), "field \"selected_by\" must be an object, judge to index");
    for (const auto& [judge, index] : picks.items()) {
      if (!index.is_number_integer() || index.get<int64_t>() < 0 ||
          index.get<size_t>() >= out.count) {
        fail_input(row.where(), str("selected_by.", judge, " must be an index below ", out.count));
      }
      out.picks[judge] = index.get<size_t>();
    }
  }
  for (const char* name : {"responses", "samples", "completions"}) {
    if (!row.has(name)) continue;
    std::vector<Text> texts = texts_of(row, name);
    check(str("field \"", name, "\""), texts.size());
    if (!row.has("prompt")) row.text("prompt");  // refuses
    out.row = example_of(row, data::read_text(row.json()["prompt"], "prompt", row.where()),
                         std::move(texts));
    break;
  }
  return out;
}

/// Counts that are worth a point: powers of two, and all.
std::vector<int64_t> counts_up_to(size_t most) {
  std::vector<int64_t> out;
  for (size_t n = 1; n < most; n *= 2) out.push_back(static_cast<int64_t>(n));
  out.push_back(static_cast<int64_t>(most));
  return out;
}

/// Scores and gold of the samples that have gold.
struct Judged {
  std::vector<double> score, gold;
};

void fit_overoptimisation(BestOfCurve& curve) {
  if (curve.points.size() < 3) return;
  // Least squares of y = alpha d - beta d^2 without intercept.
  double s2 = 0, s3 = 0, s4 = 0, y1 = 0, y2 = 0;
  for (const BestOfPoint& point : curve.points) {
    const double d = std::sqrt(point.kl), y = point.gold - curve.points[0].gold;
    s2 += d * d, s3 += d * d * d, s4 += d * d * d * d;
    y1 += d * y, y2 += d * d * y;
  }
  const double determinant = s2 * s4 - s3 * s3;
  if (!(determinant > 0)) return;
  curve.fit = {(y1 * s4 - y2 * s3) / determinant, -(s2 * y2 - s3 * y1) / determinant};
}

BestOfCurve curve_of(const std::string& judge, const std::vector<Judged>& prompts,
                     const math::BootstrapOptions& options) {
  BestOfCurve out{.judge = judge, .prompts = static_cast<int64_t>(prompts.size())};
  size_t least = prompts[0].gold.size();
  for (const Judged& prompt : prompts) least = std::min(least, prompt.gold.size());
  for (const int64_t n : counts_up_to(least)) {
    BestOfPoint point{.n = n, .kl = best_of_kl_bound(static_cast<double>(n))};
    std::vector<double> gold;
    for (const Judged& prompt : prompts) {
      gold.push_back(best_of(prompt.score, prompt.gold, static_cast<size_t>(n)));
      point.score += best_of(prompt.score, prompt.score, static_cast<size_t>(n));
      const std::vector<double> base(prompt.score.size(),
                                     1 / static_cast<double>(prompt.score.size()));
      const std::vector<double> law = best_of_law(base, prompt.score, static_cast<double>(n));
      const double kl = kl_of_laws(law, base);
      point.exact.kl += kl;
      point.exact.score += std::inner_product(law.begin(), law.end(), prompt.score.begin(), 0.0);
      point.exact.optimum += tilt_of_kl(base, prompt.score, kl).mean;
    }
    const auto count = static_cast<double>(prompts.size());
    for (double* sum : {&point.score, &point.exact.kl, &point.exact.score, &point.exact.optimum})
      *sum /= count;
    const math::Bootstrap mean = math::bootstrap_mean(gold, options);
    point.gold = mean.mean;
    point.interval = mean.interval;
    out.points.push_back(point);
  }
  out.best_n =
      std::max_element(out.points.begin(), out.points.end(),
                       [](const BestOfPoint& a, const BestOfPoint& b) { return a.gold < b.gold; })
          ->n;
  fit_overoptimisation(out);
  return out;
}

Judged with_gold(const std::vector<double>& scores, const std::vector<double>& gold) {
  Judged out;
  for (size_t i = 0; i < gold.size(); ++i) {
    if (std::isnan(gold[i])) continue;
    out.score.push_back(scores[i]);
    out.gold.push_back(gold[i]);
  }
  return out;
}

/// What one choice among all samples came to: a point without a curve.
BestOfCurve picks_of(const std::string& judge, std::span<const Samples> rows,
                     const math::BootstrapOptions& options) {
  BestOfCurve out{.judge = judge, .picks_only = true};
  std::vector<double> gold;
  size_t least = std::numeric_limits<size_t>::max();
  for (const Samples& row : rows) {
    const auto pick = row.picks.find(judge);
    if (pick == row.picks.end())
      fail_input(row.where, "judge " + show(judge) + " chose no sample, in other rows it did");
    if (!std::isnan(row.gold[pick->second])) gold.push_back(row.gold[pick->second]);
    least = std::min(least, row.count);
  }
  out.prompts = static_cast<int64_t>(gold.size());
  const math::Bootstrap mean = math::bootstrap_mean(gold, options);
  out.best_n = static_cast<int64_t>(least);
  out.points.push_back({.n = out.best_n,
                        .kl = best_of_kl_bound(static_cast<double>(least)),
                        .score = kNaN,
                        .gold = mean.mean,
                        .interval = mean.interval,
                        .exact = {kNaN, kNaN, kNaN}});
  return out;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

double best_of(std::span<const double> score, std::span<const double> value, size_t n) {
  const size_t count = score.size();
  GUERDON_CHECK(value.size() == count && n >= 1 && n <= count, "best_of: n = ", n, " of ", count,
                " scores and ", value.size(), " values");
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score[a] < score[b]; });
  // The share of the subsets that lie within the c lowest: C(c, n) / C(count, n).
  const auto within = [&](size_t c) {
    double share = 1;
    for (size_t i = 0; i < n; ++i) {
      share *= c > i ? static_cast<double>(c - i) / static_cast<double>(count - i) : 0.0;
    }
    return share;
  };
  double sum = 0;
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    double values = 0;
    for (end = begin; end < count && score[order[end]] == score[order[begin]]; ++end)
      values += value[order[end]];
    sum += (within(end) - within(begin)) * values / static_cast<double>(end - begin);
  }
  return sum;
}

std::vector<Samples> read_samples(const std::filesystem::path& file, const SampleOptions& options) {
  std::vector<Samples> out;
  for (const Fields& row : read_rows(file)) out.push_back(samples_of(row, options));
  return out;
}

std::vector<BestOfCurve> best_of_curves(std::span<const Samples> rows,
                                        const math::BootstrapOptions& options) {
  std::set<std::string> judges, choosers;
  for (const Samples& row : rows) {
    for (const auto& [judge, scores] : row.scores) judges.insert(judge);
    for (const auto& [judge, pick] : row.picks) choosers.insert(judge);
  }
  const auto curve = [&](const std::string& name, auto&& scores_of) {
    std::vector<Judged> prompts;
    for (const Samples& row : rows) {
      Judged judged = with_gold(scores_of(row), row.gold);
      if (judged.gold.size() >= 2) prompts.push_back(std::move(judged));
    }
    if (prompts.empty()) {
      fail_input(rows.empty() ? "best of n" : rows[0].where,
                 "no prompt has two samples with a gold value");
    }
    return curve_of(name, prompts, options);
  };
  std::vector<BestOfCurve> out;
  for (const std::string& judge : judges) {
    out.push_back(curve(judge, [&](const Samples& row) -> const std::vector<double>& {
      const auto found = row.scores.find(judge);
      if (found == row.scores.end())
        fail_input(row.where, "has no scores of judge " + show(judge) + ", other rows have");
      return found->second;
    }));
  }
  for (const std::string& judge : choosers) out.push_back(picks_of(judge, rows, options));
  out.push_back(
      curve("gold", [](const Samples& row) -> const std::vector<double>& { return row.gold; }));
  return out;
}

Json best_of_json(std::span<const BestOfCurve> curves) {
  Json out = Json::array();
  for (const BestOfCurve& curve : curves) {
    Json points = Json::array();
    for (const BestOfPoint& point : curve.points) {
      points.push_back({{"n", point.n},
                        {"kl", point.kl},
                        {"score", number(point.score)},
                        {"gold", number(point.gold)},
                        {"interval", {number(point.interval.lower), number(point.interval.upper)}},
                        {"exact",
                         {{"kl", number(point.exact.kl)},
                          {"score", number(point.exact.score)},
                          {"optimum", number(point.exact.optimum)}}}});
    }
    Json one{{"name", curve.judge},
             {"prompts", curve.prompts},
             {"picks_only", curve.picks_only},
             {"best_n", curve.best_n},
             {"points", std::move(points)}};
    if (curve.fit) one["fit"] = {{"alpha", curve.fit->alpha}, {"beta", curve.fit->beta}};
    out.push_back(std::move(one));
  }
  return out;
}

std::string best_of_text(std::span<const BestOfCurve> curves) {
  std::string out;
  for (const BestOfCurve& curve : curves) {
    char line[160];
    out += str(curve.judge.empty() ? "scores" : curve.judge, ", ", curve.prompts, " prompts",
               curve.picks_only ? ", its choice alone is known" : "", "\n");
    if (!curve.picks_only) {
      std::snprintf(line, sizeof line, "%6s%9s%11s%9s  %s\n", "n", "KL", "score", "gold",
                    "95 % interval");
      out += line;
    }
    for (const BestOfPoint& p : curve.points) {
      if (curve.picks_only) {
        std::snprintf(line, sizeof line, "%6lld%9.4f%11s%9.4f  %.4f to %.4f\n",
                      static_cast<long long>(p.n), p.kl, "", p.gold, p.interval.lower,
                      p.interval.upper);
      } else {
        std::snprintf(line, sizeof line, "%6lld%9.4f%11.4g%9.4f  %.4f to %.4f\n",
                      static_cast<long long>(p.n), p.kl, p.score, p.gold, p.interval.lower,
                      p.interval.upper);
      }
      out += line;
    }
    if (curve.fit) {
      std::snprintf(line, sizeof line,
                    "  gold gains d (%.4g - %.4g d), d = sqrt(KL); highest at n = %lld\n",
                    curve.fit->alpha, curve.fit->beta, static_cast<long long>(curve.best_n));
      out += line;
    }
  }
  return out;
}

}  // namespace guerdon::eval
