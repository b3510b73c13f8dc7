#include "guerdon/train/feed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/threads.h"

namespace guerdon::train {

struct Feed::Set {
  std::vector<data::DataSource> sources;
  std::vector<std::vector<int64_t>> used;    // of each source: the rows that the cut leaves
  std::vector<int64_t> first_index;          // of each source: its first row's "index"
  std::shared_ptr<const data::Order> order;  // of training rows, and of pairs of rows
  bool is_paired = false;

  int64_t size() const { return first_index.back() + static_cast<int64_t>(used.back().size()); }
  data::Place place(int64_t index) const {
    const auto after = std::upper_bound(first_index.begin(), first_index.end(), index);
    const int64_t source = std::distance(first_index.begin(), after) - 1;
    return {source, index - first_index[static_cast<size_t>(source)]};
  }
  // The group that stands at `index` when all are gone through once.
  data::Group group(int64_t index) const {
    return is_paired ? order->at(0, index) : data::Group{place(index)};
  }
  int64_t groups() const { return is_paired ? order->size() : size(); }
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

/// What is found out about a source's rows when it is opened.
struct Survey {
  std::vector<int64_t> used;       // rows that the cut leaves
  std::vector<std::string> kinds;  // of the used rows, where asked for
  std::vector<bool> passed;        // the same: whether their value is 1
};

/// The kind that a row says it is of.
std::string kind_of(const Example& example, const std::string& field) {
  if (field.empty()) return {};
  const Fields& row = example.fields;
  if (!row.has(field))
    fail_input(row.where(), "field " + show(field) + " is missing (data.category)");
  const Json& value = row.json().at(field);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// The cut is told to the log.
Survey survey(const data::DataSource& source, const FeedOptions& options,
              const std::string& category) {
  const auto size = static_cast<size_t>(source.size());
  std::vector<data::Cut> cuts(size);
  std::vector<std::string> kinds(category.empty() ? 0 : size);
  std::vector<double> values(options.ties_across ? size : 0);
  parallel_for(source.size(), 16, [&](int64_t begin, int64_t end) {
    for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      EncodedRow encoded;
      const Example example = source.at(static_cast<int64_t>(row));
      cuts[row] = encode_row(example, options, encoded);
      if (!kinds.empty()) kinds[row] = kind_of(example, category);
      if (!values.empty()) values[row] = encoded.values.at(0);
    }
  });
  Survey out;
  data::TruncationCounts counts;
  for (size_t row = 0; row < size; ++row) {
    counts.add(cuts[row]);
    if (!data::is_kept(cuts[row])) continue;
    out.used.push_back(static_cast<int64_t>(row));
    if (!kinds.empty()) out.kinds.push_back(std::move(kinds[row]));
    if (!values.empty()) out.passed.push_back(values[row] == 1.0);
  }
  std::string told;
  for (const auto& [name, count] : counts.by_name()) {
    if (count > 0) told += str(told.empty() ? "" : ", ", count, " ", name);
  }
  log::info(str(source.file().string(), ": ", out.used.size(), " of ", source.size(),
                " rows are used", told.empty() ? "" : " (" + told + ")"));
  if (out.used.empty()) {
    fail_input(source.file().string(), "no row is left after truncation (" + told + ")",
               "raise max_length, or choose another truncation_mode");
  }
  return out;
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

void describe(SettingList& field, SideRows& s) {
  field("data", s.data, "Files of these rows; none: off");
  field("batch_size", s.batch_size, "Rows in each optimizer step", {.min = 1});
}

TrainSettings side_settings(const TrainSettings& settings, const SideRows& rows) {
  TrainSettings out = settings;
  out.data.train = rows.data;
  out.data.weights.clear();
  out.data.category.clear();
  out.data.eval.text.clear();
  if (out.train_sampling_strategy == "balanced") out.train_sampling_strategy = "random";
  out.per_device_train_batch_size = rows.batch_size;
  out.gradient_accumulation_steps = 1;
  return out;
}

data::SamplerOptions sampler_options(const TrainSettings& s) {
  return {.seed = static_cast<uint64_t>(s.seed),
          .shuffle = s.train_sampling_strategy != "sequential",
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
  const bool own_order = options_.ties_across || options_.ease_buckets > 0;
  if (own_order &&
      (settings.train_sampling_strategy == "balanced" || !settings.data.weights.empty())) {
    fail_settings(where, str("key ", options_.ties_across ? "pairing" : "peer.buckets",
                             ": has an order of its own, without data.weights and not balanced"));
  }
  train_ = open(settings.data.train, Use::training);
  if (options_.ease_buckets > 0) {
    std::vector<int64_t> sizes;
    for (const auto& used : train_->used) sizes.push_back(static_cast<int64_t>(used.size()));
    easy_first_ =
        std::make_shared<data::EasyFirst>(sizes, options_.ease_buckets, sampler_options(settings_));
    train_->order = easy_first_;
  }
  for (const auto& [name, files] : evaluation_files(settings.data, where))
    evaluation_.emplace_back(name, open(files, Use::evaluation));
  sampler_.emplace(train_->order);
}

std::unique_ptr<Feed::Set> Feed::open(const std::vector<std::string>& files, Use use) const {
  const bool paired = options_.ties_across.has_value();
  const bool balanced = use == Use::training && settings_.train_sampling_strategy == "balanced";
  auto set = std::make_unique<Set>();
  std::map<std::string, data::Graded> kinds;
  std::vector<int64_t> sizes;
  int64_t count = 0;
  for (const std::string& file : files) {
    data::DataSource source(file, source_options(settings_.data));
    if (std::find(options_.types.begin(), options_.types.end(), source.type()) ==
        options_.types.end()) {
      fail_input(file, "holds " + source.form() + "; " + options_.needed + " needed");
    }
    Survey found = survey(source, options_, paired || balanced ? settings_.data.category : "");
    const auto number = static_cast<int64_t>(set->sources.size());
    for (size_t row = 0; (paired || balanced) && row < found.used.size(); ++row) {
      // Without a category files come in turn; pairs are made of all rows.
      const std::string kind = !found.kinds.empty() ? found.kinds[row]
                               : balanced           ? str(number)
                                                    : std::string();
      const bool passed = !paired || found.passed[row];
      data::Graded& both = kinds[kind];
      (passed ? both.passed : both.failed).push_back({number, static_cast<int64_t>(row)});
    }
    sizes.push_back(static_cast<int64_t>(found.used.size()));
    set->first_index.push_back(count);
    count += sizes.back();
    set->used.push_back(std::move(found.used));
    set->sources.push_back(std::move(source));
  }
  const data::SamplerOptions order = sampler_options(settings_);
  if (paired) {
    std::vector<data::Graded> all;
    for (auto& [kind, rows] : kinds) all.push_back(std::move(rows));
    set->order = data::pairs_across(std::move(all), *options_.ties_across, order, files.at(0));
    set->is_paired = true;
  } else if (balanced) {
    std::vector<std::vector<data::Place>> strata;
    for (auto& [kind, rows] : kinds) strata.push_back(std::move(rows.passed));
    set->order = data::in_turn(std::move(strata), order);
  } else if (use == Use::training) {
    set->order = data::mixture(std::move(sizes), order);
  }
  return set;
}

Feed::~Feed() = default;

EncodedRow Feed::row(const Set& set, const data::Place& place) const {
  const auto source = static_cast<size_t>(place.source);
  EncodedRow out;
  encode_row(set.sources[source].at(set.used[source][static_cast<size_t>(place.row)]), options_,
             out);
  return out;
}

Batch Feed::batch(const Set& set, const std::vector<data::Group>& groups) const {
  std::vector<data::Place> places;
  for (const data::Group& group : groups) places.insert(places.end(), group.begin(), group.end());
  std::vector<EncodedRow> rows(places.size());
  parallel_for(static_cast<int64_t>(places.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      rows[static_cast<size_t>(i)] = row(set, places[static_cast<size_t>(i)]);
    }
  });
  Batch batch;
  batch.group = {0};
  std::vector<Sequence> sequences;
  std::vector<double> index, source, values;
  std::vector<std::vector<double>> fields(options_.fields.size());  // a column each
  size_t next = 0;
  for (const data::Group& group : groups) {
    std::string id;
    for (const data::Place& place : group) {
      EncodedRow& row = rows[next++];
      id += (id.empty() ? "" : "+") + row.id;
      values.insert(values.end(), row.values.begin(), row.values.end());
      const std::vector<double> numbers = std::move(row.numbers);
      for (Sequence& sequence : sequences_of(std::move(row))) {
        index.push_back(static_cast<double>(set.index(place)));
        source.push_back(static_cast<double>(place.source));
        for (size_t f = 0; f < fields.size(); ++f) fields[f].push_back(numbers[f]);
        sequences.push_back(std::move(sequence));
      }
    }
    batch.ids.push_back(std::move(id));
    batch.group.push_back(static_cast<int64_t>(sequences.size()));
  }
  batch.sequences = pack(sequences, batch.group, {.share_prefixes = options_.share_prefixes});
  batch.columns["index"] = at::tensor(index, at::kDouble);
  batch.columns["source"] = at::tensor(source, at::kDouble);
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
  const int64_t left = sampler_->groups_per_epoch() - sampler_->position();
  const int64_t step =
      settings_.per_device_train_batch_size * settings_.gradient_accumulation_steps;
  return batch(*train_, sampler_->next_groups(std::min(step, left)));
}

int64_t Feed::rows() const { return train_->size(); }

void Feed::easy_first(const std::vector<double>& ease) {
  GUERDON_CHECK(easy_first_, "this feed goes by no ease");
  easy_first_->set_ease(ease);
}

int64_t Feed::steps_per_epoch() const {
  const int64_t step =
      settings_.per_device_train_batch_size * settings_.gradient_accumulation_steps;
  return (sampler_->groups_per_epoch() + step - 1) / step;
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
  std::vector<data::Group> groups;
  for (int64_t i = index * size; i < std::min((index + 1) * size, set.groups()); ++i)
    groups.push_back(set.group(i));
  if (groups.empty()) return std::nullopt;
  return batch(set, groups);
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
