#include "guerdon/data/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as in the reference library
constexpr uint64_t kMaxNumber = (uint64_t{1} << 63) - 1;

struct Dtype {
  std::string_view name;
  int64_t bits;
};
constexpr std::array<Dtype, 22> kDtypes{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"I64", 64},    {"U64", 64},
    {"F64", 64},        {"C64", 64},
}};

/// False when a * b does not fit 63 bits.
bool multiply(uint64_t a, uint64_t b, uint64_t& out) {
  return !__builtin_mul_overflow(a, b, &out) && out <= kMaxNumber;
}

uint64_t read_number(const Json& value, const std::string& place, const std::string& what) {
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<int64_t>() < 0)) {
    fail_input(place,
               what + " must be a whole number of at least 0, got " + value.dump().substr(0, 80));
  }
  const auto number = value.get<uint64_t>();
  if (number > kMaxNumber) fail_input(place, str(what, " is ", number, ", beyond 2^63 - 1"));
  return number;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += str(i ? ", " : "", shape[i]);
  return out + "]";
}

TensorEntry read_entry(const std::string& name, const Json& value, uint64_t data_begin,
                       uint64_t data_bytes, const std::string& where) {
  const std::string place = where + ": tensor " + show(name);
  if (!value.is_object()) fail_input(place, "must be an object with dtype, shape and data_offsets");
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(field)) fail_input(place, str("has no ", field));
  }
  TensorEntry entry{.name = name, .dtype = {}, .shape = {}, .begin = 0, .end = 0};

  const Json& dtype = value.at("dtype");
  if (!dtype.is_string() || dtype_bits(dtype.get_ref<const std::string&>()) == 0) {
    fail_input(place, "dtype " + dtype.dump().substr(0, 80) + " is not known");
  }
  entry.dtype = dtype.get<std::string>();

  const Json& shape = value.at("shape");
  if (!shape.is_array()) fail_input(place, "shape must be a list of whole numbers");
  auto bits = static_cast<uint64_t>(dtype_bits(entry.dtype));
  bool fits = true;
  for (const Json& size : shape) {
    const uint64_t n = read_number(size, place, "a size in shape");
    entry.shape.push_back(static_cast<int64_t>(n));
    fits = fits && multiply(bits, n, bits);
  }
  // The reference library multiplies from the left, so [2^40, 2^40, 0] is refused there too.
  if (!fits) fail_input(place, "shape " + shape_text(entry.shape) + " needs more than 2^63 bits");
  if (bits % 8 != 0)
    fail_input(place, "shape " + shape_text(entry.shape) + " does not fill whole bytes");
  const uint64_t needed = bits / 8;

  const Json& offsets = value.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) {
    fail_input(place, "data_offsets must be two whole numbers");
  }
  const uint64_t begin = read_number(offsets[0], place, "data_offsets[0]");
  const uint64_t end = read_number(offsets[1], place, "data_offsets[1]");
  if (begin > end)
    fail_input(place, str("data_offsets [", begin, ", ", end, "] end before they begin"));
  if (end > data_bytes) {
    fail_input(place,
               str("data_offsets end at ", end, ", the file holds ", data_bytes, " bytes of data"));
  }
  if (end - begin != needed) {
    fail_input(place, str("shape ", shape_text(entry.shape), " of ", entry.dtype, " needs ", needed,
                          " bytes, data_offsets give ", end - begin));
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

bool is_pickle(const fs::path& file) {
  const std::string extension = file.extension().string();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

}  // namespace

int64_t TensorEntry::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

const TensorEntry* SafetensorsHeader::find(std::string_view name) const {
  for (const TensorEntry& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

int64_t dtype_bits(std::string_view dtype) {
  for (const Dtype& known : kDtypes) {
    if (known.name == dtype) return known.bits;
  }
  return 0;
}

SafetensorsHeader read_safetensors_header(std::string_view file, const std::string& where) {
  if (file.size() < 8) {
    fail_input(where, str("has ", file.size(),
                          " bytes; a safetensors file begins with 8 bytes of length"));
  }
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i) {
    length |= static_cast<uint64_t>(static_cast<unsigned char>(file[i])) << (8 * i);
  }
  if (length > kMaxHeaderBytes) {
    fail_input(where,
               str("the header's length is ", length, " bytes (limit ", kMaxHeaderBytes, ")"));
  }
  if (length > file.size() - 8) {
    fail_input(where, str("the header's length is ", length, " bytes, the file has ",
                          file.size() - 8, " after the length"));
  }
  const std::string_view text = file.substr(8, length);
  if (!text.starts_with('{')) fail_input(where, "the header does not begin with '{'");
  const Json json = parse_json(text, where + ": header", 0, {.bytes = kMaxHeaderBytes});

  SafetensorsHeader header;
  const uint64_t data_begin = 8 + length, data_bytes = file.size() - data_begin;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      header.tensors.push_back(read_entry(name, value, data_begin, data_bytes, where));
      continue;
    }
    if (!value.is_object()) fail_input(where, "__metadata__ must be an object of strings");
    for (const auto& [key, text_value] : value.items()) {
      if (!text_value.is_string()) {
        fail_input(where, "__metadata__ " + show(key) + " must be a string, got " +
                              text_value.dump().substr(0, 80));
      }
      header.metadata[key] = text_value.get<std::string>();
    }
  }

  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  uint64_t covered = data_begin;
  for (const TensorEntry& tensor : header.tensors) {
    if (tensor.begin != covered) {
      fail_input(where + ": tensor " + show(tensor.name),
                 str(tensor.begin < covered ? "overlaps the tensor before it"
                                            : "leaves a hole after the tensor before it",
                     ": its data begin at ", tensor.begin - data_begin, ", expected ",
                     covered - data_begin));
    }
    covered = tensor.end;
  }
  if (covered != file.size()) {
    fail_input(where, str("has ", file.size() - covered, " bytes after the last tensor"));
  }
  return header;
}

