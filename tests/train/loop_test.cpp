#include "guerdon/train/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/train/checkpoint.h"
#include "support/errors.h"
#include "support/temporary.h"
#include "train/toy.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;
using test::Toy;
using test::toy_settings;
using test::train_toy;

std::vector<Json> metrics(const fs::path& run) {
  std::vector<Json> out;
  std::istringstream text(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);)
    out.push_back(parse_json(line, "metrics.jsonl"));
  return out;
}

/// What the library logs while one lives.
struct Log {
  Log()
      : before(
            log::set_sink([this](log::Level, const std::string& line) { text += line + "\n"; })) {}
  ~Log() { log::set_sink(before); }
  std::string text;
  log::Sink before;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Loop, LearnsAndTellsEveryStep) {
  const test::TemporaryFolder folder;
  Toy toy({});
  const TrainResult result = train_toy(toy, toy_settings(60), folder.path() / "run");
  EXPECT_EQ(result.status, RunStatus::finished);
  const std::vector<Json> lines = metrics(folder.path() / "run");
  ASSERT_EQ(lines.size(), 60u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], i + 1);
    for (const char* name : {"loss", "learning_rate", "grad_norm", "tokens_per_second", "step_time",
                             "accuracy", "num_tokens", "epoch", "peak_memory_mb"}) {
      EXPECT_TRUE(lines[i].contains(name)) << name;
    }
  }
  EXPECT_LT(lines.back()["loss"].get<double>(), 0.7 * lines.front()["loss"].get<double>());
  EXPECT_GE(lines.back()["accuracy"].get<double>(), 0.9);
  // Linear from the peak in the first step towards 0 after the last.
  EXPECT_NEAR(lines[0]["learning_rate"].get<double>(), 0.05, 1e-12);
  EXPECT_NEAR(lines[59]["learning_rate"].get<double>(), 0.05 / 60, 1e-12);
  EXPECT_TRUE(fs::exists(result.model / "model.safetensors"));
  EXPECT_FALSE(fs::exists(result.model / "state.json"));
  EXPECT_EQ(read_run_manifest(folder.path() / "run")->status, RunStatus::finished);
}

TEST(Loop, EpochsGiveTheStepsAndTheLastOneMayBeSmaller) {
  const test::TemporaryFolder folder;
  Toy toy({.rows = 20, .groups_per_step = 8});
  TrainSettings settings = toy_settings(-1);
  settings.num_train_epochs = 2;
  EXPECT_EQ(train_toy(toy, settings, folder.path() / "run").step, 6);
  const std::vector<Json> lines = metrics(folder.path() / "run");
  EXPECT_LT(lines[2]["num_tokens"].get<double>() - lines[1]["num_tokens"].get<double>(),
            lines[1]["num_tokens"].get<double>() - lines[0]["num_tokens"].get<double>());
  EXPECT_EQ(lines[5]["epoch"], 2);
}

TEST(Loop, ACollectMayGiveSeveralSteps) {
  const test::TemporaryFolder folder;
  int64_t collects = 0;
  Toy toy(
      {.plan = {.iterations = 2, .minibatches = 4}, .at_collect = [&](int64_t) { ++collects; }});
  EXPECT_EQ(train_toy(toy, toy_settings(16), folder.path() / "run").step, 16);
  EXPECT_EQ(collects, 2);
  EXPECT_EQ(metrics(folder.path() / "run").size(), 16u);
}

TEST(Loop, MicroBatchesChangeNothing) {
  const test::TemporaryFolder folder;
  double losses[3];
  for (const int64_t size : {8, 1, 3}) {
    Toy toy({});
    TrainSettings settings = toy_settings(10);
    settings.per_device_train_batch_size = size;
    losses[size / 3] =
        train_toy(toy, settings, folder.path() / std::to_string(size)).last.front().second;
  }
  EXPECT_NEAR(losses[2], losses[0], 1e-5);
  EXPECT_NEAR(losses[2], losses[1], 1e-5);
}

