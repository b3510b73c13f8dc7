/// Where a run's numbers go: metrics.jsonl, and an event file that TensorBoard reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace guerdon::train {

/// Named numbers of a step, in the order in which they are written.
using Numbers = std::vector<std::pair<std::string, double>>;

/// {"step": 12, "loss": 0.5, ...} and a line end. Whole numbers are written as such, what is not
/// finite as null.
std::string metrics_line(int64_t step, const Numbers& numbers);

/// Cuts a metrics.jsonl (or samples.jsonl) back to the lines of steps up to `step`: a resumed run
/// writes the later ones again. A last line without its end is dropped. No file is fine.
void cut_lines_after(const std::filesystem::path& file, int64_t step);

/// An event file for TensorBoard: a sequence of records, each a length, its masked CRC-32C, a
/// serialised tensorflow.Event and its masked CRC-32C.
class EventFile {
 public:
  /// Makes `folder`/events.out.tfevents.NUMBER.guerdon; NUMBER tells the files of resumed runs
  /// apart, and TensorBoard reads them in this order. Throws Error (Kind::surroundings).
  EventFile(const std::filesystem::path& folder, int64_t number);

  /// One event with the numbers as scalars. What is not finite is left out.
  void add(int64_t step, double wall_time, const Numbers& numbers);

 private:
  std::filesystem::path file_;
};

/// CRC-32C (Castagnoli) of bytes.
uint32_t crc32c(std::string_view bytes);

}  // namespace guerdon::train
