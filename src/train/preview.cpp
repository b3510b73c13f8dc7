#include "guerdon/train/preview.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/base/threads.h"
#include "guerdon/model/decoder.h"
#include "guerdon/train/models.h"

namespace guerdon::train {

FirstRows first_rows(const std::string& file, const DataSettings& settings, int64_t count) {
  const data::DataSource::Options options = source_options(settings);
  data::RowReader reader(file, options.read);
  data::RowFormat format(options.format);
  FirstRows out;
  while (static_cast<int64_t>(out.examples.size()) < count) {
    const std::optional<data::Row> row = reader.next();
    if (!row) {
      out.whole = true;
      break;
    }
    try {
      if (std::optional<Example> example = format.read(*row))
        out.examples.push_back(std::move(*example));
    } catch (const Error& error) {
      reader.reject(error);
    }
  }
  if (out.examples.empty()) fail_input(file, "has no usable rows");
  out.type = format.type();
  out.form = format.form();
  return out;
}

namespace {

PreviewFile preview_file(const std::string& set, const std::string& file,
                         const TrainSettings& settings, const FeedOptions& options, int64_t count) {
  const FirstRows rows = first_rows(file, settings.data, count);
  if (std::find(options.types.begin(), options.types.end(), rows.type) == options.types.end())
    fail_input(file, "holds " + rows.form + "; " + options.needed + " needed");
  PreviewFile out{.set = set,
                  .file = file,
                  .form = rows.form,
                  .rows = static_cast<int64_t>(rows.examples.size()),
                  .whole = rows.whole,
                  .counts = {},
                  .groups = {}};
  std::vector<data::Cut> cuts(rows.examples.size());
  std::vector<model::PassSize> sizes(rows.examples.size());
  parallel_for(out.rows, 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      EncodedRow encoded;
      cuts[i] = encode_row(rows.examples[i], options, encoded);
      if (!data::is_kept(cuts[i])) continue;
      const std::vector<Sequence> sequences = sequences_of(std::move(encoded));
      const std::vector<int64_t> group = {0, static_cast<int64_t>(sequences.size())};
      const PackedBatch packed = pack(sequences, group, {.share_prefixes = options.share_prefixes});
      const int64_t targets = packed.targets.source.size(0);
      sizes[i] = {.tokens = packed.tokens.size(0),
                  .targets = targets > 0 ? targets : packed.rows()};
    }
  });
  for (size_t i = 0; i < cuts.size(); ++i) {
    out.counts.add(cuts[i]);
    if (data::is_kept(cuts[i])) out.groups.push_back(sizes[i]);
  }
  if (options.ties_across) {  // any two will do for their size
    const std::vector<model::PassSize> single = out.groups;
    for (size_t i = 0; i < single.size(); ++i) {
      const model::PassSize& other = single[(i + 1) % single.size()];
      out.groups[i].tokens += other.tokens;
      out.groups[i].targets += other.targets;
    }
  }
  if (out.groups.empty() && out.whole) {
    fail_input(file, "no row is left after truncation",
               "raise max_length, or choose another truncation_mode");
  }
  return out;
}

}  // namespace

std::vector<PreviewFile> preview_files(const TrainSettings& settings, const std::string& where,
                                       const FeedOptions& options, int64_t count) {
  std::vector<PreviewFile> out;
  for (const std::string& file : settings.data.train)
    out.push_back(preview_file("train", file, settings, options, count));
  for (const auto& [set, files] : evaluation_files(settings.data, where))
    for (const std::string& file : files)
      out.push_back(preview_file(set, file, settings, options, count));
  return out;
}

PreviewModel preview_decoder(const std::string& role, const std::string& path,
                             const TrainSettings& settings, bool trained) {
  model::ModelOptions options = model_options(settings);
  options.device = at::kMeta;
  const std::shared_ptr<model::Decoder> decoder = model::load_decoder(path, {.model = options});
  if (!trained)
    for (Tensor& parameter : decoder->parameters()) parameter.requires_grad_(false);
  return {
      .role = role, .folder = model::model_folder(path), .module = decoder, .body = decoder.get()};
}

void preview_lora(PreviewModel& model, const LoraSettings& settings) {
  if (settings.r == 0) return;
  auto& body = dynamic_cast<model::Backbone&>(*model.module);
  add_lora(body, settings, 0);
}

}  // namespace guerdon::train
