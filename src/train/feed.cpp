#include "guerdon/train/feed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/threads.h"

namespace guerdon::train {

struct Feed::Set {
  std::vector<data::DataSource> sources;
  std::vector<std::vector<int64_t>> used;  // of each source: the rows that the cut leaves
  std::vector<int64_t> first_index;        // of each source: its first row's "index"

  int64_t size() const { return first_index.back() + static_cast<int64_t>(used.back().size()); }
  data::Place place(int64_t index) const {
    const auto after = std::upper_bound(first_index.begin(), first_index.end(), index);
    const int64_t source = std::distance(first_index.begin(), after) - 1;
    return {source, index - first_index[static_cast<size_t>(source)]};
  }
  int64_t index(const data::Place& place) const {
    return first_index[static_cast<size_t>(place.source)] + place.row;
  }
};

namespace {

/// The number that a row has for a field. Throws Error (Kind::input) at the row.
double number_of(const Fields& row, const loss::RowField& field) {
  const std::string& where = row.where();
  if (!row.has(field.name)) {
    if (!field.needed) return field.missing;
    fail_input(where, "field " + show(field.name) + " is missing",
               "data.columns=[\"" + field.name + "=NAME\"] reads it from another column");
  }
  const Json& value = row.json().at(field.name);
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  const double number = row.number(field.name);
  const auto refuse = [&](const std::string& range) {
    fail_input(where, str("field ", show(field.name), " must be ", range, ", got ", number));
  };
  const Allowed& a = field.allowed;
  if (number < a.min) refuse(str("at least ", a.min));
  if (number > a.max) refuse(str("at most ", a.max));
  if (number <= a.above) refuse(str("greater than ", a.above));
  if (number >= a.below) refuse(str("less than ", a.below));
  return number;
}

/// Rows of a source that are used after the cut, which is told to the log.
std::vector<int64_t> used_rows(const data::DataSource& source, const FeedOptions& options) {
  std::vector<data::Cut> cuts(static_cast<size_t>(source.size()));
  parallel_for(source.size(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      EncodedRow encoded;
      cuts[static_cast<size_t>(row)] = encode_row(source.at(row), options, encoded);
    }
  });
  std::vector<int64_t> used;
  data::TruncationCounts counts;
  for (size_t row = 0; row < cuts.size(); ++row) {
    counts.add(cuts[row]);
    if (data::is_kept(cuts[row])) used.push_back(static_cast<int64_t>(row));
  }
  std::string told;
  for (const auto& [name, count] : counts.by_name()) {
    if (count > 0) told += str(told.empty() ? "" : ", ", count, " ", name);
  }
  log::info(str(source.file().string(), ": ", used.size(), " of ", source.size(), " rows are used",
                told.empty() ? "" : " (" + told + ")"));
  if (used.empty()) {
    fail_input(source.file().string(), "no row is left after truncation (" + told + ")",
               "raise max_length, or choose another truncation_mode");
  }
  return used;
}

}  // namespace

std::vector<std::pair<std::string, std::vector<std::string>>> evaluation_files(
    const DataSettings& settings, const std::string& where) {
  if (settings.eval.text.empty()) return {};
  const Json json = parse_json(settings.eval.text, where + ": key data.eval");
  const auto files = [&](const Json& value) -> std::vector<std::string> {
    if (value.is_string()) return {value.get<std::string>()};
    std::vector<std::string> out;
    if (value.is_array()) {
      for (const Json& item : value) {
        if (item.is_string()) out.push_back(item.get<std::string>());
      }
    }
    if (out.empty() || out.size() != value.size()) {
      fail_settings(where,
                    "key data.eval: must be a file, a list of files, or {\"name\": file, ...}");
    }
    return out;
  };
  if (!json.is_object()) return {{"eval", files(json)}};
  std::vector<std::pair<std::string, std::vector<std::string>>> out;
  for (const auto& [name, value] : json.items()) out.emplace_back(name, files(value));
  return out;
}

data::DataSource::Options source_options(const DataSettings& s) {
  data::DataSource::Options options;
  options.read.on_bad_row = s.on_bad_row == "skip" ? data::OnBadRow::skip : data::OnBadRow::error;
  options.format.columns = s.columns;
  options.format.transcripts = s.transcripts;
  return options;
}

data::SamplerOptions sampler_options(const TrainSettings& s) {
  return {.seed = static_cast<uint64_t>(s.seed),
          .shuffle = s.train_sampling_strategy == "random",
          .weights = s.data.weights};
}

data::Cut encode_row(const Example& example, const FeedOptions& options, EncodedRow& row) {
  row.id = example.id;
  for (const loss::RowField& field : options.fields)
    row.numbers.push_back(number_of(example.fields, field));
  return options.encode(example, row);
}

std::vector<Sequence> sequences_of(EncodedRow row) {
  std::vector<Sequence> out;
  for (data::EncodedSequence& encoded : row.sequences) {
    Sequence sequence{.tokens = std::move(encoded.tokens)};
    sequence.weight.assign(encoded.trained.begin(), encoded.trained.end());
    out.push_back(std::move(sequence));
  }
  return out;
}

