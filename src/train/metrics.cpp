#include "guerdon/train/metrics.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

std::string number_text(double value) {
  const bool whole = std::abs(value) < 9e15 && value == std::floor(value);
  return whole ? std::to_string(static_cast<int64_t>(value)) : json_number(value);
}

// ---- protocol buffers, as far as an Event with scalars needs them

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class Bits>
void put_little_endian(std::string& out, Bits bits) {
  for (size_t i = 0; i < sizeof bits; ++i) out += static_cast<char>(bits >> (8 * i));
}

// The key of a field: its number and how its value is coded.
enum Coding { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
void put_key(std::string& out, int field, Coding coding) {
  put_varint(out, static_cast<uint64_t>(field << 3 | coding));
}
void put_bytes(std::string& out, int field, std::string_view value) {
  put_key(out, field, bytes);
  put_varint(out, value.size());
  out += value;
}

/// Summary.Value: tag = 1, simple_value = 2.
std::string summary_value(const std::string& tag, double number) {
  std::string out;
  put_bytes(out, 1, tag);
  put_key(out, 2, fixed32);
  put_little_endian(out, std::bit_cast<uint32_t>(static_cast<float>(number)));
  return out;
}

/// Event: wall_time = 1, step = 2, file_version = 3 or summary = 5.
std::string event(double wall_time, int64_t step, int field, std::string_view content) {
  std::string out;
  put_key(out, 1, fixed64);
  put_little_endian(out, std::bit_cast<uint64_t>(wall_time));
  put_key(out, 2, varint);
  put_varint(out, static_cast<uint64_t>(step));
  put_bytes(out, field, content);
  return out;
}

// TensorFlow stores sums rotated and shifted, since a sum over bytes that hold sums is weak.
uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

std::string record(std::string_view content) {
  std::string out;
  put_little_endian(out, static_cast<uint64_t>(content.size()));
  put_little_endian(out, masked(crc32c(out)));
  out += content;
  put_little_endian(out, masked(crc32c(content)));
  return out;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
      t[i] = crc;
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::string metrics_line(int64_t step, const Numbers& numbers) {
  std::string out = "{\"step\": " + std::to_string(step);
  for (const auto& [name, value] : numbers) {
    out += ", " + json_string(name) + ": " + number_text(value);
  }
  return out + "}\n";
}

void cut_lines_after(const fs::path& file, int64_t step) {
  if (!fs::exists(file)) return;
  const std::string text = read_file(file, size_t{8} << 30);
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    // A line that is not what this program writes ends what can be trusted.
    Json json;
    try {
      json = parse_json(line, file.string());
    } catch (const Error&) {
      break;
    }
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) break;
    if (json["step"].get<int64_t>() > step) break;
    kept.append(line).append("\n");
  }
  if (kept.size() != text.size()) write_file(file, kept);
}

EventFile::EventFile(const fs::path& folder, int64_t number) {
  char name[64];
  std::snprintf(name, sizeof name, "events.out.tfevents.%010lld.guerdon",
                static_cast<long long>(number));
  file_ = folder / name;
  write_file(file_, record(event(now(), 0, 3, "brain.Event:2")));
}

void EventFile::add(int64_t step, double wall_time, const Numbers& numbers) {
  std::string summary;
  for (const auto& [name, value] : numbers) {
    if (std::isfinite(value)) put_bytes(summary, 1, summary_value(name, value));
  }
  append_file(file_, record(event(wall_time, step, 5, summary)));
}

}  // namespace guerdon::train
