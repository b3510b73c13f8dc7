#include "text/pre_tokenizer.h"

#include <unicode/uscript.h>

#include <algorithm>
#include <functional>

#include "guerdon/base/error.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior read_behavior(const Node& node) {
  const std::string name = node.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  node.fail(str("no such behavior: ", show(name)));
}

/// A part of a text that is a delimiter or stands between delimiters.
struct Part {
  Piece piece;
  bool delimiter;
};

void append(std::vector<Piece>& out, const Piece& piece) {
  if (piece.begin < piece.end) out.push_back(piece);
}

/// What becomes of the parts of one piece; they cover it without a gap.
void arrange(const std::vector<Part>& parts, Behavior behavior, std::vector<Piece>& out) {
  if (behavior == Behavior::removed || behavior == Behavior::isolated) {
    for (const Part& part : parts) {
      if (behavior == Behavior::isolated || !part.delimiter) append(out, part.piece);
    }
    return;
  }
  // Each part joins the one before it in reading direction, or begins a new piece.
  const bool backwards = behavior == Behavior::merged_with_next;
  std::vector<Piece> joined;
  bool previous = false;  // whether the part before was a delimiter
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[backwards ? parts.size() - 1 - i : i];
    const bool joins =
        behavior == Behavior::contiguous ? part.delimiter == previous : part.delimiter && !previous;
    if (joins && !joined.empty()) {
      (backwards ? joined.back().begin : joined.back().end) =
          backwards ? part.piece.begin : part.piece.end;
    } else {
      joined.push_back(part.piece);
    }
    previous = part.delimiter;
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  for (const Piece& piece : joined) append(out, piece);
}

/// Cuts each piece at the characters that `is_delimiter` picks, each of them a delimiter of its
/// own.
template <class IsDelimiter>
void split_at(Pieces& pieces, Behavior behavior, const IsDelimiter& is_delimiter) {
  std::vector<Piece> out;
  std::vector<Part> parts;
  const std::string& bytes = pieces.text.bytes();
  for (const Piece& piece : pieces.list) {
    parts.clear();
    size_t rest = piece.begin;
    for (size_t at = piece.begin; at < piece.end;) {
      const size_t begin = at;
      if (!is_delimiter(unicode::next(bytes, at))) continue;
      if (rest < begin) parts.push_back({{rest, begin}, false});
      parts.push_back({{begin, at}, true});
      rest = at;
    }
    if (rest < piece.end) parts.push_back({{rest, piece.end}, false});
    arrange(parts, behavior, out);
  }
  pieces.list = std::move(out);
}

/// Rebuilds the text: write(piece, out) puts the new form of a piece behind what is in `out`.
template <class Write>
void rewrite_pieces(Pieces& pieces, const Write& write) {
  AlignedText out = pieces.text.empty();
  for (Piece& piece : pieces.list) {
    const size_t begin = out.size();
    write(piece, out);
    piece = {begin, out.size()};
  }
  pieces.text = std::move(out);
}

class Sequence final : public PreTokenizer {
 public:
  Sequence(const Node& node, bool may_leave_bytes, bool& leaves_bytes) {
    const std::vector<Node> parts = node["pretokenizers"].elements();
    for (size_t i = 0; i < parts.size(); ++i)
      parts_.push_back(
          read_pre_tokenizer(parts[i], may_leave_bytes && i + 1 == parts.size(), leaves_bytes));
  }
  void apply(Pieces& pieces, MatchSpace& space) const override {
    for (const auto& part : parts_) part->apply(pieces, space);
  }
  bool needs_origins() const override {
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const auto& part) { return part->needs_origins(); });
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

/// Cuts pieces at every match of a pattern that matches everywhere.
void split_words(Pieces& pieces, WordMatcher matcher) {
  std::vector<Piece> out;
  out.reserve(pieces.text.size() / 4 + 1);
  const std::string_view bytes = pieces.text.bytes();
  for (const Piece& piece : pieces.list) {
    for (size_t at = piece.begin; at < piece.end;) {
      const size_t end = at + matcher(bytes.substr(at, piece.end - at));
      out.push_back({at, end});
      at = end;
    }
  }
  pieces.list = std::move(out);
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(const Node& node, bool leave_bytes)
      : prefix_(node.boolean_or("add_prefix_space", true)),
        split_(node.boolean_or("use_regex", true)),
        leave_bytes_(leave_bytes) {}

  void apply(Pieces& pieces, MatchSpace&) const override {
    if (prefix_) {
      rewrite_pieces(pieces, [&](const Piece& piece, AlignedText& out) {
        if (pieces.text.bytes()[piece.begin] == ' ') {
          Rewriter(pieces.text, piece.begin, piece.end, out).keep(piece.end - piece.begin);
        } else {
          prepend(pieces.text, piece.begin, piece.end, " ", out);
        }
      });
    }
    if (split_) split_words(pieces, &gpt2_word);
    if (!leave_bytes_) {
      rewrite_pieces(pieces, [&](const Piece& piece, AlignedText& out) {
        to_byte_alphabet(pieces.text, piece.begin, piece.end, out);
      });
    }
  }

 private:
  bool prefix_, split_, leave_bytes_;
};

