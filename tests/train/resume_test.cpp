// A resumed run is the run that did not stop: bit for bit on the CPU.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

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

constexpr int64_t kSteps = 13;

TrainSettings settings() {
  TrainSettings s = toy_settings(kSteps);
  s.schedule.lr_scheduler_type = "cosine";
  s.schedule.warmup_steps = 2;
  s.adam.weight_decay = 0.01;
  s.eval_strategy = "steps";
  s.eval_steps = 3;
  return s;
}
Toy::Options options() { return {.rows = 28, .nan_at = {6}, .evaluates = true}; }

/// metrics.jsonl without what tells time or memory.
std::string metrics(const fs::path& run) {
  std::string out;
  std::istringstream text(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    Json json = parse_json(line, "metrics.jsonl");
    for (const char* name : {"step_time", "tokens_per_second", "peak_memory_mb"}) json.erase(name);
    out += json.dump() + "\n";
  }
  return out;
}

/// The state at a step, without the seconds that it took.
std::string state(const fs::path& run, int64_t step = kSteps) {
  const fs::path checkpoint = run / "checkpoints" / checkpoint_name(step);
  Json json = read_json(checkpoint / "state.json");
  json["numbers"].erase("seconds");
  return json.dump() + read_file(checkpoint / "state.safetensors") +
         read_file(checkpoint / "model.safetensors");
}

class Resume : public testing::TestWithParam<int64_t> {};

TEST_P(Resume, EqualsTheRunThatDidNotStop) {
  const test::TemporaryFolder folder;
  request_stop(0);
  Toy whole(options());
  train_toy(whole, settings(), folder.path() / "whole");

  Toy::Options stopping = options();
  stopping.at_collect = [](int64_t step) {
    if (step == GetParam() - 1) request_stop(SIGINT);
  };
  Toy first(stopping);
  EXPECT_EQ(train_toy(first, settings(), folder.path() / "cut").status, RunStatus::interrupted);
  request_stop(0);
  Toy second(options());
  EXPECT_EQ(train_toy(second, settings(), folder.path() / "cut", true).status, RunStatus::finished);

  EXPECT_EQ(metrics(folder.path() / "cut"), metrics(folder.path() / "whole"));
  EXPECT_EQ(state(folder.path() / "cut"), state(folder.path() / "whole"));
}

// Before the first checkpoint could be due, in the warm-up, at an evaluation, at the end of an
// epoch (4), after a skipped step (7), at the last but one.
INSTANTIATE_TEST_SUITE_P(Stops, Resume, testing::Values(1, 2, 3, 4, 5, 6, 7, 8, 9, 12));

TEST(Resume, DropsTheLinesThatTheCheckpointDoesNotKnow) {
  const test::TemporaryFolder folder;
  Toy whole(options());
  train_toy(whole, settings(), folder.path() / "whole");
  // As if killed after step 9, with the last checkpoint at step 6 and a line half written.
  Toy first(options());
  TrainSettings saving = settings();
  saving.save_strategy = "steps";
  saving.save_steps = 6;
  train_toy(first, saving, folder.path() / "cut");
  fs::remove_all(folder.path() / "cut" / "checkpoints" / "step-000012");
  fs::remove_all(folder.path() / "cut" / "checkpoints" / "step-000013");
  append_file(folder.path() / "cut" / "metrics.jsonl", "{\"step\": 14, \"lo");
  Toy second(options());
  train_toy(second, saving, folder.path() / "cut", true);
  EXPECT_EQ(metrics(folder.path() / "cut"), metrics(folder.path() / "whole"));
  EXPECT_EQ(state(folder.path() / "cut"), state(folder.path() / "whole"));
}

TEST(Resume, OtherDataIsRefusedUnlessAllowed) {
  const test::TemporaryFolder folder;
  Toy toy({});
  train_toy(toy, toy_settings(2), folder.path() / "run");
  TrainSettings more = toy_settings(4);
  const auto again = [&] {
    Toy other({.data = "other data"});
    return train_toy(other, more, folder.path() / "run", true);
  };
  const std::string text = test::refusal(Kind::input, [&] { again(); });
  EXPECT_NE(text.find("was made with other data"), std::string::npos) << text;
  more.data.allow_changed = true;
  EXPECT_EQ(again().step, 4);
}

