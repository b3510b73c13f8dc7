#include "guerdon/train/prompts.h"

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/truncation.h"

namespace guerdon::train {
namespace {

// Keys of `first`: beyond what a run can reach.
constexpr uint64_t kFirstKey = uint64_t{1} << 63;

}  // namespace

void require_prompts(const std::string& file, data::DatasetType type, const std::string& form) {
  switch (type) {
    case data::DatasetType::prompt_only:
    case data::DatasetType::prompt_completion:
    case data::DatasetType::preference:
    case data::DatasetType::unpaired_preference:
    case data::DatasetType::ranked:
    case data::DatasetType::candidates: return;
    default:
      fail_input(file, "holds " + form + "; prompts are needed",
                 "data.columns=[\"OURS=THEIRS\"] renames columns");
  }
}

Prompts::Prompts(const std::vector<std::string>& files, const data::DataSource::Options& options,
                 const data::SamplerOptions& order, std::shared_ptr<const Words> words,
                 int64_t max_length)
    : words_(std::move(words)), max_length_(max_length) {
  std::vector<int64_t> sizes;
  for (const std::string& file : files) {
    sources_.emplace_back(file, options);
    require_prompts(file, sources_.back().type(), sources_.back().form());
    sizes.push_back(sources_.back().size());
  }
  sampler_.emplace(std::move(sizes), order);
}

generate::Prompt Prompts::at(int64_t n) const {
  return prompt(sampler_->at(n / per_epoch(), n % per_epoch()), static_cast<uint64_t>(n));
}

int64_t Prompts::rows() const {
  int64_t rows = 0;
  for (const data::DataSource& source : sources_) rows += source.size();
  return rows;
}

std::vector<generate::Prompt> Prompts::first(int64_t count) const {
  std::vector<generate::Prompt> out;
  for (size_t source = 0; source < sources_.size(); ++source) {
    for (int64_t row = 0; row < sources_[source].size(); ++row) {
      const auto number = static_cast<int64_t>(out.size());
      if (number == count) return out;
      out.push_back(prompt({.source = static_cast<int64_t>(source), .row = row},
                           kFirstKey + static_cast<uint64_t>(number)));
    }
  }
  return out;
}

generate::Prompt Prompts::prompt(const data::Place& place, uint64_t key) const {
  auto example =
      std::make_shared<Example>(sources_[static_cast<size_t>(place.source)].at(place.row));
  std::vector<int64_t> tokens = words_->encoder().prompt(example->prompt, example->fields);
  if (max_length_ > 0 && data::truncate_prompt(tokens, max_length_) != data::Cut::whole) ++cut_;
  return {.example = std::move(example), .tokens = std::move(tokens), .key = key};
}

std::string Prompts::fingerprint() const {
  Sha256 sum;
  for (const data::DataSource& source : sources_) sum.add(source.fingerprint() + "\n");
  sum.add(guerdon::str("max_prompt_length ", max_length_));
  return sum.hex();
}

}  // namespace guerdon::train
