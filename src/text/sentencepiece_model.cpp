// SentencePiece models: a protocol buffer with the pieces, their scores, and how text is
// normalized. What text becomes is what the SentencePiece library (0.2) makes of it.
#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/base64.h"
#include "text/bpe.h"
#include "text/pipeline.h"
#include "text/sentencepiece_file.h"
#include "text/unicode.h"
#include "text/unigram.h"

namespace guerdon::text {
namespace {

using Kind = SentencePieceFile::PieceKind;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
constexpr char32_t kSpaceMarkCharacter = 0x2581;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Replacements by the character map, spaces written as U+2581, one put before the text.
class SentencePieceNormalizer final : public Normalizer {
 public:
  explicit SentencePieceNormalizer(const SentencePieceFile& file, const std::string& where)
      : map_(file.charsmap, where),
        dummy_prefix_(file.add_dummy_prefix),
        remove_spaces_(file.remove_extra_whitespaces),
        escape_(file.escape_whitespaces),
        suffix_(file.whitespace_as_suffix) {
    Trie::Entries kept;
    for (const auto& piece : file.pieces) {
      if (piece.kind == Kind::user_defined) kept.emplace_back(piece.text, 0);
    }
    kept_ = Trie(std::move(kept));
  }

  void apply(AlignedText& text, MatchSpace&) const override {
    const std::string_view bytes = text.bytes();
    size_t at = 0;
    while (remove_spaces_ && at < bytes.size()) {
      const Unit unit = next_unit(bytes.substr(at));
      if (unit.form != " ") break;
      at += unit.length;
    }
    AlignedText out = text.empty();
    Rewriter rewriter(text, 0, text.size(), out);
    rewriter.drop(at);
    if (at < bytes.size() && dummy_prefix_ && !suffix_) put_space(rewriter, 0, 0);
    bool after_space = remove_spaces_;
    std::vector<size_t> ends;  // of `out` before each space at its end, for those that are to go
    while (at < bytes.size()) {
      const Unit unit = next_unit(bytes.substr(at));
      std::string_view form = unit.form;
      while (after_space && form.starts_with(" ")) form.remove_prefix(1);
      for (size_t i = 0; i < form.size();) {
        const char32_t c = unicode::next(form, i);
        if (c == ' ') {
          put_space(rewriter, at, unit.length);
        } else {
          rewriter.put_from(c, at, unit.length);
        }
      }
      if (!form.empty()) after_space = form.ends_with(" ");
      at += unit.length;
      if (!remove_spaces_) after_space = false;
    }
    const std::string_view space = escape_ ? kSpaceMark : " ";
    while (remove_spaces_ && out.bytes().ends_with(space)) out.shorten(space.size());
    if (out.size() > 0 && dummy_prefix_ && suffix_) put_space(rewriter, bytes.size(), 0);
    text = std::move(out);
  }

 private:
  struct Unit {
    size_t length;  // of the text
    std::string_view form;
  };
  Unit next_unit(std::string_view text) const {
    if (const size_t length = kept_.longest(text).first; length > 0)
      return {length, text.substr(0, length)};
    if (const auto hit = map_.longest(text); hit.length > 0) return {hit.length, hit.replacement};
    const size_t length = utf8_length(text);
    return {length, text.substr(0, length)};
  }
  void put_space(Rewriter& rewriter, size_t at, size_t length) const {
    rewriter.put_from(escape_ ? kSpaceMarkCharacter : U' ', at, length);
  }

  Charsmap map_;
  Trie kept_;  // user-defined symbols stay as they are
  bool dummy_prefix_, remove_spaces_, escape_, suffix_;
};

struct DecoderSettings {
  std::set<std::string, std::less<>> control;
  std::string unknown, unknown_surface;
  bool strips_first_space = false, strips_all_spaces = false, has_bytes = false;
};

class SentencePieceStage final : public DecoderStage {
 public:
  SentencePieceStage(const DecoderSettings& settings, DecoderStage& next)
      : settings_(settings), next_(next) {}

