/// The prompts that online methods answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/sampler.h"
#include "guerdon/data/source.h"
#include "guerdon/generate/engine.h"
#include "guerdon/train/models.h"

namespace guerdon::train {

/// Throws Error (Kind::input) unless rows of this type have prompts; `form` is their description.
void require_prompts(const std::string& file, data::DatasetType type, const std::string& form);

/// The prompts of some files, by number: epoch after epoch, each in its own order. A pure function
/// of seed and number.
class Prompts {
 public:
  /// Longer prompts lose their beginning (each counted); `max_length` 0: none does. Throws Error
  /// (Kind::input) for rows without prompts.
  Prompts(const std::vector<std::string>& files, const data::DataSource::Options& options,
          const data::SamplerOptions& order, std::shared_ptr<const Words> words,
          int64_t max_length);

  int64_t per_epoch() const { return sampler_->rows_per_epoch(); }
  /// Prompt `number` = 0, 1, ... of the run; its key is the number.
  generate::Prompt at(int64_t number) const;
  /// The first rows of the files, at most `count`, in file order. Their keys are none of `at`'s, so
  /// that an evaluation draws other random numbers than training does.
  std::vector<generate::Prompt> first(int64_t count) const;
  int64_t rows() const;  ///< of all files
  std::string fingerprint() const;
  int64_t cut() const { return cut_; }

 private:
  generate::Prompt prompt(const data::Place& place, uint64_t key) const;
  std::shared_ptr<const Words> words_;
  std::vector<data::DataSource> sources_;
  std::optional<data::Sampler> sampler_;
  int64_t max_length_;
  mutable int64_t cut_ = 0;
};

}  // namespace guerdon::train
