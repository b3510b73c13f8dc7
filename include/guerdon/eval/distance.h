/// How far two rewards are from asking for the same: distances that do not see what cannot change
/// the order of policies (Skalse et al. 2023, "STARC", arXiv:2309.15257).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::eval {

/// A Markov decision process without its reward: S states, A actions. Arrays are row by row.
struct Environment {
  size_t states = 0, actions = 0;
  std::vector<double> transition;   ///< [S, A, S], rows over the next state add up to 1
  double discount = 0.99;           ///< in [0, 1)
  std::vector<double> policy = {};  ///< [S, A]; empty: every action as likely
};

/// What a reward [S, A, S] is brought to before two are compared. V is the value of the
/// environment's policy, g the discount.
enum class Canonical {
  value,      ///< E over s' of [R(s, a, s') - V(s) + g V(s')]
  potential,  ///< the same without the mean over s': it keeps what s' adds to R
  minimal,    ///< E over s' of [R + g F(s') - F(s)] with the F that makes it shortest
  epic,       ///< EPIC (Gleave et al. 2021): R + E[g R(s', A, S') - R(s, A, S') - g R(S, A, S')],
              ///< S, S' any states, A any action
  dard,       ///< DARD (Wulfe et al. 2022): R + E[g R(s', A, S") - R(s, A, S') - g R(S', A, S")],
              ///< S' follows s and S" follows s' under the action A
};
/// "value", "potential", ...
const std::vector<std::string>& canonical_names();
/// Throws Error (Kind::settings) for another name.
Canonical canonical_named(const std::string& name);

/// The value of the policy in every state, [S]: V = R_policy + g P V. Throws Error (Kind::bug) when
/// sizes do not fit, as do the next two.
std::vector<double> policy_value(std::span<const double> reward, const Environment& environment);

/// [S, A, S]; of `value` and `minimal` the same for every s'.
std::vector<double> canonical_reward(std::span<const double> reward, const Environment& environment,
                                     Canonical canonical);

/// Half the Euclidean distance of the canonical rewards, each scaled to length 1: in [0, 1], 0 for
/// rewards that ask for the same, 1 for opposite ones, 1/2 between one that asks for nothing
/// (canonical reward 0) and one that does. For epic and dard it is their own sqrt((1 - r) / 2), r
/// Pearson's correlation over all (s, a, s').
double reward_distance(std::span<const double> a, std::span<const double> b,
                       const Environment& environment, Canonical canonical = Canonical::value);

/// The same for judges of responses: one state a prompt, one step, canonical reward R(x, y) less
/// its mean over the prompt's responses. `a`, `b`: scores by prompt. Prompts with one response say
/// nothing. Throws Error (Kind::bug) when sizes differ.
double response_distance(std::span<const std::vector<double>> a,
                         std::span<const std::vector<double>> b);

/// Distances between all pairs of rewards.
struct DistanceTable {
  std::vector<std::string> names;
  std::vector<std::vector<double>> distances;  ///< [names][names]
};
DistanceTable distance_table(const std::map<std::string, std::vector<double>>& rewards,
                             const Environment& environment, Canonical canonical);

/// {"transition": [S][A][S], "rewards": {"NAME": [S][A][S], ...}, "discount": 0.9, "policy":
/// [S][A]}
struct TabularRewards {
  Environment environment;
  std::map<std::string, std::vector<double>> rewards;
};
/// Throws Error (Kind::input) naming the key and what is expected there.
TabularRewards read_tabular(const std::filesystem::path& file);

Json distance_json(const DistanceTable& table);
std::string distance_text(const DistanceTable& table);

}  // namespace guerdon::eval