  void take(std::string_view token, bool) override {  // tokens come whole: it is the first stage
    if (const auto byte = byte_of_token(token); byte && settings_.has_bytes) {
      bytes_.push_back(static_cast<char>(*byte));
      give_bytes(false);
      return;
    }
    give_bytes(true);
    if (saw_space_ || !empty_) at_start_ = false;
    saw_space_ = false;
    if (settings_.control.contains(token)) return;
    if (token == settings_.unknown) return give(settings_.unknown_surface);
    if (at_start_ && settings_.strips_first_space && token.starts_with(kSpaceMark)) {
      token.remove_prefix(kSpaceMark.size());
      saw_space_ = !settings_.strips_all_spaces;
    }
    std::string text;
    for (size_t at = 0; at < token.size();) {
      const size_t mark = std::min(token.find(kSpaceMark, at), token.size());
      text += token.substr(at, mark - at);
      if (mark < token.size()) text += ' ';
      at = mark + (mark < token.size() ? kSpaceMark.size() : 0);
    }
    give(text);
  }

  void finish() override {
    give_bytes(true);
    next_.take("", true);
    next_.finish();
  }

 private:
  void give(std::string_view text) {
    if (text.empty()) return;
    empty_ = false;
    next_.take(text, false);
  }
  // One U+FFFD for each byte that is not part of a character.
  void give_bytes(bool final) {
    std::string text;
    size_t at = 0;
    while (at < bytes_.size()) {
      const std::string_view rest = std::string_view(bytes_).substr(at);
      const size_t length = utf8_length(rest);
      if (length == 0 && !final && may_become_character(rest)) break;
      text += length > 0 ? rest.substr(0, length) : kReplacement;
      at += std::max<size_t>(length, 1);
    }
    bytes_.erase(0, at);
    give(text);
  }
  static bool may_become_character(std::string_view bytes) {
    std::string copy(bytes);
    return take_characters(copy, false).empty();
  }

  const DecoderSettings& settings_;
  DecoderStage& next_;
  std::string bytes_;
  bool at_start_ = true, saw_space_ = false, empty_ = true;
};

class SentencePieceDecoder final : public Decoder {
 public:
  explicit SentencePieceDecoder(DecoderSettings settings) : settings_(std::move(settings)) {}
  std::unique_ptr<DecoderStage> start(DecoderStage& next) const override {
    return std::make_unique<SentencePieceStage>(settings_, next);
  }

