// `guerdon plan`, and --dry-run of `guerdon train` and `guerdon run`: what is found before a run.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/json_reader.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;
using test::Ran;
using test::run_guerdon;
using test::TemporaryFolder;

bool has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

/// A small model with its tokenizer, preference pairs and prompts.
class Workplace {
 public:
  Workplace() {
    const std::string base = folder.path().string();
    run("data make --sft 40 --pairs 150 --prompts 20 --eval 10 --output " + base + "/data");
    run("tokenizer train --data " + base + "/data/sft.jsonl --vocabulary-size 300 -o " + base +
        "/tokenizer");
    run("model new --tokenizer " + base + "/tokenizer --hidden-size 32 --layers 2 --heads 2 -o " +
        base + "/model");
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  /// Settings with the model, and data.train = the file.
  std::string settings(const std::string& data, const std::string& more = "") const {
    return " model_name_or_path=" + path("model") + " 'data.train=[\"" + path(data) + "\"]' " +
           more + " ";
  }
  /// What lies in the folder.
  std::string listing() const {
    std::string out;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
      out += entry.path().string() + "\n";
    return out;
  }

  TemporaryFolder folder;

 private:
  static void run(const std::string& arguments) {
    const Ran ran = run_guerdon("--quiet " + arguments + " 2>&1");
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.out;
  }
};

int64_t bytes_of(const Json& plan, const std::string& phase, const std::string& item) {
  for (const Json& p : plan["phases"]) {
    if (p["name"] != phase) continue;
    for (const Json& i : p["items"])
      if (i["name"] == item) return i["bytes"].get<int64_t>();
  }
  ADD_FAILURE() << "no " << item << " in " << phase << ": " << plan.dump(1);
  return 0;
}

TEST(PlanCommand, CountsWeightsMomentsGradientsAndActivations) {
  const Workplace w;
  const Ran ran = run_guerdon("plan dpo" + w.settings("data/pairs.jsonl") + "--json");
  ASSERT_EQ(ran.code, 0);
  const Json plan = parse_json(ran.out, "output");
  // 2 layers of 4 x 32^2 attention with 3 biases, 3 x 32 x 96 MLP and two norms; a tied embedding,
  // the last norm.
  const int64_t weights = bytes_of(plan, "loading", "weights of policy");
  EXPECT_EQ(weights, 4 * (2 * (4 * 32 * 32 + 3 * 32 + 3 * 32 * 96 + 2 * 32) + 300 * 32 + 32));
  EXPECT_EQ(bytes_of(plan, "optimizer step", "weights of reference"), weights);
  EXPECT_EQ(bytes_of(plan, "optimizer step", "optimizer moments"), 2 * weights);
  EXPECT_EQ(bytes_of(plan, "optimizer step", "gradients"), weights);
  EXPECT_GT(bytes_of(plan, "forward and backward", "activations of one forward pass"), 0);
  EXPECT_EQ(plan["files"][0]["rows"], 150);
  EXPECT_EQ(plan["files"][0]["whole"], true);
  EXPECT_EQ(plan["pass"]["groups"], 8);
}

TEST(PlanCommand, ActivationsAreTheSumOfWhatTheLayersKeep) {
  const Workplace w;
  const auto activations = [&](const std::string& more) {
    const Ran ran = run_guerdon("plan sft" + w.settings("data/sft.jsonl", more) + "--json");
    EXPECT_EQ(ran.code, 0) << more;
    const Json plan = parse_json(ran.out, "output");
    return std::pair(bytes_of(plan, "forward and backward", "activations of one forward pass"),
                     plan);
  };
  const auto [whole, plan] = activations("");
  // By hand, as decoder.cpp saves it: hidden 32, 2 heads of 16, all of them with keys, MLP 96.
  const int64_t t = plan["pass"]["tokens"], n = plan["pass"]["targets"];
  const int64_t attention = 32 + 32 + (4 * 32 + 2), rest = 32 + 32 + 3 * 96;
  EXPECT_EQ(whole, 4 * (t * (attention + rest) + t * attention + n * (rest + 2 * 32) + n * 3 * 32 +
                        t * 16));
  const auto [checkpointed, unused] = activations("gradient_checkpointing=true");
  EXPECT_EQ(checkpointed, 4 * (2 * t * 32 + n * 3 * 32 + t * 16));
}

TEST(PlanCommand, LargerMemoryTakesLargerBatches) {
  const Workplace w;
  const auto largest = [&](const std::string& memory) {
    const Ran ran =
        run_guerdon("plan reward" + w.settings("data/pairs.jsonl") + "--json --memory " + memory);
    EXPECT_EQ(ran.code, 0);
    return parse_json(ran.out, "output")["largest_per_device_train_batch_size"].get<int64_t>();
  };
  const int64_t small = largest("600MiB"), large = largest("1GiB");
  EXPECT_GT(small, 8);
  EXPECT_GT(large, small);
  EXPECT_EQ(largest("1MiB"), 0);
}

TEST(PlanCommand, GrpoHasCacheAndRewardModels) {
  const Workplace w;
  const Ran ran = run_guerdon("plan grpo" +
                              w.settings("data/prompts.jsonl",
                                         "max_completion_length=20 beta=0.1 slots=16 "
                                         "per_device_train_batch_size=16 "
                                         "'reward={\"use\":\"length\"}'") +
                              "--json");
  ASSERT_EQ(ran.code, 0);
  const Json plan = parse_json(ran.out, "output");
  EXPECT_GT(bytes_of(plan, "generation", "key-value cache"), 0);
  EXPECT_GT(bytes_of(plan, "log-probs of the reference", "temporaries"), 0);
  // Batches count completions: whole groups of 8.
  EXPECT_EQ(plan["largest_per_device_train_batch_size"].get<int64_t>() % 8, 0);
  EXPECT_EQ(plan["pass"]["groups"], 2);
}

TEST(PlanCommand, RefusalsNameTheCulprit) {
  const Workplace w;
  struct Case {
    std::string arguments;
    int code;
    std::string text;
  };
  const Case cases[] = {
      {"plan dpo" + w.settings("data/pairs.jsonl") + "--memory much", 2,
       "flag --memory: a size like 8GiB, 512MiB or 16GB is expected, got \"much\""},
      {"plan dpo" + w.settings("data/sft.jsonl"), 3, "preference pairs are needed"},
      {"plan dpo" + w.settings("data/pairs.jsonl", "bta=1"), 2, "key bta: no such setting"},
      {"plan dpo 'data.train=[\"x\"]' model_name_or_path=" + w.path("data"), 3, "holds no model"},
      {"plan dpo" + w.settings("data/pairs.jsonl", "max_length=2"), 3,
       "no row is left after truncation"},
  };
  for (const Case& c : cases) {
    const Ran ran = run_guerdon(c.arguments + " 2>&1");
    EXPECT_EQ(ran.code, c.code) << ran.out;
    EXPECT_TRUE(has(ran.out, c.text)) << ran.out;
  }
}

TEST(DryRun, TellsRowsShapesAndMemoryAndWritesNothing) {
  const Workplace w;
  const std::string before = w.listing();
  const Ran ran = run_guerdon("train reward" + w.settings("data/pairs.jsonl", "max_length=24") +
                              "--output " + w.path("run") + " --dry-run");
  ASSERT_EQ(ran.code, 0);
  EXPECT_TRUE(has(ran.out, "the first 100 rows: ")) << ran.out;
  EXPECT_TRUE(has(ran.out, " dropped/too_long")) << ran.out;
  EXPECT_TRUE(has(ran.out, "at the peak (")) << ran.out;
  EXPECT_EQ(w.listing(), before);
}

TEST(DryRun, RefusesWhatTheRunWouldRefuse) {
  const Workplace w;
  const auto bad = w.folder.file("bad.jsonl", R"({"prompt": "a", "chosen": "b", "rejected": "c"})"
                                              "\n{\"prompt\": \"a\", \"chosen\": \"b\"}\n");
  fs::create_directories(w.path("used/checkpoints/step-000001"));
  // A model whose config.json promises another width than its tensors have.
  fs::copy(w.path("model"), w.path("other"));
  Json config = parse_json(
      run_guerdon("--quiet version >/dev/null; cat " + w.path("model") + "/config.json").out,
      "config");
  config["intermediate_size"] = config["intermediate_size"].get<int64_t>() + 16;
  w.folder.file("other/config.json", config.dump());
  struct Case {
    std::string arguments;
    int code;
    std::string text;
  };
  const std::string to = "--output " + w.path("run");
  const std::string grpo =
      "train grpo" + w.settings("data/prompts.jsonl", "max_completion_length=8");
  const Case cases[] = {
      {"train dpo" + w.settings("bad.jsonl") + to, 3, "bad.jsonl:2: field \"rejected\""},
      {"train dpo" + w.settings("data/pairs.jsonl"), 2, "key output_dir: is missing"},
      {"train dpo" + w.settings("data/pairs.jsonl") + "--output " + w.path("used"), 2,
       "holds a run already"},
      {"train dpo" + w.settings("data/pairs.jsonl", "model_name_or_path=" + w.path("other")) + to,
       3, "mlp.gate_proj.weight"},
      {"train dpo" + w.settings("data/pairs.jsonl", "'data.eval=\"none.jsonl\"'") + to, 3,
       "none.jsonl"},
      {grpo + to, 2, "key reward: is missing"},
      {grpo + "'reward={\"use\":\"lenght\"}' " + to, 2,
       "key reward.use: there is no reward \"lenght\" (did you mean \"length\"?)"},
      {grpo + "'reward={\"use\":\"model\",\"path\":\"" + w.path("model") + "\"}' " + to, 3,
       "this model has no reward head"},
      {"train dpo" + w.settings("data/pairs.jsonl", "per_device_train_batch_size=100000000") + to,
       4, "memory: the run needs about"},
  };
  const std::string before = w.listing();
  for (const Case& c : cases) {
    const Ran ran = run_guerdon(c.arguments + " --dry-run 2>&1");
    EXPECT_EQ(ran.code, c.code) << c.arguments << "\n" << ran.out;
    EXPECT_TRUE(has(ran.out, c.text)) << c.arguments << "\n" << ran.out;
  }
  EXPECT_EQ(w.listing(), before);
}

TEST(DryRun, ARecipeIsCheckedAsFarAsItsInputsAreThere) {
  const Workplace w;
  const auto recipe = [&](const std::string& beta) {
    return w.folder
        .file("r.json", R"({"stages": [
        {"name": "rm", "command": "train reward", "model_name_or_path": ")" +
                            w.path("model") + R"(", "data": {"train": [")" +
                            w.path("data/pairs.jsonl") + R"("]}},
        {"name": "dpo", "command": "train dpo", "model_name_or_path": "@rm", "beta": )" +
                            beta + R"(, "data": {"train": [")" + w.path("data/pairs.jsonl") +
                            R"("]}}]})")
        .string();
  };
  std::string arguments = "run " + recipe("0.1") + " --dry-run --output " + w.path("out");
  const std::string before = w.listing();
  const Ran ran = run_guerdon(arguments);
  ASSERT_EQ(ran.code, 0);
  EXPECT_TRUE(has(ran.out, "[1/2] rm: train reward\n")) << ran.out;
  EXPECT_TRUE(has(ran.out, "[2/2] dpo: train dpo: settings are right; the rest waits for "))
      << ran.out;
  EXPECT_EQ(w.listing(), before);
  arguments = "run " + recipe("-1") + " --dry-run --output " + w.path("out") + " 2>&1";
  const Ran wrong = run_guerdon(arguments);
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(has(wrong.out, "dpo.json: key beta: must be")) << wrong.out;
  EXPECT_TRUE(has(wrong.out, "stage dpo would fail")) << wrong.out;
}

}  // namespace
}  // namespace guerdon::cli