Feed::Feed(const TrainSettings& settings, const std::string& where, FeedOptions options)
    : settings_(settings), options_(std::move(options)) {
  const auto open = [&](const std::vector<std::string>& files) {
    auto set = std::make_unique<Set>();
    int64_t count = 0;
    for (const std::string& file : files) {
      data::DataSource source(file, source_options(settings.data));
      if (std::find(options_.types.begin(), options_.types.end(), source.type()) ==
          options_.types.end()) {
        fail_input(file, "holds " + source.form() + "; " + options_.needed + " needed");
      }
      set->used.push_back(used_rows(source, options_));
      set->sources.push_back(std::move(source));
      set->first_index.push_back(count);
      count += static_cast<int64_t>(set->used.back().size());
    }
    return set;
  };
  train_ = open(settings.data.train);
  for (const auto& [name, files] : evaluation_files(settings.data, where)) {
    evaluation_.emplace_back(name, open(files));
  }
  std::vector<int64_t> sizes;
  for (const auto& used : train_->used) sizes.push_back(static_cast<int64_t>(used.size()));
  sampler_.emplace(std::move(sizes), sampler_options(settings));
}

Feed::~Feed() = default;

EncodedRow Feed::row(const Set& set, const data::Place& place) const {
  const auto source = static_cast<size_t>(place.source);
  EncodedRow out;
  encode_row(set.sources[source].at(set.used[source][static_cast<size_t>(place.row)]), options_,
             out);
  return out;
}

Batch Feed::batch(const Set& set, const std::vector<data::Place>& places) const {
  std::vector<EncodedRow> rows(places.size());
  parallel_for(static_cast<int64_t>(places.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      rows[static_cast<size_t>(i)] = row(set, places[static_cast<size_t>(i)]);
    }
  });
  Batch batch;
  batch.group = {0};
  std::vector<Sequence> sequences;
  std::vector<double> index, values;
  std::vector<std::vector<double>> fields(options_.fields.size());  // a column each
  for (size_t i = 0; i < rows.size(); ++i) {
    batch.ids.push_back(rows[i].id);
    const std::vector<double> numbers = std::move(rows[i].numbers);
    values.insert(values.end(), rows[i].values.begin(), rows[i].values.end());
    for (Sequence& sequence : sequences_of(std::move(rows[i]))) {
      index.push_back(static_cast<double>(set.index(places[i])));
      for (size_t f = 0; f < fields.size(); ++f) fields[f].push_back(numbers[f]);
      sequences.push_back(std::move(sequence));
    }
    batch.group.push_back(static_cast<int64_t>(sequences.size()));
  }
  batch.sequences = pack(sequences, batch.group, {.share_prefixes = options_.share_prefixes});
  batch.columns["index"] = at::tensor(index, at::kDouble);
  for (size_t f = 0; f < fields.size(); ++f)
    batch.columns[options_.fields[f].name] = at::tensor(fields[f], at::kDouble);
  if (options_.has_values) {
    GUERDON_CHECK(values.size() == sequences.size(), values.size(), " values for ",
                  sequences.size(), " sequences");
    batch.columns["value"] = at::tensor(values, at::kDouble);
  }
  return batch;
}

Batch Feed::next() {
  const int64_t left = sampler_->rows_per_epoch() - sampler_->position();
  const int64_t step =
      settings_.per_device_train_batch_size * settings_.gradient_accumulation_steps;
  return batch(*train_, sampler_->next(std::min(step, left)));
}

int64_t Feed::steps_per_epoch() const {
  const int64_t step =
      settings_.per_device_train_batch_size * settings_.gradient_accumulation_steps;
  return (sampler_->rows_per_epoch() + step - 1) / step;
}

std::vector<std::string> Feed::evaluation_sets() const {
  std::vector<std::string> names;
  for (const auto& entry : evaluation_) names.push_back(entry.first);
  return names;
}

std::optional<Batch> Feed::evaluation(const std::string& set, int64_t index) const {
  GUERDON_CHECK(!set.empty(), "an evaluation set has a name");
  return in_order(set, index);
}

std::optional<Batch> Feed::in_order(const std::string& name, int64_t index) const {
  const auto found = std::find_if(evaluation_.begin(), evaluation_.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  GUERDON_CHECK(name.empty() || found != evaluation_.end(), "no evaluation set is called ", name);
  const Set& set = name.empty() ? *train_ : *found->second;
  const int64_t size = settings_.per_device_eval_batch_size;
  std::vector<data::Place> places;
  for (int64_t i = index * size; i < std::min((index + 1) * size, set.size()); ++i) {
    places.push_back(set.place(i));
  }
  if (places.empty()) return std::nullopt;
  return batch(set, places);
}

std::string Feed::fingerprint() const { return fingerprint(""); }

std::string Feed::fingerprint(const std::string& name) const {
  const auto found = std::find_if(evaluation_.begin(), evaluation_.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  const Set& set = name.empty() ? *train_ : *found->second;
  Sha256 sum;
  for (size_t i = 0; i < set.sources.size(); ++i) {
    sum.add(set.sources[i].fingerprint());
    sum.add(str(" ", set.used[i].size(), "\n"));
    sum.add(
        {reinterpret_cast<const char*>(set.used[i].data()), set.used[i].size() * sizeof(int64_t)});
  }
  return sum.hex();
}

void Feed::parts(PlainParts& parts) { parts.nested("sampler", *sampler_); }

}  // namespace guerdon::train
