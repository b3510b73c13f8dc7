#include "guerdon/report/run_report.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/error.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::report {
namespace {

bool has(const std::string& page, const std::string& what) {
  return page.find(what) != std::string::npos;
}

/// A GRPO run whose proxy rises while the watched reward rises and falls again.
std::string hacked_metrics() {
  std::string out;
  for (int step = 1; step <= 60; ++step) {
    const double t = step / 60.0;
    out += str("{\"step\":", step, ",\"loss\":", 0.01 * t, ",\"reward\":", t,
               ",\"reward_std\":0.5,\"rewards/rm/mean\":", t,
               ",\"rewards/rm/std\":0.5,\"rewards/truth/mean\":", 1 - 4 * (t - 0.4) * (t - 0.4),
               ",\"rewards/truth/std\":0.5,\"kl\":", t / 10,
               ",\"completions/mean_length\":", 10 + 20 * t,
               ",\"completions/clipped_ratio\":0.5,\"step_time\":0.5,\"oddity\":1}\n");
  }
  return out;
}

TEST(RunReport, ShowsAWholeRun) {
  const test::TemporaryFolder folder;
  folder.file("run/metrics.jsonl", hacked_metrics());
  folder.file(
      "run/config.json",
      R"({"beta":0.1,"reward":{"use":"sum","of":[{"use":"model","name":"rm"},{"use":"truth","weight":0}]}})");
  folder.file("run/manifest.json", R"({"status":"finished","command":"guerdon train grpo"})");
  folder.file(
      "run/samples.jsonl",
      "{\"step\":1,\"prompt\":\"say "
      "<b>hi</b>\",\"completion\":\"early\",\"reward\":0.1,\"rewards\":{\"rm\":0.1}}\n"
      "{\"step\":60,\"prompt\":\"say <b>hi</b>\",\"completion\":\"late\",\"reward\":0.9}\n");
  folder.file(
      "run/log.txt",
      "10:00 info: begin\n10:01 warning: 3 rows were cut\n10:02 warning: 3 rows were cut\n");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "Over-optimisation: &quot;rm&quot;"));
  EXPECT_TRUE(has(page, "truth (only watched)"));
  EXPECT_FALSE(has(page, "rm (only watched)"));
  EXPECT_TRUE(has(page, "Completions went from"));
  EXPECT_TRUE(has(page, "50 % of the last completions were cut"));
  EXPECT_TRUE(has(page, "say &lt;b&gt;hi&lt;/b&gt;"));
  EXPECT_TRUE(has(page, "Before: step 1"));
  EXPECT_TRUE(has(page, "After: step 60"));
  EXPECT_TRUE(has(page, "All other metrics (1)"));
  EXPECT_TRUE(has(page, "Warning in the log: 3 rows were cut"));
  EXPECT_LT(page.size(), 1'000'000u);
}

TEST(RunReport, SaysNothingBadOfAQuietRun) {
  const test::TemporaryFolder folder;
  std::string lines;
  for (int step = 1; step <= 50; ++step)
    lines += str("{\"step\":", step, ",\"loss\":", 2.0 / step, ",\"grad_norm\":1}\n");
  folder.file("run/metrics.jsonl", lines);
  folder.file("run/manifest.json", R"({"status":"finished"})");
  EXPECT_TRUE(has(run_report(folder.path() / "run"),
                  "Nothing in the numbers of this run asks for attention"));
}

TEST(RunReport, WorksForFailedAndCutOffRuns) {
  const test::TemporaryFolder folder;
  folder.file("run/metrics.jsonl",
              "{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":null}\n{\"step\":3,\"lo");
  folder.file("run/manifest.json", R"({"status":"failed","error":"the disk <is> full"})");
  folder.file("run/log.txt", "the last words");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "The run failed: the disk &lt;is&gt; full"));
  EXPECT_TRUE(has(page, "loss was not a finite number in 1 of 2 steps"));
  EXPECT_TRUE(has(page, "the last words"));
  EXPECT_FALSE(has(page, "Damaged")) << "a cut last line is not damage";
}

TEST(RunReport, NamesDamagedFilesAndGoesOn) {
  const test::TemporaryFolder folder;
  folder.file("run/metrics.jsonl",
              "{\"step\":1,\"loss\":1}\nnonsense\n{\"step\":2,\"loss\":0.5}\n");
  folder.file("run/config.json", "{");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "metrics.jsonl:2"));
  EXPECT_TRUE(has(page, "config.json"));
  EXPECT_TRUE(has(page, "Loss"));
}

TEST(RunReport, SurvivesStrangeTypesEverywhere) {
  const test::TemporaryFolder folder;
  folder.file("run/metrics.jsonl",
              "{\"step\":\"x\"}\n[1]\n{\"step\":1,\"loss\":\"high\",\"a\":{\"b\":{\"c\":3}},\"d\":["
              "1,2]}\n{}\n");
  folder.file("run/config.json", "[1,2]");
  folder.file("run/manifest.json", R"({"status":5,"command":{"a":1},"error":[]})");
  folder.file(
      "run/result.json",
      R"({"accuracy":"high","bins":[1,{"count":"x"}],"margins":{"counts":["a"],"width":-1},"subsets":[1,2,{"name":"s"}],
"accuracy_interval":["a","b"]})");
  folder.file(
      "other/result.json",
      R"({"models":[3,{"name":4,"score":"x","subsets":[{"name":[]},{"score":1}],"interval":[1],
"points":[1,{"kl":-1}],"worst":[{"margin":"x"}]}],"comparisons":[{"interval":["a","b"]}]})");
  EXPECT_TRUE(has(run_report(folder.path() / "other"), "Evaluation"));
  folder.file(
      "run/samples.jsonl",
      "{\"step\":[],\"prompt\":{\"a\":1},\"completion\":[1,{\"role\":3}],\"rewards\":[1]}\n");
  EXPECT_TRUE(has(run_report(folder.path() / "run"), "a/b/c"));
}

