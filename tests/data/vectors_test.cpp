#include "guerdon/data/vectors.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <bit>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/data/safetensors_header.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using test::refusal;
using Floats = std::vector<float>;

template <class Number>
std::string bytes_of(const std::vector<Number>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Number)};
}

/// A dataset of floats in an HDF5 file.
void add_dataset(hid_t parent, const char* name, const std::vector<hsize_t>& shape,
                 const Floats& values, hid_t type = H5T_IEEE_F32LE,
                 hid_t properties = H5P_DEFAULT) {
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
  const hid_t dataset = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Dclose(dataset);
  H5Sclose(space);
}

class Vectors : public testing::Test {
 protected:
  /// A row of rows.jsonl in the folder, with the field "v".
  Fields row(Json reference, int line = 1) const {
    return {Json{{"v", std::move(reference)}},
            (folder_.path() / "rows.jsonl").string() + ":" + std::to_string(line)};
  }
  fs::path safetensors(const std::string& name, const std::vector<TensorToWrite>& tensors,
                       const std::string& data) const {
    return folder_.file(name, safetensors_header(tensors) + data);
  }
  fs::path hdf5(const std::string& name, const std::function<void(hid_t file)>& fill) const {
    const fs::path path = folder_.path() / name;
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    fill(file);
    H5Fclose(file);
    return path;
  }
  /// What a table says that reads the one reference.
  std::string refused(const Json& reference) const {
    return refusal(Kind::input, [&] { VectorTable().number(row(reference), "v"); });
  }
  std::string where() const { return (folder_.path() / "rows.jsonl").string() + ":1: field \"v\""; }

  const test::TemporaryFolder folder_;
};

TEST_F(Vectors, AreReadByEveryFormOfReference) {
  safetensors("one.safetensors", {{"only", "F32", {3, 2}}}, bytes_of<float>({1, 2, 3, 4, 5, 6}));
  safetensors("two.safetensors", {{"alone", "F32", {2}}, {"many", "F32", {2, 2}}},
              bytes_of<float>({7, 8, 9, 10, 11, 12}));
  VectorTable table;
  EXPECT_EQ(table.width(), 0);
  const std::vector<int64_t> numbers = {
      table.number(row({{"file", "one.safetensors"}, {"key", "only"}, {"row", 2}}), "v"),
      table.number(row("one.safetensors#1"), "v"),
      table.number(row({{"file", "two.safetensors"}, {"key", "alone"}}), "v"),
      table.number(row("two.safetensors#alone"), "v"),
      table.number(row({{"file", (folder_.path() / "two.safetensors").string()},
                        {"key", "many"},
                        {"row", 1}}),
                   "v")};
  EXPECT_EQ(numbers, (std::vector<int64_t>{0, 1, 2, 2, 3}));
  EXPECT_EQ(table.width(), 2);
  EXPECT_EQ(table.read(numbers), (Floats{5, 6, 3, 4, 7, 8, 7, 8, 11, 12}));
}

TEST_F(Vectors, OfSixteenAndSixtyFourBits) {
  // 1, -2, the smallest subnormal; the same in bfloat16 but for the last, 3.140625.
  safetensors("half.safetensors", {{"h", "F16", {3}}}, bytes_of<uint16_t>({0x3C00, 0xC000, 1}));
  safetensors("brain.safetensors", {{"b", "BF16", {3}}},
              bytes_of<uint16_t>({0x3F80, 0xC000, 0x4049}));
  safetensors("double.safetensors", {{"d", "F64", {3}}}, bytes_of<double>({0.5, -1e-3, 4}));
  hdf5("double.h5", [](hid_t file) { add_dataset(file, "d", {3}, {0.25F, 1, 2}, H5T_IEEE_F64LE); });
  VectorTable table;
  std::vector<int64_t> numbers;
  for (const char* name :
       {"half.safetensors#h", "brain.safetensors#b", "double.safetensors#d", "double.h5#d"})
    numbers.push_back(table.number(row(name), "v"));
  EXPECT_EQ(table.read(numbers),
            (Floats{1, -2, 0x1p-24F, 1, -2, 3.140625F, 0.5F, -1e-3F, 4, 0.25F, 1, 2}));
}

