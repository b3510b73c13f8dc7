#include "guerdon/eval/detect.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/conversation.h"
#include "eval/item_parts.h"
#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/math/ranking.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {
namespace {

bool label_of(const Fields& row) {
  if (!row.has("label")) row.number("label");  // refuses
  const Json& label = row.json()["label"];
  if (label.is_boolean()) return label.get<bool>();
  if (!label.is_number() || (label != 0 && label != 1)) {
    fail_input(row.where(),
               "field \"label\" must be 0 or 1, got " +
                   label.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
  }
  return label == 1;
}

std::map<std::string, double> numbers_of(const Fields& row) {
  std::map<std::string, double> out;
  if (row.has("score")) out[""] = row.number("score");
  if (!row.has("scores")) return out;
  const Json& scores = row.json()["scores"];
  if (!scores.is_object())
    fail_input(row.where(), "field \"scores\" must be an object, judge to number");
  for (const auto& [judge, score] : scores.items()) {
    if (!score.is_number())
      fail_input(row.where(), "field \"scores." + judge + "\" must be a number");
    out[judge] = score.get<double>();
  }
  return out;
}

std::vector<double> resampled(std::span<const double> values, Random& random) {
  std::vector<double> out;
  for (size_t i = 0; i < values.size(); ++i)
    out.push_back(values[random.next_below(values.size())]);
  return out;
}

}  // namespace

std::vector<LabelledText> read_labelled(const std::filesystem::path& file) {
  std::vector<LabelledText> out;
  for (const Fields& row : read_rows(file)) {
    LabelledText text{.where = row.where()};
    text.positive = label_of(row);
    text.scores = numbers_of(row);
    const char* name = row.has("text") ? "text" : "completion";
    if (row.has(name) || text.scores.empty()) {
      std::vector<Text> response = texts_of(row, row.has(name) ? name : "text");
      if (response.size() != 1)
        fail_input(row.where(), str("field \"", name, "\" must be one text"));
      Text prompt;
      if (row.has("prompt")) prompt = data::read_text(row.json()["prompt"], "prompt", row.where());
      text.row = example_of(row, std::move(prompt), std::move(response));
    }
    out.push_back(std::move(text));
  }
  return out;
}

Detection detect(std::span<const double> positives, std::span<const double> negatives,
                 const math::BootstrapOptions& options) {
  GUERDON_CHECK(!positives.empty() && !negatives.empty(), "detect: ", positives.size(), " and ",
                negatives.size(), " texts");
  Detection out{.positives = static_cast<int64_t>(positives.size()),
                .negatives = static_cast<int64_t>(negatives.size())};
  out.auroc = math::auroc(positives, negatives);
  out.average_precision = math::average_precision(positives, negatives);
  out.found_at_1 = math::true_positive_rate(positives, negatives, 0.01);
  out.found_at_5 = math::true_positive_rate(positives, negatives, 0.05);
  std::vector<double> areas;
  for (int64_t b = 0; b < options.resamples; ++b) {
    Random random(options.seed, Purpose::bootstrap, static_cast<uint64_t>(b));
    const std::vector<double> p = resampled(positives, random), n = resampled(negatives, random);
    areas.push_back(math::auroc(p, n));
  }
  const double tail = (1 - options.confidence) / 2;
  out.interval = {math::quantile(areas, tail), math::quantile(areas, 1 - tail)};
  return out;
}

Json detection_json(const Detection& r) {
  return {{"positives", r.positives},
          {"negatives", r.negatives},
          {"auroc", r.auroc},
          {"interval", {r.interval.lower, r.interval.upper}},
          {"average_precision", r.average_precision},
          {"found_at_1", r.found_at_1},
          {"found_at_5", r.found_at_5}};
}

std::string detection_text(const Detection& r) {
  char text[240];
  std::snprintf(
      text, sizeof text,
      "AUROC %.4f (95 %% interval %.4f to %.4f) of %lld and %lld texts, average precision "
      "%.4f, found at 1 %% false alarms %.1f %%, at 5 %% %.1f %%\n",
      r.auroc, r.interval.lower, r.interval.upper, static_cast<long long>(r.positives),
      static_cast<long long>(r.negatives), r.average_precision, 100 * r.found_at_1,
      100 * r.found_at_5);
  return text;
}

}  // namespace guerdon::eval
