// The methods on a tiny real model: what a user gets, and what is refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/signals.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/optim/state.h"
#include "guerdon/train/checkpoint.h"
#include "guerdon/train/dpo.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

Json settings(const std::string& method, const std::string& rows = "") {
  const std::string usual = method == "sft" ? "completions" : "plain";
  Json s = {{"model_name_or_path",
             test::fixture(method == "reward" ? "trl/reward_model" : "trl/model").string()},
            {"per_device_train_batch_size", 4},
            {"learning_rate", 3e-3},
            {"max_steps", 6}};
  s["data"]["train"] = test::fixture("trl/" + (rows.empty() ? usual : rows) + ".jsonl").string();
  return s;
}

TrainResult run(const std::string& method, const Json& s, const fs::path& folder,
                bool resume = false) {
  return run_training(
      s, {.method = method, .where = "settings.json", .output = folder, .resume = resume});
}

std::vector<Json> metrics(const fs::path& folder) {
  std::vector<Json> out;
  std::istringstream text(read_file(folder / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    out.push_back(parse_json(line, "metrics.jsonl"));
  }
  return out;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Methods, LearnTheirRowsByHeart) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    s["max_steps"] = 60;
    s["learning_rate"] = 1e-2;
    s["max_grad_norm"] = 0;
    run(method, s, folder.path() / method);
    const std::vector<Json> lines = metrics(folder.path() / method);
    EXPECT_LT(lines.back()["loss"].get<double>(), 0.5 * lines.front()["loss"].get<double>())
        << method;
  }
}

TEST(Methods, RunFromTheirStructAsFromJson) {
  const test::TemporaryFolder folder;
  const Json json = settings("dpo");
  run("dpo", json, folder.path() / "json");
  DpoSettings s;
  s.train.model_name_or_path = json["model_name_or_path"];
  s.train.data.train = {json["data"]["train"]};
  s.train.per_device_train_batch_size = 4;
  s.train.learning_rate = 3e-3;
  s.train.max_steps = 6;
  const TrainResult result = run_training(s, {.method = "dpo", .output = folder.path() / "struct"});
  EXPECT_EQ(result.status, RunStatus::finished);
  EXPECT_EQ(read_file(result.model / "model.safetensors"),
            read_file(folder.path() / "json/model/model.safetensors"));
  EXPECT_NE(test::refusal(Kind::settings,
                          [&] { run_training(s, {.method = "reward", .output = "nowhere"}); })
                .find("no such setting"),
            std::string::npos)
      << "settings of another method";
}

TEST(Methods, EvaluateAndResumeBitForBit) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    s["data"]["eval"] = {{"seen", s["data"]["train"]}, {"again", s["data"]["train"]}};
    s["eval_strategy"] = "steps";
    s["eval_steps"] = 3;
    s["save_steps"] = 2;
    if (std::string(method) == "dpo") s["sync_ref_model"] = true, s["ref_model_sync_steps"] = 2;
    const fs::path whole = folder.path() / method / "whole", cut = folder.path() / method / "cut";
    run(method, s, whole);
    const std::vector<Json> lines = metrics(whole);
    EXPECT_TRUE(lines[2].contains("eval_seen_loss")) << method;
    EXPECT_EQ(lines[2]["eval_seen_loss"], lines[2]["eval_again_loss"]) << method;

    run(method, s, cut);
    fs::remove_all(cut / "checkpoints" / "step-000006");
    run(method, s, cut, true);
    EXPECT_EQ(read_file(cut / "model" / "model.safetensors"),
              read_file(whole / "model" / "model.safetensors"))
        << method;
    EXPECT_EQ(read_file(cut / "checkpoints" / "step-000006" / "state.safetensors"),
              read_file(whole / "checkpoints" / "step-000006" / "state.safetensors"))
        << method;
  }
}

TEST(Methods, CheckpointingActivationsChangesNothing) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    run(method, s, folder.path() / method / "kept");
    s["gradient_checkpointing"] = true;
    run(method, s, folder.path() / method / "again");
    const double kept = metrics(folder.path() / method / "kept").back()["loss"];
    EXPECT_NEAR(metrics(folder.path() / method / "again").back()["loss"].get<double>(), kept, 1e-6);
  }
}

TEST(Methods, Bfloat16ComputesNearFloat32AndKeepsFloat32Weights) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    run(method, s, folder.path() / method / "float32");
    s["bf16"] = true;
    const TrainResult result = run(method, s, folder.path() / method / "bfloat16");
    const std::vector<Json> exact = metrics(folder.path() / method / "float32"),
                            rounded = metrics(folder.path() / method / "bfloat16");
    ASSERT_EQ(exact.size(), rounded.size());
    for (size_t i = 0; i < exact.size(); ++i) {
      const double loss = exact[i]["loss"];
      // bfloat16 has 8 bits: 0.4 % a rounding.
      EXPECT_NEAR(rounded[i]["loss"].get<double>(), loss, 0.03 * loss) << method << " step " << i;
    }
    const model::TensorFile file(result.model / "model.safetensors");
    for (const data::TensorEntry& entry : file.entries()) EXPECT_EQ(entry.dtype, "F32");
    EXPECT_EQ(read_json(result.model / "config.json")["dtype"], "float32") << method;
  }
}

