/// The peak memory of a run, phase by phase, before it begins: `guerdon plan`. From the shapes of
/// the models and the lengths of the rows that a preview saw. Within 25 % of what reward, sft, dpo
/// and grpo were measured to take on the CPU, 28 % too low at worst with an adapter
/// (tests/train/memory_test.cpp); what rewards other than models take is not known here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guerdon/train/preview.h"

namespace guerdon::train {

struct MemoryItem {
  std::string name;  ///< "weights of the policy"
  int64_t bytes = 0;
};

struct MemoryPhase {
  std::string name;  ///< "forward and backward"
  std::vector<MemoryItem> items;
  int64_t total() const;
};

struct MemoryPlan {
  std::vector<MemoryPhase> phases;
  model::PassSize part;  ///< the largest forward pass with a graph that is to be expected
  int64_t groups = 0;    ///< pairs, rows or prompts in it, at most

  const MemoryPhase& peak() const;
};

struct PlanOptions {
  int64_t batch_size = 0;     ///< in place of per_device_train_batch_size; 0: as set
  int64_t process_bytes = 0;  ///< of program, libraries, tokenizer: what every phase has
};
MemoryPlan memory_plan(const TrainSettings& settings, const Preview& preview,
                       const PlanOptions& options);

/// The largest per_device_train_batch_size, a multiple of the rows of a group, whose predicted peak
/// leaves a fifth of `memory` free (the prediction may be 25 % too low); at most 4096 groups; 0
/// when none fits.
int64_t largest_batch(const TrainSettings& settings, const Preview& preview, int64_t process_bytes,
                      int64_t memory);

/// Bytes that this process may use: the machine's memory, or the limit of its control group where
/// that is smaller.
int64_t machine_memory();
/// The most that this process has held so far, in bytes.
int64_t peak_of_process();

/// "1.4 GiB".
std::string memory_text(int64_t bytes);

}  // namespace guerdon::train
