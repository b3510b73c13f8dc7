/// The rows of an offline method: encoded, cut, in the order of their epoch; and its evaluation
/// sets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guerdon/data/encode.h"
#include "guerdon/data/sampler.h"
#include "guerdon/data/source.h"
#include "guerdon/data/truncation.h"
#include "guerdon/loss/row_field.h"
#include "guerdon/model/batch.h"
#include "guerdon/optim/parts.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

/// A row ready for the packer: one sequence, the chosen and the rejected one, or a list.
struct EncodedRow {
  std::string id;
  std::vector<data::EncodedSequence> sequences;
  std::vector<double> numbers;  ///< of FeedOptions::fields
  std::vector<double> values;   ///< of the sequences, where FeedOptions::has_values
};

/// Turns an example into the sequences of `row` and cuts them; what the cut says decides whether
/// the row is used. Called from several threads.
using EncodeRow = std::function<data::Cut(const Example& example, EncodedRow& row)>;

/// What a method accepts, and how it is packed.
struct FeedOptions {
  std::vector<data::DatasetType> types;
  std::string needed;  ///< "preference pairs are": ends the refusal of other data
  EncodeRow encode;
  bool share_prefixes = true;               ///< false for encoders
  std::vector<loss::RowField> fields = {};  ///< what the loss reads of a row, beside its texts
  bool has_values = false;                  ///< `encode` gives each sequence a value
  /// Rows of one sequence with the value 1 (passed) or 0 (failed) are put together in pairs, the
  /// better first, of rows of a kind (data.category, or all): so many ties for each win.
  std::optional<double> ties_across = std::nullopt;
  /// Above 0: an epoch goes from easy rows to hard ones in so many buckets, once easy_first() has
  /// said which are easy.
  int64_t ease_buckets = 0;
};

/// How files are read under these settings.
data::DataSource::Options source_options(const DataSettings& settings);

/// `NAME.data` and `NAME.batch_size`: rows beside those that are learnt from, for a term of their
/// own.
struct SideRows {
  std::vector<std::string> data;  ///< files
  int64_t batch_size = 1;         ///< rows in each optimizer step
};
void describe(SettingList& field, SideRows& rows);

/// The settings of a feed of such rows in a run with these settings: its files and its size of a
/// step, the run's way of reading and its seed, no evaluation sets.
TrainSettings side_settings(const TrainSettings& settings, const SideRows& rows);

/// The order of training rows under these settings.
data::SamplerOptions sampler_options(const TrainSettings& settings);

/// The evaluation sets that data.eval names, with their files. Throws Error (Kind::settings).
std::vector<std::pair<std::string, std::vector<std::string>>> evaluation_files(
    const DataSettings& settings, const std::string& where);

/// The sequences of a row as the packer takes them.
std::vector<Sequence> sequences_of(EncodedRow row);

/// An example as the method takes it; what the cut says decides whether it is used. Throws Error
/// (Kind::input) at the row.
data::Cut encode_row(const Example& example, const FeedOptions& options, EncodedRow& row);

/// The files of `data.train` and `data.eval`. Opening encodes every row once (on all threads) to
/// see which are used: as in TRL, rows that the truncation rule drops are no part of an epoch. Rows
/// are encoded again when they are used, so memory does not grow with the tokens.
class Feed {
 public:
  /// `where` names the settings in errors. Throws Error: Kind::input for the files, Kind::settings
  /// for data.eval.
  Feed(const TrainSettings& settings, const std::string& where, FeedOptions options);
  ~Feed();

  /// The next rows of the epoch, at most those of one optimizer step. Columns: "index", which
  /// counts all used training rows, "source", the file's number, FeedOptions::fields, and "value"
  /// where sequences have one. Rows are groups, even of one sequence; so are pairs of rows.
  Batch next();
  int64_t steps_per_epoch() const;
  /// The epoch that the next rows are of, counted from 0, and how many of it are gone.
  int64_t epoch() const { return sampler_->epoch(); }
  int64_t position() const { return sampler_->position(); }
  int64_t rows() const;  ///< used training rows
  /// How easy each used training row is, by its "index"; with FeedOptions::ease_buckets.
  void easy_first(const std::vector<double>& ease);
  std::vector<std::string> evaluation_sets() const;
  /// Rows of an evaluation set, `per_device_eval_batch_size` each; "index" counts within the set.
  std::optional<Batch> evaluation(const std::string& set, int64_t index) const;
  /// All training rows ("") or all rows of an evaluation set, in file order, by batches.
  std::optional<Batch> in_order(const std::string& set, int64_t index) const;

  /// Of the training files and of all that decides what their rows mean.
  std::string fingerprint() const;
  /// The same of an evaluation set.
  std::string fingerprint(const std::string& set) const;
  /// Lists the place in the data.
  void parts(PlainParts& parts);

 private:
  struct Set;
  enum class Use { training, evaluation };
  std::unique_ptr<Set> open(const std::vector<std::string>& files, Use use) const;
  EncodedRow row(const Set& set, const data::Place& place) const;
  Batch batch(const Set& set, const std::vector<data::Group>& groups) const;

  TrainSettings settings_;
  FeedOptions options_;
  std::unique_ptr<Set> train_;
  std::vector<std::pair<std::string, std::unique_ptr<Set>>> evaluation_;
  std::shared_ptr<data::EasyFirst> easy_first_;  // the training rows' order, where it is one
  std::optional<data::Sampler> sampler_;
};

}  // namespace guerdon::train
