/// The patterns of tokenizer files, matched by PCRE2 with bounded work.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace guerdon::text {

/// Part [begin, end) of a text.
struct Piece {
  size_t begin, end;
};

/// An expression in Oniguruma's syntax (Ruby's; what tokenizer files are written in) as PCRE2 takes
/// it, with the character properties of Unicode 16. Throws Error (Kind::input) for what has no
/// counterpart; PCRE2 itself checks the rest.
std::string pcre2_syntax(std::string_view oniguruma, const std::string& where);

/// What one thread needs to match: PCRE2's buffers, and the steps that it may still spend. A
/// pattern that needs more than about 100 steps for each byte of the text (and 20 million at the
/// start) is taken for hostile.
class MatchSpace {
 public:
  MatchSpace();
  ~MatchSpace();
  MatchSpace(const MatchSpace&) = delete;
  MatchSpace& operator=(const MatchSpace&) = delete;
  /// A new budget, for a text of so many bytes.
  void refill(size_t bytes);

 private:
  friend class Pattern;
  struct Buffers;
  Buffers& buffers();  // made when first needed
  std::unique_ptr<Buffers> buffers_;
  uint64_t steps_ = 0;
};

/// A fixed string or an expression. Immutable.
class Pattern {
 public:
  static Pattern literal(std::string text);
  /// `where` names the place in errors. Throws Error (Kind::input) when it does not compile.
  static Pattern regex(const std::string& oniguruma, const std::string& where);

  /// All matches from left to right, without overlap, put behind what is in `found`. An empty match
  /// right behind another match does not count. Throws Error (Kind::input) when the space's steps
  /// are spent.
  void find_all(std::string_view text, MatchSpace& space, std::vector<Piece>& found) const;
  /// The expression as the file has it; "" for a fixed string.
  const std::string& source() const { return source_; }

 private:
  struct Code;
  static pcre2_real_code_8* compile(const std::string& pcre2, uint32_t options,
                                    const Pattern& pattern);
  bool find_from(std::string_view text, size_t at, MatchSpace& space, Piece& match) const;

  std::string literal_, source_, where_;
  std::shared_ptr<const Code> code_;
};

}  // namespace guerdon::text
