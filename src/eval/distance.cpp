#include "guerdon/eval/distance.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/math/linear.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {
namespace {

/// Names for the places of an array.
struct Places {
  size_t S, A;
  size_t sas(size_t s, size_t a, size_t next) const { return (s * A + a) * S + next; }
  size_t sa(size_t s, size_t a) const { return s * A + a; }
};

void check(const char* name, std::span<const double> reward, const Environment& e) {
  const size_t size = e.states * e.actions * e.states;
  GUERDON_CHECK(size > 0 && reward.size() == size && e.transition.size() == size &&
                    (e.policy.empty() || e.policy.size() == e.states * e.actions) &&
                    e.discount >= 0 && e.discount < 1,
                name, ": ", reward.size(), " rewards, ", e.transition.size(), " transitions, ",
                e.states, " states, ", e.actions, " actions, discount ", e.discount);
}

double policy_at(const Environment& e, const Places& at, size_t s, size_t a) {
  return e.policy.empty() ? 1 / static_cast<double>(e.actions) : e.policy[at.sa(s, a)];
}

/// E over the next state of R + g F(s') - F(s), [S, A].
std::vector<double> expected_shaped(std::span<const double> reward, const Environment& e,
                                    std::span<const double> f) {
  const Places at{e.states, e.actions};
  std::vector<double> out(at.S * at.A);
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t a = 0; a < at.A; ++a) {
      double sum = 0;
      for (size_t next = 0; next < at.S; ++next) {
        sum += e.transition[at.sas(s, a, next)] *
               (reward[at.sas(s, a, next)] + e.discount * f[next] - f[s]);
      }
      out[at.sa(s, a)] = sum;
    }
  }
  return out;
}

std::vector<double> for_every_next(const std::vector<double>& sa, const Places& at) {
  std::vector<double> out;
  for (const double value : sa) out.insert(out.end(), at.S, value);
  return out;
}

/// F of the shortest E[R + g F(s') - F(s)]: least squares in F.
std::vector<double> shortest_shaping(std::span<const double> reward, const Environment& e) {
  const Places at{e.states, e.actions};
  const std::vector<double> nothing(at.S, 0.0);
  std::vector<double> b = expected_shaped(reward, e, nothing), matrix;
  for (double& value : b) value = -value;
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t next = 0; next < at.S; ++next)
        matrix.push_back(e.discount * e.transition[at.sas(s, a, next)] - (s == next ? 1.0 : 0.0));
    }
  }
  return math::least_squares(matrix, b);
}

/// E over actions and any next state of R(s, A, S'), [S].
std::vector<double> mean_from(std::span<const double> reward, const Places& at) {
  std::vector<double> out(at.S);
  for (size_t s = 0; s < at.S; ++s)
    out[s] = math::average(reward.subspan(at.sas(s, 0, 0), at.A * at.S));
  return out;
}

std::vector<double> epic(std::span<const double> reward, const Environment& e) {
  const Places at{e.states, e.actions};
  const std::vector<double> from = mean_from(reward, at);
  const double anywhere = math::average(from);
  std::vector<double> out(reward.begin(), reward.end());
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t next = 0; next < at.S; ++next) {
        out[at.sas(s, a, next)] += e.discount * from[next] - from[s] - e.discount * anywhere;
      }
    }
  }
  return out;
}

std::vector<double> dard(std::span<const double> reward, const Environment& e) {
  const Places at{e.states, e.actions};
  // E over A and what follows of R(s, A, S'), [S].
  std::vector<double> from(at.S);
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t next = 0; next < at.S; ++next)
        from[s] += e.transition[at.sas(s, a, next)] * reward[at.sas(s, a, next)];
    }
    from[s] /= static_cast<double>(at.A);
  }
  // E of R(S', A, S") with S' after s and S" after s'.
  const auto between = [&](size_t s, size_t next) {
    double sum = 0;
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t i = 0; i < at.S; ++i) {
        for (size_t j = 0; j < at.S; ++j) {
          sum += e.transition[at.sas(s, a, i)] * e.transition[at.sas(next, a, j)] *
                 reward[at.sas(i, a, j)];
        }
      }
    }
    return sum / static_cast<double>(at.A);
  };
  std::vector<double> out(reward.begin(), reward.end());
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t next = 0; next < at.S; ++next) {
      const double added = e.discount * from[next] - from[s] - e.discount * between(s, next);
      for (size_t a = 0; a < at.A; ++a) out[at.sas(s, a, next)] += added;
    }
  }
  return out;
}

