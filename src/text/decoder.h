/// How tokens become text again: the component "decoder" of tokenizer.json.
///
/// Decoding is streaming by construction: a chain of stages takes tokens one by one and gives on
/// what is certain. `decode` and StreamDecoder are the same chain, so they cannot differ.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/node.h"
#include "text/vocabulary.h"

namespace guerdon::text {

/// One decoder at work on one text. Tokens come in fragments of whole characters.
class DecoderStage {
 public:
  virtual ~DecoderStage() = default;
  /// A fragment of a token; `ends`: its last (which may be empty).
  virtual void take(std::string_view fragment, bool ends) = 0;
  /// There are no more tokens.
  virtual void finish() = 0;
};

/// Makes stages. Immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// How many times longer replacements can make a text.
  virtual double growth() const { return 1.0; }
  virtual std::unique_ptr<DecoderStage> start(DecoderStage& next) const = 0;
};

/// Throws Error (Kind::input) that names the entry at fault. Replacements that can make a text more
/// than 64 times longer are one.
std::unique_ptr<Decoder> read_decoder(const Node& node);
/// For files without a decoder: tokens with a space between.
std::unique_ptr<Decoder> spaced_decoder();

/// The bytes with U+FFFD for each part that is not UTF-8 (a maximal subpart, as in the Unicode
/// Standard, 3.9). An incomplete character at the end stays in `bytes` unless `final`.
std::string take_characters(std::string& bytes, bool final);

/// The byte that "<0x00>" to "<0xFF>" stands for.
std::optional<unsigned char> byte_of_token(std::string_view token);

}  // namespace guerdon::text
