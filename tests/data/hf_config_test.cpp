#include "guerdon/data/hf_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {

Json llama() {
  return Json::parse(
      R"({"model_type": "llama", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64,
      "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
      "eos_token_id": [1, 2], "pad_token_id": -1})");
}

Json with(Json object, const std::string& key, const Json& value) {
  object[key] = value;
  return object;
}

DecoderConfig decoder(const Json& object) {
  return *parse_model_config(object, "m/config.json").decoder();
}

std::string refused(const Json& object) {
  return test::refusal(Kind::input, [&] { parse_model_config(object, "m/config.json"); });
}

TEST(HfConfig, ReadsALlama) {
  const ModelConfig config = parse_model_config(llama(), "m/config.json");
  const DecoderConfig& c = *config.decoder();
  EXPECT_EQ(c.head_dim, 8);
  EXPECT_EQ(c.layers.size(), 3U);
  EXPECT_NEAR(c.layers[0].scale, 1.0 / std::sqrt(8.0), 1e-15);
  EXPECT_EQ(c.ropes.at(0).theta, 10000.0);
  EXPECT_EQ(c.ropes.at(0).dimensions, 8);
  EXPECT_EQ(config.eos_ids, (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(config.pad_id.has_value());
}

TEST(HfConfig, ReadsRotaryBasesAsTransformers4And5WriteThem) {
  EXPECT_EQ(decoder(with(llama(), "rope_theta", 5e5)).ropes[0].theta, 5e5);
  EXPECT_EQ(
      decoder(with(llama(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7e5}}))
          .ropes[0]
          .theta,
      7e5);
  const Json scaled = {{"type", "linear"}, {"factor", 2.0}};
  const Rope rope =
      decoder(with(with(llama(), "rope_theta", 5e5), "rope_scaling", scaled)).ropes[0];
  EXPECT_EQ(rope.kind, Rope::Kind::linear);
  EXPECT_EQ(rope.factor, 2.0);
  EXPECT_EQ(rope.theta, 5e5);
}

TEST(HfConfig, DerivesTheAttentionFactorOfYarn) {
  const Json yarn = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
  const Rope rope = decoder(with(llama(), "rope_scaling", yarn)).ropes[0];
  EXPECT_EQ(rope.original_positions, 32);
  EXPECT_NEAR(rope.attention_factor, 1.1386294361119891, 1e-12);  // 0.1 ln 4 + 1
}

TEST(HfConfig, KnowsWhichLayersSlide) {
  Json gemma = llama();
  gemma["model_type"] = "gemma2";
  gemma["sliding_window"] = 16;
  const DecoderConfig two = decoder(gemma);
  EXPECT_EQ(two.layers[0].window, 16);
  EXPECT_EQ(two.layers[1].window, 0);
  EXPECT_EQ(two.attention_softcap, 50.0);
  EXPECT_EQ(decoder(with(gemma, "attn_logit_softcapping", nullptr)).attention_softcap, 0.0);

  Json qwen = llama();
  qwen["model_type"] = "qwen2";
  qwen["sliding_window"] = 16;
  EXPECT_EQ(decoder(qwen).layers[2].window, 0);  // use_sliding_window is off
  qwen["use_sliding_window"] = true;
  qwen["max_window_layers"] = 2;
  EXPECT_EQ(decoder(qwen).layers[1].window, 0);
  EXPECT_EQ(decoder(qwen).layers[2].window, 16);
  EXPECT_EQ(
      decoder(with(qwen, "layer_types", {"sliding_attention", "full_attention", "full_attention"}))
          .layers[0]
          .window,
      16);

  EXPECT_EQ(decoder(with(llama(), "model_type", "mistral")).layers[0].window, 4096);
  EXPECT_EQ(decoder(with(with(llama(), "model_type", "mistral"), "sliding_window", nullptr))
                .layers[0]
                .window,
            0);
}

TEST(HfConfig, GivesSlidingLayersOfGemma3TheirOwnBase) {
  Json gemma = llama();
  gemma["model_type"] = "gemma3_text";
  gemma["sliding_window"] = 16;
  gemma["sliding_window_pattern"] = 3;
  gemma["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  const DecoderConfig c = decoder(gemma);
  EXPECT_EQ(c.ropes[static_cast<size_t>(c.layers[2].rope)].factor, 8.0);
  EXPECT_EQ(c.ropes[static_cast<size_t>(c.layers[2].rope)].theta, 1e6);
  EXPECT_EQ(c.ropes[static_cast<size_t>(c.layers[0].rope)].theta, 1e4);
  EXPECT_EQ(c.layers[0].window, 16);
}

TEST(HfConfig, CountsLabels) {
  EXPECT_EQ(parse_model_config(llama(), "c").labels, 2);
  EXPECT_EQ(parse_model_config(with(llama(), "id2label", {{"0", "LABEL_0"}}), "c").labels, 1);
}

TEST(HfConfig, NamesWhatItDoesNotKnow) {
  EXPECT_EQ(
      refused(with(llama(), "model_type", "mixtral")),
      "m/config.json: key model_type: unknown architecture \"mixtral\" (have: bert, gemma, gemma2, "
      "gemma3_text, gpt2, gpt_neox, "
      "llama, mistral, olmo2, phi3, qwen2, qwen3, roberta, smollm3, xlm-roberta)");
  EXPECT_NE(refused(with(llama(), "hidden_act", "mish"))
                .find("key hidden_act: unknown activation \"mish\""),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "rope_scaling", {{"rope_type", "spiral"}}))
                .find("key rope_scaling.rope_type: unknown kind \"spiral\""),
            std::string::npos);
}

