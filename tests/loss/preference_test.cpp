#include "guerdon/loss/preference.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }
double at_index(const Tensor& t, int64_t i) { return t[i].item<double>(); }

// The two pairs of the reference vectors: c = (1, -1), r = (-1, 0.5); lengths chosen (4, 5),
// rejected (6, 2).
PairLogprobs policy() {
  return {row({-12, -20}).requires_grad_(), row({-15, -18}).requires_grad_()};
}
const PairLogprobs kReference{row({-13, -19}), row({-14, -18.5})};
const PairLengths kLengths{row({4, 5}), row({6, 2})};

/// Value and gradient that TRL 1.16's own loss code gives, in float64 (gradient of the sum of the
/// pair losses with respect to c1, r1, c2, r2). Agreement: half a unit of the sixth decimal.
struct Vector {
  std::string name;
  DpoOptions options;
  std::vector<double> loss, gradient;
};

void PrintTo(const Vector& v, std::ostream* out) { *out << v.name; }

class DpoVectors : public testing::TestWithParam<Vector> {};

TEST_P(DpoVectors, AgreeWithTrl) {
  const Vector& v = GetParam();
  const PairLogprobs p = policy();
  const PairLoss out = dpo(p, kReference, v.options, kLengths);
  out.loss.sum().backward();
  for (int64_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(at_index(out.loss, i), v.loss[static_cast<size_t>(i)],
                6e-7 * std::max(1.0, std::abs(v.loss[0])));
    EXPECT_NEAR(at_index(p.chosen.grad(), i), v.gradient[static_cast<size_t>(2 * i)], 6e-7);
    EXPECT_NEAR(at_index(p.rejected.grad(), i), v.gradient[static_cast<size_t>(2 * i + 1)], 6e-7);
  }
  EXPECT_NEAR(at_index(out.chosen_reward, 0), 0.1, 1e-12);
  EXPECT_NEAR(at_index(out.rejected_reward, 1), 0.05, 1e-12);
}

DpoOptions one(const std::string& name, double smoothing = 0.0) {
  return {.label_smoothing = smoothing, .loss_type = {name}};
}
DpoOptions with_divergence(const std::string& divergence) {
  return {.f_divergence_type = divergence};
}

INSTANTIATE_TEST_SUITE_P(
    Trl, DpoVectors,
    testing::Values(
        Vector{
            "sigmoid", one("sigmoid"), {.598139, .770957}, {-.045017, .045017, -.053743, .053743}},
        Vector{"robust",
               one("robust", .1),
               {.573139, .789707},
               {-.057517, .057517, -.066243, .066243}},
        Vector{"hinge", one("hinge"), {.8, 1.15}, {-.1, .1, -.1, .1}},
        Vector{"ipo", one("ipo"), {21.006944, 29.7025}, {-2.291667, 1.527778, -2.18, 5.45}},
        Vector{"exo_pair",
               one("exo_pair", 1e-3),
               {2.422015, 3.022554},
               {-.166003, .166003, -.175430, .175430}},
        Vector{"nca_pair",
               one("nca_pair"),
               {1.338793, 1.425825},
               {-.021253, .023751, -.028747, .025625}},
        Vector{"bco_pair",
               one("bco_pair"),
               {1.288793, 1.462856},
               {-.047502, .047502, -.052498, .051250}},
        Vector{"sppo_hard", one("sppo_hard"), {32.0, 66.25}, {-8, 8, -12, 11}},
        Vector{"aot", one("aot"), {.770957, .598139}, {-.045017, .045017, -.053743, .053743}},
        Vector{"aot_smoothed",
               one("aot", .1),
               {.755957, .618139},
               {-.035017, .035017, -.043743, .043743}},
        Vector{"aot_unpaired",
               one("aot_unpaired"),
               {.693147, .668460},
               {-.048750, .05, -.05, .048750}},
        Vector{"aot_unpaired_smoothed",
               one("aot_unpaired", .1),
               {.693147, .673460},
               {-.038750, .04, -.04, .038750}},
        Vector{"apo_zero",
               one("apo_zero"),
               {.950042, 1.037477},
               {-.024938, .024938, -.024938, .024984}},
        Vector{
            "apo_down", one("apo_down"), {.975145, 1.012451}, {.000186, .024752, .000078, .024860}},
        Vector{"discopop",
               one("discopop"),
               {.814763, .789495},
               {-.073418, .073418, -.021387, .021387}},
        Vector{"sigmoid_norm",
               one("sigmoid_norm"),
               {.672531, .715900},
               {-.012240, .008160, -.010225, .025562}},
        Vector{"forward_kl",
               with_divergence("forward_kl"),
               {.582517, .804299},
               {-.016242, .120015, -.150212, .033517}},
        Vector{"js_divergence",
               with_divergence("js_divergence"),
               {.644397, .735986},
               {-.012775, .034727, -.038086, .019669}},
        Vector{"alpha_divergence",
               with_divergence("alpha_divergence"),
               {.594349, .783918},
               {-.027177, .073876, -.089589, .042319}}),
    [](const auto& info) { return info.param.name; });

