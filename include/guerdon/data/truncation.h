/// What happens to rows that are longer than max_length: TRL's rules, each cut counted by name.
/// Pure functions on encoded rows.
///
/// - filter: a sequence that is too long is dropped. Reward models' default.
/// - keep_start: it loses its end; dropped when its prompt alone fills max_length, or nothing
///   trained is left. The default of sft and dpo.
/// - keep_end: it loses its beginning; dropped when nothing trained is left.
/// - prompt_left: it loses the beginning of its prompt, never its end; dropped when the completion
///   alone does not fit; without a prompt as keep_start. What grpo does to prompts.
///
/// A pair is cut so that both sides keep the same prompt under prompt_left, and is dropped when one
/// side is, or when the cut took away all that made the two differ.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "guerdon/data/encode.h"

namespace guerdon::data {

enum class TruncationMode { filter, keep_start, keep_end, prompt_left };

/// "filter", "keep_start", "keep_end", "prompt_left".
std::string name_of(TruncationMode mode);
/// The other way round. Throws Error (Kind::settings) at `where`.
TruncationMode truncation_mode(const std::string& name, const std::string& where);

/// What became of a row.
enum class Cut {
  whole,     ///< it fits
  cut,       ///< it was cut, and is used
  too_long,  ///< dropped: longer than max_length (filter), or the completion alone is (prompt_left)
  prompt_fills,        ///< dropped: the prompt alone fills max_length (keep_start)
  nothing_trained,     ///< dropped: the cut took every trained token
  difference_cut_off,  ///< dropped: the cut made chosen and rejected equal
};

/// Whether a row with this outcome is used.
inline bool is_kept(Cut cut) { return cut == Cut::whole || cut == Cut::cut; }

/// Cuts in place to at most `max_length` tokens (> 0). A dropped row is left as it was.
Cut truncate(EncodedSequence& sequence, int64_t max_length, TruncationMode mode);
Cut truncate(EncodedPair& pair, int64_t max_length, TruncationMode mode);
/// A prompt that is to be continued: keeps its last `max_length` tokens.
Cut truncate_prompt(std::vector<int64_t>& tokens, int64_t max_length);

/// How often each outcome came.
class TruncationCounts {
 public:
  void add(Cut cut) { ++counts_[cut]; }
  int64_t of(Cut cut) const;
  int64_t rows() const;
  int64_t dropped() const;
  /// "truncated": 3, "dropped/too_long": 1, ...: what metrics and reports show; outcomes that came
  /// never are left out.
  std::map<std::string, int64_t> by_name() const;

 private:
  std::map<Cut, int64_t> counts_;
};

}  // namespace guerdon::data