TEST(Loop, EvaluatesNamedSetsAndKeepsTheBest) {
  const test::TemporaryFolder folder;
  Toy toy({.rows = 8, .evaluates = true});  // few rows: it over-fits, and the best is not the last
  TrainSettings settings = toy_settings(120);
  settings.learning_rate = 0.2;
  settings.eval_strategy = "steps";
  settings.eval_steps = 10;
  settings.eval_on_start = true;
  settings.load_best_model_at_end = true;
  settings.save_total_limit = 1;
  train_toy(toy, settings, folder.path() / "run");
  const std::vector<Json> lines = metrics(folder.path() / "run");
  EXPECT_EQ(lines[0]["step"], 0);
  int64_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (const Json& line : lines) {
    const int64_t step = line["step"];
    EXPECT_EQ(line.contains("eval_loss"), step % 10 == 0) << step;
    EXPECT_EQ(line.contains("eval_hard_accuracy"), step % 10 == 0) << step;
    if (step > 0 && line.contains("eval_loss") && line["eval_loss"].get<double>() < least) {
      least = line["eval_loss"];
      best = step;
    }
  }
  EXPECT_LT(best, 120);
  EXPECT_EQ(read_file(folder.path() / "run" / "model" / "model.safetensors"),
            read_file(folder.path() / "run" / "checkpoints" / checkpoint_name(best) /
                      "model.safetensors"));
  EXPECT_EQ(list_checkpoints(folder.path() / "run" / "checkpoints").size(),
            2u);  // the last, the best
}

TEST(Loop, StopsEarly) {
  const test::TemporaryFolder folder;
  Toy toy({.rows = 8, .evaluates = true});
  TrainSettings settings = toy_settings(500);
  settings.learning_rate = 0.2;
  settings.eval_strategy = "steps";
  settings.eval_steps = 5;
  settings.metric_for_best_model = "hard_loss";
  settings.early_stopping_patience = 3;
  const TrainResult result = train_toy(toy, settings, folder.path() / "run");
  EXPECT_EQ(result.status, RunStatus::finished);
  EXPECT_LT(result.step, 500);
  EXPECT_EQ(result.step % 5, 0);
}

TEST(Loop, RefusesAMetricThatNoEvaluationGives) {
  const test::TemporaryFolder folder;
  Toy toy({.evaluates = true});
  TrainSettings settings = toy_settings(20);
  settings.eval_strategy = "epoch";
  settings.metric_for_best_model = "acuracy";
  const std::string text =
      test::refusal(Kind::settings, [&] { train_toy(toy, settings, folder.path() / "run"); });
  EXPECT_TRUE(contains(text, "no evaluation gives \"acuracy\"")) << text;
  EXPECT_EQ(read_run_manifest(folder.path() / "run")->status, RunStatus::failed);
}

TEST(Loop, SkipsAStepThatIsNotFiniteAndNamesItsRows) {
  const test::TemporaryFolder folder;
  const Log log;
  Toy toy({.nan_at = {3, 5}});
  train_toy(toy, toy_settings(10), folder.path() / "run");
  EXPECT_TRUE(contains(log.text, "step 4 is skipped: the loss is not finite")) << log.text;
  EXPECT_TRUE(contains(log.text, "rows: row-")) << log.text;
  const std::vector<Json> lines = metrics(folder.path() / "run");
  EXPECT_TRUE(lines[3]["loss"].is_null());
  EXPECT_EQ(lines[9]["skipped_steps"], 2);
  for (const auto& item : toy.model().named_parameters()) {
    EXPECT_TRUE(item.value().isfinite().all().item<bool>());
  }
}

TEST(Loop, StopsAfterThreeStepsInARowThatAreNotFinite) {
  const test::TemporaryFolder folder;
  Toy toy({.nan_at = {4, 5, 6}});
  TrainSettings settings = toy_settings(10);
  settings.save_strategy = "steps";
  settings.save_steps = 2;
  try {
    train_toy(toy, settings, folder.path() / "run");
    FAIL() << "the run went on";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind, Kind::stopped);
    EXPECT_TRUE(contains(e.what(), "3 steps in a row")) << e.what();
    EXPECT_TRUE(contains(e.hint, "step-00000")) << e.hint;
  }
  for (const auto& item : toy.model().named_parameters()) {
    EXPECT_TRUE(item.value().isfinite().all().item<bool>());
  }
}

