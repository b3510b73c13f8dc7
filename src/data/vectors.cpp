#include "guerdon/data/vectors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "data/vector_file.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/safetensors_header.h"

namespace guerdon::data {
namespace fs = std::filesystem;
namespace {

// ---- safetensors

float of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

/// IEEE half precision: 1 sign, 5 exponent, 10 fraction bits.
float half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const float size = exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0
                         ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (bits >> 15) != 0 ? -size : size;
}

template <class Stored, class Convert>
void convert(const char* from, std::span<float> out, const Convert& to_float) {
  for (size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
    out[i] = to_float(value);
  }
}

class SafetensorsVectors final : public VectorFile {
 public:
  explicit SafetensorsVectors(const fs::path& path)
      : path_(path.string()), file_(path), header_(read_safetensors_header(file_.bytes(), path_)) {}

  std::vector<std::string> keys() override {
    std::vector<std::string> out;
    for (const TensorEntry& tensor : header_.tensors) out.push_back(tensor.name);
    return out;
  }

  Shape shape(const std::string& key) override {
    const TensorEntry& tensor = entry(key);
    const size_t dimensions = tensor.shape.size();
    const bool floats = tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16" ||
                        tensor.dtype == "F64";
    if (!floats)
      refuse(key,
             "must hold floating point numbers of 16, 32 or 64 bits, has " + show(tensor.dtype));
    if (dimensions < 1 || dimensions > 2)
      refuse(key, "must be a vector [width] or a matrix [rows, width]");
    const bool matrix = dimensions == 2;
    const int64_t width = tensor.shape.back(), rows = matrix ? tensor.shape[0] : 1;
    if (width == 0 || width > kMaxVectorWidth)
      refuse(key, str("has the shape [", rows, ", ", width, "]"));
    return {.rows = rows, .width = width, .matrix = matrix};
  }

  void read(const std::string& key, int64_t row, std::span<float> out) override {
    const TensorEntry& tensor = entry(key);
    const auto bytes = static_cast<size_t>(dtype_bits(tensor.dtype)) / 8;
    const char* from =
        file_.bytes().data() + tensor.begin + static_cast<size_t>(row) * out.size() * bytes;
    if (tensor.dtype == "F32") {
      convert<float>(from, out, [](float x) { return x; });
    } else if (tensor.dtype == "F64") {
      convert<double>(from, out, [](double x) { return static_cast<float>(x); });
    } else if (tensor.dtype == "F16") {
      convert<uint16_t>(from, out, half);
    } else {
      convert<uint16_t>(from, out, [](uint16_t x) { return of_bits(uint32_t{x} << 16); });
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const {
    fail_input(path_ + ": tensor " + show(key), what);
  }
  const TensorEntry& entry(const std::string& key) const {
    const TensorEntry* found = header_.find(key);
    if (!found) refuse(key, "is missing");
    return *found;
  }

  std::string path_;
  MappedFile file_;
  SafetensorsHeader header_;
};

// ---- references

struct Reference {
  fs::path file;
  std::string key;  // "": the only one
  std::optional<int64_t> row;
};

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 15 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

constexpr const char* kForms = R"({"file": F, "key": K, "row": R} or "F#R")";

/// `where` names the field.
Reference read_reference(const Json& value, const std::string& where) {
  const auto refuse = [&]() -> void {
    fail_input(where, str("must name a vector, ", kForms, ", got ", value.dump().substr(0, 80)));
  };
  Reference out;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const size_t hash = text.rfind('#');
    if (hash == std::string::npos || hash == 0 || hash + 1 == text.size()) refuse();
    out.file = text.substr(0, hash);
    const std::string which = text.substr(hash + 1);
    if (is_number(which)) {
      out.row = std::stoll(which);
    } else {
      out.key = which;
    }
    return out;
  }
  if (!value.is_object()) refuse();
  for (const auto& [name, part] : value.items()) {
    if (name == "file" && part.is_string() && !part.get<std::string>().empty()) {
      out.file = part.get<std::string>();
    } else if (name == "key" && part.is_string() && !part.get<std::string>().empty()) {
      out.key = part.get<std::string>();
    } else if (name == "row" && is_number(part.dump())) {
      out.row = part.get<int64_t>();
    } else {
      refuse();
    }
  }
  if (out.file.empty()) refuse();
  return out;
}

/// The folder of the file that "FOLDER/FILE:LINE" names.
fs::path folder_of(const std::string& where) {
  return fs::path(where.substr(0, where.rfind(':'))).parent_path();
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < 10; ++i) out += (i > 0 ? ", " : "") + names[i];
  return out + (names.size() > 10 ? ", ..." : "");
}

}  // namespace

std::unique_ptr<VectorFile> open_vectors(const fs::path& file) {
  constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";
  std::error_code none;
  if (!fs::exists(file, none)) fail_input(file.string(), "there is no such file of vectors");
  const std::string extension = file.extension().string();
  if (extension == ".h5" || extension == ".hdf5" || MappedFile(file).bytes().starts_with(kHdf5))
    return open_hdf5_vectors(file);
  return std::make_unique<SafetensorsVectors>(file);
}

