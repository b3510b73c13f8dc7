// A reward in a shared library, as a user would write it.
#include "guerdon/reward/registry.h"

namespace sample {

struct Doubled final : guerdon::Reward {
  struct Options {
    double times = 2.0;
  };
  explicit Doubled(const Options& options) : options(options) {}
  guerdon::Scores score(const guerdon::RewardBatch& batch) override {
    return score_each(batch, [&](const guerdon::Rollout& r) {
      return std::optional(static_cast<float>(options.times * static_cast<double>(r.text.size())));
    });
  }
  Options options;
};
void describe(guerdon::SettingList& field, Doubled::Options& o) {
  field("times", o.times, "Score of a character");
}
GUERDON_REGISTER_REWARD("doubled", Doubled);

}  // namespace sample
