#include "guerdon/text/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/utf8.h"
#include "text/pipeline.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxText = size_t{1} << 30;
constexpr size_t kMaxModelBytes = size_t{64} << 20;
// Buffers that a very long piece has left behind are given back.
constexpr size_t kKeptSymbols = size_t{1} << 18;

/// Where the text of the last stage gathers.
class Sink final : public DecoderStage {
 public:
  void take(std::string_view fragment, bool) override { text += fragment; }
  void finish() override {}
  std::string text;
};

/// Components of a component: each goes over the whole text.
size_t count_steps(const Json& json) {
  size_t steps = json.is_object() && json.contains("type") ? 1 : 0;
  if (json.is_structured()) {
    for (const Json& part : json) steps += count_steps(part);
  }
  return steps;
}

template <class Buffer>
void trim(Buffer& buffer) {
  if (buffer.capacity() > kKeptSymbols) Buffer().swap(buffer);
}

}  // namespace

struct Tokenizer::Implementation {
  Pipeline pipeline;
  SpecialTokens special;
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Workspace>>
      idle;  // one for each thread that encodes at the same time

  explicit Implementation(Pipeline parts) : pipeline(std::move(parts)) {
    special.unknown = pipeline.model->unknown();
  }

  std::unique_ptr<Workspace> borrow() const {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<Workspace>();
    auto workspace = std::move(idle.back());
    idle.pop_back();
    return workspace;
  }
  void give_back(std::unique_ptr<Workspace> workspace) const {
    trim(workspace->symbols);
    trim(workspace->heap);
    trim(workspace->steps);
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(workspace));
  }

  std::string_view token(int64_t id) const {
    if (id < 0 || id > kMaxId) return {};
    const auto number = static_cast<uint32_t>(id);
    if (const AddedToken* added = pipeline.added.by_id(number)) return added->written;
    return pipeline.model->vocabulary().token(number);
  }
  bool is_special(int64_t id) const {
    // By content: a vocabulary may have the token a second time, under another id.
    const std::string_view text = token(id);
    const AddedToken* added = text.empty() ? nullptr : pipeline.added.by_content(text);
    return added && added->special;
  }
  std::optional<int64_t> id_of(std::string_view token) const {
    if (const AddedToken* added = pipeline.added.by_content(token)) return added->id;
    if (const auto id = pipeline.model->vocabulary().find(token)) return *id;
    return std::nullopt;
  }
  int64_t id_end() const {
    return std::max(pipeline.model->vocabulary().id_end(), pipeline.added.id_end());
  }

  void read_special(const fs::path& folder) {
    const SpecialTokens found = read_special_tokens(
        folder, [&](std::string_view token) { return id_of(token); }, id_end());
    special.bos = found.bos;
    special.eos = found.eos;
    special.pad = found.pad;
    if (found.unknown) special.unknown = found.unknown;
  }

  Processed encode(std::string_view text, bool add_special_tokens, bool ranged) const;
  void encode_plain(AlignedText text, Workspace& workspace, Processed& out) const;
};

namespace {

void check_text(std::string_view text) {
  if (text.size() > kMaxText) fail_input("text", str("is longer than ", kMaxText, " bytes"));
  if (unicode::is_ascii(text)) return;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text.substr(at));
    if (length == 0) fail_input("text", str("is not UTF-8 at byte ", at));
    at += length;
  }
}

}  // namespace

Processed Tokenizer::Implementation::encode(std::string_view text, bool add_special_tokens,
                                            bool ranged) const {
  check_text(text);
  Processed out;
  out.ranged = ranged;
  out.text = text;
  const bool tracked =
      ranged || (pipeline.pre_tokenizer && pipeline.pre_tokenizer->needs_origins());
  auto workspace = borrow();
  workspace->matching.refill(text.size());
  const auto add = [&](const AddedToken& token, const Encoding::Range& range) {
    out.encoding.ids.push_back(token.id);
    if (ranged) out.encoding.ranges.push_back(range);
  };
  for (const AddedTokens::Part& part : pipeline.added.split_raw(text)) {
    const auto [begin, end] = part.piece;
    if (part.token) {
      add(*part.token, {static_cast<int64_t>(begin), static_cast<int64_t>(end)});
      continue;
    }
    AlignedText plain(text.substr(begin, end - begin), begin, tracked);
    if (pipeline.normalizer) pipeline.normalizer->apply(plain, workspace->matching);
    const auto parts = pipeline.added.split_normalized(plain.bytes());
    for (const AddedTokens::Part& inner : parts) {
      if (inner.token) {
        add(*inner.token,
            ranged ? plain.origin(inner.piece.begin, inner.piece.end) : Encoding::Range{});
      } else if (parts.size() == 1) {
        encode_plain(std::move(plain), *workspace, out);
        break;
      } else {
        encode_plain(plain.slice(inner.piece.begin, inner.piece.end), *workspace, out);
      }
    }
  }
  give_back(std::move(workspace));
  out.limit = Growth::limit(out.encoding.ids.size());
  if (pipeline.post_processor)
    pipeline.post_processor->apply(out, add_special_tokens, [&](int64_t id) { return token(id); });
  return out;
}