struct VectorTable::Implementation {
  struct Stored {
    VectorFile* file;
    std::string key;
    int64_t row;
  };

  mutable std::mutex mutex;
  std::map<std::string, std::unique_ptr<VectorFile>> files;
  std::map<std::tuple<std::string, std::string, int64_t>, int64_t> numbers;
  std::vector<Stored> stored;
  int64_t width = 0;

  VectorFile& file(const std::string& path) {
    auto found = files.find(path);
    if (found == files.end()) found = files.emplace(path, open_vectors(path)).first;
    return *found->second;
  }

  /// The tensor's key, when the reference leaves it out.
  static std::string key_of(VectorFile& file, const Reference& reference,
                            const std::string& where) {
    if (!reference.key.empty()) return reference.key;
    const std::vector<std::string> keys = file.keys();
    if (keys.size() != 1)
      fail_input(where, str("must say which tensor of ", reference.file.string(),
                            " is meant (\"key\"): it holds ", keys.size(),
                            keys.empty() ? "" : " (" + list_of(keys) + ")"));
    return keys[0];
  }

  int64_t number(const std::string& path, const Reference& reference, const std::string& where) {
    VectorFile& from = file(path);
    const std::string key = key_of(from, reference, where);
    const auto place = std::tuple(path, key, reference.row.value_or(-1));
    if (const auto found = numbers.find(place); found != numbers.end()) return found->second;

    const VectorFile::Shape shape = from.shape(key);
    const std::string tensor = path + ": tensor " + show(key);
    if (shape.matrix && !reference.row)
      fail_input(where, str("must say which row is meant (\"row\"): ", tensor, " is a matrix of ",
                            shape.rows, " rows"));
    const int64_t row = reference.row.value_or(0);
    if (row >= shape.rows)
      fail_input(where, str("names row ", row, ", and ", tensor, " has ", shape.rows,
                            shape.rows == 1 ? " row" : " rows"));
    if (width != 0 && shape.width != width)
      fail_input(where, str("names a vector of ", shape.width, " numbers (", tensor,
                            "), the vectors before have ", width));
    std::vector<float> values(static_cast<size_t>(shape.width));
    from.read(key, row, values);
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
      fail_input(tensor, str("row ", row, " has numbers that are not finite"));
    width = shape.width;
    stored.push_back({&from, key, row});
    return numbers[place] = static_cast<int64_t>(stored.size()) - 1;
  }
};

VectorTable::VectorTable() : implementation_(std::make_unique<Implementation>()) {}
VectorTable::~VectorTable() = default;
VectorTable::VectorTable(VectorTable&&) noexcept = default;
VectorTable& VectorTable::operator=(VectorTable&&) noexcept = default;

int64_t VectorTable::number(const Fields& row, const std::string& field) {
  if (!row.has(field))
    fail_input(row.where(), "field " + show(field) + " is missing; it names a vector, " + kForms);
  const std::string where = row.where() + ": field " + show(field);
  const Reference reference = read_reference(row.json().at(field), where);
  const std::string path = (folder_of(row.where()) / reference.file).lexically_normal().string();
  const std::lock_guard lock(implementation_->mutex);
  return implementation_->number(path, reference, where);
}

int64_t VectorTable::width() const {
  const std::lock_guard lock(implementation_->mutex);
  return implementation_->width;
}

std::vector<float> VectorTable::read(std::span<const int64_t> numbers) const {
  const std::lock_guard lock(implementation_->mutex);
  const auto width = static_cast<size_t>(implementation_->width);
  std::vector<float> out(numbers.size() * width);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto& from = implementation_->stored.at(static_cast<size_t>(numbers[i]));
    from.file->read(from.key, from.row, std::span(out).subspan(i * width, width));
  }
  return out;
}

std::string VectorTable::fingerprint() const {
  const std::lock_guard lock(implementation_->mutex);
  Sha256 sum;
  for (const auto& [path, file] : implementation_->files) sum.add(sha256_file(path));
  return sum.hex();
}

Fields response_fields(const Example& example, size_t response) {
  const Json& fields = example.fields.json();
  const auto with = [&](const Json& reference) {
    Json out = fields;
    out[kResponseVector] = reference;
    return Fields(std::move(out), example.fields.where());
  };
  if (fields.contains("response_vectors")) {
    const Json& list = fields["response_vectors"];
    if (!list.is_array() || list.size() != example.responses.size())
      fail_input(example.fields.where(),
                 str("field \"response_vectors\" must be a list with one entry for each of the ",
                     example.responses.size(), " responses"));
    return with(list[response]);
  }
  const char* name = example.responses.size() == 1 ? "completion_vector"
                     : response == 0               ? "chosen_vector"
                     : response == 1               ? "rejected_vector"
                                                   : "";
  return fields.contains(name) ? with(fields[name]) : example.fields;
}

}  // namespace guerdon::data
