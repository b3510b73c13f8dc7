#include "text/normalizer.h"

#include <unicode/uchar.h>

#include "guerdon/base/error.h"
#include "text/base64.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

using unicode::Category;

/// Calls change(c, rewriter) for each character of the whole text; the function has to put or drop
/// it.
template <class Change>
void rewrite(AlignedText& text, const Change& change) {
  AlignedText out = text.empty();
  Rewriter rewriter(text, 0, text.size(), out);
  for (size_t at = 0; at < text.size();) {
    const char32_t c = unicode::next(text.bytes(), at);
    change(c, rewriter);
  }
  text = std::move(out);
}

template <class Keep>
void filter(AlignedText& text, const Keep& keep) {
  rewrite(text, [&](char32_t c, Rewriter& rewriter) {
    if (keep(c)) {
      rewriter.put(c, 0);
    } else {
      rewriter.drop(c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
    }
  });
}

template <class Map>
void map(AlignedText& text, const Map& mapped) {
  rewrite(text, [&](char32_t c, Rewriter& rewriter) { rewriter.put(mapped(c), 0); });
}

// Lower case of single characters; of all of them only one becomes two.
void lowercase(AlignedText& text) {
  constexpr char32_t kDottedI = 0x130;
  rewrite(text, [](char32_t c, Rewriter& rewriter) {
    if (c == kDottedI) {
      rewriter.put('i', 0);
      rewriter.put(0x307, 1);
    } else {
      rewriter.put(static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))), 0);
    }
  });
}