void Tokenizer::Implementation::encode_plain(AlignedText text, Workspace& workspace,
                                             Processed& out) const {
  Pieces pieces{std::move(text), {}};
  pieces.list.push_back({0, pieces.text.size()});
  if (pipeline.pre_tokenizer) pipeline.pre_tokenizer->apply(pieces, workspace.matching);
  const std::string_view bytes = pieces.text.bytes();
  std::vector<ModelToken>& tokens = workspace.tokens;
  auto& [ids, ranges] = out.encoding;
  for (const Piece& piece : pieces.list) {
    tokens.clear();
    pipeline.model->encode(bytes.substr(piece.begin, piece.end - piece.begin), workspace, tokens);
    for (const ModelToken& token : tokens) {
      ids.push_back(token.id);
      if (out.ranged)
        ranges.push_back(pieces.text.origin(piece.begin + token.begin, piece.begin + token.end));
    }
  }
}

Tokenizer::Tokenizer(std::shared_ptr<const Implementation> implementation)
    : implementation_(std::move(implementation)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::load(const fs::path& path) {
  fs::path file = path;
  if (fs::is_directory(path)) {
    for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model",
                             "sentencepiece.bpe.model", "m.model"}) {
      file = path / name;
      if (fs::is_regular_file(file)) break;
    }
    if (!fs::is_regular_file(file))
      fail_input(path.string(),
                 "the folder has no tokenizer (expected tokenizer.json, tokenizer.model, "
                 "spiece.model or m.model)");
  }
  const fs::path folder = file.parent_path();
  const bool sentencepiece = file.extension() == ".model";
  const std::string bytes = read_file(file, kMaxModelBytes);
  std::shared_ptr<Implementation> implementation;
  if (sentencepiece) {
    implementation = std::make_shared<Implementation>(
        read_sentencepiece(bytes, file.string(), read_sentencepiece_use(folder)));
  } else {
    const Json json = parse_json(bytes, file.string());
    implementation =
        std::make_shared<Implementation>(read_tokenizer_json(Node(json, file.string())));
    implementation->pipeline.json = [text = bytes] { return text; };
  }
  implementation->read_special(folder);
  return Tokenizer(std::move(implementation));
}

Tokenizer Tokenizer::from_json(const Json& json, const std::string& where) {
  auto implementation = std::make_shared<Implementation>(read_tokenizer_json(Node(json, where)));
  implementation->pipeline.json = [text = json.dump()] { return text; };
  return Tokenizer(std::move(implementation));
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  return std::move(implementation_->encode(text, add_special_tokens, false).encoding.ids);
}

Encoding Tokenizer::encode_with_ranges(std::string_view text, bool add_special_tokens) const {
  return std::move(implementation_->encode(text, add_special_tokens, true).encoding);
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  std::string text;
  for (const int64_t id : ids) text += decoder.push(id);
  return text += decoder.finish();
}

int64_t Tokenizer::vocabulary_size() const { return implementation_->id_end(); }
std::optional<int64_t> Tokenizer::id_of(std::string_view token) const {
  return implementation_->id_of(token);
}
std::string Tokenizer::token_of(int64_t id) const {
  return std::string(implementation_->token(id));
}
bool Tokenizer::is_special(int64_t id) const { return implementation_->is_special(id); }
std::optional<int64_t> Tokenizer::bos() const { return implementation_->special.bos; }
std::optional<int64_t> Tokenizer::eos() const { return implementation_->special.eos; }
std::optional<int64_t> Tokenizer::pad() const { return implementation_->special.pad; }
std::optional<int64_t> Tokenizer::unknown() const { return implementation_->special.unknown; }
std::string Tokenizer::bos_token() const { return bos() ? token_of(*bos()) : ""; }
std::string Tokenizer::eos_token() const { return eos() ? token_of(*eos()) : ""; }
std::string Tokenizer::json_text() const { return implementation_->pipeline.json(); }

struct StreamDecoder::State {
  std::shared_ptr<const Tokenizer::Implementation> tokenizer;
  bool skip_special;
  Sink sink;
  std::unique_ptr<DecoderStage> stage;

  std::string drain() {
    std::string text;
    text.swap(sink.text);
    return text;
  }
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : state_(std::make_unique<State>(
          State{.tokenizer = tokenizer.implementation_, .skip_special = skip_special_tokens})) {
  state_->stage = state_->tokenizer->pipeline.decoder->start(state_->sink);
}
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int64_t id) {
  const std::string_view token = state_->tokenizer->token(id);
  if (token.empty() || (state_->skip_special && state_->tokenizer->is_special(id))) return {};
  state_->stage->take(token, true);
  return state_->drain();
}

std::string StreamDecoder::finish() {
  state_->stage->finish();
  return state_->drain();
}

Pipeline read_tokenizer_json(const Node& node) {
  for (const char* name : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    constexpr size_t kMaxSteps = 256;
    if (node.has(name) && count_steps(node[name].json()) > kMaxSteps)
      node[name].fail(str("has more than ", kMaxSteps, " steps"));
  }
  Pipeline pipeline;
  const Node model = node["model"];
  if (node.has("normalizer")) pipeline.normalizer = read_normalizer(node["normalizer"]);
  bool leaves_bytes = false;
  if (node.has("pre_tokenizer"))
    pipeline.pre_tokenizer =
        read_pre_tokenizer(node["pre_tokenizer"], may_take_bytes(model), leaves_bytes);
  pipeline.model = read_model(model, leaves_bytes);
  if (node.has("added_tokens"))
    pipeline.added =
        AddedTokens(read_added_tokens(node["added_tokens"], pipeline.model->vocabulary()),
                    pipeline.normalizer.get());
  if (node.has("post_processor"))
    pipeline.post_processor = read_post_processor(node["post_processor"]);
  pipeline.decoder = node.has("decoder") ? read_decoder(node["decoder"]) : spaced_decoder();
  return pipeline;
}

}  // namespace guerdon::text