TEST(Methods, InBfloat16TheyLearnAndResumeBitForBit) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    s["bf16"] = true;
    s["max_steps"] = 40;
    s["learning_rate"] = 1e-2;
    s["max_grad_norm"] = 0;
    s["save_steps"] = 15;
    const fs::path whole = folder.path() / method / "whole", cut = folder.path() / method / "cut";
    run(method, s, whole);
    const std::vector<Json> lines = metrics(whole);
    EXPECT_LT(lines.back()["loss"].get<double>(), 0.6 * lines.front()["loss"].get<double>())
        << method;
    run(method, s, cut);
    fs::remove_all(cut / "checkpoints" / "step-000040");
    run(method, s, cut, true);
    for (const char* file :
         {"model/model.safetensors", "checkpoints/step-000040/state.safetensors"})
      EXPECT_EQ(read_file(cut / file), read_file(whole / file)) << method << " " << file;
  }
}

TEST(Methods, LeaveAReportHoweverTheyEnd) {
  const test::TemporaryFolder folder;
  run("sft", settings("sft"), folder.path() / "well");
  EXPECT_TRUE(fs::exists(folder.path() / "well" / "report.html"));
  Json s = settings("sft");
  s["learning_rate"] = 1e-30;  // nothing moves
  test::refusal(Kind::stopped, [&] { run("sft", s, folder.path() / "badly"); });
  EXPECT_TRUE(fs::exists(folder.path() / "badly" / "report.html"));
}

TEST(Methods, ResumeUnderOtherSettingsIsRefusedUnlessAllowed) {
  const test::TemporaryFolder folder;
  Json s = settings("sft");
  run("sft", s, folder.path() / "run");
  s["logging_steps"] = 3;  // how it is watched may change
  EXPECT_EQ(run("sft", s, folder.path() / "run", true).step, 6);
  s["max_steps"] = 8;
  s["learning_rate"] = 1e-3;
  const std::string text =
      test::refusal(Kind::settings, [&] { run("sft", s, folder.path() / "run", true); });
  EXPECT_TRUE(contains(text, "key learning_rate: was 0.003 when the run began, and is 0.001"))
      << text;
  s["checkpoint"]["allow_changed"] = true;
  EXPECT_EQ(run("sft", s, folder.path() / "run", true).step, 8);
}

// No code looks for a pad id: what the tokenizer calls its padding changes no number.
TEST(Methods, APadTokenThatIsTheEndTokenChangesNothing) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    run(method, s, folder.path() / method / "own");
    const fs::path from = s["model_name_or_path"].get<std::string>();
    for (const std::string pad : {"\"<|im_end|>\"", "null"}) {
      const fs::path model = folder.path() / method / "model",
                     output = folder.path() / method / "run";
      fs::remove_all(model);
      fs::remove_all(output);
      fs::copy(from, model);
      for (const char* name : {"tokenizer_config.json", "config.json"}) {
        Json json = read_json(model / name);
        if (json.contains("pad_token")) json["pad_token"] = parse_json(pad, "pad");
        if (json.contains("pad_token_id")) json["pad_token_id"] = pad == "null" ? Json() : Json(2);
        write_file(model / name, json.dump());
      }
      s["model_name_or_path"] = model.string();
      run(method, s, output);
      const Json own = metrics(folder.path() / method / "own").back(),
                 other = metrics(output).back();
      for (const char* name : {"loss", "grad_norm"})
        EXPECT_EQ(own[name], other[name]) << method << pad;
    }
  }
}

TEST(Methods, TrainAnAdapterAlone) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo"}) {
    Json s = settings(method);
    s["lora"] = {{"r", 4}, {"target_modules", {"all-linear"}}};
    const TrainResult result = run(method, s, folder.path() / method);
    EXPECT_TRUE(fs::exists(result.model / "adapter_model.safetensors")) << method;
    EXPECT_FALSE(fs::exists(result.model / "model.safetensors")) << method;
    // The checkpoint knows the frozen body by its hash: it stays as small as the adapter.
    const optim::State state = load_state(folder.path() / method / "checkpoints" / "step-000006");
    for (const auto& named : state.tensors) {
      EXPECT_TRUE(contains(named.first, "lora") || contains(named.first, "score") ||
                  contains(named.first, "head"))
          << named.first;
    }
    EXPECT_FALSE(state.frozen.empty());
  }
}

