/// A policy of a few thousand weights over the letters a to h, prompts, and a reward that likes the
/// letter b: GRPO's tests run on it.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "guerdon/model/pretrained.h"
#include "guerdon/reward/registry.h"
#include "guerdon/train/grpo.h"
#include "support/temporary.h"

namespace guerdon::test {

/// Share of the letter b among the characters of the response.
struct LikesB final : Reward {
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [](const Rollout& r) {
      const auto count = static_cast<float>(std::count(r.text.begin(), r.text.end(), 'b'));
      return std::optional(r.text.empty() ? 0.0f : count / static_cast<float>(r.text.size()));
    });
  }
};

/// tokenizer.json of single characters; `specials` come first and are special tokens.
inline Json character_tokenizer(const std::vector<std::string>& specials,
                                const std::string& characters) {
  Json vocabulary = Json::object(), added = Json::array();
  for (const std::string& special : specials) {
    const size_t id = vocabulary.size();
    vocabulary[special] = id;
    added.push_back({{"id", id},
                     {"content", special},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  for (const char c : characters) {
    const size_t id = vocabulary.size();
    vocabulary[std::string(1, c)] = id;
  }
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Split"},
        {"pattern", {{"Regex", "."}}},
        {"behavior", "Isolated"},
        {"invert", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "Fuse"}}},
      {"model", {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", specials.back()}}}};
}

/// A model folder "policy" and a file "prompts.jsonl" in `folder`.
inline void make_tiny_policy(const TemporaryFolder& folder) {
  const Json config = {{"model_type", "llama"},
                       {"architectures", {"LlamaForCausalLM"}},
                       {"vocab_size", 10},
                       {"hidden_size", 32},
                       {"intermediate_size", 48},
                       {"num_hidden_layers", 2},
                       {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},
                       {"max_position_embeddings", 64},
                       {"rms_norm_eps", 1e-6},
                       {"hidden_act", "silu"},
                       {"tie_word_embeddings", false},
                       {"eos_token_id", 0},
                       {"initializer_range", 0.2}};
  const auto decoder = model::new_decoder(config, "tiny policy", 3);
  model::save_decoder(*decoder, folder.path() / "policy");
  folder.file("policy/tokenizer.json", character_tokenizer({"<e>", "<u>"}, "abcdefgh").dump());
  folder.file("policy/tokenizer_config.json", R"({"eos_token": "<e>", "unk_token": "<u>"})");
  std::string rows;
  for (const char* prompt : {"ab", "c", "defg", "hh", "bad", "fed", "cab", "he", "ga", "dab"})
    rows += Json{{"prompt", prompt}}.dump() + "\n";
  folder.file("prompts.jsonl", rows);
}

inline train::GrpoSettings tiny_grpo(const TemporaryFolder& folder, int64_t steps) {
  train::GrpoSettings s;
  s.train.model_name_or_path = folder.path() / "policy";
  s.train.data.train = {(folder.path() / "prompts.jsonl").string()};
  s.train.learning_rate = 1e-2;
  s.train.per_device_train_batch_size = 16;
  s.train.max_steps = steps;
  s.train.logging_steps = 100;
  s.num_generations = 4;
  s.max_completion_length = 8;
  s.reward.text = R"({"use": "test_likes_b"})";
  return s;
}

}  // namespace guerdon::test
