// What model folders may hold, and what is refused.
#include "guerdon/model/pretrained.h"

#include <gtest/gtest.h>

#include "guerdon/base/log.h"
#include "guerdon/model/tensor_file.h"
#include "model/fixture_models.h"
#include "support/errors.h"

namespace guerdon::model {
namespace {

namespace fs = std::filesystem;

// The llama fixture with its tensors and configuration changed.
class Folder : public testing::Test {
 protected:
  Folder() : config_(read_json(test::fixture("models/llama/config.json"))) {
    const TensorFile file(test::fixture("models/llama/model.safetensors"));
    for (const data::TensorEntry& entry : file.entries())
      tensors_[entry.name] = file.load(entry.name);
  }
  fs::path write() {
    NewFolder out(scratch_.path() / "m");
    out.add("config.json", config_.dump());
    add_tensors(out, "model.safetensors", {tensors_.begin(), tensors_.end()});
    out.commit();
    return scratch_.path() / "m";
  }
  std::string refused() {
    return test::refusal(Kind::input, [&] { load_decoder(write()); });
  }
  test::TemporaryFolder scratch_;
  Json config_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(Folder, NamesEveryTensorThatDoesNotFit) {
  tensors_.erase("model.norm.weight");
  tensors_["lm_head.weight"] = at::zeros({63, 32});
  const std::string text = refused();
  EXPECT_NE(text.find("m/model.safetensors: 2 tensors do not fit config.json"), std::string::npos)
      << text;
  EXPECT_NE(text.find("tensor \"model.norm.weight\" is missing (expected [32])"), std::string::npos)
      << text;
  EXPECT_NE(text.find("tensor \"lm_head.weight\" has shape [63, 32], expected [64, 32]"),
            std::string::npos)
      << text;
}

TEST_F(Folder, NamesTheFirstTenOfMany) {
  config_["hidden_size"] = 48;
  EXPECT_NE(refused().find("; and 11 more"), std::string::npos) << refused();
}

TEST_F(Folder, AllocatesNothingForAConfigurationThatTheFilesDoNotFill) {
  config_["vocab_size"] = 1 << 24;
  config_["hidden_size"] = 65536;
  config_["head_dim"] = 16384;
  config_["num_hidden_layers"] = 1024;
  config_["intermediate_size"] = 1 << 20;
  EXPECT_NE(refused().find("tensors do not fit config.json"), std::string::npos);
}

TEST_F(Folder, RefusesWeightsThatAreNotFiniteUnlessAllowed) {
  tensors_["model.norm.weight"] = at::full({32}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_NE(refused().find("tensor \"model.norm.weight\" has 32 values that are not finite"),
            std::string::npos);
  EXPECT_NO_THROW(load_decoder(scratch_.path() / "m", {.allow_nonfinite = true}));
}

TEST_F(Folder, RefusesWholeNumbersAsWeights) {
  tensors_["model.norm.weight"] = at::ones({32}, at::kLong);
  EXPECT_NE(refused().find("has dtype I64, a weight needs one of BF16, F16, F32, F64"),
            std::string::npos);
}

TEST_F(Folder, ReadsEveryFloatingDtype) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) {
    for (auto& [name, tensor] : tensors_) tensor = tensor.to(dtype);
    const auto decoder = load_decoder(write());
    const Tensor expected = tensors_["model.norm.weight"].to(at::kFloat);
    EXPECT_TRUE(at::equal(decoder->named_parameters()["norm.weight"], expected));
  }
}

TEST_F(Folder, WarnsOfTensorsThatNobodyAskedFor) {
  tensors_["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::zeros({4});  // old files have it
  tensors_["vision.weight"] = at::zeros({4});
  std::string heard;
  const log::Sink before =
      log::set_sink([&](log::Level, const std::string& text) { heard += text; });
  load_decoder(write());
  log::set_sink(before);
  EXPECT_NE(heard.find("1 tensors are not part of the model and are left out: \"vision.weight\""),
            std::string::npos)
      << heard;
}

TEST_F(Folder, TakesABodyThatWasSavedWithoutItsPrefix) {
  std::map<std::string, Tensor> bare;
  for (const auto& [name, tensor] : tensors_)
    bare[name.starts_with("model.") ? name.substr(6) : name] = tensor;
  tensors_ = bare;
  EXPECT_NO_THROW(load_decoder(write()));
}

TEST_F(Folder, IsFoundInARunFolder) {
  fs::create_directories(scratch_.path() / "run");
  std::ofstream(scratch_.path() / "run/config.json")
      << "{\"learning_rate\": 1}";  // a run's own settings
  fs::rename(write(), scratch_.path() / "run/model");
  EXPECT_EQ(model_folder(scratch_.path() / "run"), scratch_.path() / "run/model");
  EXPECT_NE(
      test::refusal(Kind::input, [&] { model_folder(scratch_.path()); }).find("holds no model"),
      std::string::npos);
}

TEST_F(Folder, OfPicklesIsRefused) {
  const fs::path folder = write();
  fs::rename(folder / "model.safetensors", folder / "pytorch_model.bin");
  EXPECT_NE(test::refusal(Kind::input, [&] { load_decoder(folder); })
                .find("guerdon does not load pickle files (they can run code)"),
            std::string::npos);
}

TEST_F(Folder, KeepsTheKeysOfItsConfigurationWhenSaved) {
  config_["my_note"] = "kept";
  config_["torch_dtype"] = "bfloat16";
  config_.erase("dtype");
  const auto decoder = load_decoder(write());
  scratch_.file("assets/tokenizer.json", "{}");
  scratch_.file("assets/chat_template.jinja", "hello");
  save_decoder(*decoder, scratch_.path() / "saved",
               {.dtype = at::kBFloat16, .assets = scratch_.path() / "assets"});
  const Json saved = read_json(scratch_.path() / "saved/config.json");
  EXPECT_EQ(saved.at("my_note"), "kept");
  EXPECT_EQ(saved.at("torch_dtype"), "bfloat16");
  EXPECT_EQ(saved.at("architectures").dump(), "[\"LlamaForCausalLM\"]");
  EXPECT_EQ(read_file(scratch_.path() / "saved/chat_template.jinja"), "hello");
  EXPECT_TRUE(fs::exists(scratch_.path() / "saved/tokenizer.json"));
  EXPECT_EQ(TensorFile(scratch_.path() / "saved/model.safetensors").metadata().at("format"), "pt");
}

TEST(LoadDecoder, RefusesAnEncoder) {
  EXPECT_NE(test::refusal(Kind::input, [] { load_decoder(test::fixture("models/bert")); })
                .find("a bert model has no LM head"),
            std::string::npos);
}

TEST(NewDecoder, HasTheWeightsOfTransformersInitialiser) {
  const Json config = read_json(test::fixture("models/gpt2/config.json"));
  const auto a = new_decoder(config, "settings", 5), b = new_decoder(config, "settings", 5),
             c = new_decoder(config, "settings", 6);
  const auto pa = a->named_parameters(), pb = b->named_parameters(), pc = c->named_parameters();
  for (const auto& p : pa) EXPECT_TRUE(at::equal(p.value(), pb[p.key()]));
  EXPECT_FALSE(at::equal(pa["embedding.weight"], pc["embedding.weight"]));
  EXPECT_NEAR(pa["embedding.weight"].std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR(pa["layer0.output.weight"].std().item<double>(), 0.02 / 2.0,
              0.001);  // sqrt(2 x 2 layers)
  EXPECT_EQ(pa["layer0.output.bias"].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(pa["norm.weight"], at::ones({32})));
  EXPECT_FALSE(at::equal(pa["layer0.query.weight"], pa["layer0.key.weight"]));
}

TEST(NewDecoder, BlamesTheSettings) {
  const std::string text = test::refusal(Kind::settings, [] {
    new_decoder(Json{{"model_type", "rwkv"}}, "run.json: key model", 0);
  });
  EXPECT_NE(text.find("unknown architecture \"rwkv\""), std::string::npos);
}

}  // namespace
}  // namespace guerdon::model
