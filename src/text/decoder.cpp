#include "text/decoder.h"

#include <algorithm>
#include <cctype>
#include <functional>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

// Real decoders write a mark of one character as a space.
constexpr double kMaxGrowth = 64.0;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// A stage that looks at whole tokens.
class WholeTokens : public DecoderStage {
 public:
  explicit WholeTokens(DecoderStage& next) : next_(next) {}
  void take(std::string_view fragment, bool ends) final {
    if (gathered_.empty() && ends) return token(fragment);
    gathered_ += fragment;
    if (!ends) return;
    token(gathered_);
    gathered_.clear();
  }
  void finish() override { next_.finish(); }

 protected:
  virtual void token(std::string_view token) = 0;
  DecoderStage& next_;

 private:
  std::string gathered_;
};

/// A stage that changes each token by itself, knowing only whether it is the first.
class Mapped final : public WholeTokens {
 public:
  using Map = std::function<std::string(std::string_view token, bool first)>;
  Mapped(const Map& map, DecoderStage& next) : WholeTokens(next), map_(map) {}

 private:
  void token(std::string_view token) override {
    next_.take(map_(token, first_), true);
    first_ = false;
  }
  const Map& map_;
  bool first_ = true;
};

class MappedDecoder final : public Decoder {
 public:
  explicit MappedDecoder(Mapped::Map map) : map_(std::move(map)) {}
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<Mapped>(map_, next);
  }

 private:
  Mapped::Map map_;
};

/// A decoder without settings.
template <class Stage>
class Plain final : public Decoder {
 public:
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<Stage>(next);
  }
};

class SpacedStage final : public DecoderStage {
 public:
  explicit SpacedStage(DecoderStage& next) : next_(next) {}
  void take(std::string_view fragment, bool ends) override {
    if (begins_ && !first_) next_.take(" ", false);
    next_.take(fragment, ends);
    begins_ = ends;
    first_ = false;
  }
  void finish() override { next_.finish(); }

 private:
  DecoderStage& next_;
  bool begins_ = true, first_ = true;
};

/// Bytes of the byte alphabet; the whole text becomes one token.
class ByteLevelStage final : public WholeTokens {
 public:
  using WholeTokens::WholeTokens;
  void finish() override {
    next_.take(take_characters(bytes_, true), true);
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    const size_t before = bytes_.size();
    for (size_t at = 0; at < token.size();) {
      const auto byte = byte_of(unicode::next(token, at));
      if (!byte) {  // not of the alphabet: an added token
        bytes_.resize(before);
        bytes_ += token;
        break;
      }
      bytes_.push_back(static_cast<char>(*byte));
    }
    next_.take(take_characters(bytes_, false), false);
  }
  std::string bytes_;
};

/// Runs of byte tokens become characters when all of the run is UTF-8, else one U+FFFD for each
/// byte.
class ByteFallbackStage final : public WholeTokens {
 public:
  using WholeTokens::WholeTokens;
  void finish() override {
    close();
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    if (const auto byte = byte_of_token(token)) {
      run_.push_back(static_cast<char>(*byte));
      return;
    }
    close();
    next_.take(token, true);
  }
  void close() {
    if (run_.empty()) return;
    if (is_utf8(run_)) {
      next_.take(run_, true);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) next_.take(kReplacement, true);
    }
    run_.clear();
  }
  std::string run_;
};

class FuseStage final : public DecoderStage {
 public:
  explicit FuseStage(DecoderStage& next) : next_(next) {}
  void take(std::string_view fragment, bool) override { next_.take(fragment, false); }
  void finish() override {
    next_.take("", true);
    next_.finish();
  }

 private:
  DecoderStage& next_;
};

/// Up to `start` characters `content` off the beginning of each token, up to `stop` off its end.
class StripStage final : public DecoderStage {
 public:
  StripStage(char32_t content, size_t start, size_t stop, DecoderStage& next)
      : start_(start), stop_(stop), next_(next) {
    utf8_append(content_, content);
  }
  void take(std::string_view fragment, bool ends) override {
    while (at_start_ && stripped_ < start_ && fragment.starts_with(content_)) {
      fragment.remove_prefix(content_.size());
      ++stripped_;
    }
    if (!fragment.empty()) at_start_ = false;
    held_ += fragment;
    // What may still be the end of the token is held back.
    size_t keep = 0;
    for (size_t i = 0;
         i < stop_ && std::string_view(held_).substr(0, held_.size() - keep).ends_with(content_);
         ++i)
      keep += content_.size();
    next_.take(std::string_view(held_).substr(0, held_.size() - keep), ends);
    if (ends) {
      held_.clear();
      at_start_ = true;
      stripped_ = 0;
    } else {
      held_.erase(0, held_.size() - keep);
    }
  }
  void finish() override { next_.finish(); }