TEST(Loop, NamesAParameterThatNothingTrains) {
  const test::TemporaryFolder folder;
  Toy frozen({.freeze_score = true});
  std::string text = test::refusal(
      Kind::stopped, [&] { train_toy(frozen, toy_settings(5), folder.path() / "frozen"); });
  EXPECT_TRUE(contains(text, "1 of 3 trained tensors stand still")) << text;
  EXPECT_TRUE(contains(text, "algorithm.model.score (had no gradient)")) << text;
  Toy unused({.disconnected = true});
  text = test::refusal(Kind::stopped,
                       [&] { train_toy(unused, toy_settings(5), folder.path() / "unused"); });
  EXPECT_TRUE(contains(text, "algorithm.extra.embedding (had no gradient)")) << text;
}

TEST(Loop, AWarmUpFromZeroIsNoStandstill) {
  const test::TemporaryFolder folder;
  Toy toy({});
  TrainSettings settings = toy_settings(6);
  settings.schedule.warmup_steps = 5;
  EXPECT_EQ(train_toy(toy, settings, folder.path() / "run").step, 6);
}

TEST(Loop, HalvesTheMicroBatchWhereMemoryRunsOutAndLearnsTheSame) {
  const test::TemporaryFolder folder;
  const Log log;
  Toy enough({}), tight({.out_of_memory_above = 3});
  const TrainResult a = train_toy(enough, toy_settings(5), folder.path() / "enough");
  const TrainResult b = train_toy(tight, toy_settings(5), folder.path() / "tight");
  EXPECT_NEAR(a.last.front().second, b.last.front().second, 1e-5);
  EXPECT_TRUE(contains(log.text, "at most 2 rows")) << log.text;
  Toy hopeless({.out_of_memory_above = 0});
  test::refusal(Kind::surroundings,
                [&] { train_toy(hopeless, toy_settings(5), folder.path() / "hopeless"); });
}

TEST(Loop, ASignalStopsItAfterACheckpoint) {
  const test::TemporaryFolder folder;
  request_stop(0);
  Toy toy({.at_collect = [](int64_t step) {
    if (step == 4) request_stop(SIGTERM);
  }});
  const TrainResult result = train_toy(toy, toy_settings(10), folder.path() / "run");
  request_stop(0);
  EXPECT_EQ(result.status, RunStatus::interrupted);
  EXPECT_EQ(result.step, 5);  // the updates under way were finished
  EXPECT_EQ(newest_intact(folder.path() / "run" / "checkpoints")->filename(), "step-000005");
  EXPECT_EQ(read_run_manifest(folder.path() / "run")->status, RunStatus::interrupted);
}

TEST(Loop, ACollectThatGivesUpLosesNothing) {
  const test::TemporaryFolder folder;
  request_stop(0);
  Toy toy({.at_collect = [](int64_t step) {
    if (step != 4) return;
    request_stop(SIGINT);
    throw CollectStopped();
  }});
  const TrainResult result = train_toy(toy, toy_settings(10), folder.path() / "run");
  request_stop(0);
  EXPECT_EQ(result.step, 4);
}

/// A disk that is full wherever checkpoints are made.
class FullDisk : public FileCalls {
 public:
  FullDisk() { FileCalls::use(this); }
  ~FullDisk() override { FileCalls::use(nullptr); }
  int open(const char* path, int flags, unsigned mode) override {
    if (!full || std::string(path).find("/checkpoints/") == std::string::npos) {
      return FileCalls::open(path, flags, mode);
    }
    errno = ENOSPC;
    return -1;
  }
  bool full = true;
};