TEST(Dpo, SmoothsTheLabelsOfSigmoidAsThePaperOfConservativeDpoDoes) {
  // h = 0.2 and -0.15; 0.9 * 0.598139 + 0.1 * 0.798139 and 0.9 * 0.770957 + 0.1
  // * 0.620957.
  const PairLoss out = dpo(policy(), kReference, {.label_smoothing = 0.1});
  EXPECT_NEAR(at_index(out.loss, 0), 0.618139, 1e-6);
  EXPECT_NEAR(at_index(out.loss, 1), 0.755957, 1e-6);
}

TEST(Dpo, AddsSeveralLossesWithTheirWeights) {
  const DpoOptions both{.loss_type = {"sigmoid", "bco_pair"}, .loss_weights = {0.8, 0.2}};
  const PairLoss out = dpo(policy(), kReference, both);
  // TRL's 4.378359 with "sft" (3.555556) of weight 1 on top.
  EXPECT_NEAR(out.loss.mean().item<double>(), 4.378359 - 3.555556, 1e-6);
}

TEST(Dpo, IsLog2WhenThePolicyIsTheReference) {
  const PairLoss out = dpo(kReference, kReference);
  EXPECT_NEAR(at_index(out.loss, 0), std::log(2.0), 1e-12);
  EXPECT_NEAR(at_index(out.loss, 1), std::log(2.0), 1e-12);
}

TEST(Dpo, SendsNoGradientIntoTheReference) {
  const Tensor reference = row({-1.0}).requires_grad_();
  const Tensor chosen = row({-1.0}).requires_grad_();
  dpo({chosen, row({-2.0})}, {reference, row({-2.0})}).loss.sum().backward();
  EXPECT_FALSE(reference.grad().defined());
  EXPECT_TRUE(chosen.grad().defined());
}

TEST(Dpo, StaysFiniteFarFromTheReference) {
  const PairLogprobs far{row({-5000.0}).requires_grad_(), row({-10.0}).requires_grad_()};
  for (const std::string& name : dpo_loss_types()) {
    if (name == "discopop") continue;  // exp(-h) is the formula
    const PairLoss out = dpo(far, {row({-10.0}), row({-5000.0})},
                             one(name, name == "exo_pair" ? 0.1 : 0.0), {row({10}), row({10})});
    EXPECT_TRUE(out.loss.isfinite().all().item<bool>()) << name;
  }
}

TEST(Dpo, AnEmptyResponseCountsAsOneToken) {
  const PairLogprobs p{row({-2.0}), row({0.0})}, q{row({-3.0}), row({0.0})};
  const PairLoss out = dpo(p, q, one("ipo"), {row({4.0}), row({0.0})});
  EXPECT_NEAR(at_index(out.loss, 0), std::pow(0.25 - 5.0, 2), 1e-12);
}

TEST(CheckDpoOptions, RefusesWhatCannotBeMeant) {
  const auto refusal = [](DpoOptions o) {
    return test::refusal(Kind::settings, [&] { check_dpo_options(o, "dpo.json"); });
  };
  EXPECT_NE(refusal(one("sigmod")).find("no loss is called \"sigmod\" (did you mean \"sigmoid\"?)"),
            std::string::npos);
  EXPECT_NE(refusal(one("exo_pair")).find("key label_smoothing: exo_pair needs a value above 0"),
            std::string::npos);
  EXPECT_NE(refusal({.loss_type = {"apo_zero"}, .f_divergence_type = "forward_kl"})
                .find("key f_divergence_type"),
            std::string::npos);
  EXPECT_NE(refusal({.loss_type = {"sigmoid", "sft"}, .loss_weights = {1.0}})
                .find("has 1 weights for 2 losses"),
            std::string::npos);
  EXPECT_NO_THROW(check_dpo_options({}, "dpo.json"));
}

TEST(Dpo, ExplainsEveryLossThatThereIs) {
  for (const std::string& name : dpo_loss_types()) {
    const std::vector<std::string> lines =
        explain(DpoOptions{.beta = 0.25, .label_smoothing = 0.125, .loss_type = {name}});
    EXPECT_EQ(lines.size(), name == "sft" ? 2u : 3u) << name;
    EXPECT_TRUE(name == "sft" || lines[0].starts_with(name + ": ")) << lines[0];
  }
  for (const std::string& name : f_divergence_types()) {
    const std::vector<std::string> lines = explain(DpoOptions{.f_divergence_type = name});
    EXPECT_NE(lines[1].find("(" + name + ")"), std::string::npos) << lines[1];
  }
  EXPECT_EQ(explain(DpoOptions{.beta = 0.25, .loss_type = {"ipo"}})[0],
            "ipo: (f(c) / Lc - f(r) / Lr - (1 / 2b))^2  =  (f(c) / Lc - f(r) / Lr - 2)^2");
}

}  // namespace
}  // namespace guerdon::loss
