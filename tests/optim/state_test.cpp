#include "guerdon/optim/state.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/optim/optimizer.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::optim {
namespace {

struct Model final : torch::nn::Module {
  Model() {
    weight = register_parameter("weight", at::arange(6, at::kFloat).view({2, 3}));
    frozen = register_parameter("frozen", at::ones({2}), /*requires_grad=*/false);
    running = register_buffer("running", at::zeros({1}));
  }
  Tensor weight, frozen, running;
};

/// One of each kind of state.
struct Thing {
  Model model, reference;
  Tensor table = at::ones({2});
  Tensor growing;
  double coefficient = 0.2;
  int64_t counter = 7;
  std::string name = "seven";
  std::map<std::string, double> baselines = {{"row-1", 0.5}};

  void parts(Parts& parts) {
    parts.module("model", model);
    parts.module("reference", reference, {.moving = true});
    parts.tensor("table", table);
    parts.tensor("growing", growing);
    parts.number("coefficient", coefficient);
    parts.integer("counter", counter);
    parts.text("name", name);
    parts.rows("baselines", baselines);
  }
  PartsOf list() {
    return [this](Parts& p) { p.nested("thing", *this); };
  }
};

State saved(Thing& thing) {
  FrozenHashes hashes;
  State state = read_state(thing.list(), hashes);
  for (auto& named : state.tensors) named.second = named.second.clone();
  return state;
}

void restore(Thing& thing, const State& state) {
  FrozenHashes hashes;
  restore_state(thing.list(), state, "step-7", hashes);
}

TEST(TrainedParameters, AreThoseThatRequireAGradientEachOnce) {
  Thing thing;
  const auto twice = [&](Parts& p) {
    p.module("a", thing.model);
    p.module("b", thing.model);
  };
  const std::vector<Trained> trained = trained_parameters(twice);
  ASSERT_EQ(trained.size(), 1u);
  EXPECT_EQ(trained[0].name, "a.weight");
}

TEST(State, ComesBackAsItWas) {
  Thing thing;
  thing.growing = at::full({3}, 2.0f);
  const State state = saved(thing);
  Thing other;
  {
    const at::NoGradGuard no_grad;
    other.model.weight.zero_();
    other.reference.frozen.zero_();
  }
  other.table.zero_();
  other.coefficient = 0;
  other.counter = 0;
  other.name.clear();
  other.baselines.clear();
  restore(other, state);
  EXPECT_TRUE(other.model.weight.equal(thing.model.weight));
  EXPECT_TRUE(other.reference.frozen.equal(thing.reference.frozen));
  EXPECT_TRUE(other.table.equal(thing.table));
  EXPECT_TRUE(other.growing.equal(thing.growing));
  EXPECT_EQ(other.coefficient, 0.2);
  EXPECT_EQ(other.counter, 7);
  EXPECT_EQ(other.name, "seven");
  EXPECT_EQ(other.baselines, thing.baselines);
}

TEST(State, EveryMissingEntryIsRefusedByName) {
  Thing thing;
  const State whole = saved(thing);
  const auto refused = [&](const State& state, const std::string& name) {
    Thing other;
    const std::string text = test::refusal(Kind::input, [&] { restore(other, state); });
    EXPECT_NE(text.find("\"" + name + "\" is missing"), std::string::npos) << text;
  };
  for (size_t i = 0; i < whole.tensors.size(); ++i) {
    State state = whole;
    state.tensors.erase(state.tensors.begin() + static_cast<int64_t>(i));
    refused(state, whole.tensors[i].first);
  }
  const auto each = [&](auto member) {
    for (const auto& entry : whole.*member) {
      State state = whole;
      (state.*member).erase(entry.first);
      refused(state, entry.first);
    }
  };
  each(&State::numbers);
  each(&State::integers);
  each(&State::texts);
  each(&State::rows);
  each(&State::frozen);
  EXPECT_EQ(whole.frozen.size(), 1u);
}

TEST(State, AnEntryThatNobodyAskedForIsRefused) {
  Thing thing;
  State state = saved(thing);
  state.integers["thing.count"] = 1;
  const std::string text = test::refusal(Kind::input, [&] { restore(thing, state); });
  EXPECT_NE(text.find("entry \"thing.count\" belongs to nothing in this run"), std::string::npos);
}

TEST(State, AnotherShapeIsRefusedAndNothingChanges) {
  Thing thing;
  State state = saved(thing);
  for (auto& [name, tensor] : state.tensors) {
    if (name == "thing.table") tensor = at::zeros({3});
  }
  state.integers["thing.counter"] = 99;
  const std::string text = test::refusal(Kind::input, [&] { restore(thing, state); });
  EXPECT_NE(text.find("tensor \"thing.table\": is Float [3], this run needs Float [2]"),
            std::string::npos)
      << text;
  EXPECT_EQ(thing.counter, 7);
}

TEST(State, AnotherFrozenModelIsRefused) {
  Thing thing;
  const State state = saved(thing);
  const at::NoGradGuard no_grad;
  thing.model.frozen.add_(1);
  const std::string text = test::refusal(Kind::input, [&] { restore(thing, state); });
  EXPECT_NE(text.find("frozen tensor \"thing.model.frozen\" has other content"), std::string::npos)
      << text;
}

TEST(State, SurvivesJsonToTheLastBit) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  State state;
  state.numbers = {
      {"a", 0.1 + 0.2}, {"b", kInfinity}, {"c", -kInfinity}, {"d", 5e-324}, {"e", 2.0}};
  state.integers = {{"i", std::numeric_limits<int64_t>::min()}};
  state.texts = {{"t", "x\n\"y\""}};
  state.rows = {{"r", {{"id", std::numeric_limits<double>::quiet_NaN()}}}};
  state.frozen = {{"f", "abc"}};
  State back;
  read_state_json(parse_json(state_json_text(state), "state.json"), "state.json", back);
  EXPECT_EQ(back.numbers, state.numbers);
  EXPECT_EQ(back.integers, state.integers);
  EXPECT_EQ(back.texts, state.texts);
  EXPECT_TRUE(std::isnan(back.rows["r"]["id"]));
  EXPECT_EQ(back.frozen, state.frozen);
}

