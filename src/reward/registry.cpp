#include "guerdon/reward/registry.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/reward/combine.h"
#include "guerdon/reward/exec.h"
#include "guerdon/reward/goal.h"
#include "guerdon/reward/judge.h"
#include "guerdon/reward/model_reward.h"
#include "guerdon/reward/route.h"
#include "guerdon/reward/rule_rewards.h"
#include "guerdon/reward/vector_rewards.h"
#include "judged.h"

namespace guerdon {
namespace {

RewardKind combination(const std::string& name, const std::string& help, Combination how) {
  return {name, help, [how](RewardNode& node) -> std::unique_ptr<Reward> {
            std::vector<RewardChild> children = node.children(1, 64);
            node.read();
            return std::make_unique<Combined>(how, std::move(children));
          }};
}

// A reward with options around `least` to `most` others.
template <class Kind>
RewardKind around(const std::string& name, const std::string& help, size_t least, size_t most) {
  return {name, help,
          [least, most](RewardNode& node) -> std::unique_ptr<Reward> {
            std::vector<RewardChild> children = node.children(least, most);
            typename Kind::Options options;
            node.read(options);
            return std::make_unique<Kind>(options, std::move(children));
          },
          [] {
            static typename Kind::Options defaults;
            return settings_of(defaults);
          }};
}

struct PluginOptions {
  std::string file, reward;
  JsonSetting options;
};

void describe(SettingList& field, PluginOptions& o) {
  field("path", o.file, "The shared library");
  field("reward", o.reward, "Name that it registers");
  field("options", o.options, "Settings of that reward");
}

std::unique_ptr<Reward> make_plugin(RewardNode& node);

// Every reward of the library.
std::vector<RewardKind> built_in() {
  return {
      combination("sum", "Sum of weight x score over the rewards in \"of\"", Combination::sum),
      combination("mean", "The sum divided by the weights", Combination::mean),
      combination("product", "Product of weight x score", Combination::product),
      combination("min", "The smallest weight x score", Combination::min),
      combination("max", "The largest weight x score", Combination::max),
      combination("first", "weight x score of the first reward that has an opinion",
                  Combination::first),
      around<Gate>("gate", "The second reward of \"of\" where the first is at least the threshold",
                   2, 2),
      around<CosineScaled>("cosine_scaled",
                           "Scales a right-or-wrong reward by the length of the response", 1, 1),
      around<LengthInGroup>("length_in_group",
                            "How long a response is beside its siblings; \"of\" tells right from "
                            "wrong",
                            1, 1),
      around<Difficulty>("difficulty",
                         "Weighs the advantage by the distance to a demonstration (DR-IRL)", 1, 1),
      around<Goal>("goal", "The sum of rewards that point the way of a goal", 2, 64),
      around<Constrained>("constrained",
                          "The first reward, less the others as far as they are above their rates",
                          2, 64),
      around<Route>("route", "The reward whose name the row says: one for each category", 1, 64),
      around<Ensemble>("ensemble",
                       "Several judges of the same thing as one, and how far they differ", 1, 64),
      reward_kind<Accuracy>("accuracy", "1 when the answer equals the one in the data"),
      reward_kind<Brevity>("brevity", "1 up to a number of characters, then falling to 0"),
      reward_kind<Exec>("exec", "A program that speaks JSON lines"),
      reward_kind<FeatureReward>("features", "The score of a model of vectors (train features)"),
      reward_kind<Judge>("judge", "A language model that is asked which response is better"),
      reward_kind<Length>("length", "Number of tokens"),
      reward_kind<ModelReward>("model", "The score of a trained reward model"),
      reward_kind<RepetitionPenalty>("repetition_penalty",
                                     "Penalty for repeated n-grams of tokens"),
      reward_kind<Similarity>("similarity", "How alike response and answer are, as vectors"),
      reward_kind<SoftOverlong>("soft_overlong_punishment",
                                "Penalty for responses near the length limit"),
      reward_kind<ThinkFormat>("think_format",
                               "1 when the response begins with one <think>...</think>"),
      reward_kind<Truth>("truth", "The known reward of guerdon's synthetic data"),
      reward_kind<VerdictReward>("verdict", "Whether a judge's reply says what is known"),
      {"plugin", "A reward from a shared library", make_plugin,
       [] {
         static PluginOptions defaults;
         return settings_of(defaults);
       }},
  };
}

struct Registry {
  std::map<std::string, RewardKind> kinds;
  std::set<std::string> taken_twice;

