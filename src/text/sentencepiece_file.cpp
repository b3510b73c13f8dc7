#include "text/sentencepiece_file.h"

#include <cmath>
#include <cstring>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/vocabulary.h"

namespace guerdon::text {
namespace {

/// The fields of a message, one after the other.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  /// Goes to the next field; false at the end.
  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    field_ = static_cast<uint32_t>(key >> 3);
    number_ = 0;
    content_ = {};
    if (field_ == 0) damaged();
    switch (key & 7) {
      case 0: number_ = varint(); break;
      case 1: content_ = take(8); break;
      case 2: content_ = take(varint()); break;
      case 5: content_ = take(4); break;
      default: damaged();
    }
    return true;
  }
  uint32_t field() const { return field_; }
  uint64_t number() const { return number_; }
  std::string_view content() const { return content_; }
  /// A 32-bit integer; negative ones are written with all 64 bits.
  int32_t integer() const { return static_cast<int32_t>(static_cast<uint32_t>(number_)); }
  float real() const {
    if (content_.size() != 4) damaged();
    float value = 0;
    std::memcpy(&value, content_.data(), 4);
    return value;
  }
  Message message() const { return {content_, where_}; }

 private:
  [[noreturn]] void damaged() const {
    fail_input(where_, "is not a SentencePiece model, or is damaged");
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) damaged();
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }
  std::string_view take(uint64_t length) {
    if (length > bytes_.size()) damaged();
    const std::string_view part = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return part;
  }

  std::string_view bytes_;
  const std::string& where_;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view content_;
};

SentencePieceFile::PieceEntry read_piece(Message message, const std::string& where) {
  SentencePieceFile::PieceEntry piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.content();
    if (message.field() == 2) piece.score = message.real();
    if (message.field() == 3) {
      if (message.number() < 1 || message.number() > 6)
        fail_input(where, str("piece ", show(piece.text), " has an unknown kind"));
      piece.kind = static_cast<SentencePieceFile::PieceKind>(message.number());
    }
  }
  if (piece.text.empty() || piece.text.size() > kMaxTokenBytes || !is_utf8(piece.text) ||
      !std::isfinite(piece.score))
    fail_input(where, str("piece ", show(piece.text),
                          " is empty, too long, not UTF-8, or without a finite score"));
  return piece;
}

}  // namespace

SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& where) {
  SentencePieceFile file;
  int32_t unknown = 0, bos = 1, eos = 2, pad = -1, model_type = 1;
  Message model(bytes, where);
  while (model.next()) {
    if (model.field() == 1) {  // pieces
      if (file.pieces.size() >= static_cast<size_t>(kMaxId))
        fail_input(where, "has too many pieces");
      file.pieces.push_back(read_piece(model.message(), where));
    } else if (model.field() == 2) {  // trainer_spec
      Message trainer = model.message();
      while (trainer.next()) {
        switch (trainer.field()) {
          case 3: model_type = trainer.integer(); break;
          case 24: file.whitespace_as_suffix = trainer.number() != 0; break;
          case 35: file.byte_fallback = trainer.number() != 0; break;
          case 40: unknown = trainer.integer(); break;
          case 41: bos = trainer.integer(); break;
          case 42: eos = trainer.integer(); break;
          case 43: pad = trainer.integer(); break;
          case 44: file.unknown_surface = trainer.content(); break;
          default: break;
        }
      }
    } else if (model.field() == 3) {  // normalizer_spec
      Message normalizer = model.message();
      while (normalizer.next()) {
        switch (normalizer.field()) {
          case 2: file.charsmap = normalizer.content(); break;
          case 3: file.add_dummy_prefix = normalizer.number() != 0; break;
          case 4: file.remove_extra_whitespaces = normalizer.number() != 0; break;
          case 5: file.escape_whitespaces = normalizer.number() != 0; break;
          default: break;
        }
      }
    }
  }
  if (file.pieces.empty()) fail_input(where, "is not a SentencePiece model: it has no pieces");
  if (model_type != 1 && model_type != 2)
    fail_input(where,
               "is a SentencePiece model of words or characters; guerdon reads unigram and BPE");
  if (!is_utf8(file.unknown_surface)) fail_input(where, "has an unknown surface that is not UTF-8");
  file.is_bpe = model_type == 2;
  const auto count = static_cast<int32_t>(file.pieces.size());
  if (unknown < 0 || unknown >= count ||
      file.pieces[static_cast<size_t>(unknown)].kind != SentencePieceFile::PieceKind::unknown)
    fail_input(where, "has no unknown piece where its settings say");
  file.unknown_id = static_cast<uint32_t>(unknown);
  const auto optional_id = [&](int32_t id) -> std::optional<uint32_t> {
    if (id < 0 || id >= count) return std::nullopt;
    return static_cast<uint32_t>(id);
  };
  file.bos_id = optional_id(bos);
  file.eos_id = optional_id(eos);
  file.pad_id = optional_id(pad);
  return file;
}

}  // namespace guerdon::text
