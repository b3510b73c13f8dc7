// The upper half: opened for one command, with a copy of everything of its own.
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "guerdon/base/version.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

TEST(Doctor, ReportsAsJson) {
  const Ran ran = run_guerdon("doctor --json --threads 1");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const auto findings = nlohmann::json::parse(ran.out);
  std::map<std::string, std::string> texts;
  for (const auto& f : findings) {
    texts[f.at("name")] = f.at("text");
    EXPECT_NE(f.at("state"), "BAD");
  }
  EXPECT_EQ(texts.at("guerdon").find(version()), 0U);
  // --threads reaches both the ground floor's copy in this half and LibTorch.
  EXPECT_EQ(texts.at("threads").find("1 on the ground floor, 1 in LibTorch"), 0U);
}

TEST(Doctor, ExitsWithFourWhereNothingCanBeWritten) {
  const Ran ran = run_guerdon("doctor 2>&1", "cd /proc && ");
  EXPECT_EQ(ran.code, 4);
  EXPECT_NE(ran.out.find("guerdon: error: run folder: "), std::string::npos) << ran.out;
}

TEST(UpperHalf, TellsUsageErrorsLikeTheGroundHalf) {
  const Ran ran = run_guerdon("doctor --jsn 2>&1");
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.out.find("guerdon: error: flag --jsn: no such flag of guerdon doctor (did you mean "
                         "\"--json\"?)\n"),
            0U)
      << ran.out;
}

}  // namespace
}  // namespace guerdon::test
