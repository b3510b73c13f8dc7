#include <unicode/uchar.h>

#include <array>
#include <cstring>
#include <optional>

#include "guerdon/base/error.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

// A unit of a Darts double array: label, offset to the children, and whether a leaf with the value
// follows.
uint32_t label(uint32_t unit) { return unit & ((uint32_t{1} << 31) | 0xFF); }
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t value(uint32_t unit) { return unit & ((uint32_t{1} << 31) - 1); }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & (uint32_t{1} << 9)) >> 6); }

// Whether there is no grapheme boundary between two characters: the rules GB3 to GB5 and GB9 to
// GB9b of UAX 29. The others join only clusters of 6 bytes and more, which the normalizer does not
// look at as a whole.
bool joined(char32_t before, char32_t after) {
  if (before < 0x80 && after < 0x80) return before == '\r' && after == '\n';
  const auto property = [](char32_t c) {
    return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
  };
  const auto breaks = [](int32_t p) {
    return p == U_GCB_CONTROL || p == U_GCB_CR || p == U_GCB_LF;
  };
  const int32_t left = property(before), right = property(after);
  if (breaks(left) || breaks(right)) return false;
  return right == U_GCB_EXTEND || right == U_GCB_ZWJ || right == U_GCB_SPACING_MARK ||
         left == U_GCB_PREPEND;
}

constexpr size_t kMaxGrapheme = 5;

/// The end of the grapheme that begins at `at`.
size_t grapheme_end(std::string_view text, size_t at) {
  size_t end = at;
  char32_t last = unicode::next(text, end);
  while (end < text.size()) {
    size_t following = end;
    const char32_t c = unicode::next(text, following);
    if (!joined(last, c)) break;
    end = following;
    last = c;
  }
  return end;
}

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {
    for (size_t c = 0; c < unchanged_.size(); ++c) {
      const auto byte = static_cast<char>(c);
      unchanged_[c] = map_.shortest(std::string_view(&byte, 1)).length == 0 && c != '\r';
    }
  }

  void apply(AlignedText& text, MatchSpace&) const override {
    const std::string& bytes = text.bytes();
    AlignedText out = text.empty();
    Rewriter rewriter(text, 0, text.size(), out);
    bool changed = false;
    // As the library counts: characters replace one another in turn, and what is left over belongs
    // to the last one written, which therefore waits.
    std::optional<std::pair<char32_t, int>> last;
    const auto put = [&](char32_t c, int change) {
      if (last) rewriter.put(last->first, last->second);
      last = {c, change};
    };
    const auto replace = [&](std::string_view old, std::string_view replacement) {
      changed = true;
      const auto old_count = static_cast<int>(unicode::length(old));
      int count = 0;
      for (size_t at = 0; at < replacement.size(); ++count) {
        const char32_t c = unicode::next(replacement, at);
        put(c, count < old_count ? 0 : 1);
      }
      if (count < old_count && last) last->second -= old_count - count;
    };
    for (size_t at = 0; at < bytes.size();) {
      const auto byte = static_cast<unsigned char>(bytes[at]);
      const bool ascii_follows =
          at + 1 == bytes.size() || static_cast<unsigned char>(bytes[at + 1]) < 0x80;
      if (byte < 0x80 && ascii_follows && unchanged_[byte]) {
        put(byte, 0);
        ++at;
        continue;
      }
      const size_t end = grapheme_end(bytes, at);
      const std::string_view grapheme = std::string_view(bytes).substr(at, end - at);
      if (grapheme.size() <= kMaxGrapheme) {
        if (const auto hit = map_.shortest(grapheme); hit.length > 0) {
          replace(grapheme, hit.replacement);
          at = end;
          continue;
        }
      }
      while (at < end) {
        const size_t begin = at;
        const char32_t c = unicode::next(bytes, at);
        const std::string_view part = std::string_view(bytes).substr(begin, at - begin);
        if (const auto hit = map_.shortest(part); hit.length > 0) {
          replace(part, hit.replacement);
        } else {
          put(c, 0);
        }
      }
    }
    if (last) rewriter.put(last->first, last->second);
    if (changed) text = std::move(out);
  }

 private:
  Charsmap map_;
  std::array<bool, 0x80> unchanged_{};
};

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& where) {
  if (bytes.empty()) return;
  uint32_t size = 0;
  if (bytes.size() >= 4) std::memcpy(&size, bytes.data(), 4);
  if (bytes.size() < 4 || size % 4 != 0 || size == 0 || size > bytes.size() - 4)
    fail_input(where, "the precompiled character map is cut off or damaged");
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data() + 4, size);
  replacements_ = bytes.substr(4 + size);
}

Charsmap::Hit Charsmap::shortest(std::string_view text) const { return search(text, true); }
Charsmap::Hit Charsmap::longest(std::string_view text) const { return search(text, false); }

Charsmap::Hit Charsmap::search(std::string_view text, bool stop_at_first) const {
  Hit hit;
  if (units_.empty()) return hit;
  size_t node = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0) break;
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    const size_t begin = node < units_.size() ? value(units_[node]) : replacements_.size();
    if (begin >= replacements_.size()) continue;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    hit = {i + 1, rest.substr(0, rest.find('\0'))};
    if (stop_at_first) break;
  }
  return hit;
}

std::unique_ptr<Normalizer> precompiled_normalizer(Charsmap map) {
  return std::make_unique<Precompiled>(std::move(map));
}

}  // namespace guerdon::text
