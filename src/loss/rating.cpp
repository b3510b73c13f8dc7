#include "guerdon/loss/rating.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"

namespace guerdon::loss {
namespace {

/// `x` [B, K, M] outputs, `r` [B, K] ratings.
Tensor mse(const Tensor& x, const Tensor& r, const RatingOptions&) {
  return (x.select(2, 0) - r).square();
}

Tensor huber(const Tensor& x, const Tensor& r, const RatingOptions& o) {
  return at::huber_loss(x.select(2, 0), r, at::Reduction::None, o.huber_delta);
}

Tensor gaussian(const Tensor& x, const Tensor& r, const RatingOptions& o) {
  const Tensor s = at::softplus(x.select(2, 1)) + o.least_deviation;  // as read_numbers has it
  const Tensor e = x.select(2, 0) - r;
  return s.log() + 0.5 * std::log(2.0 * std::numbers::pi) + e.square() / (2.0 * s.square());
}

Tensor quantile(const Tensor& x, const Tensor& r, const RatingOptions& o) {
  const Tensor q = at::tensor(o.quantiles, x.options());
  const Tensor e = x - r.unsqueeze(2);
  return at::where(e < 0, -q * e, (1.0 - q) * e).mean(2);
}

Tensor bce(const Tensor& x, const Tensor& r, const RatingOptions&) {
  const Tensor z = x.select(2, 0);
  return -r * at::log_sigmoid(z) - (1.0 - r) * at::log_sigmoid(-z);
}

Tensor classes(const Tensor& x, const Tensor& r, const RatingOptions& o) {
  const Tensor points = at::tensor(o.classes, r.options());
  const auto last = static_cast<int64_t>(o.classes.size()) - 1;
  const Tensor above = at::searchsorted(points, r.contiguous()).clamp(1, last), below = above - 1;
  const Tensor low = points.index_select(0, below.flatten()).view_as(r),
               high = points.index_select(0, above.flatten()).view_as(r);
  const Tensor share = (r - low) / (high - low);  // of the class above
  const Tensor logp = x.log_softmax(2);
  const auto of = [&](const Tensor& at) { return logp.gather(2, at.unsqueeze(2)).squeeze(2); };
  return -(1.0 - share) * of(below) - share * of(above);
}

struct Entry {
  const char* name;
  Tensor (*loss)(const Tensor& x, const Tensor& r, const RatingOptions& o);
  const char* formula;
};
constexpr Entry kLosses[] = {
    {"mse", mse, "e^2, e = output - rating"},
    {"huber", huber,
     "e^2 / 2 up to |e| = {delta}, {delta} (|e| - {delta} / 2) beyond, e = output - rating"},
    {"gaussian", gaussian,
     "log(2 pi s^2) / 2 + e^2 / (2 s^2), e = mean - rating, s = softplus(raw deviation) + {least}"},
    {"quantile", quantile,
     "mean over the quantiles q of -q e where e < 0, (1 - q) e elsewhere, e = output - rating"},
    {"bce", bce, "-rating log sigmoid(output) - (1 - rating) log sigmoid(-output)"},
    {"classes", classes, "-log softmax(outputs)_c, c the rating's class"},
};

const Entry& entry_of(const std::string& name) {
  for (const Entry& entry : kLosses)
    if (name == entry.name) return entry;
  GUERDON_CHECK(false, "rating_loss: no loss is called ", show(name));
}

}  // namespace

const std::vector<std::string>& rating_loss_types() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Entry& entry : kLosses) out.emplace_back(entry.name);
    return out;
  }();
  return names;
}

void describe(SettingList& field, RatingOptions& o) {
  field("huber_delta", o.huber_delta, "huber: errors beyond this count linearly", {.above = 0.0});
  field("least_deviation", o.least_deviation,
        "gaussian: added to the deviation, which never gets to 0", {.above = 0.0});
  field("quantiles", o.quantiles, "quantile: which ones the head gives, in (0, 1)");
  field("classes", o.classes, "classes: the ratings that there are, ascending");
}

void check_rating_options(const RatingOptions& o, const std::string& where) {
  if (o.quantiles.empty()) fail_settings(where, "key quantiles: must name at least one");
  for (const double q : o.quantiles)
    if (!(q > 0.0 && q < 1.0))
      fail_settings(where, str("key quantiles: must lie in (0, 1), got ", q));
  const bool ascending = std::adjacent_find(o.classes.begin(), o.classes.end(),
                                            std::greater_equal<>()) == o.classes.end();
  if (o.classes.size() < 2 || !ascending)
    fail_settings(where, "key classes: must be two numbers or more, ascending");
}

model::NumberForm number_form(const RatingOptions& o) {
  if (o.loss_type == "gaussian") return {.name = "gaussian", .least_deviation = o.least_deviation};
  if (o.loss_type == "quantile") return {.name = "quantiles", .points = o.quantiles};
  if (o.loss_type == "classes") return {.name = "classes", .points = o.classes};
  return {};
}

Tensor rating_loss(const Tensor& outputs, const Tensor& ratings, const RatingOptions& o) {
  const auto each = static_cast<int64_t>(number_form(o).suffixes().size());
  GUERDON_CHECK(outputs.dim() == 2 && outputs.size(1) % each == 0, "rating_loss: ", outputs.sizes(),
                " outputs, ", each, " for each rating");
  const Tensor x = outputs.view({outputs.size(0), -1, each});
  GUERDON_CHECK(ratings.dim() == 2 && x.size(0) == ratings.size(0) && x.size(1) == ratings.size(1),
                "rating_loss: outputs for ", x.size(1), " ratings of ", x.size(0), " rows, got ",
                ratings.sizes());
  const Tensor there = ratings.isnan().logical_not();
  const Tensor zero = at::zeros({}, outputs.options());
  // A missing rating is replaced before the loss, so that no NaN enters the gradient.
  const Tensor filler = at::full({}, o.classes.front(), outputs.options());
  const Tensor r = at::where(there, ratings.to(outputs.options()), filler);
  return at::where(there, entry_of(o.loss_type).loss(x, r, o), zero);
}

std::vector<std::string> explain(const RatingOptions& o) {
  const std::string formula = entry_of(o.loss_type).formula;
  const std::string named = symbols(formula),
                    filled =
                        numbers(formula, {{"delta", o.huber_delta}, {"least", o.least_deviation}});
  std::vector<std::string> lines = {named == filled ? named : named + "  =  " + filled};
  const auto listed = [](const std::vector<double>& values) {
    std::string all;
    for (const double value : values) all += (all.empty() ? "" : ", ") + str(value);
    return all;
  };
  if (o.loss_type == "quantile")
    lines.push_back("q: " + listed(o.quantiles) +
                    "; the number that stands for a rating is the mean of its outputs");
  if (o.loss_type == "classes")
    lines.push_back("c: " + listed(o.classes) +
                    "; a rating between two counts for both by its distance, and the number that "
                    "stands for it is the mean of the classes under softmax(outputs)");
  if (o.loss_type == "gaussian")
    lines.emplace_back("two outputs for each rating; the number that stands for it is the mean");
  return lines;
}

}  // namespace guerdon::loss