TEST(Methods, RefuseWhatCannotServe) {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& method, Json s, Kind kind, const std::string& part) {
    static int count = 0;
    const fs::path output = folder.path() / std::to_string(count++);
    const std::string text = test::refusal(kind, [&] { run(method, s, output); });
    EXPECT_TRUE(contains(text, part)) << text;
  };
  refused("reward", settings("reward", "completions"), Kind::input, "preference pairs are needed");
  refused("dpo", settings("dpo", "conversations"), Kind::input, "preference pairs are needed");
  Json s = settings("sft");
  s["learning_rte"] = 1;
  refused("sft", s, Kind::settings, "did you mean \"learning_rate\"?");
  s = settings("sft");
  s["max_length"] = 2;
  s["truncation_mode"] = "filter";
  refused("sft", s, Kind::input, "no row is left after truncation");
  s = settings("sft");
  s["eval_strategy"] = "steps";
  refused("sft", s, Kind::settings, "needs data.eval");
  s = settings("dpo");
  s["loss_type"] = "exo_pair";
  refused("dpo", s, Kind::settings, "exo_pair needs a value above 0");
  s = settings("dpo");
  s["sync_ref_model"] = true;
  s["precompute_ref_log_probs"] = true;
  refused("dpo", s, Kind::settings, "cannot be precomputed");
  s = settings("sft");
  s["padding_free"] = true;
  refused("sft", s, Kind::settings, "key padding_free: is a setting of TRL");
  s = settings("sft");
  s.erase("model_name_or_path");
  refused("sft", s, Kind::settings, "key model_name_or_path: is missing");
  EXPECT_TRUE(
      contains(test::refusal(Kind::settings, [] { method("dqo"); }), "did you mean \"dpo\"?"));
}

TEST(Reward, TheSavedModelGivesTheScoresOfTheTrainedOne) {
  const test::TemporaryFolder folder;
  Json s = settings("reward");
  // From a causal model: the head is made, trained and saved.
  s["model_name_or_path"] = test::fixture("trl/model").string();
  const TrainResult result = run("reward", s, folder.path() / "run");
  const auto saved = model::load_reward_model(result.model);
  const auto again = model::load_reward_model(folder.path() / "run");  // a run folder will do
  const std::vector<Sequence> rows = {{.tokens = {5, 6, 7}}, {.tokens = {9, 4, 4, 8}}};
  const at::NoGradGuard no_grad;
  const PackedBatch batch = pack(rows, {});
  EXPECT_TRUE(saved->scores(batch).equal(again->scores(batch)));
  EXPECT_GT(saved->head_weight().abs().sum().item<double>(), 0.0);
}

TEST(Dpo, PrecomputedReferenceGivesTheSameRun) {
  const test::TemporaryFolder folder;
  Json s = settings("dpo");
  s["data"]["eval"] = s["data"]["train"];
  s["eval_strategy"] = "epoch";
  run("dpo", s, folder.path() / "live");
  s["precompute_ref_log_probs"] = true;
  run("dpo", s, folder.path() / "cached");
  const std::vector<Json> live = metrics(folder.path() / "live"),
                          cached = metrics(folder.path() / "cached");
  for (size_t i = 0; i < live.size(); ++i) {
    for (const char* name : {"loss", "grad_norm", "rewards/margins"}) {
      // The sums of a row are rounded alike; only the order of the batch differs.
      EXPECT_NEAR(cached[i][name].get<double>(), live[i][name].get<double>(), 1e-4) << i << name;
    }
  }
  EXPECT_NEAR(cached.back()["eval_loss"].get<double>(), live.back()["eval_loss"].get<double>(),
              1e-4);
  EXPECT_TRUE(fs::exists(folder.path() / "cached" / "cache" / "reference_logprobs.h5"));
}

TEST(Dpo, TheReferenceIsTheStartingModelUnlessNamed) {
  const test::TemporaryFolder folder;
  Json s = settings("dpo");
  run("dpo", s, folder.path() / "a");
  EXPECT_NEAR(metrics(folder.path() / "a")[0]["loss"].get<double>(), std::log(2.0), 1e-6);
  s["models"]["reference"] = (folder.path() / "a").string();
  run("dpo", s, folder.path() / "b");
  EXPECT_GT(std::abs(metrics(folder.path() / "b")[0]["loss"].get<double>() - std::log(2.0)), 1e-4);
}

TEST(SettingsTemplate, IsAFileThatReadsBack) {
  for (const Method& m : methods()) {
    const test::TemporaryFolder folder;
    const fs::path file = folder.file("settings.json", settings_template(m.name));
    const Json json = read_settings(file.string());
    const auto trainer = m.make();
    apply_settings(trainer->settings(), json, "settings.json");
    EXPECT_EQ(settings_json(trainer->settings()), settings_json(m.make()->settings()));
  }
}

}  // namespace
}  // namespace guerdon::train