 private:
  DecoderSettings settings_;
};

bool in_text(const SentencePieceFile::PieceEntry& piece) {
  return piece.kind == Kind::normal || piece.kind == Kind::user_defined;
}

/// Any two neighbours may be merged whose concatenation is a piece; the higher its score, the
/// earlier. visit(left, right, result) for each way to cut a piece in two.
template <class Visit>
void for_each_merge(const SentencePieceFile& file, const Vocabulary& vocabulary,
                    const Visit& visit) {
  for (uint32_t id = 0; id < file.pieces.size(); ++id) {
    if (file.pieces[id].kind != Kind::normal) continue;
    const std::string_view piece = file.pieces[id].text;
    for (size_t at = 0; at < piece.size();) {
      unicode::next(piece, at);
      const auto left = vocabulary.find(piece.substr(0, at)),
                 right = vocabulary.find(piece.substr(at));
      if (at < piece.size() && left && right && in_text(file.pieces[*left]) &&
          in_text(file.pieces[*right]))
        visit(*left, *right, id);
    }
  }
}

/// The rank of each piece by its score: 0 for the highest, equal for equal scores.
std::vector<uint32_t> ranks_by_score(const SentencePieceFile& file) {
  std::vector<float> scores;
  for (const auto& piece : file.pieces) scores.push_back(piece.score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<uint32_t> ranks;
  for (const auto& piece : file.pieces)
    ranks.push_back(static_cast<uint32_t>(
        std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>()) -
        scores.begin()));
  return ranks;
}

std::unique_ptr<Model> make_bpe(const SentencePieceFile& file, Vocabulary vocabulary) {
  const std::vector<uint32_t> ranks = ranks_by_score(file);
  MergeTable merges;
  for_each_merge(file, vocabulary, [&](uint32_t left, uint32_t right, uint32_t id) {
    merges.add(left, right, {ranks[id], id});
  });
  return std::make_unique<Bpe>(
      std::move(vocabulary), std::move(merges),
      BpeSettings{
          .unknown = file.unknown_id, .fuse_unknown = true, .byte_fallback = file.byte_fallback});
}

std::unique_ptr<Model> make_unigram(const SentencePieceFile& file, Vocabulary vocabulary) {
  constexpr double kUserDefinedScore = -0.1;  // SentencePiece's: such symbols win
  double lowest = std::numeric_limits<double>::infinity();
  std::vector<Unigram::Entry> entries;
  for (const auto& piece : file.pieces) {
    if (piece.kind == Kind::normal) lowest = std::min(lowest, static_cast<double>(piece.score));
    entries.push_back(
        {piece.kind == Kind::user_defined ? kUserDefinedScore : static_cast<double>(piece.score),
         in_text(piece)});
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(entries),
                                   lowest - kUnknownPenalty,
                                   UnigramSettings{.unknown = file.unknown_id,
                                                   .byte_fallback = file.byte_fallback,
                                                   .single_precision = true});
}

Json added_token_json(uint32_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

/// The tokenizer.json that Transformers makes of such a model.
std::string converted(const SentencePieceFile& file, const Vocabulary& vocabulary,
                      const SentencePieceUse& use) {
  const std::string mark(kSpaceMark);
  Json added = Json::array();
  for (uint32_t id = 0; id < file.pieces.size(); ++id) {
    const Kind kind = file.pieces[id].kind;
    if (kind == Kind::control || kind == Kind::unknown || kind == Kind::user_defined)
      added.push_back(added_token_json(id, file.pieces[id].text, kind != Kind::user_defined));
  }
  Json normalizers = Json::array(), pre_tokenizer, decoder, model;
  if (!file.charsmap.empty())
    normalizers.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(file.charsmap)}});
  const Json space_to_mark = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", mark}};
  if (file.is_bpe) {
    if (file.add_dummy_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", mark}});
    normalizers.push_back(space_to_mark);
    Json decoders =
        Json::array({{{"type", "Replace"}, {"pattern", {{"String", mark}}}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}});
    if (file.add_dummy_prefix)
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    decoder = {{"type", "Sequence"}, {"decoders", decoders}};
    Json vocab = Json::object();
    std::string previous;
    for (uint32_t id = 0; id < file.pieces.size(); ++id)
      vocab.get_ref<Json::object_t&>().emplace_back(file.pieces[id].text, id);
    struct Merge {
      uint32_t rank, left, right;
    };
    std::vector<Merge> merges;
    const std::vector<uint32_t> ranks = ranks_by_score(file);
    for_each_merge(file, vocabulary, [&](uint32_t left, uint32_t right, uint32_t id) {
      merges.push_back({ranks[id], left, right});
    });
    std::stable_sort(merges.begin(), merges.end(),
                     [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    Json merge_list = Json::array();
    for (const Merge& merge : merges)
      merge_list.push_back(
          Json::array({file.pieces[merge.left].text, file.pieces[merge.right].text}));
    model = {{"type", "BPE"},
             {"dropout", nullptr},
             {"unk_token", file.pieces[file.unknown_id].text},
             {"continuing_subword_prefix", nullptr},
             {"end_of_word_suffix", nullptr},
             {"fuse_unk", true},
             {"byte_fallback", file.byte_fallback},
             {"ignore_merges", false},
             {"vocab", vocab},
             {"merges", merge_list}};
  } else {
    if (file.remove_extra_whitespaces) {
      normalizers.push_back({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}});
      normalizers.push_back(
          {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", mark}});
    }
    pre_tokenizer = {{"type", "Metaspace"},
                     {"replacement", mark},
                     {"prepend_scheme", file.add_dummy_prefix ? "always" : "never"},
                     {"split", true}};
    decoder = pre_tokenizer;
    Json vocab = Json::array();
    for (const auto& piece : file.pieces)
      vocab.push_back(Json::array({piece.text, static_cast<double>(piece.score)}));
    model = {{"type", "Unigram"},
             {"unk_id", file.unknown_id},
             {"vocab", vocab},
             {"byte_fallback", file.byte_fallback}};
  }
  Json post_processor;
  if (use.add_bos || use.add_eos) {
    Json single = Json::array(), names = Json::object();
    const auto special = [&](std::optional<uint32_t> id) {
      const std::string name = file.pieces[*id].text;
      single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
      names[name] = {{"id", name}, {"ids", Json::array({*id})}, {"tokens", Json::array({name})}};
    };
    if (use.add_bos && file.bos_id) special(file.bos_id);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (use.add_eos && file.eos_id) special(file.eos_id);
    Json pair = single;
    pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    post_processor = {{"type", "TemplateProcessing"},
                      {"single", single},
                      {"pair", pair},
                      {"special_tokens", names}};
  }
  const Json normalizer = {{"type", "Sequence"}, {"normalizers", normalizers}};
  return Json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", added},
              {"normalizer", normalizer},
              {"pre_tokenizer", pre_tokenizer},
              {"post_processor", post_processor},
              {"decoder", decoder},
              {"model", model}}
      .dump();
}

}  // namespace

Pipeline read_sentencepiece(std::string_view bytes, const std::string& where,
                            const SentencePieceUse& use) {
  auto file = std::make_shared<const SentencePieceFile>(read_sentencepiece_file(bytes, where));
  Vocabulary vocabulary;
  vocabulary.reserve(file->pieces.size());
  std::vector<AddedToken> added;
  DecoderSettings decoding{
      .unknown = file->pieces[file->unknown_id].text,
      .unknown_surface = file->unknown_surface,
      .strips_first_space = file->add_dummy_prefix || file->remove_extra_whitespaces,
      .strips_all_spaces = file->remove_extra_whitespaces,
      .has_bytes = file->byte_fallback};
  for (uint32_t id = 0; id < file->pieces.size(); ++id) {
    const auto& [text, score, kind] = file->pieces[id];
    if (!vocabulary.add(text, id)) fail_input(where, str("piece ", show(text), " is there twice"));
    if (kind == Kind::control) decoding.control.insert(text);
    if (kind == Kind::control || kind == Kind::unknown)
      added.push_back({.id = id, .content = text, .special = true, .matched = use.has_config});
    // In a unigram model user-defined symbols win by their score; in BPE they are barriers to
    // merging.
    if (kind == Kind::user_defined && file->is_bpe)
      added.push_back({.id = id, .content = text, .normalized = true});
  }
  Pipeline pipeline;
  pipeline.normalizer = std::make_unique<SentencePieceNormalizer>(*file, where);
  pipeline.added = AddedTokens(std::move(added), nullptr);
  pipeline.json = [file, vocabulary, use] { return converted(*file, vocabulary, use); };
  pipeline.model = file->is_bpe ? make_bpe(*file, std::move(vocabulary))
                                : make_unigram(*file, std::move(vocabulary));
  pipeline.decoder = std::make_unique<SentencePieceDecoder>(std::move(decoding));
  std::vector<int64_t> before, behind;
  if (use.add_bos && file->bos_id) before.push_back(*file->bos_id);
  if (use.add_eos && file->eos_id) behind.push_back(*file->eos_id);
  pipeline.post_processor = surrounding_tokens(std::move(before), std::move(behind));
  return pipeline;
}

}  // namespace guerdon::text
