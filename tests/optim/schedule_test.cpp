#include "guerdon/optim/schedule.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"
#include "support/data.h"

namespace guerdon::optim {
namespace {

TEST(Schedule, AgreesWithTransformers) {
  const Json fixture = read_json(test::fixture("optim.json"));
  for (const Json& entry : fixture["schedules"]) {
    ScheduleOptions options{.lr_scheduler_type = entry["name"], .warmup_steps = entry["warmup"]};
    const Json& extra = entry["kwargs"];
    if (extra.contains("num_cycles")) options.num_cycles = extra["num_cycles"].get<double>();
    if (extra.contains("min_lr")) options.min_lr = extra["min_lr"].get<double>();
    options.min_lr_rate = extra.value("min_lr_rate", 0.0);
    options.min_lr_ratio = extra.value("min_lr_ratio", 0.0);
    options.power = extra.value("power", 1.0);
    options.lr_end = extra.value("lr_end", 1e-7);
    options.num_decay_steps = extra.value("num_decay_steps", 0);
    const double peak = entry["lr"];
    for (size_t step = 0; step < entry["rates"].size(); ++step) {
      const double factor =
          schedule_factor(options, static_cast<int64_t>(step), entry["total"], peak);
      EXPECT_NEAR(peak * factor, entry["rates"][step].get<double>(), 1e-12)
          << entry["name"] << " " << extra << " step " << step;
    }
  }
}

TEST(Schedule, WarmupIsStepsOrAShareRoundedUp) {
  EXPECT_EQ(warmup_length({.warmup_steps = 7}, 100), 7);
  EXPECT_EQ(warmup_length({.warmup_steps = 0.031}, 100), 4);
  EXPECT_EQ(warmup_length({.warmup_ratio = 0.1}, 55), 6);
  EXPECT_EQ(warmup_length({.warmup_steps = 3, .warmup_ratio = 0.1}, 55), 3);
}

TEST(Schedule, EveryNameIsKnown) {
  for (const std::string& name : schedule_names()) {
    EXPECT_NO_THROW(schedule_factor({.lr_scheduler_type = name}, 1, 10, 1e-3));
  }
  EXPECT_THROW(schedule_factor({.lr_scheduler_type = "lineal"}, 1, 10, 1e-3), Error);
}

}  // namespace
}  // namespace guerdon::optim
