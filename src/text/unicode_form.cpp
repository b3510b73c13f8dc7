// Normal forms with origins. ICU gives decompositions, classes and compositions of single
// characters; the algorithm (Unicode Standard, 3.11) is written out here, because each character
// must say what it replaces.
#include <unicode/normalizer2.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "guerdon/base/error.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

struct Item {
  char32_t c;
  uint8_t combining_class;
  int change;
};

const icu::Normalizer2& instance(UnicodeForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case UnicodeForm::nfc: normalizer = icu::Normalizer2::getNFCInstance(status); break;
    case UnicodeForm::nfd: normalizer = icu::Normalizer2::getNFDInstance(status); break;
    case UnicodeForm::nfkc: normalizer = icu::Normalizer2::getNFKCInstance(status); break;
    case UnicodeForm::nfkd: normalizer = icu::Normalizer2::getNFKDInstance(status); break;
  }
  GUERDON_CHECK(U_SUCCESS(status) && normalizer, "ICU has no normalization data");
  return *normalizer;
}

// The library normalizes by Unicode 9.
bool is_new(char32_t c) { return unicode::category_as_of(c, 9) == unicode::Category::Cn; }

std::vector<Item> decomposed(const std::string& text, const icu::Normalizer2& forms) {
  std::vector<Item> items;
  items.reserve(text.size());
  size_t pending = 0;  // items from here on may still change places
  const auto settle = [&] {
    std::stable_sort(
        items.begin() + static_cast<ptrdiff_t>(pending), items.end(),
        [](const Item& a, const Item& b) { return a.combining_class < b.combining_class; });
    pending = items.size();
  };
  const auto push = [&](char32_t c, int change) {
    const uint8_t combining_class =
        c < 0x300 || is_new(c) ? 0 : forms.getCombiningClass(static_cast<UChar32>(c));
    if (combining_class == 0) settle();
    items.push_back({c, combining_class, change});
  };
  icu::UnicodeString expansion;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = unicode::next(text, at);
    if (c < 0xA0 || is_new(c) || !forms.getDecomposition(static_cast<UChar32>(c), expansion)) {
      push(c, 0);
      continue;
    }
    for (int32_t i = 0; i < expansion.length(); i = expansion.moveIndex32(i, 1))
      push(static_cast<char32_t>(expansion.char32At(i)), i == 0 ? 0 : 1);
  }
  settle();
  return items;
}

void compose(std::vector<Item>& items, const icu::Normalizer2& forms) {
  size_t size = 0;
  ptrdiff_t starter = -1;
  int last_class = -1;  // of what stands between the starter and the present item; -1: nothing does
  for (const Item& item : items) {
    if (starter >= 0 && last_class < item.combining_class) {
      Item& first = items[static_cast<size_t>(starter)];
      const UChar32 composite =
          forms.composePair(static_cast<UChar32>(first.c), static_cast<UChar32>(item.c));
      if (composite >= 0) {
        first.c = static_cast<char32_t>(composite);
        first.change += item.change - 1;
        continue;
      }
    }
    if (item.combining_class == 0) {
      starter = static_cast<ptrdiff_t>(size);
      last_class = -1;
    } else {
      last_class = item.combining_class;
    }
    items[size++] = item;
  }
  items.resize(size);
}

}  // namespace

void to_unicode_form(AlignedText& text, UnicodeForm form) {
  if (unicode::is_ascii(text.bytes())) return;
  UErrorCode status = U_ZERO_ERROR;
  const icu::StringPiece bytes(text.bytes().data(), static_cast<int32_t>(text.bytes().size()));
  if (instance(form).isNormalizedUTF8(bytes, status) && U_SUCCESS(status)) return;

  const bool compatibility = form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
  const icu::Normalizer2& forms = instance(compatibility ? UnicodeForm::nfkc : UnicodeForm::nfc);
  std::vector<Item> items = decomposed(text.bytes(), forms);
  if (form == UnicodeForm::nfc || form == UnicodeForm::nfkc) compose(items, forms);

  AlignedText out = text.empty();
  Rewriter rewriter(text, 0, text.size(), out);
  for (const Item& item : items) rewriter.put(item.c, item.change);
  text = std::move(out);
}

}  // namespace guerdon::text