class Split final : public PreTokenizer {
 public:
  explicit Split(const Node& node)
      : pattern_(read_pattern(node["pattern"])),
        behavior_(read_behavior(node["behavior"])),
        invert_(node.boolean_or("invert", false)),
        words_(behavior_ == Behavior::isolated ? word_matcher(pattern_.source()) : nullptr) {}

  void apply(Pieces& pieces, MatchSpace& space) const override {
    if (words_) return split_words(pieces, words_);
    std::vector<Piece> out, found;
    std::vector<Part> parts;
    for (const Piece& piece : pieces.list) {
      found.clear();
      parts.clear();
      pattern_.find_all(
          std::string_view(pieces.text.bytes()).substr(piece.begin, piece.end - piece.begin), space,
          found);
      size_t rest = piece.begin;
      for (const Piece& match : found) {
        const Piece at{piece.begin + match.begin, piece.begin + match.end};
        if (rest < at.begin) parts.push_back({{rest, at.begin}, invert_});
        parts.push_back({at, !invert_});
        rest = at.end;
      }
      if (rest < piece.end) parts.push_back({{rest, piece.end}, invert_});
      arrange(parts, behavior_, out);
    }
    pieces.list = std::move(out);
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
  WordMatcher words_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(const Node& node)
      : replacement_(node["replacement"].character()), split_(node.boolean_or("split", true)) {
    const std::string scheme = node.text_or("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      node["prepend_scheme"].fail(
          str("must be \"always\", \"first\" or \"never\", got ", show(scheme)));
    // Older files say add_prefix_space; false means never.
    if (!node.boolean_or("add_prefix_space", true)) {
      if (node.has("prepend_scheme") && scheme != "never")
        node.fail("add_prefix_space is false, but prepend_scheme asks for a prefix");
    } else {
      always_ = scheme == "always";
      first_ = scheme == "first";
    }
  }

  void apply(Pieces& pieces, MatchSpace&) const override {
    const AlignedText& text = pieces.text;
    const std::string& bytes = text.bytes();
    rewrite_pieces(pieces, [&](const Piece& piece, AlignedText& out) {
      size_t at = piece.begin;
      const char32_t first = unicode::next(bytes, at);
      const char32_t as_first = first == ' ' ? replacement_ : first;
      Rewriter rewriter(text, piece.begin, piece.end, out);
      if (as_first != replacement_ &&
          (always_ || (first_ && text.origin_at(piece.begin).begin == 0))) {
        rewriter.put(replacement_, 0);
        rewriter.put(as_first, 1);
      } else {
        rewriter.put(as_first, 0);
      }
      while (at < piece.end) {
        const size_t space = std::min(bytes.find(' ', at), piece.end);
        rewriter.keep(space - at);
        at = space;
        if (at < piece.end) {
          rewriter.put(replacement_, 0);
          ++at;
        }
      }
    });
    if (split_)
      split_at(pieces, Behavior::merged_with_next, [&](char32_t c) { return c == replacement_; });
  }

  bool needs_origins() const override { return first_; }

 private:
  char32_t replacement_;
  bool split_;
  bool always_ = false, first_ = false;
};

/// Pre-tokenizers that cut at single characters.
class Characters final : public PreTokenizer {
 public:
  using Test = std::function<bool(char32_t)>;
  Characters(Test test, Behavior behavior) : test_(std::move(test)), behavior_(behavior) {}
  void apply(Pieces& pieces, MatchSpace&) const override { split_at(pieces, behavior_, test_); }

 private:
  Test test_;
  Behavior behavior_;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(const Node& node)
      : behavior_(node.boolean_or("individual_digits", false) ? Behavior::isolated
                                                              : Behavior::contiguous) {}
  void apply(Pieces& pieces, MatchSpace&) const override {
    split_at(pieces, behavior_,
             [](char32_t c) { return unicode::kind(c) == unicode::Kind::number; });
  }

