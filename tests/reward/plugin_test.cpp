#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "guerdon/base/file.h"
#include "reward/rollouts.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

using test::refusal, test::reward, test::rollout, test::score;

std::string node(const std::string& path, const std::string& more) {
  return R"({"use": "plugin", "path": )" + Json(path).dump() + R"(, "reward": "doubled")" + more +
         "}";
}

// First, since afterwards the plugin is open: a library of another interface is refused before any
// of its code runs.
TEST(Plugin, OfAnotherInterfaceIsRefusedUnopened) {
  const test::TemporaryFolder folder;
  std::string bytes = read_file(GUERDON_SAMPLE_PLUGIN);
  const std::string mark = "guerdon-plugin-abi:" + std::to_string(GUERDON_PLUGIN_ABI) + ";";
  for (size_t at = 0; (at = bytes.find(mark, at)) != std::string::npos; ++at)
    bytes[at + mark.size() - 2] = '0';
  const std::string old = folder.file("old.so", bytes);
  EXPECT_EQ(refusal(Kind::input, [&] { reward(node(old, "")); }),
            old + ": was built for plugin interface \"0\", this guerdon has " +
                std::to_string(GUERDON_PLUGIN_ABI) + "; build it again");
  for (const RewardKind* kind : reward_kinds()) EXPECT_NE(kind->name, "doubled");
}

TEST(Plugin, WhatIsNoPluginIsRefused) {
  const test::TemporaryFolder folder;
  const std::string text = folder.file("a.so", "text"),
                    other = folder.file("b.so", std::string("\x7f"
                                                            "ELF") +
                                                    "nothing");
  EXPECT_EQ(refusal(Kind::input, [&] { reward(node(text, "")); }),
            text + ": is not a shared library");
  EXPECT_NE(
      refusal(Kind::input, [&] { reward(node(other, "")); }).find("has no guerdon-plugin-abi mark"),
      std::string::npos);
  refusal(Kind::input, [&] { reward(node("/no/such.so", "")); });
}

TEST(Plugin, IsARewardWithItsOwnSettings) {
  const auto doubled =
      reward(node(GUERDON_SAMPLE_PLUGIN, R"(, "options": {"times": 3}, "name": "mine")"));
  const Scores s = score(*doubled, {rollout("ab")});
  EXPECT_EQ(s.total.item<float>(), 6);
  EXPECT_EQ(s.names, std::vector<std::string>{"mine"});
  EXPECT_EQ(refusal(Kind::settings,
                    [] { reward(node(GUERDON_SAMPLE_PLUGIN, R"(, "options": {"time": 3})")); }),
            "grpo.json: key reward.options.time: no such setting (did you mean \"times\"?)");
}

}  // namespace
}  // namespace guerdon
