/// Private to `train`: what a reward model learns beside its objective.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guerdon/model/reward_model.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/reward.h"
#include "train/offline.h"
#include "train/reward_objective.h"

namespace guerdon::train {

class Beside {
 public:
  using Objective = std::function<void(const Batch& batch)>;
  virtual ~Beside() = default;
  virtual std::string name() const = 0;  ///< the group of its settings
  /// Takes its own rows of a step (0, 1, ...), before the objective's are taken.
  virtual void collect(int64_t step) = 0;
  /// The gradients of a step with these rows: its own, and those of the objective, which
  /// `objective` adds, for these rows or for what it makes of them (the column "counts" is how much
  /// a pair counts, 1 without). Nothing else may have changed when it returns or throws: it may be
  /// called again for the same step.
  virtual void gradients(const Batch& batch, Gradients& run, const Objective& objective) = 0;
  /// After a step that counts.
  virtual void end_step() {}
  /// Of its data, where it has some of its own.
  virtual std::string fingerprint() const { return {}; }
  virtual void parts(Parts& parts) = 0;
};

/// The batch with these numbers in the column "counts", times those that
/// are there.
Batch counted(Batch batch, const Tensor& counts);

/// What is read and loaded for it, and how.
struct BesideNeeds {
  const RewardSettings& settings;
  std::string where;
  const Words& words;
  TruncationRule cut;
  RewardObjective& objective;
  Feed* feed;  ///< of the objective's rows; none in a preview
  /// Loads a model as the one that is trained was; the seed is of a new head.
  std::function<std::shared_ptr<model::RewardModel>(const std::string& path, uint64_t seed)> load;
};

using Trained = std::shared_ptr<model::RewardModel>;  ///< the model that is trained
std::unique_ptr<Beside> make_replay(const BesideNeeds& needs, const Trained& model);
std::unique_ptr<Beside> make_meta(const BesideNeeds& needs, const Trained& model);
std::unique_ptr<Beside> make_contrastive(const BesideNeeds& needs, const Trained& model);
std::unique_ptr<Beside> make_sources(const BesideNeeds& needs, const Trained& model);
std::unique_ptr<Beside> make_peers(const BesideNeeds& needs, const Trained& model);
Section explain_replay(const ReplaySettings& settings);
Section explain_meta(const MetaSettings& settings);
Section explain_contrastive(const ContrastiveSettings& settings);
Section explain_sources(const SourceSettings& settings);
Section explain_peers(const PeerSettings& settings);

/// What the settings ask for. `needs` is read and not kept, but for its words and settings.
std::vector<std::unique_ptr<Beside>> make_besides(const BesideNeeds& needs, const Trained& model);

/// Adds its models and its files' first rows; `needs.load` gives models on the meta device.
void preview_besides(Preview& preview, const BesideNeeds& needs, const model::RewardModel& model,
                     int64_t rows);

/// Whether adding one number to every score changes what is learnt beside the objective.
bool besides_feel_shifts(const RewardSettings& settings);
Explanation explain_besides(const RewardSettings& settings);
/// Throws Error (Kind::settings).
void check_besides(const RewardSettings& settings, const std::string& where);

/// Rows of which all responses are judged, each a sequence.
FeedOptions judged_rows(const BesideNeeds& needs, const model::RewardModel& model);
/// The same, of rows with two responses or more.
FeedOptions judged_lists(const BesideNeeds& needs, const model::RewardModel& model);
/// No token is predicted, and prefixes are shared where the model can.
FeedOptions without_targets(FeedOptions options, const model::RewardModel& model);

}  // namespace guerdon::train
