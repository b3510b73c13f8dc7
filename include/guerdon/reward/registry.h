/// From settings to rewards: {"use": NAME, ...}. Inside the library one table
/// (src/reward/registry.cpp) lists all kinds; users and plugins add theirs with
/// GUERDON_REGISTER_REWARD.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// A reward inside another one.
struct RewardChild {
  std::string name;
  double weight = 1.0;  ///< multiplies its score; 0: scored and logged only
  std::unique_ptr<Reward> reward;
};

/// A node with its name and weight, for the makers of combinations.
RewardChild make_child(const Json& json, const std::string& where, const std::string& path);

/// One node of the settings, while a reward is made of it. Common to all kinds: `use`, `name`,
/// `weight`, `transform` and `on_error`.
class RewardNode {
 public:
  /// `where` names the file, `path` the node ("reward.of[0]"). The JSON must outlive the node.
  RewardNode(const Json& json, std::string where, std::string path);

  const std::string& use() const { return use_; }
  const std::string& where() const { return where_; }
  const std::string& path() const { return path_; }

  /// Reads the node into the kind's options (and the common settings). Every other key is refused
  /// with its path, for instance `grpo.json: key reward.of[0].wieght: no such setting (did you mean
  /// "weight"?)`.
  template <class Options>
  void read(Options& options) {
    SettingList list;
    common(list);
    describe(list, options);
    apply(list);
  }
  /// The same for a kind without options.
  void read();
  /// The rewards in "of", between `least` and `most` of them, which were made first. Call before
  /// read.
  std::vector<RewardChild> children(size_t least, size_t most);

  /// Refuses the node: "WHERE: key PATH.KEY: WHAT"; the key may be "".
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const;

 private:
  friend RewardChild make_child(const Json& json, const std::string& where,
                                const std::string& path);
  void common(SettingList& list);
  void apply(const SettingList& list);

  const Json& json_;
  std::string where_, path_, use_, name_;
  double weight_ = 1.0;
  JsonSetting transform_, on_error_, of_;
  bool with_children_ = false, was_read_ = false;
};

/// A kind of reward: what "use" may say.
struct RewardKind {
  std::string name, help;
  std::function<std::unique_ptr<Reward>(RewardNode&)> make;
  std::function<SettingList()> settings = [] { return SettingList(); };  ///< for the tables of help
};

/// A kind whose reward is made of its `Options` (with a describe() beside it), or of nothing when
/// it has none.
template <class Kind>
RewardKind reward_kind(const std::string& name, const std::string& help) {
  if constexpr (requires { typename Kind::Options; }) {
    return {name, help,
            [](RewardNode& node) -> std::unique_ptr<Reward> {
              typename Kind::Options options;
              node.read(options);
              return std::make_unique<Kind>(options);
            },
            [] {
              static typename Kind::Options defaults;
              return settings_of(defaults);
            }};
  } else {
    return {name, help, [](RewardNode& node) -> std::unique_ptr<Reward> {
              node.read();
              return std::make_unique<Kind>();
            }};
  }
}

/// The reward that a node describes. A failure inside it is dealt with as its `on_error` says:
/// "fail" (default: Error, Kind::stopped), "none" (the row has no score, verdict `failed` or
/// `timed_out`), or a number that stands in for the score. More than 20 % failures over the last
/// three steps stop the run under every policy. Components of the result are the children of the
/// outermost node, and theirs as "child/grandchild". Throws Error (Kind::settings).
std::unique_ptr<Reward> make_reward(const Json& node, const std::string& where,
                                    const std::string& path = "reward");

/// All kinds, by name.
std::vector<const RewardKind*> reward_kinds();

/// Adds a kind. A name that is taken makes every later make_reward of that name an error.
void register_reward(RewardKind kind);

/// Number of the interface between guerdon and its plugins: raised whenever Reward, Rollout or what
/// they hold changes.
#define GUERDON_PLUGIN_ABI 1

namespace detail {
struct RewardRegistration {
  template <class Kind>
  static RewardRegistration of(const char* name, const char* help) {
    register_reward(reward_kind<Kind>(name, help));
    return {};
  }
};
}  // namespace detail

#define GUERDON_TEXT_OF_(x) #x
#define GUERDON_TEXT_OF(x) GUERDON_TEXT_OF_(x)
/// At namespace scope: makes class `Kind` available as {"use": name}. In a shared library it also
/// writes the interface's number, which guerdon reads from the file before it runs any of its code.
#define GUERDON_REGISTER_REWARD(name, Kind)                                          \
  namespace {                                                                        \
  [[gnu::used]] const char guerdon_abi_of_##Kind[] =                                 \
      "guerdon-plugin-abi:" GUERDON_TEXT_OF(GUERDON_PLUGIN_ABI) ";";                 \
  [[maybe_unused]] const auto guerdon_registration_of_##Kind =                       \
      ::guerdon::detail::RewardRegistration::of<Kind>(name, "registered by " #Kind); \
  }                                                                                  \
  static_assert(true, "")

/// Opens a shared library, whose registrations then stand in the table. Its interface number is
/// read from the file first: another one, or none, is Error (Kind::input), and none of its code has
/// run.
void load_plugin(const std::string& file);

}  // namespace guerdon