std::string safetensors_header(const std::vector<TensorToWrite>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  Json json = Json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    auto bits = static_cast<uint64_t>(dtype_bits(tensor.dtype));
    GUERDON_CHECK(bits > 0, "safetensors: unknown dtype ", tensor.dtype, " of ", tensor.name);
    GUERDON_CHECK(!json.contains(tensor.name), "safetensors: tensor ", tensor.name,
                  " is there twice");
    for (const int64_t size : tensor.shape) {
      GUERDON_CHECK(size >= 0 && multiply(bits, static_cast<uint64_t>(size), bits),
                    "safetensors: tensor ", tensor.name, " has shape ", shape_text(tensor.shape));
    }
    GUERDON_CHECK(bits % 8 == 0, "safetensors: tensor ", tensor.name, " does not fill whole bytes");
    json[tensor.name] = {{"dtype", tensor.dtype},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, offset + bits / 8}}};
    offset += bits / 8;
  }
  std::string text = json.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string out;
  for (size_t i = 0; i < 8; ++i) out.push_back(static_cast<char>(text.size() >> (8 * i) & 0xff));
  return out + text;
}

ShardIndex read_shard_index(const fs::path& folder) {
  if (!fs::is_directory(folder)) fail_input(folder.string(), "is not a folder with a model");
  const fs::path index_file = folder / "model.safetensors.index.json";
  if (!fs::exists(index_file)) {
    if (fs::exists(folder / "model.safetensors"))
      return {.files = {"model.safetensors"}, .tensor_in = {}};
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (is_pickle(entry.path())) {
        fail_input(entry.path().string(), "guerdon does not load pickle files (they can run code)",
                   "convert the weights to safetensors");
      }
    }
    fail_input(folder.string(), "holds neither model.safetensors nor model.safetensors.index.json");
  }

  const Json json = read_json(index_file);
  const std::string where = index_file.string();
  if (!json.is_object() || !json.contains("weight_map") || !json.at("weight_map").is_object()) {
    fail_input(where, "has no object \"weight_map\"");
  }
  ShardIndex index;
  std::set<std::string> files;
  for (const auto& [tensor, value] : json.at("weight_map").items()) {
    if (!value.is_string())
      fail_input(where + ": tensor " + show(tensor), "its file must be a string");
    const auto& file = value.get_ref<const std::string&>();
    const bool plain = !file.empty() && file != "." && file != ".." &&
                       file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) {
      fail_input(where + ": tensor " + show(tensor),
                 "lies in " + show(file) + ", which is not the name of a file in the folder");
    }
    if (is_pickle(file)) {
      fail_input(where, "guerdon does not load pickle files (they can run code): " + show(file),
                 "convert the weights to safetensors");
    }
    index.tensor_in[tensor] = file;
    files.insert(file);
  }
  if (files.empty()) fail_input(where, "lists no tensors");
  for (const std::string& file : files) {
    if (!fs::is_regular_file(folder / file)) {
      fail_input(where, "lists " + show(file) + ", which is not in the folder");
    }
  }
  index.files.assign(files.begin(), files.end());
  return index;
}

void check_shard(const ShardIndex& index, const std::string& file, const SafetensorsHeader& header,
                 const std::string& where) {
  if (index.tensor_in.empty()) return;
  std::set<std::string_view> present;
  for (const TensorEntry& tensor : header.tensors) {
    present.insert(tensor.name);
    const auto listed = index.tensor_in.find(tensor.name);
    if (listed == index.tensor_in.end() || listed->second != file) {
      fail_input(where + ": tensor " + show(tensor.name),
                 listed == index.tensor_in.end()
                     ? std::string("is not in model.safetensors.index.json")
                     : "should lie in " + show(listed->second));
    }
  }
  for (const auto& [tensor, expected] : index.tensor_in) {
    if (expected == file && !present.contains(tensor)) {
      fail_input(where + ": tensor " + show(tensor),
                 "is missing; model.safetensors.index.json puts it here");
    }
  }
}

}  // namespace guerdon::data