TEST(HfConfig, ChecksEveryNumberAgainstItsRange) {
  EXPECT_EQ(refused(with(llama(), "vocab_size", 0)),
            "m/config.json: key vocab_size: must be a whole number in [1, 16777216], got 0");
  EXPECT_NE(refused(with(llama(), "hidden_size", 65537))
                .find("key hidden_size: must be a whole number in [1, 65536]"),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "num_hidden_layers", 1025)).find("[1, 1024], got 1025"),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "num_hidden_layers", -1)).find("got -1"), std::string::npos);
  EXPECT_NE(refused(with(llama(), "hidden_size", 18446744073709551615ULL)).find("key hidden_size"),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "hidden_size", 32.5)).find("got 32.5"), std::string::npos);
  EXPECT_NE(refused(with(llama(), "hidden_size", "wide")).find("got \"wide\""), std::string::npos);
  EXPECT_NE(
      refused(with(llama(), "num_attention_heads", 5)).find("key num_key_value_heads: must divide"),
      std::string::npos);
  EXPECT_NE(refused(with(with(llama(), "num_attention_heads", 6), "num_key_value_heads", 6))
                .find("key num_attention_heads: must divide hidden_size = 32"),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "head_dim", 7)).find("7 rotated dimensions"), std::string::npos);
  EXPECT_NE(refused(with(llama(), "rope_theta", 0)).find("key rope_theta"), std::string::npos);
  EXPECT_NE(refused(with(llama(), "rope_scaling", {{"rope_type", "linear"}}))
                .find("key rope_scaling.factor: is missing"),
            std::string::npos);
  EXPECT_NE(refused(with(llama(), "rope_scaling", 3)).find("key rope_scaling: must be an object"),
            std::string::npos);
}

TEST(HfConfig, RefusesASlidingLayerWithoutAWindow) {
  Json gemma = with(llama(), "model_type", "gemma2");
  gemma["sliding_window"] = 0;
  EXPECT_NE(refused(gemma).find("key sliding_window: must be a whole number in [1,"),
            std::string::npos);
}

TEST(HfConfig, ReadsTheRealTinyModel) {
  GUERDON_NEEDS_DATA("tiny-models");
  const ModelConfig config =
      read_model_config(test::data_folder() / "tiny-models/digit-completion");
  EXPECT_EQ(config.family, "llama");
  EXPECT_EQ(config.decoder()->vocabulary_size, 16);
  EXPECT_EQ(config.dtype, "bfloat16");
  EXPECT_EQ(config.pad_id, 2);
}

TEST(HfConfig, NamesAMissingFile) {
  const test::TemporaryFolder folder;
  EXPECT_NE(
      test::refusal(Kind::input, [&] { read_model_config(folder.path()); }).find("config.json"),
      std::string::npos);
}

}  // namespace
}  // namespace guerdon::data