TEST_F(Vectors, OfHdf5LieInGroupsToo) {
  hdf5("v.hdf5", [](hid_t file) {
    add_dataset(file, "alone", {2}, {1, 2});
    const hid_t group = H5Gcreate2(file, "text", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    add_dataset(group, "train", {2, 2}, {3, 4, 5, 6});
    H5Gclose(group);
  });
  VectorTable table;
  const std::vector<int64_t> numbers = {
      table.number(row({{"file", "v.hdf5"}, {"key", "text/train"}, {"row", 1}}), "v"),
      table.number(row("v.hdf5#alone"), "v")};
  EXPECT_EQ(table.read(numbers), (Floats{5, 6, 1, 2}));
}

TEST_F(Vectors, ReferencesThatNameNothing) {
  safetensors("v.safetensors", {{"a", "F32", {2, 2}}, {"b", "F32", {3}}},
              bytes_of<float>({1, 2, 3, 4, 5, 6, 7}));
  const std::string file = (folder_.path() / "v.safetensors").string();
  for (const Json& wrong : {Json(7), Json("v.safetensors"), Json("#1"), Json("v.safetensors#"),
                            Json({{"key", "a"}}), Json({{"file", "v.safetensors"}, {"row", -1}}),
                            Json({{"file", "v.safetensors"}, {"row", 1.5}}),
                            Json({{"file", "v.safetensors"}, {"kye", "a"}})}) {
    EXPECT_EQ(refused(wrong),
              where() + R"(: must name a vector, {"file": F, "key": K, "row": R} or "F#R", got )" +
                  wrong.dump());
  }
  EXPECT_EQ(refused({{"file", "v.safetensors"}, {"key", "a"}, {"row", 2}}),
            where() + ": names row 2, and " + file + ": tensor \"a\" has 2 rows");
  EXPECT_EQ(refused({{"file", "v.safetensors"}, {"key", "a"}}),
            where() + ": must say which row is meant (\"row\"): " + file +
                ": tensor \"a\" is a matrix of 2 rows");
  EXPECT_EQ(refused("v.safetensors#0"),
            where() +
                ": must say which tensor of v.safetensors is meant (\"key\"): it holds 2 "
                "(a, b)");
  EXPECT_EQ(refused("v.safetensors#c"), file + ": tensor \"c\": is missing");
  EXPECT_EQ(refused("w.safetensors#a"),
            (folder_.path() / "w.safetensors").string() + ": there is no such file of vectors");
  EXPECT_EQ(refusal(Kind::input, [&] { VectorTable().number(row("v.safetensors#b"), "w"); })
                .substr(0, where().size()),
            (folder_.path() / "rows.jsonl").string() + ":1: field \"w\"");
  VectorTable table;
  table.number(row("v.safetensors#b"), "v");
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      table.number(row({{"file", "v.safetensors"}, {"key", "a"}, {"row", 0}}), "v");
                    }),
            where() + ": names a vector of 2 numbers (" + file +
                ": tensor \"a\"), the vectors before have 3");
}

TEST_F(Vectors, OfWrongElementsOrShapes) {
  safetensors("int.safetensors", {{"i", "I32", {2}}}, bytes_of<int32_t>({1, 2}));
  safetensors("cube.safetensors", {{"c", "F32", {1, 1, 2}}}, bytes_of<float>({1, 2}));
  safetensors("empty.safetensors", {{"e", "F32", {2, 0}}}, "");
  const float infinite = std::numeric_limits<float>::infinity();
  safetensors("nan.safetensors", {{"n", "F32", {2, 2}}}, bytes_of<float>({1, 2, 3, -infinite}));
  const auto at = [&](const char* name) { return (folder_.path() / name).string(); };
  EXPECT_EQ(refused("int.safetensors#i"),
            at("int.safetensors") +
                ": tensor \"i\": must hold floating point numbers of 16, 32 or "
                "64 bits, has \"I32\"");
  EXPECT_EQ(refused("cube.safetensors#c"),
            at("cube.safetensors") +
                ": tensor \"c\": must be a vector [width] or a matrix [rows, width]");
  EXPECT_EQ(refused("empty.safetensors#1"),
            at("empty.safetensors") + ": tensor \"e\": has the shape [2, 0]");
  EXPECT_EQ(refused("nan.safetensors#1"),
            at("nan.safetensors") + ": tensor \"n\": row 1 has numbers that are not finite");
  const auto fine = VectorTable().number(row("nan.safetensors#0"), "v");
  EXPECT_EQ(fine, 0);
}