double length_of(std::span<const double> v) {
  return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
}

/// Half the distance of the two, each scaled to length 1. What shaping left of a trivial reward is
/// rounding: below 1e-9 of `scale` it is nothing.
double standardised_distance(std::span<const double> a, std::span<const double> b, double scale_a,
                             double scale_b) {
  const double na = length_of(a), nb = length_of(b);
  const bool no_a = na <= 1e-9 * scale_a, no_b = nb <= 1e-9 * scale_b;
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = (no_a ? 0 : a[i] / na) - (no_b ? 0 : b[i] / nb);
    squares += difference * difference;
  }
  return std::sqrt(squares) / 2;
}

// --- files -------------------------------------------------------------------------------------

/// Nested lists of numbers as one list; their sizes are checked from outside in.
void flatten(const Json& value, std::span<const size_t> sizes, const std::string& where,
             std::vector<double>& out) {
  if (sizes.empty()) {
    if (!value.is_number())
      fail_input(where, "must be a number, got " + value.dump().substr(0, 60));
    out.push_back(value.get<double>());
    return;
  }
  if (!value.is_array() || value.size() != sizes[0]) {
    fail_input(where,
               str("must be a list of ", sizes[0], ", got ",
                   value.is_array() ? str(value.size(), " entries") : value.dump().substr(0, 60)));
  }
  for (size_t i = 0; i < value.size(); ++i)
    flatten(value[i], sizes.subspan(1), str(where, "[", i, "]"), out);
}

std::vector<double> array_of(const Json& value, std::vector<size_t> sizes,
                             const std::string& where) {
  std::vector<double> out;
  flatten(value, sizes, where, out);
  return out;
}

void check_rows(const std::vector<double>& values, size_t width, const std::string& where) {
  for (size_t row = 0; row < values.size() / width; ++row) {
    double sum = 0;
    for (size_t i = 0; i < width; ++i) {
      const double p = values[row * width + i];
      if (p < 0) fail_input(where, str("holds a negative probability, ", p));
      sum += p;
    }
    if (std::abs(sum - 1) > 1e-6)
      fail_input(where, str("probabilities of row ", row, " add up to ", sum, ", 1 is expected"));
  }
}

}  // namespace

const std::vector<std::string>& canonical_names() {
  static const std::vector<std::string> names{"value", "potential", "minimal", "epic", "dard"};
  return names;
}

Canonical canonical_named(const std::string& name) {
  const std::vector<std::string>& names = canonical_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    fail_settings("distance " + show(name), "no such distance" + did_you_mean(name, names));
  return static_cast<Canonical>(found - names.begin());
}

std::vector<double> policy_value(std::span<const double> reward, const Environment& e) {
  check("policy_value", reward, e);
  const Places at{e.states, e.actions};
  // (1 - g P) V = R under the policy.
  std::vector<double> matrix(at.S * at.S), expected(at.S);
  for (size_t s = 0; s < at.S; ++s) {
    matrix[s * at.S + s] += 1;
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t next = 0; next < at.S; ++next) {
        const double p = policy_at(e, at, s, a) * e.transition[at.sas(s, a, next)];
        matrix[s * at.S + next] -= e.discount * p;
        expected[s] += p * reward[at.sas(s, a, next)];
      }
    }
  }
  return math::solve(matrix, expected);
}

std::vector<double> canonical_reward(std::span<const double> reward, const Environment& e,
                                     Canonical canonical) {
  check("canonical_reward", reward, e);
  const Places at{e.states, e.actions};
  switch (canonical) {
    case Canonical::value:
      return for_every_next(expected_shaped(reward, e, policy_value(reward, e)), at);
    case Canonical::minimal:
      return for_every_next(expected_shaped(reward, e, shortest_shaping(reward, e)), at);
    case Canonical::epic: return epic(reward, e);
    case Canonical::dard: return dard(reward, e);
    case Canonical::potential: break;
  }
  const std::vector<double> value = policy_value(reward, e);
  std::vector<double> out(reward.begin(), reward.end());
  for (size_t s = 0; s < at.S; ++s) {
    for (size_t a = 0; a < at.A; ++a) {
      for (size_t next = 0; next < at.S; ++next)
        out[at.sas(s, a, next)] += e.discount * value[next] - value[s];
    }
  }
  return out;
}