 private:
  std::string content_, held_;
  size_t start_, stop_, stripped_ = 0;
  bool at_start_ = true;
  DecoderStage& next_;
};

class Strip final : public Decoder {
 public:
  explicit Strip(const Node& node)
      : content_(node["content"].character()),
        start_(count(node["start"])),
        stop_(count(node["stop"])) {}
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<StripStage>(content_, start_, stop_, next);
  }

 private:
  static size_t count(const Node& node) {
    if (node.integer() < 0) node.fail("must not be negative");
    return static_cast<size_t>(node.integer());
  }
  char32_t content_;
  size_t start_, stop_;
};

class ReplaceStage final : public WholeTokens {
 public:
  ReplaceStage(const Pattern& pattern, const std::string& content, DecoderStage& next)
      : WholeTokens(next), pattern_(pattern), content_(content) {}

 private:
  void token(std::string_view token) override {
    found_.clear();
    space_.refill(token.size());
    pattern_.find_all(token, space_, found_);
    std::string out;
    size_t at = 0;
    for (const Piece& match : found_) {
      out += token.substr(at, match.begin - at);
      out += content_;
      at = match.end;
    }
    next_.take(out += token.substr(at), true);
  }
  const Pattern& pattern_;
  const std::string& content_;
  MatchSpace space_;
  std::vector<Piece> found_;
};

class Replace final : public Decoder {
 public:
  explicit Replace(const Node& node)
      : pattern_(read_pattern(node["pattern"])), content_(node["content"].text()) {
    const auto length = static_cast<double>(content_.size());
    // An expression may match nothing before each byte.
    growth_ = 1.0 + length;
    if (const std::string literal = node["pattern"].text_or("String", ""); !literal.empty())
      growth_ = std::max(1.0, length / static_cast<double>(literal.size()));
  }
  double growth() const override { return growth_; }
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<ReplaceStage>(pattern_, content_, next);
  }

 private:
  Pattern pattern_;
  std::string content_;
  double growth_ = 1.0;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// The spaces that English writing does not have before punctuation and in contractions.
std::string tidy(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> changes[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : changes) replace_all(text, from, to);
  return text;
}

/// A suffix marks the end of a word: a space, but none at the end of the text. The last token waits
/// for its successor.
class SuffixStage final : public WholeTokens {
 public:
  SuffixStage(std::string suffix, DecoderStage& next)
      : WholeTokens(next), suffix_(std::move(suffix)) {}
  void finish() override {
    give("");
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    give(" ");
    last_ = std::string(token);
  }
  void give(std::string_view space) {
    if (!last_) return;
    replace_all(*last_, suffix_, space);
    next_.take(*last_, true);
    last_.reset();
  }
  std::string suffix_;
  std::optional<std::string> last_;
};

class Suffix final : public Decoder {
 public:
  explicit Suffix(std::string suffix) : suffix_(std::move(suffix)) {}
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<SuffixStage>(suffix_, next);
  }

 private:
  std::string suffix_;
};

/// Connectionist temporal classification: repetitions count once, the pad token parts them.
class CtcStage final : public WholeTokens {
 public:
  struct Settings {
    std::string pad, delimiter;
    bool cleanup;
  };
  CtcStage(const Settings& settings, DecoderStage& next) : WholeTokens(next), settings_(settings) {}

 private:
  void token(std::string_view token) override {
    if (last_ == token) return;
    last_ = std::string(token);
    std::string text(token);
    replace_all(text, settings_.pad, "");
    if (settings_.cleanup) {
      text = tidy(std::move(text));
      replace_all(text, settings_.delimiter, " ");
    }
    if (!text.empty()) next_.take(text, true);
  }
  const Settings& settings_;
  std::optional<std::string> last_;
};

class Ctc final : public Decoder {
 public:
  explicit Ctc(const Node& node)
      : settings_{node.text_or("pad_token", "<pad>"), node.text_or("word_delimiter_token", "|"),
                  node.boolean_or("cleanup", true)} {}
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<CtcStage>(settings_, next);
  }

 private:
  CtcStage::Settings settings_;
};