TEST_F(Vectors, OfHdf5FilesThatMeanHarm) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  folder_.file("outside.bin", std::string(8, '\0'));
  hdf5("other.h5", [](hid_t file) { add_dataset(file, "v", {2}, {1, 2}); });
  hdf5("bad.h5", [&](hid_t file) {
    add_dataset(file, "nan", {2}, {1, nan});
    add_dataset(file, "cube", {1, 1, 2}, {1, 2});
    add_dataset(file, "int", {2}, {1, 2}, H5T_STD_I32LE);
    H5Lcreate_external("other.h5", "/v", file, "away", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nan", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    const hid_t external = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(external, (folder_.path() / "outside.bin").c_str(), 0, 8);
    add_dataset(file, "external", {2}, {1, 2}, H5T_IEEE_F32LE, external);
    H5Pclose(external);
    const hid_t packed = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 2;
    H5Pset_chunk(packed, 1, &chunk);
    H5Pset_deflate(packed, 1);
    add_dataset(file, "packed", {2}, {1, 2}, H5T_IEEE_F32LE, packed);
    H5Pclose(packed);
  });
  const std::string file = (folder_.path() / "bad.h5").string();
  const auto says = [&](const std::string& key, const std::string& what) {
    EXPECT_EQ(refused("bad.h5#" + key), file + ": tensor \"" + key + "\": " + what);
  };
  says("nan", "row 0 has numbers that are not finite");
  says("cube", "must be a vector [width] or a matrix [rows, width]");
  says("int", "must hold floating point numbers of 16, 32 or 64 bits");
  says("away", "is a link out of its place");
  says("soft", "is a link out of its place");
  says("group", "is a group, not a dataset");
  says("external", "lies in another file");
  says("packed", "uses filters");
  says("none", "is missing");
  says("nan/deeper", "is missing");
  says("group//x", "is no name of a dataset");
  // Cut off anywhere: refused, never read.
  const std::string whole = read_file(folder_.path() / "other.h5");
  const Json whole_reference = "cut.h5#v";
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{8}, size_t{96}, whole.size() / 2, whole.size() - 1}) {
    folder_.file("cut.h5", whole.substr(0, size));
    EXPECT_EQ(refused(whole_reference), (folder_.path() / "cut.h5").string() +
                                            ": is not an HDF5 file, or is cut off or damaged")
        << size;
  }
}

TEST_F(Vectors, ADamagedSafetensorsFileIsRefused) {
  const std::string whole = safetensors_header({{"v", "F32", {2}}}) + bytes_of<float>({1, 2});
  for (const size_t size : {size_t{0}, size_t{7}, size_t{20}, whole.size() - 1}) {
    folder_.file("cut.safetensors", whole.substr(0, size));
    EXPECT_TRUE(refused("cut.safetensors#v")
                    .starts_with((folder_.path() / "cut.safetensors").string() + ": "))
        << size;
  }
}

TEST_F(Vectors, TheFilesContentIsPartOfTheFingerprint) {
  const auto fingerprint = [&](float value) {
    safetensors("v.safetensors", {{"v", "F32", {1}}}, bytes_of<float>({value}));
    VectorTable table;
    table.number(row("v.safetensors#v"), "v");
    return table.fingerprint();
  };
  EXPECT_EQ(fingerprint(1), fingerprint(1));
  EXPECT_NE(fingerprint(1), fingerprint(2));
}

TEST(ResponseVectors, BelongToTheirResponse) {
  const auto example = [](size_t responses, Json fields) {
    Example out;
    out.responses.resize(responses);
    out.fields = Fields(std::move(fields), "rows.jsonl:4");
    return out;
  };
  const auto vector = [](const Example& row, size_t i) {
    const Fields fields = response_fields(row, i);
    return fields.has("response_vector") ? fields.text("response_vector") : std::string();
  };
  const Example pair = example(2, {{"chosen_vector", "f#1"}, {"rejected_vector", "f#2"}});
  EXPECT_EQ(vector(pair, 0), "f#1");
  EXPECT_EQ(vector(pair, 1), "f#2");
  EXPECT_EQ(vector(example(1, {{"completion_vector", "f#3"}}), 0), "f#3");
  const Example list = example(3, {{"response_vectors", {"f#4", "f#5", "f#6"}}});
  EXPECT_EQ(vector(list, 2), "f#6");
  EXPECT_EQ(vector(example(2, {{"margin", 1}}), 1), "");
  EXPECT_EQ(
      refusal(Kind::input,
              [&] {
                response_fields(example(3, {{"response_vectors", {"f#4"}}}), 0);
              }),
      "rows.jsonl:4: field \"response_vectors\" must be a list with one entry for each of the "
      "3 responses");
}

}  // namespace
}  // namespace guerdon::data