TEST(State, MalformedJsonIsRefused) {
  for (const char* change : {"numbers", "integers", "texts", "rows", "frozen"}) {
    Json json = parse_json(state_json_text({}), "s");
    json[change]["a"] = true;
    State state;
    test::refusal(Kind::input, [&] { read_state_json(json, "s", state); });
    json.erase(change);
    test::refusal(Kind::input, [&] { read_state_json(json, "s", state); });
  }
}

TEST(TensorFile, HoldsEveryTypeBitForBit) {
  const test::TemporaryFolder folder;
  const model::NamedTensors tensors = {
      {"float", at::arange(6, at::kFloat).view({2, 3}).t()},  // not contiguous
      {"bfloat", at::arange(3, at::kBFloat16)},
      {"double", at::full({}, 0.1, at::kDouble)},
      {"long", at::arange(4, at::kLong)},
      {"bool", at::ones({2}, at::kBool)},
      {"none", at::empty({0})}};
  NewFolder made(folder.path() / "f");
  model::add_tensors(made, "t.safetensors", tensors, {{"step", "3"}});
  made.commit();
  const model::TensorFile file(folder.path() / "f" / "t.safetensors");
  for (const auto& [name, tensor] : tensors) {
    const Tensor back = file.load(name);
    EXPECT_EQ(back.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(back.equal(tensor)) << name;
  }
  EXPECT_EQ(file.metadata().at("step"), "3");
  EXPECT_NE(
      test::refusal(Kind::input, [&] { file.load("flaot"); }).find("tensor \"flaot\": is missing"),
      std::string::npos);
}

TEST(BitSum, ChangesWithTheLastBitOfOneElement) {
  Tensor t = at::rand({100});
  const int64_t before = bit_sum(t);
  t[37] = std::nextafter(t[37].item<float>(), 2.0f);
  EXPECT_NE(bit_sum(t), before);
}

}  // namespace
}  // namespace guerdon::optim
