/// What is done to a text before it is split: the component "normalizer" of tokenizer.json.
#pragma once

#include <memory>

#include "text/aligned_text.h"
#include "text/node.h"
#include "text/pattern.h"

namespace guerdon::text {

/// Immutable. Names and meanings are those of the Hugging Face library.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text, MatchSpace& space) const = 0;
};

/// Throws Error (Kind::input) that names the entry at fault.
std::unique_ptr<Normalizer> read_normalizer(const Node& node);

/// {"String": ...} or {"Regex": ...}.
Pattern read_pattern(const Node& node);

/// Writes `prefix` and text[begin, end) (not empty) to the end of `out`.
void prepend(const AlignedText& text, size_t begin, size_t end, std::string_view prefix,
             AlignedText& out);

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
/// The text in a normal form (unicode_form.cpp).
void to_unicode_form(AlignedText& text, UnicodeForm form);

/// The character map of SentencePiece models: a double array of keys with their replacements
/// (charsmap.cpp).
class Charsmap {
 public:
  Charsmap() = default;
  /// `bytes`: its size, the units of the array, the replacements. Throws Error (Kind::input) when
  /// it is malformed.
  Charsmap(std::string_view bytes, const std::string& where);
  bool empty() const { return units_.empty(); }

  struct Hit {
    size_t length = 0;  ///< bytes of the key; 0: none
    std::string_view replacement;
  };
  Hit shortest(std::string_view text) const;  ///< the shortest key that `text` begins with
  Hit longest(std::string_view text) const;

 private:
  Hit search(std::string_view text, bool stop_at_first) const;
  std::vector<uint32_t> units_;
  std::string replacements_;
};

/// The component "Precompiled", which applies a Charsmap to each grapheme of up to 5 bytes, else to
/// each character.
std::unique_ptr<Normalizer> precompiled_normalizer(Charsmap map);

}  // namespace guerdon::text
