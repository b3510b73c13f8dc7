/// What a run would hold and read, found out in a second or two: its models by their shapes (no
/// weight is read), its first rows through the encoder, the truncation rule and the packer. For
/// `guerdon plan` and --dry-run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/formats.h"
#include "guerdon/data/truncation.h"
#include "guerdon/model/memory.h"
#include "guerdon/train/feed.h"
#include "guerdon/train/models.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

struct PreviewOptions {
  int64_t rows = 100;          ///< of each file
  bool build_rewards = false;  ///< make the rewards too (which loads the models of those that have
                               ///< one), and drop them
};

struct PreviewModel {
  std::string role;              ///< "policy", "reference", "reward.of[0]"
  std::filesystem::path folder;  ///< of its files, whose headers were compared with config.json; ""
                                 ///< for a model that begins with nothing
  std::shared_ptr<torch::nn::Module> module;  ///< on the meta device, frozen as the run would
  const model::Backbone* body = nullptr;      ///< inside it; none in a model of stored vectors
  bool judges = false;                        ///< a reward that scores completions
  int64_t judge_tokens = 0;                   ///< of its passes
};

/// A file's first rows.
struct PreviewFile {
  std::string set;  ///< "train", or the name of an evaluation set
  std::string file;
  std::string form;                     ///< "preference: prompt, chosen, rejected"
  int64_t rows = 0;                     ///< that were read
  bool whole = false;                   ///< the file has no more of them
  data::TruncationCounts counts;        ///< what became of them
  std::vector<model::PassSize> groups;  ///< used rows, each packed alone (a pair, a prompt with all
                                        ///< its completions)
};

/// What an online method generates in one collect.
struct PreviewGeneration {
  int64_t prompts = 0, completions = 0;  ///< completions of each prompt
  int64_t slots = 0, max_completion_length = 0;
  std::vector<int64_t> prompt_tokens;  ///< of the rows that were read
  bool reference_pass = false;         ///< log-probs of all targets are made before the updates
};

struct Preview {
  std::string unit;                  ///< what per_device_train_batch_size counts: "pairs"
  int64_t rows_in_group = 1;         ///< of that unit
  std::vector<PreviewModel> models;  ///< in the order of their loading; the first one is trained
  std::vector<PreviewFile> files;
  std::optional<PreviewGeneration> generation;
  bool body_is_frozen = false;        ///< only a head is trained, on states that are kept
  bool log_probs = true;              ///< through the LM head; false: a scalar head
  bool reference_in_forward = false;  ///< the reference runs while the policy's graph is kept
  bool saved_is_opened = false;       ///< saving opens a second copy of the model and compares
};

/// The first rows of one file, as the settings read them.
struct FirstRows {
  std::vector<Example> examples;
  data::DatasetType type;
  std::string form;
  bool whole = false;
};
FirstRows first_rows(const std::string& file, const DataSettings& settings, int64_t count);

/// The first `count` rows of every training and evaluation file through the encoder and the packer.
/// Throws Error: Kind::input for the files, also when none of the rows of a whole file is left.
std::vector<PreviewFile> preview_files(const TrainSettings& settings, const std::string& where,
                                       const FeedOptions& options, int64_t count);

/// A model of the preview. `trained` false: all is frozen.
PreviewModel preview_decoder(const std::string& role, const std::string& path,
                             const TrainSettings& settings, bool trained);

/// Adds the adapter that the run would train.
void preview_lora(PreviewModel& model, const LoraSettings& settings);

}  // namespace guerdon::train