TEST(RunReport, ShowsAnEvaluation) {
  const test::TemporaryFolder folder;
  folder.file(
      "run/result.json",
      R"({"pairs":100,"accuracy":0.8,"accuracy_interval":[0.71,0.87],"best_accuracy":0.9,"ece":0.03,
"bins":[{"lower":0.5,"upper":1,"count":100,"probability":0.78,"outcome":0.8}],"margins":{"start":-1,"width":0.5,"counts":[10,10,30,50]},
"subsets":[{"name":"maths","pairs":60,"accuracy":0.9,"accuracy_interval":[0.8,0.95]},{"name":"chat","pairs":40,"accuracy":0.65,"accuracy_interval":[0.5,0.8]}],
"worst":[{"where":"f.jsonl:9","margin":-3,"prompt":"which","right":"this","wrong":"that one"}]})");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "95 % interval 71 % to 87 %"));
  EXPECT_TRUE(has(page, "90 %"));
  EXPECT_TRUE(has(page, "Accuracy by subset"));
  EXPECT_TRUE(has(page, "that one"));
  EXPECT_TRUE(has(page, "Calibration"));
}

TEST(RunReport, ShowsABenchmark) {
  const test::TemporaryFolder folder;
  folder.file("run/result.json", R"({"benchmark":"rag","rows":4,"models":[
{"name":"a<b>","score":0.75,"interval":[0.5,0.9],"rows":4,
 "subsets":[{"name":"maths","score":1},{"name":"chat","score":0.5}],
 "worst":[{"where":"f.jsonl:3","subset":"chat","margin":-2,"prompt":"why <i>?","right":"because","wrong":"so"}]},
{"name":"other","score":0.25,"subsets":[{"name":"chat","score":0.25},7]}],
"comparisons":[{"model":"other","baseline":"a<b>","difference":-0.5,"interval":[-0.8,-0.1],"share_above_zero":0.01}]})");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "a&lt;b&gt;"));
  EXPECT_TRUE(has(page, "50 % to 90 %"));
  EXPECT_TRUE(has(page, "color-mix(in srgb,var(--calm) 70%,transparent)\">100</td>"));
  EXPECT_TRUE(has(page, "<td>maths</td>"));
  EXPECT_TRUE(has(page, "-80 % to -10 %"));
  EXPECT_TRUE(has(page, "why &lt;i&gt;?"));
  EXPECT_TRUE(has(page, "because"));
}

TEST(RunReport, ShowsCurvesOfBestOfN) {
  const test::TemporaryFolder folder;
  folder.file("run/result.json", R"({"models":[{"name":"rm","points":[
{"n":1,"kl":0,"gold":0.5,"interval":[0.4,0.6]},{"n":2,"kl":0.19,"gold":0.7,"interval":[null,0.8]},{"n":"x"}]}]})");
  const std::string page = run_report(folder.path() / "run");
  EXPECT_TRUE(has(page, "Best of n"));
  EXPECT_TRUE(has(page, "square root of KL"));
}

TEST(RunReport, CombinesTheStagesOfARecipe) {
  const test::TemporaryFolder folder;
  folder.file("all/stages.json", R"({"title":"quickstart","stages":[
{"name":"data","command":"data make","status":"finished","seconds":1.5,"folder":"data","note":"1,000 pairs"},
{"name":"grpo","command":"train grpo","status":"interrupted","seconds":100,"folder":"grpo"},
{"name":"later","command":"eval reward","status":"waiting","folder":"later"}]})");
  folder.file("all/grpo/metrics.jsonl", hacked_metrics());
  folder.file("all/grpo/samples.jsonl", "{\"step\":1,\"prompt\":\"p\",\"completion\":\"c\"}\n");
  const std::string page = run_report(folder.path() / "all");
  EXPECT_TRUE(has(page, "<h1>quickstart</h1>"));
  EXPECT_TRUE(has(page, "1,000 pairs"));
  EXPECT_TRUE(has(page, "Before and after"));
  EXPECT_TRUE(has(page, "interrupted"));
  EXPECT_TRUE(has(page, "grpo: Reward"));
}

TEST(RunReport, RefusesWhatIsNoRun) {
  const test::TemporaryFolder folder;
  EXPECT_TRUE(has(test::refusal(Kind::input, [&] { run_report(folder.path() / "none"); }),
                  "no such run folder"));
  EXPECT_TRUE(has(test::refusal(Kind::input, [&] { run_report(folder.path()); }), "holds no run"));
  folder.file("bad/stages.json", R"({"stages":3})");
  EXPECT_TRUE(
      has(test::refusal(Kind::input, [&] { run_report(folder.path() / "bad"); }), "key stages"));
}

}  // namespace
}  // namespace guerdon::report