class Sequence final : public Normalizer {
 public:
  explicit Sequence(const Node& node) {
    for (const Node& part : node["normalizers"].elements()) parts_.push_back(read_normalizer(part));
  }
  void apply(AlignedText& text, MatchSpace& space) const override {
    for (const auto& part : parts_) part->apply(text, space);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

class Form final : public Normalizer {
 public:
  explicit Form(UnicodeForm form) : form_(form) {}
  void apply(AlignedText& text, MatchSpace&) const override { to_unicode_form(text, form_); }

 private:
  UnicodeForm form_;
};

class Lowercase final : public Normalizer {
 public:
  void apply(AlignedText& text, MatchSpace&) const override { lowercase(text); }
};

class Strip final : public Normalizer {
 public:
  explicit Strip(const Node& node)
      : left_(node.boolean_or("strip_left", true)), right_(node.boolean_or("strip_right", true)) {}

  void apply(AlignedText& text, MatchSpace&) const override {
    const std::string& bytes = text.bytes();
    size_t begin = 0, end = bytes.size();
    while (left_ && begin < end) {
      size_t at = begin;
      if (!unicode::is_space(unicode::next(bytes, at))) break;
      begin = at;
    }
    while (right_ && end > begin) {
      size_t at = end;
      if (!unicode::is_space(unicode::previous(bytes, at))) break;
      end = at;
    }
    if (begin > 0 || end < bytes.size()) {
      AlignedText out = text.empty();
      Rewriter rewriter(text, 0, text.size(), out);
      rewriter.drop(begin);
      rewriter.keep(end - begin);
      text = std::move(out);
    }
  }

 private:
  bool left_, right_;
};

class StripAccents final : public Normalizer {
 public:
  void apply(AlignedText& text, MatchSpace&) const override {
    if (unicode::is_ascii(text.bytes())) return;
    filter(text, [](char32_t c) {
      return c < 0x300 || unicode::group(unicode::category_as_of(c, 9)) != 'M';
    });
  }
};

bool is_chinese(char32_t c) {  // the ranges of BERT's own code
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

class Bert final : public Normalizer {
 public:
  explicit Bert(const Node& node)
      : clean_(node.boolean_or("clean_text", true)),
        chinese_(node.boolean_or("handle_chinese_chars", true)),
        lowercase_(node.boolean_or("lowercase", true)),
        strip_accents_(node.boolean_or("strip_accents", lowercase_)) {}

  void apply(AlignedText& text, MatchSpace&) const override {
    if (clean_) {
      filter(text, [](char32_t c) { return !removed(c); });
      map(text, [](char32_t c) { return unicode::is_space(c) ? U' ' : c; });
    }
    const bool ascii = unicode::is_ascii(text.bytes());
    if (chinese_ && !ascii) {
      rewrite(text, [](char32_t c, Rewriter& rewriter) {
        const bool padded = is_chinese(c);
        if (padded) rewriter.put(' ', 1);
        rewriter.put(c, 0);
        if (padded) rewriter.put(' ', 1);
      });
    }
    if (strip_accents_ && !ascii) {
      to_unicode_form(text, UnicodeForm::nfd);
      filter(text, [](char32_t c) { return unicode::category_as_of(c, 8) != Category::Mn; });
    }
    if (lowercase_) lowercase(text);
  }

 private:
  static bool removed(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    if (c == 0 || c == 0xFFFD) return true;
    if (c < 0x7F) return c < 0x20;
    const Category category = unicode::category_as_of(c, 8);
    return category == Category::Cc || category == Category::Cf || category == Category::Co;
  }

  bool clean_, chinese_, lowercase_, strip_accents_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(const Node& node)
      : pattern_(read_pattern(node["pattern"])), content_(node["content"].text()) {}

  void apply(AlignedText& text, MatchSpace& space) const override {
    std::vector<Piece> found;
    pattern_.find_all(text.bytes(), space, found);
    if (found.empty()) return;
    AlignedText out = text.empty();
    Rewriter rewriter(text, 0, text.size(), out);
    for (const Piece& match : found) {
      rewriter.keep(match.begin - rewriter.position());
      rewriter.drop(match.end - match.begin);
      for (size_t at = 0; at < content_.size();) rewriter.put(unicode::next(content_, at), 1);
    }
    rewriter.keep(text.size() - rewriter.position());
    text = std::move(out);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(const Node& node) : text_(node["prepend"].text()) {}

  void apply(AlignedText& text, MatchSpace&) const override {
    if (text.size() == 0 || text_.empty()) return;
    AlignedText out = text.empty();
    prepend(text, 0, text.size(), text_, out);
    text = std::move(out);
  }

 private:
  std::string text_;
};

class Nmt final : public Normalizer {
 public:
  void apply(AlignedText& text, MatchSpace&) const override {
    filter(text, [](char32_t c) {
      return !((c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
               c == 0x8F || c == 0x9F);
    });
    map(text, [](char32_t c) {
      const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                         c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      return space ? U' ' : c;
    });
  }
};

class Bytes final : public Normalizer {
 public:
  void apply(AlignedText& text, MatchSpace&) const override {
    AlignedText out = text.empty();
    to_byte_alphabet(text, 0, text.size(), out);
    text = std::move(out);
  }
};

}  // namespace

Pattern read_pattern(const Node& node) {
  if (node.has("Regex")) return Pattern::regex(node["Regex"].text(), node["Regex"].where());
  return Pattern::literal(node["String"].text());
}

void prepend(const AlignedText& text, size_t begin, size_t end, std::string_view prefix,
             AlignedText& out) {
  Rewriter rewriter(text, begin, end, out);
  size_t first_end = begin;
  const char32_t first = unicode::next(text.bytes(), first_end);
  for (size_t at = 0; at < prefix.size();) {
    const int change =
        at == 0 ? 0 : 1;  // what is prepended shares the origin of the first character
    rewriter.put(unicode::next(prefix, at), change);
  }
  rewriter.put(first, 1);
  rewriter.keep(end - first_end);
}

std::unique_ptr<Normalizer> read_normalizer(const Node& node) {
  const std::string type = node.type();
  if (type == "Sequence") return std::make_unique<Sequence>(node);
  if (type == "NFC") return std::make_unique<Form>(UnicodeForm::nfc);
  if (type == "NFD") return std::make_unique<Form>(UnicodeForm::nfd);
  if (type == "NFKC") return std::make_unique<Form>(UnicodeForm::nfkc);
  if (type == "NFKD") return std::make_unique<Form>(UnicodeForm::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "Strip") return std::make_unique<Strip>(node);
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "BertNormalizer") return std::make_unique<Bert>(node);
  if (type == "Replace") return std::make_unique<Replace>(node);
  if (type == "Prepend") return std::make_unique<Prepend>(node);
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "ByteLevel") return std::make_unique<Bytes>();
  if (type == "Precompiled") {
    const Node map = node["precompiled_charsmap"];
    const std::optional<std::string> bytes = base64(map.text());
    if (!bytes) map.fail("is not base64");
    return precompiled_normalizer(Charsmap(*bytes, map.where()));
  }
  node["type"].fail(str("no such normalizer: ", show(type)));
}

}  // namespace guerdon::text