TEST(Resume, FromOneCheckpointExactlyNeverFallsBack) {
  const test::TemporaryFolder folder;
  TrainSettings saving = toy_settings(4);
  saving.save_strategy = "steps";
  saving.save_steps = 2;
  Toy toy({});
  train_toy(toy, saving, folder.path() / "run");
  const fs::path older = folder.path() / "run" / "checkpoints" / "step-000002";
  const auto from = [&](const fs::path& checkpoint) {
    Toy other({});
    RunFolder run(folder.path() / "run", true);
    return train(other, saving, run, {.resume = true, .resume_from = checkpoint});
  };
  EXPECT_EQ(from(older).step, 4);
  fs::resize_file(older / "model.safetensors", 10);
  test::refusal(Kind::input, [&] { from(older); });
  test::refusal(Kind::input, [&] { from(folder.path() / "run" / "checkpoints" / "step-000003"); });
}

Toy::Options options_of_changed() {
  // Two steps without numbers, so that the count of those in a row shows.
  Toy::Options o = options();
  o.nan_at = {6, 7};
  return o;
}

/// Trains to the end from a checkpoint of step 7 whose state was changed: all later states and the
/// metrics.
std::string continued(const fs::path& folder, const optim::State& changed) {
  static int count = 0;
  const fs::path run = folder / ("changed-" + std::to_string(count++));
  write_checkpoint(run / "checkpoints",
                   {.step = 7, .settings_sha256 = "s", .data_fingerprint = "data"}, changed,
                   [](NewFolder& f) { f.add("config.json", "{}"); });
  Toy toy(options_of_changed());
  TrainSettings every_step = settings();
  every_step.save_strategy = "steps";
  every_step.save_steps = 1;
  train_toy(toy, every_step, run, true);
  std::string out = metrics(run);
  for (int64_t step = 8; step <= kSteps; ++step) out += state(run, step);
  return out;
}

// Shows that the tests above can see: a state with one entry removed is refused, and with one
// entry zeroed the run ends differently.
TEST(Resume, EveryEntryOfTheStateMatters) {
  const test::TemporaryFolder folder;
  request_stop(0);
  Toy::Options stopping = options_of_changed();
  stopping.at_collect = [](int64_t step) {
    if (step == 6) request_stop(SIGINT);
  };
  Toy toy(stopping);
  train_toy(toy, settings(), folder.path() / "run");
  request_stop(0);
  const optim::State saved = load_state(folder.path() / "run" / "checkpoints" / checkpoint_name(7));
  const std::string right = continued(folder.path(), saved);
  EXPECT_EQ(right, continued(folder.path(), saved));

  const auto check = [&](const optim::State& removed, const optim::State& zeroed,
                         const std::string& name) {
    test::refusal(Kind::input, [&] { continued(folder.path(), removed); });
    std::string end;
    try {
      end = continued(folder.path(), zeroed);
    } catch (const Error&) {
      end = "refused";
    }
    // Time has no part in what is compared.
    EXPECT_EQ(end == right, name == "seconds") << name;
  };
  for (size_t i = 0; i < saved.tensors.size(); ++i) {
    optim::State removed = saved, zeroed = saved;
    removed.tensors.erase(removed.tensors.begin() + static_cast<int64_t>(i));
    zeroed.tensors[i].second = at::zeros_like(saved.tensors[i].second);
    check(removed, zeroed, saved.tensors[i].first);
  }
  const auto each = [&](auto member, auto zero) {
    for (const auto& entry : saved.*member) {
      optim::State removed = saved, zeroed = saved;
      (removed.*member).erase(entry.first);
      (zeroed.*member)[entry.first] = zero;
      // Where 0 is what it holds, something else must show.
      if (entry.second == zero) (zeroed.*member)[entry.first] = decltype(zero)(99);
      check(removed, zeroed, entry.first);
    }
  };
  each(&optim::State::numbers, 0.0);
  each(&optim::State::integers, int64_t{0});
  for (const auto& entry : saved.rows) {
    optim::State removed = saved, zeroed = saved;
    removed.rows.erase(entry.first);
    zeroed.rows[entry.first].clear();
    check(removed, zeroed, entry.first);
  }
}

}  // namespace
}  // namespace guerdon::train
