#include "train/reward_beside.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"

namespace guerdon::train {
namespace {

using data::DatasetType;

/// Settings of a group that is off are a mistake.
template <class Group>
void check_off(Group given, const std::string& name, const std::string& switch_,
               const std::string& where) {
  Group defaults;
  const SettingList list = settings_of(given), usual = settings_of(defaults);
  for (size_t i = 0; i < list.all().size(); ++i) {
    if (setting_value(list.all()[i]) != setting_value(usual.all()[i]))
      fail_settings(where, guerdon::str("key ", name, ".", list.all()[i].path,
                                        ": does nothing without ", name, ".", switch_));
  }
}

FeedOptions judged(const BesideNeeds& needs, const model::RewardModel& model,
                   std::vector<DatasetType> types, const std::string& needed) {
  return without_targets(
      {.types = std::move(types),
       .needed = needed,
       .encode =
           [&words = needs.words, cut = needs.cut](const Example& example, EncodedRow& row) {
             data::Cut worst = data::Cut::whole;
             for (size_t i = 0; i < example.responses.size(); ++i) {
               row.sequences.push_back(words.encoder().judged(example, i));
               const data::Cut what = cut(row.sequences.back());
               if (!data::is_kept(what)) return what;  // a row is used whole, or not
               if (what == data::Cut::cut) worst = what;
             }
             return worst;
           }},
      model);
}

bool replays(const RewardSettings& s) { return !s.replay.rows.data.empty(); }
bool looks_ahead(const RewardSettings& s) { return !s.meta.rows.data.empty(); }
bool contrasts(const RewardSettings& s) { return s.contrastive.weight > 0.0; }
bool weighs_sources(const RewardSettings& s) { return s.sources.weighting != "uniform"; }
bool has_a_peer(const RewardSettings& s) { return !s.peer.model_name_or_path.empty(); }

void refuse_without_pairs(const RewardSettings& s, const std::string& key,
                          const std::string& where) {
  const std::vector<std::string>& pairs = loss::pair_loss_types();
  if (std::find(pairs.begin(), pairs.end(), s.loss_type) == pairs.end())
    fail_settings(where, "key " + key + ": is of pairs, and loss_type is " + show(s.loss_type));
}

}  // namespace

FeedOptions judged_rows(const BesideNeeds& needs, const model::RewardModel& model) {
  return judged(needs, model,
                {DatasetType::preference, DatasetType::ranked, DatasetType::candidates,
                 DatasetType::prompt_completion, DatasetType::unpaired_preference,
                 DatasetType::language_modeling, DatasetType::scored},
                "responses or texts are");
}

FeedOptions judged_lists(const BesideNeeds& needs, const model::RewardModel& model) {
  return judged(needs, model,
                {DatasetType::candidates, DatasetType::ranked, DatasetType::preference},
                "prompts with several responses are");
}

FeedOptions without_targets(FeedOptions options, const model::RewardModel& model) {
  options.encode = [encode = options.encode](const Example& example, EncodedRow& row) {
    const data::Cut what = encode(example, row);
    for (data::EncodedSequence& sequence : row.sequences) sequence.trained.clear();
    return what;
  };
  options.share_prefixes = model.body().shares_prefixes();
  return options;
}

std::vector<std::unique_ptr<Beside>> make_besides(const BesideNeeds& needs, const Trained& model) {
  std::vector<std::unique_ptr<Beside>> out;
  // The first is the innermost: what the objective is taken at, before others add to it.
  if (looks_ahead(needs.settings)) out.push_back(make_meta(needs, model));
  if (contrasts(needs.settings)) out.push_back(make_contrastive(needs, model));
  if (replays(needs.settings)) out.push_back(make_replay(needs, model));
  if (weighs_sources(needs.settings)) out.push_back(make_sources(needs, model));
  if (has_a_peer(needs.settings)) out.push_back(make_peers(needs, model));
  return out;
}

void preview_besides(Preview& preview, const BesideNeeds& needs, const model::RewardModel& model,
                     int64_t rows) {
  const RewardSettings& s = needs.settings;
  const auto add_files = [&](const std::string& name, const SideRows& side,
                             const FeedOptions& options) {
    for (PreviewFile& file :
         preview_files(side_settings(s.train, side), needs.where, options, rows)) {
      file.set = name;
      preview.files.push_back(std::move(file));
    }
  };
  const auto add_model = [&](const std::string& role, const std::string& path, bool trained) {
    const std::shared_ptr<model::RewardModel> other = needs.load(path, 0);
    if (!trained)
      for (Tensor& parameter : other->parameters()) parameter.requires_grad_(false);
    if (trained) add_lora(other->body(), s.lora, 0);
    preview.models.push_back({.role = role,
                              .folder = model::model_folder(path),
                              .module = other,
                              .body = &other->body()});
  };
  if (looks_ahead(s)) add_files("meta", s.meta.rows, judged_lists(needs, model));
  if (has_a_peer(s)) add_model("peer", s.peer.model_name_or_path, true);
  if (!replays(s)) return;
  add_files("replay", s.replay.rows, judged_rows(needs, model));
  add_model("replay.start", s.train.model_name_or_path, false);
}

Batch counted(Batch batch, const Tensor& counts) {
  Tensor& column = batch.columns["counts"];
  column = column.defined() ? column * counts : counts;
  return batch;
}

bool besides_feel_shifts(const RewardSettings& s) { return replays(s); }

void check_besides(const RewardSettings& s, const std::string& where) {
  if (!replays(s)) check_off(s.replay, "replay", "data", where);
  if (!looks_ahead(s)) check_off(s.meta, "meta", "data", where);
  if (!contrasts(s)) check_off(s.contrastive, "contrastive", "weight", where);
  if (!weighs_sources(s)) check_off(s.sources, "sources", "weighting", where);
  if (!has_a_peer(s)) check_off(s.peer, "peer", "model_name_or_path", where);
  if (contrasts(s) && s.contrastive.views == "differences")
    refuse_without_pairs(s, "contrastive.views", where);
  if (weighs_sources(s)) {
    refuse_without_pairs(s, "sources.weighting", where);
    if (s.train.data.train.size() < 2)
      fail_settings(where,
                    "key sources.weighting: weighs files of pairs, and data.train names one");
  }
  const char* moves = contrasts(s) ? "contrastive.weight" : has_a_peer(s) ? "peer" : nullptr;
  if (s.freeze_body && moves != nullptr)
    fail_settings(where, guerdon::str("key freeze_body: ", moves, " trains bodies"));
  if (has_a_peer(s)) {
    refuse_without_pairs(s, "peer.model_name_or_path", where);
    if (s.loss.dynamic_label_rate > 0.0)
      fail_settings(where,
                    "key dynamic_label_rate: a label can follow one model, and there are two "
                    "(peer.model_name_or_path)");
  }
}

Explanation explain_besides(const RewardSettings& s) {
  Explanation out;
  if (looks_ahead(s)) out.push_back(explain_meta(s.meta));
  if (contrasts(s)) out.push_back(explain_contrastive(s.contrastive));
  if (replays(s)) out.push_back(explain_replay(s.replay));
  if (weighs_sources(s)) out.push_back(explain_sources(s.sources));
  if (has_a_peer(s)) out.push_back(explain_peers(s.peer));
  return out;
}

}  // namespace guerdon::train
