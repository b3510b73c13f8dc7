#include "guerdon/data/strength.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {

TEST(Strength, WorkedNumbersOfSecretsOfRlhf) {
  const Strength found = strength_of(std::vector<double>{-0.4, 0.1, -0.6, 0.5});
  EXPECT_NEAR(found.mean, -0.1, 1e-12);
  EXPECT_NEAR(found.deviation, 0.430116, 6e-7);
  EXPECT_EQ(strength_of(std::vector<double>{0.3}).deviation, 0.0);
}

TEST(Strength, ReadsTablesOfScores) {
  const test::TemporaryFolder folder;
  const auto table = folder.file("scores.jsonl", R"({"index": 0, "total": 2, "response": "chosen",)"
                                                 R"( "components": {"rm": 2, "rm/member0": 1,)"
                                                 R"( "rm/member1": 3, "rm/members": 9}}
{"index": 0, "total": 1, "response": "rejected",)"
                                                 R"( "components": {"rm": 1, "rm/member0": 2,)"
                                                 R"( "rm/member1": 0.5, "rm/members": 9}}
)");
  using Differences = std::vector<std::vector<double>>;
  EXPECT_EQ(read_differences(table), (Differences{{-1, 2.5}}));
  EXPECT_EQ(read_differences(table, {"rm"}), (Differences{{1}}));
  const auto plain = folder.file("plain.jsonl", R"({"total": 2, "response": "chosen"}
{"total": 5, "response": "rejected"}
)");
  EXPECT_EQ(read_differences(plain), (Differences{{-3}}));
}

TEST(Strength, RefusesWhatIsNoTableOfPairs) {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& text, const std::vector<std::string>& members = {}) {
    const auto file = folder.file("scores.jsonl", text);
    std::string found = test::refusal(Kind::input, [&] { read_differences(file, members); });
    return found.substr(file.string().size());
  };
  EXPECT_EQ(refused("{\"total\": 2}\n"), ":1: is not the score of a chosen response");
  EXPECT_EQ(refused("{\"total\": 2, \"response\": \"chosen\"}\n"),
            ": ends before the last rejected response");
  EXPECT_EQ(refused("{\"total\": null, \"response\": \"chosen\"}\n"),
            ":1: field \"total\" is null");
  EXPECT_NE(refused("{\"total\": 2, \"response\": \"chosen\", \"components\": {\"a\": 1}}\n", {"b"})
                .find("field \"b\" is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::data
