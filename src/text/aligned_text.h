/// A text on its way through normalizers and pre-tokenizers, where each byte remembers which part
/// of the input it stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "guerdon/text/tokenizer.h"

namespace guerdon::text {

/// How much longer hostile components of a tokenizer may make a text: what real ones do to real
/// texts (marks for spaces, bytes written as characters, decomposition) stays far below.
struct Growth {
  static constexpr size_t kFactor = 16, kFree = size_t{64} << 10;
  static constexpr size_t limit(size_t size) { return kFactor * size + kFree; }
};

class AlignedText {
 public:
  struct Origin {
    uint32_t begin, end;  ///< bytes of the input
  };

  AlignedText() = default;
  /// The bytes [begin, begin + part.size()) of the input, unchanged. Without `tracked` no origins
  /// are kept.
  AlignedText(std::string_view part, size_t begin, bool tracked)
      : bytes_(part), begin_(begin), limit_(Growth::limit(part.size())), tracked_(tracked) {}

  const std::string& bytes() const { return bytes_; }
  bool tracked() const { return tracked_; }
  size_t size() const { return bytes_.size(); }
  /// Where in the input this text began before anything was changed.
  size_t begin() const { return begin_; }

  /// The part of the input behind the bytes [begin, end), whole characters; begin < end. Needs
  /// `tracked`.
  Encoding::Range origin(size_t begin, size_t end) const;
  /// The part of the input behind one byte's character. Needs `tracked`.
  Origin origin_at(size_t byte) const;
  /// A part of this text. What it says of begin() is the origin of its first byte.
  AlignedText slice(size_t begin, size_t end) const;
  /// An empty text to be filled from this one by a Rewriter.
  AlignedText empty() const;
  /// Takes the last `bytes` off a text that a Rewriter made.
  void shorten(size_t bytes);

 private:
  friend class Rewriter;
  std::string bytes_;
  size_t begin_ = 0;
  size_t limit_ = 0;  // in bytes, of what this text may become
  bool tracked_ = false;
  bool changed_ = false;  // false: byte i is byte begin_ + i of the input, and origins_ is empty
  std::vector<Origin> origins_;  // one for each byte of a changed, tracked text
};

/// Writes a changed form of source[begin, end) to the end of `target`, character by character. Each
/// character says what it replaces, in the terms of the Hugging Face library so that offsets agree
/// with it: `change` 0 stands for the next source character, 1 (or more) is new and shares the
/// origin of what precedes the present source position, -n stands for the next source character and
/// swallows n more. A text that outgrows its Growth is an Error (Kind::input).
class Rewriter {
 public:
  Rewriter(const AlignedText& source, size_t begin, size_t end, AlignedText& target);
  void put(char32_t c, int change);
  /// A character that stands for source bytes [at, at + length); the present position does not
  /// move.
  void put_from(char32_t c, size_t at, size_t length);
  /// The next `bytes` of the source as they are (whole characters).
  void keep(size_t bytes);
  /// The next `bytes` of the source without a successor.
  void drop(size_t bytes) { at_ += bytes; }
  size_t position() const { return at_; }

 private:
  void append(char32_t c);
  void swallow(size_t characters);
  AlignedText::Origin origin_for(int change) const;

  const AlignedText& source_;
  AlignedText& target_;
  size_t begin_, end_, at_;
  size_t start_;  // where in the input the range begins
};

}  // namespace guerdon::text
