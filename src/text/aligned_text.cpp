#include "text/aligned_text.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

bool continues(const std::string& text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

}  // namespace

AlignedText::Origin AlignedText::origin_at(size_t byte) const {
  if (changed_) return origins_[byte];
  size_t begin = byte, end = byte + 1;
  while (begin > 0 && continues(bytes_, begin)) --begin;
  while (continues(bytes_, end)) ++end;
  return {static_cast<uint32_t>(begin_ + begin), static_cast<uint32_t>(begin_ + end)};
}

Encoding::Range AlignedText::origin(size_t begin, size_t end) const {
  const size_t last = std::min(end, bytes_.size()) - 1;
  return {origin_at(std::min(begin, last)).begin, origin_at(last).end};
}

AlignedText AlignedText::slice(size_t begin, size_t end) const {
  AlignedText part;
  part.bytes_ = bytes_.substr(begin, end - begin);
  part.limit_ = limit_;
  part.tracked_ = tracked_;
  part.changed_ = changed_;
  part.begin_ = begin_ + (changed_ ? 0 : begin);
  if (changed_ && tracked_) {
    part.origins_.assign(origins_.begin() + static_cast<ptrdiff_t>(begin),
                         origins_.begin() + static_cast<ptrdiff_t>(end));
    if (begin < end) part.begin_ = origins_[begin].begin;
  }
  return part;
}

AlignedText AlignedText::empty() const {
  AlignedText text;
  text.begin_ = begin_;
  text.limit_ = limit_;
  text.tracked_ = tracked_;
  text.changed_ = true;
  return text;
}

void AlignedText::shorten(size_t bytes) {
  bytes_.resize(bytes_.size() - bytes);
  if (tracked_) origins_.resize(bytes_.size());
}

Rewriter::Rewriter(const AlignedText& source, size_t begin, size_t end, AlignedText& target)
    : source_(source),
      target_(target),
      begin_(begin),
      end_(end),
      at_(begin),
      start_(source.begin()) {
  if (begin > 0 && begin < end && source.tracked()) start_ = source.origin_at(begin).begin;
}

void Rewriter::swallow(size_t characters) {
  for (; characters > 0 && at_ < end_; --characters) unicode::next(source_.bytes(), at_);
}

AlignedText::Origin Rewriter::origin_for(int change) const {
  const auto start = static_cast<uint32_t>(start_);
  if (begin_ == end_) return {start, start};
  if (change <= 0) return source_.origin_at(std::min(at_, end_ - 1));
  return at_ > begin_ ? source_.origin_at(at_ - 1) : AlignedText::Origin{start, start};
}

void Rewriter::append(char32_t c) {
  utf8_append(target_.bytes_, c);
  if (target_.bytes_.size() > target_.limit_)
    fail_input("text", str("the tokenizer's components make it longer than ", target_.limit_,
                           " bytes (limit: ", Growth::kFactor, " times its length and ",
                           Growth::kFree, ")"));
}

void Rewriter::put(char32_t c, int change) {
  const size_t before = target_.bytes_.size();
  append(c);
  if (target_.tracked_)
    target_.origins_.insert(target_.origins_.end(), target_.bytes_.size() - before,
                            origin_for(change));
  if (change <= 0) swallow(1 + static_cast<size_t>(-change));
}

void Rewriter::put_from(char32_t c, size_t at, size_t length) {
  const size_t before = target_.bytes_.size();
  append(c);
  if (!target_.tracked_) return;
  AlignedText::Origin origin{static_cast<uint32_t>(start_), static_cast<uint32_t>(start_)};
  if (length > 0) {
    const auto [begin, end] = source_.origin(at, at + length);
    origin = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
  } else if (at > begin_) {
    const uint32_t end = source_.origin_at(at - 1).end;
    origin = {end, end};
  }
  target_.origins_.insert(target_.origins_.end(), target_.bytes_.size() - before, origin);
}

void Rewriter::keep(size_t bytes) {
  target_.bytes_.append(source_.bytes(), at_, bytes);
  if (target_.tracked_) {
    for (size_t i = 0; i < bytes; ++i) target_.origins_.push_back(source_.origin_at(at_ + i));
  }
  at_ += bytes;
}

}  // namespace guerdon::text