  void add(RewardKind kind) {
    const std::string name = kind.name;
    if (!kinds.emplace(name, std::move(kind)).second) taken_twice.insert(name);
  }
  static Registry& get() {
    static Registry registry = [] {
      Registry r;
      for (RewardKind& kind : built_in()) r.add(std::move(kind));
      return r;
    }();
    return registry;
  }
};

OnError on_error_of(const JsonSetting& setting, OnError::Way otherwise, const RewardNode& node) {
  if (setting.text.empty()) return {.way = otherwise};
  const Json value = Json::parse(setting.text);
  if (value == "fail") return {};
  if (value == "none") return {.way = OnError::Way::none};
  if (!value.is_number())
    node.refuse("on_error",
                "must be \"fail\", \"none\" or a number, got " + value.dump().substr(0, 80));
  const auto number = value.get<double>();
  if (!std::isfinite(static_cast<float>(number))) node.refuse("on_error", "is too large");
  return {.way = OnError::Way::number, .number = number};
}

std::unique_ptr<Reward> make_of_kind(RewardNode& node) {
  const Registry& registry = Registry::get();
  const auto kind = registry.kinds.find(node.use());
  if (kind == registry.kinds.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : registry.kinds) names.push_back(name);
    node.refuse("use", "there is no reward " + show(node.use()) + did_you_mean(node.use(), names) +
                           "; `guerdon rewards` lists them");
  }
  if (registry.taken_twice.contains(node.use()))
    node.refuse("use", "two rewards are registered as " + show(node.use()));
  return kind->second.make(node);
}

std::unique_ptr<Reward> make_plugin(RewardNode& node) {
  PluginOptions options;
  node.read(options);
  if (options.file.empty()) node.refuse("path", "must name the shared library");
  load_plugin(options.file);
  Json inner = options.options.text.empty() ? Json::object() : Json::parse(options.options.text);
  if (!inner.is_object()) node.refuse("options", "must be an object");
  if (options.reward == "plugin") node.refuse("reward", "a plugin inside a plugin");
  inner["use"] = options.reward;
  RewardNode inside(inner, node.where(), node.path() + ".options");
  return make_of_kind(inside);
}

}  // namespace

RewardNode::RewardNode(const Json& json, std::string where, std::string path)
    : json_(json), where_(std::move(where)), path_(std::move(path)) {
  if (!json.is_object() || !json.contains("use") || !json["use"].is_string()) {
    refuse("", "must be {\"use\": NAME, ...}, got " +
                   json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80));
  }
  use_ = json["use"];
  name_ = use_;
}

void RewardNode::refuse(const std::string& key, const std::string& what) const {
  fail_settings(where_, "key " + path_ + (key.empty() ? "" : "." + key) + ": " + what);
}

void RewardNode::common(SettingList& list) {
  list("use", use_, "Kind of the reward");
  list("name", name_, "Its name in logs and tables");
  list("weight", weight_, "Multiplies its score inside a combination; 0 only logs it");
  list("transform", transform_, "What is done to its scores");
  list("on_error", on_error_,
       "A row that fails: \"fail\" stops, \"none\" leaves it out, a number stands in");
  if (with_children_) list("of", of_, "The rewards inside");
}

void RewardNode::apply(const SettingList& list) {
  apply_settings(list, json_, where_, path_ + ".");
  if (!std::isfinite(weight_)) refuse("weight", "must be finite");
  if (name_.empty() || name_.find('/') != std::string::npos)
    refuse("name", "must not be empty or hold a slash, got " + show(name_));
  was_read_ = true;
}

void RewardNode::read() {
  SettingList list;
  common(list);
  apply(list);
}

std::vector<RewardChild> RewardNode::children(size_t least, size_t most) {
  with_children_ = true;
  const auto of = json_.find("of");
  const size_t count = of != json_.end() && of->is_array() ? of->size() : 0;
  if (count < least || count > most) {
    refuse("of", str("must be a list of ", least == most ? str(least) : str("at least ", least),
                     " reward", least == 1 ? "" : "s"));
  }
  std::vector<RewardChild> children;
  for (size_t i = 0; i < count; ++i) {
    const std::string path = str(path_, ".of[", i, "]");
    children.push_back(make_child((*of)[i], where_, path));
    for (size_t k = 0; k < i; ++k) {
      if (children[k].name == children[i].name) {
        fail_settings(where_, "key " + path + ".name: two rewards are named " +
                                  show(children[i].name) + "; give one of them another name");
      }
    }
  }
  return children;
}

RewardChild make_child(const Json& json, const std::string& where, const std::string& path) {
  RewardNode node(json, where, path);
  std::unique_ptr<Reward> inner = make_of_kind(node);
  GUERDON_CHECK(node.was_read_, "reward ", node.use(), " did not read its settings");
  const Json transforms = node.transform_.text.empty() ? Json() : Json::parse(node.transform_.text);
  return {.name = node.name_,
          .weight = node.weight_,
          .reward = std::make_unique<Judged>(
              node.name_, where + ": key " + path, std::move(inner),
              make_transforms(transforms, where, path + ".transform"),
              on_error_of(node.on_error_,
                          node.with_children_ ? OnError::Way::pass : OnError::Way::fail, node))};
}

std::unique_ptr<Reward> make_reward(const Json& json, const std::string& where,
                                    const std::string& path) {
  RewardChild root = make_child(json, where, path);
  // A single reward is a sum of one, so that every result has named components. So is one that
  // makes something else of its children.
  static const std::set<std::string> kCombinations = {"sum", "mean",  "product", "min",
                                                      "max", "first", "gate"};
  const bool combines = root.weight == 1.0 && kCombinations.contains(json["use"]);
  if (combines) return std::move(root.reward);
  std::vector<RewardChild> one;
  one.push_back(std::move(root));
  return std::make_unique<Combined>(Combination::sum, std::move(one));
}

std::vector<const RewardKind*> reward_kinds() {
  std::vector<const RewardKind*> out;
  for (const auto& [name, kind] : Registry::get().kinds) out.push_back(&kind);
  return out;
}

void register_reward(RewardKind kind) { Registry::get().add(std::move(kind)); }

}  // namespace guerdon
