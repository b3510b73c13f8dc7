#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "guerdon/base/error.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

constexpr uint32_t kNowhere = UINT32_MAX;

}  // namespace

Unigram::Unigram(Vocabulary vocabulary, std::vector<Entry> entries, double unknown_score,
                 UnigramSettings settings)
    : vocabulary_(std::move(vocabulary)),
      entries_(std::move(entries)),
      unknown_score_(unknown_score),
      settings_(settings) {
  Trie::Entries matching;
  for (uint32_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].matches) matching.emplace_back(vocabulary_.token(id), id);
  }
  trie_ = Trie(std::move(matching));
  if (settings_.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      if (const auto id = vocabulary_.find(byte_token(byte))) fallback_.push_back(*id);
    }
    if (fallback_.size() < 256) fallback_.clear();
  }
}

// Viterbi, forwards: steps[i] is the best way to reach byte i.
void Unigram::find_best_path(std::string_view piece, std::vector<Workspace::Step>& steps) const {
  steps.assign(piece.size() + 1, {0.0, kNowhere, 0});
  const auto improve = [&](size_t end, double score, size_t begin, uint32_t id) {
    if (settings_.single_precision) score = static_cast<double>(static_cast<float>(score));
    Workspace::Step& step = steps[end];
    if (step.begin == kNowhere || score > step.score)
      step = {score, static_cast<uint32_t>(begin), id};
  };
  for (size_t begin = 0; begin < piece.size();) {
    const double so_far = steps[begin].score;
    size_t next = begin;
    unicode::next(piece, next);
    bool covered = false;  // whether a token stands for the character alone
    uint32_t node = Trie::kRoot;
    for (size_t at = begin; at < piece.size();) {
      node = trie_.step(node, piece[at++]);
      if (node == Trie::kNone) break;
      const uint32_t id = trie_.value(node);
      if (id == Trie::kNone) continue;
      improve(at, entries_[id].score + so_far, begin, id);
      covered |= at == next;
    }
    if (!covered) {
      if (!settings_.unknown)
        fail_input("unigram model", str("has no unknown token, and needs one for ",
                                        show(piece.substr(begin, next - begin))));
      improve(next, unknown_score_ + so_far, begin, *settings_.unknown);
    }
    begin = next;
  }
}

void Unigram::encode(std::string_view piece, Workspace& workspace,
                     std::vector<ModelToken>& tokens) const {
  if (workspace.cache.find(piece, tokens)) return;
  const size_t first = tokens.size();
  find_best_path(piece, workspace.steps);
  for (size_t end = piece.size(); end > 0;) {  // from the end to the start
    const Workspace::Step& step = workspace.steps[end];
    const bool extends = settings_.unknown && step.id == *settings_.unknown &&
                         tokens.size() > first && tokens.back().id == step.id;
    if (extends) {
      tokens.back().begin = step.begin;  // neighbouring unknown characters are one token
    } else {
      tokens.push_back({step.id, step.begin, static_cast<uint32_t>(end)});
    }
    end = step.begin;
  }
  std::reverse(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());

  // An unknown stretch is looked up as a whole, then written as bytes where the model has them.
  const auto is_unknown = [&](const ModelToken& token) {
    return settings_.unknown && token.id == *settings_.unknown;
  };
  if (!fallback_.empty() &&
      std::any_of(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end(), is_unknown)) {
    std::vector<ModelToken> expanded;
    for (size_t i = first; i < tokens.size(); ++i) {
      const ModelToken& token = tokens[i];
      const std::string_view text = piece.substr(token.begin, token.end - token.begin);
      if (!is_unknown(token) || text == vocabulary_.token(token.id)) {
        expanded.push_back(token);
      } else {
        for (const char byte : text)
          expanded.push_back({fallback_[static_cast<unsigned char>(byte)], token.begin, token.end});
      }
    }
    tokens.resize(first);
    tokens.insert(tokens.end(), expanded.begin(), expanded.end());
  }
  workspace.cache.add(piece, tokens, first);
}

std::unique_ptr<Model> read_unigram(const Node& node) {
  Vocabulary vocabulary;
  std::vector<Unigram::Entry> entries;
  const Node list = node["vocab"];
  if (!list.json().is_array()) list.fail("must be an array of tokens and scores");
  if (list.json().size() > static_cast<size_t>(kMaxId)) list.fail("has too many tokens");
  vocabulary.reserve(list.json().size());
  double lowest = std::numeric_limits<double>::infinity();
  for (const Json& entry : list.json()) {
    const auto id = static_cast<uint32_t>(entries.size());
    const auto where = [&] { return Node(entry, str(list.where(), "[", id, "]")); };
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      where().fail("must be a token and its score");
    const auto& token = entry[0].get_ref<const std::string&>();
    if (token.size() > kMaxTokenBytes)
      where().fail(str("the token is longer than ", kMaxTokenBytes, " bytes"));
    // The library's own trainer writes some tokens twice; the later one counts.
    if (!vocabulary.add(token, id)) vocabulary.add_again(token, id);
    entries.push_back({entry[1].get<double>(), true});
    lowest = std::min(lowest, entries.back().score);
  }
  UnigramSettings settings{.byte_fallback = node.boolean_or("byte_fallback", false)};
  if (node.has("unk_id")) {
    const Node unknown = node["unk_id"];
    settings.unknown = read_id(unknown);
    if (*settings.unknown >= entries.size()) unknown.fail("is past the end of the vocabulary");
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(entries),
                                   lowest - kUnknownPenalty, settings);
}

}  // namespace guerdon::text
