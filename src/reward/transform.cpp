#include "guerdon/reward/transform.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/settings.h"
#include "guerdon/math/rating_distribution.h"

namespace guerdon {
namespace {

struct Clip final : Transform {
  struct Options {
    std::optional<double> min, max;
  };
  explicit Clip(const Options& options) : o(options) {}
  void apply(std::span<double> scores, bool /*measuring*/) override {
    for (double& x : scores) {
      if (o.min) x = std::max(x, *o.min);
      if (o.max) x = std::min(x, *o.max);
    }
  }
  Options o;
};

void describe(SettingList& field, Clip::Options& o) {
  field("min", o.min, "Smallest score (null: none)");
  field("max", o.max, "Largest score (null: none)");
}

struct Scale final : Transform {
  struct Options {
    double factor = 1.0, offset = 0.0;
  };
  explicit Scale(const Options& options) : o(options) {}
  void apply(std::span<double> scores, bool /*measuring*/) override {
    for (double& x : scores) x = o.factor * x + o.offset;
  }
  Options o;
};

void describe(SettingList& field, Scale::Options& o) {
  field("factor", o.factor, "Multiplies the score");
  field("offset", o.offset, "Added afterwards");
}

struct Sigmoid final : Transform {
  void apply(std::span<double> scores, bool /*measuring*/) override {
    for (double& x : scores) x = 1.0 / (1.0 + std::exp(-x));
  }
};

struct LogSigmoid final : Transform {
  void apply(std::span<double> scores, bool /*measuring*/) override {
    for (double& x : scores) x = std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x)));
  }
};

// Mean and variance of all scores so far (Welford).
struct Running {
  double count = 0, mean = 0, squares = 0;

  void add(std::span<const double> scores) {
    for (const double x : scores) {
      count += 1;
      const double delta = x - mean;
      mean += delta / count;
      squares += delta * (x - mean);
    }
  }
  /// These numbers with `scores`; `keep` makes them the ones that stay.
  Running with(std::span<const double> scores, bool keep) {
    Running now = *this;
    now.add(scores);
    if (keep) *this = now;
    return now;
  }
  double deviation() const { return count > 1 ? std::sqrt(squares / (count - 1)) : 0.0; }
  void parts(Parts& p) {
    p.number("count", count);
    p.number("mean", mean);
    p.number("squares", squares);
  }
};

struct Center final : Transform {
  struct Options {
    std::optional<double> value;
  };
  explicit Center(const Options& options) : o(options) {}
  void apply(std::span<double> scores, bool measuring) override {
    const double center = o.value ? *o.value : running.with(scores, !measuring).mean;
    for (double& x : scores) x -= center;
  }
  void parts(Parts& p) override {
    if (!o.value) p.nested("running", running);
  }
  Options o;
  Running running;
};

void describe(SettingList& field, Center::Options& o) {
  field("value", o.value, "What is subtracted (null: the running mean)");
}

struct Standardize final : Transform {
  struct Options {
    double epsilon = 1e-4;
  };
  explicit Standardize(const Options& options) : o(options) {}
  void apply(std::span<double> scores, bool measuring) override {
    const Running now = running.with(scores, !measuring);
    for (double& x : scores) x = (x - now.mean) / (now.deviation() + o.epsilon);
  }
  void parts(Parts& p) override { p.nested("running", running); }
  Options o;
  Running running;
};

void describe(SettingList& field, Standardize::Options& o) {
  field("epsilon", o.epsilon, "Added to the deviation", {.above = 0.0});
}

// log P(rating) of a score that predicts a rating; SteerLM 2.0 reads a regression so.
struct RatingLogProbability final : Transform {
  struct Options {
    int64_t rating = 4;
    math::RatingDistributionOptions distribution;
  };
  explicit RatingLogProbability(const Options& options) : o(options) {}
  void apply(std::span<double> scores, bool /*measuring*/) override {
    constexpr double kLeast = 1e-30;  // an outcome that cannot be must not be -inf
    for (double& x : scores) {
      const auto p = math::rating_probabilities(x, o.distribution);
      x = std::log(std::max(p[static_cast<size_t>(o.rating)], kLeast));
    }
  }
  Options o;
};

void describe(SettingList& field, RatingLogProbability::Options& o) {
  field("rating", o.rating, "The rating whose probability is asked for", {.min = 0});
  field("levels", o.distribution.levels, "Ratings are 0 to levels - 1", {.min = 2, .max = 1000});
  field("concentration", o.distribution.concentration, "Of the beta distribution",
        {.max = 1e4, .above = 0.0});
  field("edges", o.distribution.edges, "Ratings end halfway to the next, or have equal room",
        {.choices = {"midpoints", "equal"}});
}

struct None {};
void describe(SettingList&, None&) {}

const std::vector<std::string> kNames = {
    "clip", "scale", "sigmoid", "log_sigmoid", "center", "standardize", "rating_log_probability"};

template <class Options>
Options read(const Json& node, const std::string& where, const std::string& path) {
  Options options;
  std::string use;
  SettingList list;
  list("use", use, "Name of the transform");
  describe(list, options);
  apply_settings(list, node, where, path + ".");
  return options;
}

std::unique_ptr<Transform> make(const Json& node, const std::string& where,
                                const std::string& path) {
  if (!node.is_object() || !node.contains("use") || !node["use"].is_string()) {
    fail_settings(where, "key " + path + ": must be {\"use\": NAME, ...}");
  }
  const std::string use = node["use"];
  if (use == "clip") return std::make_unique<Clip>(read<Clip::Options>(node, where, path));
  if (use == "scale") return std::make_unique<Scale>(read<Scale::Options>(node, where, path));
  if (use == "center") return std::make_unique<Center>(read<Center::Options>(node, where, path));
  if (use == "standardize")
    return std::make_unique<Standardize>(read<Standardize::Options>(node, where, path));
  if (use == "rating_log_probability") {
    const auto options = read<RatingLogProbability::Options>(node, where, path);
    if (options.rating >= options.distribution.levels)
      fail_settings(where,
                    str("key ", path, ".rating: must be below levels, got ", options.rating));
    return std::make_unique<RatingLogProbability>(options);
  }
  if (use == "sigmoid") return read<None>(node, where, path), std::make_unique<Sigmoid>();
  if (use == "log_sigmoid") return read<None>(node, where, path), std::make_unique<LogSigmoid>();
  std::string known;
  for (const std::string& name : kNames) known += (known.empty() ? "" : ", ") + name;
  fail_settings(where, "key " + path + ".use: must be one of " + known + ", got " + show(use) +
                           did_you_mean(use, kNames));
}

}  // namespace

std::vector<std::unique_ptr<Transform>> make_transforms(const Json& list, const std::string& where,
                                                        const std::string& path) {
  std::vector<std::unique_ptr<Transform>> out;
  if (list.is_null()) return out;
  if (!list.is_array()) {
    out.push_back(make(list, where, path));
    return out;
  }
  for (size_t i = 0; i < list.size(); ++i)
    out.push_back(make(list[i], where, str(path, "[", i, "]")));
  return out;
}

}  // namespace guerdon
