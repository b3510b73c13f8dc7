// Every trainer x precision x order of the rows x moment of the stop: the resumed run is the run
// that did not stop, byte for byte. A dozen cells, drawn by GUERDON_RESUME_SEED (any text: CI gives
// the commit); all of them with GUERDON_RESUME_CELLS=all.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "guerdon/base/file.h"
#include "guerdon/base/random.h"
#include "guerdon/base/signals.h"
#include "guerdon/train/checkpoint.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/temporary.h"
#include "train/tiny_policy.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

// 20 rows in batches of 4: an epoch has 5 steps.
constexpr int64_t kSteps = 8, kEpoch = 5, kEvaluate = 3, kSave = 2;
constexpr size_t kCells = 12;

enum class Stop { random_step, epoch_end, in_evaluation, after_checkpoint, before_first };

struct Cell {
  std::string method;
  bool bf16;
  std::string rows;  // "in_order", "shuffled", "packed"
  Stop stop;
  std::string name() const {
    constexpr const char* kStops[] = {"random_step", "epoch_end", "in_evaluation",
                                      "after_checkpoint", "before_first"};
    return method + (bf16 ? "_bf16_" : "_fp32_") + rows + "_" + kStops[static_cast<int>(stop)];
  }
};

uint64_t drawn_by() {
  const char* seed = std::getenv("GUERDON_RESUME_SEED");
  return seed ? std::stoull(sha256(seed).substr(0, 15), nullptr, 16) : 0;
}

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const char* method : {"sft", "reward", "dpo", "grpo"}) {
    for (const bool bf16 : {false, true}) {
      for (const char* rows : {"in_order", "shuffled", "packed"}) {
        for (const Stop stop : {Stop::random_step, Stop::epoch_end, Stop::in_evaluation,
                                Stop::after_checkpoint, Stop::before_first}) {
          all.push_back({method, bf16, rows, stop});
        }
      }
    }
  }
  const char* which = std::getenv("GUERDON_RESUME_CELLS");
  if (which && which == std::string("all")) return all;
  Random random(drawn_by(), Purpose::choose);
  for (size_t i = 0; i < kCells; ++i) std::swap(all[i], all[i + random.next_below(all.size() - i)]);
  all.resize(kCells);
  return all;
}

Json settings(const Cell& cell, const test::TemporaryFolder& folder) {
  Json s;
  if (cell.method == "grpo") {
    test::make_tiny_policy(folder);
    GrpoSettings grpo = test::tiny_grpo(folder, kSteps);
    grpo.reward.text = R"({"use": "brevity", "limit": 3, "transform": {"use": "center"}})";
    s = settings_json(settings_of(grpo));
    s["data"]["eval"] = s["data"]["train"];
  } else {
    const bool pairs = cell.method != "sft";
    s["model_name_or_path"] =
        test::fixture(cell.method == "reward" ? "trl/reward_model" : "trl/model").string();
    s["data"]["train"] =
        test::fixture(pairs ? "trl/plain.jsonl" : "trl/completions.jsonl").string();
    s["data"]["eval"] = s["data"]["train"];
    s["per_device_train_batch_size"] = 4;
    s["learning_rate"] = 3e-3;
  }
  s["eval_strategy"] = "steps";
  s["eval_steps"] = kEvaluate;
  s["max_steps"] = kSteps;
  s["save_strategy"] = "steps";
  s["save_steps"] = kSave;
  s["save_total_limit"] = nullptr;
  s["bf16"] = cell.bf16;
  s["train_sampling_strategy"] = cell.rows == "in_order" ? "sequential" : "random";
  if (cell.rows == "packed") s["micro_batch_tokens"] = 96;
  return s;
}

void run(const Cell& cell, const Json& s, const fs::path& output, bool resume,
         int64_t stop_at = 0) {
  request_stop(0);
  const TrainResult result = run_training(s, {.method = cell.method,
                                              .where = "settings.json",
                                              .output = output,
                                              .resume = resume,
                                              .progress = [stop_at](const Progress& p) {
                                                if (p.done == stop_at) request_stop(SIGTERM);
                                              }});
  request_stop(0);
  EXPECT_EQ(result.status, stop_at > 0 ? RunStatus::interrupted : RunStatus::finished);
}

/// The folder as if the run had been killed: checkpoints up to one step, lines up to another, and
/// the beginning of a next line.
void cut(const fs::path& output, int64_t checkpoint, int64_t line) {
  for (const fs::path& path : list_checkpoints(output / "checkpoints")) {
    if (path.filename() > checkpoint_name(checkpoint)) fs::remove_all(path);
  }
  fs::remove_all(output / "model");
  std::string kept;
  std::istringstream text(read_file(output / "metrics.jsonl"));
  for (std::string row; std::getline(text, row);) {
    if (parse_json(row, "row").at("step").get<int64_t>() <= line) kept += row + "\n";
  }
  write_file(output / "metrics.jsonl", kept + "{\"step\": ");
}

/// What the run gave, without what tells time or memory.
std::string result(const fs::path& output) {
  std::string out;
  std::istringstream text(read_file(output / "metrics.jsonl"));
  for (std::string row; std::getline(text, row);) {
    Json json = parse_json(row, "metrics.jsonl");
    for (const char* name : {"step_time", "tokens_per_second", "peak_memory_mb"}) json.erase(name);
    out += json.dump() + "\n";
  }
  const fs::path checkpoint = output / "checkpoints" / checkpoint_name(kSteps);
  Json state = read_json(checkpoint / "state.json");
  state["numbers"].erase("seconds");
  out += state.dump() + read_file(checkpoint / "state.safetensors");
  return out + read_file(output / "model" / "model.safetensors");
}

void check(const Cell& cell) {
  SCOPED_TRACE(cell.name());
  const test::TemporaryFolder folder;
  const Json s = settings(cell, folder);
  const fs::path whole = folder.path() / "whole", stopped = folder.path() / "stopped";
  run(cell, s, whole, false);
  const std::string expected = result(whole);

  switch (cell.stop) {
    case Stop::random_step:
      run(cell, s, stopped, false,
          1 + static_cast<int64_t>(Random(drawn_by(), Purpose::choose, 1).below(0, kSteps - 1)));
      break;
    case Stop::epoch_end: run(cell, s, stopped, false, kEpoch); break;
    case Stop::in_evaluation:  // of step 6: its line and its checkpoint come after it
      run(cell, s, stopped, false);
      cut(stopped, 2 * kEvaluate - kSave, 2 * kEvaluate - 1);
      break;
    case Stop::after_checkpoint:
      run(cell, s, stopped, false);
      cut(stopped, 2 * kSave, 2 * kSave);
      break;
    case Stop::before_first:
      run(cell, s, stopped, false);
      cut(stopped, 0, kSave - 1);
      break;
  }
  run(cell, s, stopped, true);
  EXPECT_TRUE(result(stopped) == expected);
}

TEST(ResumeMatrix, TheResumedRunIsTheRunThatDidNotStop) {
  for (const Cell& cell : cells()) {
    std::printf("%s\n", cell.name().c_str());
    check(cell);
  }
}

}  // namespace
}  // namespace guerdon::train
