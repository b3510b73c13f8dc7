#include "text/added_tokens.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

// Bounds the work at each place of a text.
constexpr size_t kMaxAddedBytes = 1024;

}  // namespace

std::vector<AddedToken> read_added_tokens(const Node& node, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  std::map<std::string, uint32_t> ids;
  std::map<uint32_t, std::string> contents;
  for (const Node& entry : node.elements()) {
    AddedToken token{.id = read_id(entry["id"]),
                     .content = entry["content"].text(),
                     .single_word = entry.boolean_or("single_word", false),
                     .lstrip = entry.boolean_or("lstrip", false),
                     .rstrip = entry.boolean_or("rstrip", false),
                     .special = entry.boolean_or("special", false)};
    token.normalized = entry.boolean_or("normalized", !token.special);
    if (token.content.empty()) continue;
    if (token.content.size() > kMaxAddedBytes)
      entry.fail(str("the added token is longer than ", kMaxAddedBytes, " bytes"));
    const std::string named = show(token.content);
    if (const auto known = vocabulary.find(token.content); known && *known != token.id)
      entry.fail(str("the added token ", named, " has id ", token.id, ", but ", *known,
                     " in the vocabulary"));
    if (vocabulary.has(token.id) && vocabulary.token(token.id) != token.content)
      entry.fail(str("the added token ", named, " has id ", token.id, ", which is that of ",
                     show(vocabulary.token(token.id))));
    const auto [content, new_content] = ids.emplace(token.content, token.id);
    if (!new_content) {
      if (content->second != token.id)
        entry.fail(
            str("the added token ", named, " has two ids, ", content->second, " and ", token.id));
      continue;
    }
    const auto [other, new_id] = contents.emplace(token.id, token.content);
    if (!new_id)
      entry.fail(str("the added tokens ", named, " and ", show(other->second), " have the same id ",
                     token.id));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

AddedTokens::Finder::Finder(const Trie::Entries& entries) : trie(entries), any(!entries.empty()) {
  for (const auto& entry : entries) starts[static_cast<unsigned char>(entry.first.front())] = true;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer)
    : tokens_(std::move(tokens)) {
  Trie::Entries raw, normalized;
  MatchSpace space;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    token.written = token.content;
    index_of_id_[token.id] = i;
    index_of_content_[token.content] = i;
    if (!token.matched) continue;
    if (!token.normalized) {
      raw.emplace_back(token.content, static_cast<uint32_t>(i));
      continue;
    }
    AlignedText form(token.content, 0, false);
    space.refill(token.content.size());
    if (normalizer) normalizer->apply(form, space);
    token.written = form.bytes();
    if (form.size() > 0) normalized.emplace_back(token.written, static_cast<uint32_t>(i));
  }
  raw_ = Finder(raw);
  normalized_ = Finder(normalized);
}

const AddedToken* AddedTokens::by_id(uint32_t id) const {
  const auto at = index_of_id_.find(id);
  return at == index_of_id_.end() ? nullptr : &tokens_[at->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto at = index_of_content_.find(content);
  return at == index_of_content_.end() ? nullptr : &tokens_[at->second];
}

int64_t AddedTokens::id_end() const {
  return index_of_id_.empty() ? 0 : int64_t{index_of_id_.rbegin()->first} + 1;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text,
                                                  const Finder& finder) const {
  std::vector<Part> parts;
  size_t rest = 0;  // where the text begins that no part covers yet
  for (size_t at = 0; finder.any && at < text.size();) {
    if (!finder.starts[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const auto [length, index] = finder.trie.longest(text.substr(at));
    if (length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = at, end = at + length;
    at = end;
    if (token.single_word) {
      size_t before = begin, after = end;
      const bool word_before = begin > 0 && unicode::is_word(unicode::previous(text, before));
      const bool word_after = end < text.size() && unicode::is_word(unicode::next(text, after));
      if (word_before || word_after) continue;
    }
    while (token.lstrip && begin > rest) {
      size_t before = begin;
      if (!unicode::is_space(unicode::previous(text, before))) break;
      begin = before;
    }
    while (token.rstrip && end < text.size()) {
      size_t after = end;
      if (!unicode::is_space(unicode::next(text, after))) break;
      end = after;
    }
    begin = std::max(begin, rest);
    if (rest < begin) parts.push_back({{rest, begin}, nullptr});
    if (begin < end) parts.push_back({{begin, end}, &token});
    rest = end;
    at = std::max(at, end);
  }
  if (rest < text.size()) parts.push_back({{rest, text.size()}, nullptr});
  return parts;
}

}  // namespace guerdon::text