TEST(Loop, ACheckpointThatCannotBeWrittenStopsTheRunUnlessAWarningWillDo) {
  const test::TemporaryFolder folder;
  const Log log;
  FullDisk disk;
  TrainSettings settings = toy_settings(6);
  settings.save_strategy = "steps";
  settings.save_steps = 2;
  Toy first({});
  const std::string text = test::refusal(
      Kind::surroundings, [&] { train_toy(first, settings, folder.path() / "stops"); });
  EXPECT_TRUE(contains(text, "No space left on device")) << text;

  settings.checkpoint.on_error = "warn";
  Toy second({.at_collect = [&](int64_t step) { disk.full = step < 4; }});
  EXPECT_EQ(train_toy(second, settings, folder.path() / "warns").status, RunStatus::finished);
  EXPECT_TRUE(contains(log.text, "training goes on without this checkpoint")) << log.text;
  EXPECT_FALSE(fs::exists(folder.path() / "warns" / "checkpoints" / "step-000002"));
  EXPECT_TRUE(fs::exists(folder.path() / "warns" / "checkpoints" / "step-000006"));
}

/// Of the checkpoint of step 5, does something before the state's file is opened.
class AtStateOfStep5 : public FileCalls {
 public:
  explicit AtStateOfStep5(std::function<bool()> works) : works_(std::move(works)) {
    FileCalls::use(this);
  }
  ~AtStateOfStep5() override { FileCalls::use(nullptr); }
  int open(const char* path, int flags, unsigned mode) override {
    const std::string name = path;
    if (name.find("step-000005") != std::string::npos && name.ends_with("state.safetensors") &&
        !works_()) {
      errno = EIO;
      return -1;
    }
    return FileCalls::open(path, flags, mode);
  }

 private:
  std::function<bool()> works_;
};

TrainSettings saves_at_step_5() {
  TrainSettings settings = toy_settings(9);
  settings.save_strategy = "steps";
  settings.save_steps = 5;
  return settings;
}

TEST(Loop, TrainsOnWhileACheckpointIsWrittenWhichIsOfItsOwnStep) {
  const test::TemporaryFolder folder;
  std::atomic<int64_t> step = 0;
  TrainSettings settings = saves_at_step_5();
  {
    // Held back until two more steps have been made.
    const AtStateOfStep5 disk([&] {
      for (int i = 0; i < 3000 && step < 7; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return step >= 7;
    });
    Toy toy({.at_collect = [&](int64_t now) { step = now; }});
    EXPECT_EQ(train_toy(toy, settings, folder.path() / "beside").status, RunStatus::finished);
  }
  settings.checkpoint.in_background = false;
  Toy toy({});
  train_toy(toy, settings, folder.path() / "between");
  for (const char* name : {"step-000005", "step-000009"}) {
    for (const char* file : {"model.safetensors", "state.safetensors"}) {
      const fs::path part = fs::path("checkpoints") / name / file;
      EXPECT_EQ(read_file(folder.path() / "beside" / part),
                read_file(folder.path() / "between" / part))
          << part;
    }
  }
}

TEST(Loop, WhatFailsBesideTrainingStopsItUnlessAWarningWillDo) {
  const test::TemporaryFolder folder;
  const Log log;
  const AtStateOfStep5 disk([] { return false; });
  TrainSettings settings = saves_at_step_5();
  Toy first({});
  const std::string text = test::refusal(
      Kind::surroundings, [&] { train_toy(first, settings, folder.path() / "stops"); });
  EXPECT_TRUE(contains(text, "Input/output error")) << text;
  EXPECT_EQ(read_run_manifest(folder.path() / "stops")->status, RunStatus::failed);

  settings.checkpoint.on_error = "warn";
  Toy second({});
  EXPECT_EQ(train_toy(second, settings, folder.path() / "warns").status, RunStatus::finished);
  EXPECT_TRUE(contains(log.text, "training goes on without this checkpoint")) << log.text;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path() / "warns" / "checkpoints"))
    names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"step-000009"});
}

TEST(Loop, RefusesAFolderThatHoldsARunAndOneInUse) {
  const test::TemporaryFolder folder;
  Toy toy({});
  train_toy(toy, toy_settings(1), folder.path() / "run");
  const std::string text = test::refusal(
      Kind::settings, [&] { train_toy(toy, toy_settings(1), folder.path() / "run"); });
  EXPECT_TRUE(contains(text, "holds a run already")) << text;
  const RunFolder held(folder.path() / "other", false);
  test::refusal(Kind::surroundings,
                [&] { train_toy(toy, toy_settings(1), folder.path() / "other"); });
}

}  // namespace
}  // namespace guerdon::train
