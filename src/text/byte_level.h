/// GPT-2's way of writing any byte as a printable character (the alphabet of byte-level
/// vocabularies), and the word patterns of the well-known byte-level tokenizers, matched by hand:
/// several times as fast as by a pattern engine.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "text/aligned_text.h"

namespace guerdon::text {

/// The character that stands for each byte: itself where printable, else U+0100 and up.
const std::array<char32_t, 256>& byte_alphabet();
/// The byte that a character stands for.
std::optional<unsigned char> byte_of(char32_t c);
/// The bytes that a token stands for; nothing when a character of it is not in the alphabet.
std::optional<std::string> bytes_of(std::string_view token);
/// The bytes written in the alphabet.
std::string in_byte_alphabet(std::string_view bytes);

/// text[begin, end) in the alphabet, put behind what is in `out`.
void to_byte_alphabet(const AlignedText& text, size_t begin, size_t end, AlignedText& out);

/// GPT-2's pattern.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// Llama 3's, and with one digit at a time Qwen 2's.
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The length of the match at the start of `text`, which is not empty: these patterns match
/// everywhere.
size_t gpt2_word(std::string_view text);
size_t llama3_word(std::string_view text);
size_t qwen2_word(std::string_view text);

using WordMatcher = size_t (*)(std::string_view);
/// The function above that matches like the pattern, or nullptr.
WordMatcher word_matcher(std::string_view pattern);

}  // namespace guerdon::text