/// A chain of stages that is one stage.
class SequenceStage final : public DecoderStage {
 public:
  SequenceStage(const std::vector<std::unique_ptr<Decoder>>& parts, DecoderStage& next) {
    DecoderStage* behind = &next;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      stages_.push_back((*part)->start(*behind));
      behind = stages_.back().get();
    }
    first_ = behind;
  }
  void take(std::string_view fragment, bool ends) override { first_->take(fragment, ends); }
  void finish() override { first_->finish(); }

 private:
  std::vector<std::unique_ptr<DecoderStage>> stages_;
  DecoderStage* first_;
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(const Node& node) {
    for (const Node& part : node["decoders"].elements()) {
      parts_.push_back(read_decoder(part));
      growth_ *= parts_.back()->growth();
    }
  }
  double growth() const override { return growth_; }
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<SequenceStage>(parts_, next);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
  double growth_ = 1.0;
};

std::unique_ptr<Decoder> read_metaspace(const Node& node) {
  const std::string scheme = node.text_or(
      "prepend_scheme", node.boolean_or("add_prefix_space", true) ? "always" : "never");
  std::string replacement;
  utf8_append(replacement, node["replacement"].character());
  return std::make_unique<MappedDecoder>(
      [replacement, prefixed = scheme != "never"](std::string_view token, bool first) {
        std::string text(token);
        replace_all(text, replacement, first && prefixed ? "" : " ");
        return text;
      });
}

std::unique_ptr<Decoder> read_word_piece(const Node& node) {
  return std::make_unique<MappedDecoder>(
      [prefix = node.text_or("prefix", "##"), cleanup = node.boolean_or("cleanup", true)](
          std::string_view token, bool first) {
        std::string text(token);
        if (!first) {
          if (token.starts_with(prefix)) {
            text.erase(0, prefix.size());
          } else {
            text.insert(0, " ");
          }
        }
        return cleanup ? tidy(std::move(text)) : text;
      });
}

std::unique_ptr<Decoder> read_any(const Node& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return std::make_unique<Plain<ByteLevelStage>>();
  if (type == "ByteFallback") return std::make_unique<Plain<ByteFallbackStage>>();
  if (type == "Fuse") return std::make_unique<Plain<FuseStage>>();
  if (type == "Strip") return std::make_unique<Strip>(node);
  if (type == "Replace") return std::make_unique<Replace>(node);
  if (type == "Metaspace") return read_metaspace(node);
  if (type == "WordPiece") return read_word_piece(node);
  if (type == "BPEDecoder") return std::make_unique<Suffix>(node.text_or("suffix", "</w>"));
  if (type == "CTC") return std::make_unique<Ctc>(node);
  if (type == "Sequence") return std::make_unique<Sequence>(node);
  node["type"].fail(str("no such decoder: ", show(type)));
}

}  // namespace

std::string take_characters(std::string& bytes, bool final) {
  std::string text;
  size_t at = 0;
  while (at < bytes.size()) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    if (const size_t length = utf8_length(rest); length > 0) {
      text += rest.substr(0, length);
      at += length;
      continue;
    }
    // The longest beginning of a character that stands here.
    const auto byte = [&](size_t i) {
      return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0;
    };
    const unsigned char first = byte(0);
    const size_t wanted = first >= 0xF0 && first <= 0xF4  ? 4
                          : first >= 0xE0 && first < 0xF0 ? 3
                          : first >= 0xC2 && first < 0xE0 ? 2
                                                          : 0;
    const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    size_t valid = 1;
    if (wanted > 1 && byte(1) >= low && byte(1) <= high) {
      valid = 2;
      while (valid < wanted && (byte(valid) & 0xC0) == 0x80) ++valid;
    }
    if (wanted > 1 && valid == rest.size() && !final) break;  // may go on
    text += kReplacement;
    at += valid;
  }
  bytes.erase(0, at);
  return text;
}

std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : std::tolower(c) - 'a' + 10; };
  if (!std::isxdigit(static_cast<unsigned char>(token[3])) ||
      !std::isxdigit(static_cast<unsigned char>(token[4])))
    return std::nullopt;
  return static_cast<unsigned char>(digit(token[3]) * 16 + digit(token[4]));
}

std::unique_ptr<Decoder> spaced_decoder() { return std::make_unique<Plain<SpacedStage>>(); }

std::unique_ptr<Decoder> read_decoder(const Node& node) {
  std::unique_ptr<Decoder> decoder = read_any(node);
  if (decoder->growth() > kMaxGrowth)
    node.fail(str("its replacements can make a text more than ", kMaxGrowth, " times longer"));
  return decoder;
}

}  // namespace guerdon::text