 private:
  Behavior behavior_;
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  void apply(Pieces& pieces, MatchSpace&) const override {
    split_at(pieces, Behavior::removed, &unicode::is_space);
    split_at(pieces, Behavior::isolated, &unicode::is_punctuation);
  }
};

/// \w+|[^\w\s]+
class Whitespace final : public PreTokenizer {
 public:
  void apply(Pieces& pieces, MatchSpace&) const override {
    std::vector<Piece> out;
    const std::string& bytes = pieces.text.bytes();
    for (const Piece& piece : pieces.list) {
      int last = 0;  // 0: space, 1: word, 2: other
      for (size_t at = piece.begin; at < piece.end;) {
        const size_t begin = at;
        const char32_t c = unicode::next(bytes, at);
        const int kind = unicode::is_space(c) ? 0 : unicode::is_word(c) ? 1 : 2;
        if (kind != 0 && kind == last) {
          out.back().end = at;
        } else if (kind != 0) {
          out.push_back({begin, at});
        }
        last = kind;
      }
    }
    pieces.list = std::move(out);
  }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(const Node& node) : length_(node.integer_or("length", 5)) {
    if (length_ < 1) node["length"].fail("must be at least 1");
  }
  void apply(Pieces& pieces, MatchSpace&) const override {
    std::vector<Piece> out;
    for (const Piece& piece : pieces.list) {
      for (size_t at = piece.begin; at < piece.end;) {
        const size_t begin = at;
        for (int64_t i = 0; i < length_ && at < piece.end; ++i)
          unicode::next(pieces.text.bytes(), at);
        out.push_back({begin, at});
      }
    }
    pieces.list = std::move(out);
  }

 private:
  int64_t length_;
};

/// Cuts where the script changes. Kana count as Han, spaces and what Unicode 9 does not know as any
/// script.
class UnicodeScripts final : public PreTokenizer {
 public:
  void apply(Pieces& pieces, MatchSpace&) const override {
    std::vector<Piece> out;
    for (const Piece& piece : pieces.list) {
      bool begun = false;  // the library counts a piece from its first scripted character
      size_t begin = piece.begin;
      int32_t last = kNone;
      for (size_t at = piece.begin; at < piece.end;) {
        const size_t here = at;
        const int32_t script = script_of(unicode::next(pieces.text.bytes(), at));
        if (script == kAny) continue;
        if (script != last) {
          if (begun) append(out, {begin, here});
          begin = here;
          begun = true;
        }
        last = script;
      }
      if (begun) append(out, {begin, piece.end});
    }
    pieces.list = std::move(out);
  }

 private:
  static constexpr int32_t kNone = -1, kAny = -2;
  static int32_t script_of(char32_t c) {
    constexpr char32_t kLongVowel = 0x30FC;
    if (c == ' ' || unicode::category_as_of(c, 9) == unicode::Category::Cn) return kAny;
    UErrorCode status = U_ZERO_ERROR;
    const int32_t script = uscript_getScript(static_cast<UChar32>(c), &status);
    if (script == USCRIPT_UNKNOWN) return kAny;
    return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA || c == kLongVowel ? USCRIPT_HAN
                                                                                       : script;
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Node& node, bool may_leave_bytes,
                                                 bool& leaves_bytes) {
  const std::string type = node.type();
  if (type == "Sequence") return std::make_unique<Sequence>(node, may_leave_bytes, leaves_bytes);
  if (type == "ByteLevel") {
    if (may_leave_bytes) leaves_bytes = true;
    return std::make_unique<ByteLevel>(node, may_leave_bytes);
  }
  if (type == "Split") return std::make_unique<Split>(node);
  if (type == "Metaspace") return std::make_unique<Metaspace>(node);
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit")
    return std::make_unique<Characters>(&unicode::is_space, Behavior::removed);
  if (type == "Digits") return std::make_unique<Digits>(node);
  if (type == "FixedLength") return std::make_unique<FixedLength>(node);
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "Punctuation") {
    const Behavior behavior =
        node.has("behavior") ? read_behavior(node["behavior"]) : Behavior::isolated;
    return std::make_unique<Characters>(&unicode::is_punctuation, behavior);
  }
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = node["delimiter"].character();
    return std::make_unique<Characters>([delimiter](char32_t c) { return c == delimiter; },
                                        Behavior::removed);
  }
  node["type"].fail(str("no such pre-tokenizer: ", show(type)));
}

}  // namespace guerdon::text
