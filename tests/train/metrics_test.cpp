#include "guerdon/train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/train/run_folder.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(MetricsLine, IsOneObjectThatReadsBack) {
  const std::string line =
      metrics_line(3, {{"loss", 0.1}, {"num_tokens", 12345678}, {"bad", kNaN}});
  EXPECT_EQ(line, "{\"step\": 3, \"loss\": 0.1, \"num_tokens\": 12345678, \"bad\": null}\n");
}

TEST(CutLines, KeepsWhatIsNotLaterAndWhole) {
  const test::TemporaryFolder folder;
  const std::string lines = metrics_line(1, {}) + metrics_line(2, {}) + metrics_line(3, {});
  const fs::path file = folder.file("m.jsonl", lines + "{\"step\": 3");
  cut_lines_after(file, 3);
  EXPECT_EQ(read_file(file), lines);
  cut_lines_after(file, 1);
  EXPECT_EQ(read_file(file), metrics_line(1, {}));
  cut_lines_after(file, 0);
  EXPECT_EQ(read_file(file), "");
  EXPECT_NO_THROW(cut_lines_after(folder.path() / "none", 3));
}

TEST(Crc32c, OfTheCheckText) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(EventFile, IsReadByTensorBoard) {
  const char* python = std::getenv("GUERDON_PYTHON");
  const std::string program = python ? python : "python3";
  if (std::system((program + " -c 'import tensorboard' >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP()
        << "SKIPPED FOR WANT OF A PEER: set GUERDON_PYTHON to a Python that has tensorboard";
  }
  const test::TemporaryFolder folder;
  EventFile first(folder.path() / "tb", 0);
  first.add(1, 1000.5, {{"loss", 0.25}, {"rewards/margins", -3}, {"skipped", kNaN}});
  EventFile second(folder.path() / "tb", 1);
  second.add(300, 1001.5, {{"loss", 0.125}});
  const fs::path script = folder.file("read.py", R"(
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1])
a.Reload()
for tag in sorted(a.Tags()["scalars"]):
    for e in a.Scalars(tag):
        print(tag, e.step, e.value, e.wall_time)
)");
  const std::string output = (folder.path() / "out").string();
  ASSERT_EQ(std::system((program + " " + script.string() + " " + (folder.path() / "tb").string() +
                         " > " + output + " 2>/dev/null")
                            .c_str()),
            0);
  EXPECT_EQ(read_file(output),
            "loss 1 0.25 1000.5\nloss 300 0.125 1001.5\nrewards/margins 1 -3.0 1000.5\n");
}

TEST(EventFile, HasRecordsWithTheirSums) {
  const test::TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  file.add(1, 1000.5, {{"loss", 0.25}});
  const std::string bytes = read_file(folder.path() / "events.out.tfevents.0000000000.guerdon");
  const auto number = [&](size_t at, size_t size) {
    uint64_t out = 0;
    for (size_t i = size; i-- > 0;) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
    return out;
  };
  const auto unmasked = [](uint64_t stored) {
    const uint32_t rotated = static_cast<uint32_t>(stored) - 0xA282EAD8u;
    return (rotated >> 17) | (rotated << 15);
  };
  size_t records = 0;
  for (size_t at = 0; at < bytes.size(); ++records) {
    const uint64_t length = number(at, 8);
    EXPECT_EQ(unmasked(number(at + 8, 4)), crc32c(bytes.substr(at, 8)));
    EXPECT_EQ(unmasked(number(at + 12 + length, 4)), crc32c(bytes.substr(at + 12, length)));
    at += 16 + length;
  }
  EXPECT_EQ(records, 2u);
}

TEST(RunManifest, ComesBackAndIsRefusedWhenMalformed) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(read_run_manifest(folder.path()));
  {
    RunFolder run(folder.path(), false);
    run.write_manifest({.command = "train dpo",
                        .status = RunStatus::failed,
                        .step = 4,
                        .seconds = 1.5,
                        .settings_sha256 = "a",
                        .data_fingerprint = "b",
                        .error = "why"});
  }
  const RunManifest back = *read_run_manifest(folder.path());
  EXPECT_EQ(back.command, "train dpo");
  EXPECT_EQ(back.status, RunStatus::failed);
  EXPECT_EQ(back.step, 4);
  EXPECT_EQ(back.error, "why");
  folder.file("manifest.json", "{\"command\": \"train dpo\"}");
  test::refusal(Kind::input, [&] { read_run_manifest(folder.path()); });
}

TEST(Samples, BeginWithTheirStep) {
  const test::TemporaryFolder folder;
  RunFolder run(folder.path(), false);
  run.begin(0, false);
  run.add_sample(7, {{"prompt", "p"}, {"reward", 0.5}});
  EXPECT_EQ(read_file(folder.path() / "samples.jsonl"),
            "{\"step\":7,\"prompt\":\"p\",\"reward\":0.5}\n");
}

}  // namespace
}  // namespace guerdon::train
