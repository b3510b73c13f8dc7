// Every file of configs/recipes runs, in small.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/settings.h"
#include "support/data.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

/// Where recipes begin with an encoder of the user's: the fixtures' BERT and a few words.
fs::path make_encoder(const test::TemporaryFolder& folder) {
  fs::copy(test::fixture("models/bert"), folder.path() / "encoder");
  folder.file("encoder/tokenizer.json", R"({"version": "1.0", "added_tokens": [],
      "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
      "decoder": null, "model": {"type": "WordLevel", "unk_token": "[UNK]",
      "vocab": {"[UNK]": 0, "bat": 1, "ice": 2, "key": 3, "blue": 4, "ant": 5, "bag": 6}}})");
  return folder.path() / "encoder";
}

// What makes a stage small, whatever the recipe says; of a repetition, all stages in it.
std::string small(const Json& stage, bool with_data, const fs::path& encoder,
                  const std::string& group = {}) {
  const std::string name = group + stage["name"].get<std::string>();
  std::string out;
  if (stage.contains("stages")) {
    for (const Json& inner : stage["stages"]) out += small(inner, with_data, encoder, name + ".");
    return out;
  }
  const std::string command = stage["command"];
  const auto set = [&](const std::string& setting) { out += " " + name + "." + setting; };
  if (command == "data make" && !with_data) {
    for (const char* setting : {"sft=60", "pairs=60", "prompts=20", "eval=10"}) set(setting);
    for (const char* rows : {"ratings", "lists", "feedback", "steps", "chains", "labels"})
      if (stage.contains(rows)) set(rows + std::string("=60"));
  } else if (command == "tokenizer train") {
    set("vocabulary_size=300");
  } else if (command == "model new") {
    for (const char* setting : {"hidden_size=16", "layers=1", "heads=2"}) set(setting);
  } else if (command.starts_with("train ")) {
    for (const char* setting : {"max_steps=2", "per_device_train_batch_size=8"}) set(setting);
    if (stage.contains("eval_steps")) set("eval_steps=1");
    // Without one a new model begins.
    if (!stage.value("model_name_or_path", "@").starts_with("@"))
      set("model_name_or_path=" + encoder.string());
  }
  return out;
}

void run_small(const fs::path& file, const fs::path& output, const std::string& data,
               const fs::path& encoder) {
  const Json recipe = read_settings(file.string());
  std::string overrides, last;
  for (const Json& stage : recipe["stages"]) {
    overrides += small(stage, !data.empty(), encoder);
    if (stage.value("command", "").starts_with("train ")) last = stage["name"];
  }
  const test::Ran ran =
      test::run_guerdon("run " + file.string() + " --threads 1 --output " + output.string() +
                        (data.empty() ? "" : " --data " + data) + overrides + " 2>&1");
  EXPECT_EQ(ran.code, 0) << file << "\n" << ran.out;
  const fs::path model = output / last / "model";
  EXPECT_TRUE(fs::exists(model / "config.json") || fs::exists(model / "adapter_config.json"))
      << file << " " << last;
  EXPECT_TRUE(fs::exists(output / "report.html")) << file;
}

TEST(Recipes, AllRunInSmall) {
  const test::TemporaryFolder folder;
  const fs::path made = folder.path() / "made";
  ASSERT_EQ(test::run_guerdon("data make --pairs 60 --sft 20 --prompts 20 --eval 10 --output " +
                              made.string() + " 2>/dev/null")
                .code,
            0);
  const fs::path encoder = make_encoder(folder);
  size_t with_data = 0, files = 0;
  for (const auto& entry : fs::directory_iterator(test::source_folder() / "configs/recipes")) {
    const std::string name = entry.path().stem().string();
    run_small(entry.path(), folder.path() / name, "", encoder);
    ++files;
    if (read_file(entry.path()).find("with_data") == std::string::npos) continue;
    run_small(entry.path(), folder.path() / (name + "-data"), (made / "pairs.jsonl").string(),
              encoder);
    ++with_data;
  }
  EXPECT_GE(files, 5u);
  EXPECT_GE(with_data, 4u);
}

}  // namespace
}  // namespace guerdon::cli
