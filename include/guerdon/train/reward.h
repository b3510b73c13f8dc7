/// Reward models from preference pairs, ranked lists, or ratings.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/loss/listwise.h"
#include "guerdon/loss/rating.h"
#include "guerdon/loss/reward_model.h"
#include "guerdon/model/readout.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/feed.h"
#include "guerdon/train/lookahead.h"
#include "guerdon/train/models.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/run_folder.h"

namespace guerdon::train {

/// `replay`: rows whose scores are held where they began, while the model learns something else
/// (ReMoDetect, arXiv:2405.17382).
struct ReplaySettings {
  SideRows rows;
  double weight = 0.01;  ///< of the sum of squares over the rows' responses
};
void describe(SettingList& field, ReplaySettings& settings);

/// `meta`: responses of a policy that is being trained, which the model is to go on telling apart
/// (MetaRM, arXiv:2405.00438). Its steps are not confirmed to be the paper's.
struct MetaSettings {
  SideRows rows;
  LookaheadOptions lookahead;
};
void describe(SettingList& field, MetaSettings& settings);

/// `contrastive`: the hidden states that the head reads, of the step's own rows, each near itself
/// and far from others (Secrets of RLHF II, arXiv:2401.06080). The two views of a state are made by
/// dropout of the state; the paper's, by dropout throughout the model.
struct ContrastiveSettings {
  double weight = 0.0;              ///< 0: off; theirs 1 for simcse, 0.1 and 0.5 for swav
  std::string form = "simcse";      ///< or "swav"
  std::string views = "responses";  ///< or "differences", both ways round, of a pair's two states
  double temperature = 0.05;
  double dropout = 0.05;
  int64_t prototypes = 50;  ///< of swav; theirs 20 for differences
};
void describe(SettingList& field, ContrastiveSettings& settings);

/// `sources`: how the files of data.train are weighed against each other (MORE, arXiv:2312.07401).
struct SourceSettings {
  std::string weighting = "uniform";  ///< or "least_norm"
  double momentum = 0.99;             ///< share of the step's own gradient
  bool of_length_one = true;
};
void describe(SettingList& field, SourceSettings& settings);

/// `peer`: a second model that says which pairs the first may learn from, and the first to it
/// (Collaborative Reward Modeling, arXiv:2505.10597; how much is kept when is not confirmed).
struct PeerSettings {
  std::string model_name_or_path;  ///< "": off
  double noise = 0.2;              ///< share of wrong labels that is assumed
  double warmup = 0.3;             ///< share of all steps until that many are left out
  /// Above 0: from the second epoch on pairs come from easy to hard, by the two models' mean margin
  /// when the epoch begins, in so many buckets.
  int64_t buckets = 0;
};
void describe(SettingList& field, PeerSettings& settings);
/// `ensemble`: several members on one body.
struct EnsembleSettings {
  int64_t members = 1;
  double row_share = 1.0;
  model::MemberOptions combination;
};
void describe(SettingList& field, EnsembleSettings& settings);

/// TRL's RewardConfig, and more. `loss_type` says what is learnt from: pairs
/// (loss::pair_loss_types), lists (loss::list_loss_types), ratings (loss::rating_loss_types), or
/// the steps of solutions ("stepwise").
struct RewardSettings {
  TrainSettings train{.learning_rate = 1e-4};
  LoraSettings lora;
  std::optional<int64_t> max_length = 1024;
  std::string truncation_mode = "filter";
  std::string loss_type = "bradley_terry";
  loss::PairOptions loss;
  /// Of what pairs are made: "given" by the rows; or "across_prompts", of single responses that
  /// passed and failed, of one data.category (SoliReward, arXiv:2512.22170).
  std::string pairing = "given";
  double pairing_ties = 0.0;  ///< across prompts: pairs of two that passed, for each other pair
  loss::ListOptions list;
  loss::RatingOptions rating;
  std::vector<std::string> attributes;  ///< of ratings: the fields that are learnt
  std::vector<double> score_weights;    ///< of the attributes in the score; empty: equal ones
  ReplaySettings replay;
  MetaSettings meta;
  ContrastiveSettings contrastive;
  SourceSettings sources;
  PeerSettings peer;
  std::string uncertainty = "none";  ///< of pairs' scores: "none", "scaled" or "sampled"
  EnsembleSettings ensemble;
  bool new_head = false;
  std::vector<std::string> contrast;  ///< two texts whose logits' difference a new head begins as
  std::string question;  ///< asked about each response; "": the model's own, or nothing
  std::string step_separator = "\n";   ///< stepwise: what divides steps, kept with the model
  std::string step_reduction = "min";  ///< and how their scores become one
  std::string pooling;
  bool freeze_body = false;
  std::string chat_template_path;
};
void describe(SettingList& field, RewardSettings& settings);

/// Formula, signs and denominators under these settings; what cannot be meant together is refused.
Explanation explanation_of(const RewardSettings& settings, const std::string& where);
/// Models by their shapes, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const RewardSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_reward(const RewardSettings& settings, const std::string& where,
                                       RunFolder& run);

}  // namespace guerdon::train
