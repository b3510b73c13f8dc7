/// Rollouts for the tests of rewards: a text, its "tokens" (one a character), and the fields of its
/// row.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/reward/registry.h"
#include "guerdon/reward/services.h"

namespace guerdon::test {

inline Rollout rollout(const std::string& text, Json fields = Json::object()) {
  auto example = std::make_shared<Example>();
  example->id = "row-" + text;
  example->prompt = std::string("prompt");
  example->fields = Fields(std::move(fields), "rows.jsonl:1");
  Rollout r;
  r.example = example;
  r.text = text;
  for (const char c : text) r.tokens.push_back(static_cast<unsigned char>(c));
  return r;
}

/// Scores the rollouts as one group.
inline Scores score(Reward& reward, const std::vector<Rollout>& rollouts, int64_t step = 0) {
  Services services;
  const std::vector<int64_t> groups = {0, static_cast<int64_t>(rollouts.size())};
  return reward.score({rollouts, groups, step, services});
}

inline std::unique_ptr<Reward> reward(const std::string& json) {
  const Json node = Json::parse(json);
  return make_reward(node, "grpo.json");
}

inline std::vector<float> numbers(const Tensor& values) {
  const Tensor plain = values.contiguous();
  return {plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel()};
}

}  // namespace guerdon::test