double reward_distance(std::span<const double> a, std::span<const double> b, const Environment& e,
                       Canonical canonical) {
  std::vector<double> x = canonical_reward(a, e, canonical), y = canonical_reward(b, e, canonical);
  if (canonical == Canonical::epic || canonical == Canonical::dard) {
    // sqrt((1 - r) / 2) is half the distance of the centred ones, scaled to length 1.
    for (std::vector<double>* values : {&x, &y}) {
      const double mean = math::average(*values);
      for (double& value : *values) value -= mean;
    }
  }
  return standardised_distance(x, y, length_of(a), length_of(b));
}

double response_distance(std::span<const std::vector<double>> a,
                         std::span<const std::vector<double>> b) {
  GUERDON_CHECK(a.size() == b.size(), "response_distance: ", a.size(), " and ", b.size(),
                " prompts");
  const auto centred = [](std::span<const std::vector<double>> prompts) {
    std::vector<double> out;
    for (const std::vector<double>& scores : prompts) {
      const double mean = scores.empty() ? 0 : math::average(scores);
      for (const double score : scores) out.push_back(score - mean);
    }
    return out;
  };
  const auto scale = [](std::span<const std::vector<double>> prompts) {
    double squares = 0;
    for (const std::vector<double>& scores : prompts)
      squares += std::inner_product(scores.begin(), scores.end(), scores.begin(), 0.0);
    return std::sqrt(squares);
  };
  for (size_t i = 0; i < a.size(); ++i) {
    GUERDON_CHECK(a[i].size() == b[i].size(), "response_distance: prompt ", i, " has ", a[i].size(),
                  " and ", b[i].size(), " responses");
  }
  return standardised_distance(centred(a), centred(b), scale(a), scale(b));
}

DistanceTable distance_table(const std::map<std::string, std::vector<double>>& rewards,
                             const Environment& environment, Canonical canonical) {
  DistanceTable out;
  for (const auto& [name, reward] : rewards) {
    out.names.push_back(name);
    out.distances.emplace_back();
    for (const auto& [other_name, other] : rewards)
      out.distances.back().push_back(reward_distance(reward, other, environment, canonical));
  }
  return out;
}

TabularRewards read_tabular(const std::filesystem::path& file) {
  const Json json = read_json(file);
  const std::string where = file.string() + ": key ";
  if (!json.is_object()) fail_input(file.string(), "must be an object with transition and rewards");
  for (const char* key : {"transition", "rewards"}) {
    if (!json.contains(key)) fail_input(file.string(), str("key \"", key, "\" is missing"));
  }
  const Json& transition = json["transition"];
  if (!transition.is_array() || transition.empty() || !transition[0].is_array() ||
      transition[0].empty()) {
    fail_input(where + "transition", "must be lists [state][action][next state]");
  }
  TabularRewards out;
  Environment& e = out.environment;
  e.states = transition.size();
  e.actions = transition[0].size();
  e.transition = array_of(transition, {e.states, e.actions, e.states}, where + "transition");
  check_rows(e.transition, e.states, where + "transition");
  if (json.contains("discount")) {
    e.discount = array_of(json["discount"], {}, where + "discount")[0];
    if (!(e.discount >= 0 && e.discount < 1))
      fail_input(where + "discount", str("must lie in [0, 1), got ", e.discount));
  }
  if (json.contains("policy")) {
    e.policy = array_of(json["policy"], {e.states, e.actions}, where + "policy");
    check_rows(e.policy, e.actions, where + "policy");
  }
  if (!json["rewards"].is_object() || json["rewards"].size() < 2)
    fail_input(where + "rewards", "must name two rewards or more");
  for (const auto& [name, reward] : json["rewards"].items())
    out.rewards[name] =
        array_of(reward, {e.states, e.actions, e.states}, where + "rewards." + name);
  return out;
}

Json distance_json(const DistanceTable& table) {
  return {{"names", table.names}, {"distances", table.distances}};
}

std::string distance_text(const DistanceTable& table) {
  size_t width = 9;
  for (const std::string& name : table.names) width = std::max(width, name.size() + 2);
  const auto padded = [&](const std::string& text) {
    return text + std::string(width - text.size(), ' ');
  };
  std::string out = padded("");
  for (const std::string& name : table.names) out += padded(name);
  out += "\n";
  for (size_t i = 0; i < table.names.size(); ++i) {
    out += padded(table.names[i]);
    for (const double distance : table.distances[i]) {
      char text[32];
      std::snprintf(text, sizeof text, "%.4f", distance);
      out += padded(text);
    }
    out += "\n";
  }
  return out;
}

}  // namespace guerdon::eval
