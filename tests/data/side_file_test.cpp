#include "guerdon/data/side_file.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <functional>
#include <numeric>

#include "guerdon/base/file.h"
#include "guerdon/base/random.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using test::refusal;
using test::TemporaryFolder;

const std::vector<SideColumn> kColumns{{"ids", Element::int32}, {"logprobs", Element::float32}};

void write_example(const fs::path& file, int64_t rows = 3) {
  SideFileWriter writer(file, "key", kColumns);
  for (int32_t row = 0; row < rows; ++row) {
    std::vector<int32_t> ids(static_cast<size_t>(row % 1000));
    std::iota(ids.begin(), ids.end(), row);
    writer.append("ids", ids);
    const std::vector<float> logprobs{-0.5F, static_cast<float>(row)};
    writer.append("logprobs", logprobs);
  }
  writer.commit();
}

TEST(SideFile, ReadsWhatWasWritten) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "deep" / "cache.h5";
  write_example(file, 5000);
  const SideFile side(file, "key", kColumns);
  EXPECT_EQ(side.rows("ids"), 5000);
  EXPECT_TRUE(side.integers("ids", 0).empty());
  EXPECT_EQ(side.integers("ids", 3), (std::vector<int32_t>{3, 4, 5}));
  EXPECT_EQ(side.integers("ids", 4999).back(), 4999 + 998);
  EXPECT_EQ(side.floats("logprobs", 7), (std::vector<float>{-0.5F, 7.0F}));
}

TEST(SideFile, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  {
    SideFileWriter writer(file, "key", kColumns);
    const std::vector<int32_t> ids{1};
    writer.append("ids", ids);
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_EQ(open_cache(file, "key", kColumns), nullptr);
}

TEST(SideFile, ACacheOfOtherDataIsDeleted) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  write_example(file);
  EXPECT_NE(open_cache(file, "key", kColumns), nullptr);
  EXPECT_EQ(open_cache(file, "another", kColumns), nullptr);
  EXPECT_FALSE(fs::exists(file));
  folder.file("cache.h5", "this is no HDF5 file");
  EXPECT_EQ(open_cache(file, "key", kColumns), nullptr);
  EXPECT_FALSE(fs::exists(file));
}

TEST(SideFile, RefusesOtherColumns) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  write_example(file);
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      SideFile side(file, "key", {{"mask", Element::int32}});
                    }),
            file.string() + ": has no mask");
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      SideFile side(file, "key", {{"ids", Element::float32}});
                    }),
            file.string() + ": values has another element type");
}

/// A file that is right but for what `change` does to the group of its only column.
void write_changed(const fs::path& file,
                   const std::function<void(hid_t file, hid_t column)>& change) {
  {
    SideFileWriter writer(file, "key", {{"ids", Element::int32}});
    const std::vector<int32_t> ids{1, 2, 3};
    writer.append("ids", ids);
    writer.commit();
  }
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t group = H5Gopen2(id, "columns/ids", H5P_DEFAULT);
  change(id, group);
  H5Gclose(group);
  H5Fclose(id);
  // Sealed again, so that the checks behind the checksum are reached.
  std::string bytes = read_file(file);
  bytes.replace(20, 64, sha256(bytes.substr(512)));
  write_file(file, bytes);
}

std::string said(const fs::path& file) {
  return refusal(Kind::input,
                 [&] {
                   SideFile side(file, "key", {{"ids", Element::int32}});
                 })
      .substr(file.string().size() + 2);
}

void replace_list(hid_t group, const char* name, hid_t type, hsize_t length,
                  const std::function<void(hid_t)>& layout) {
  H5Ldelete(group, name, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(1, &length, nullptr), list = H5Pcreate(H5P_DATASET_CREATE);
  layout(list);
  H5Dclose(H5Dcreate2(group, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT));
  H5Pclose(list);
  H5Sclose(space);
}

TEST(SideFile, RefusesWhatReachesOutOfTheFile) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  write_changed(file, [](hid_t, hid_t group) {
    H5Ldelete(group, "values", H5P_DEFAULT);
    H5Lcreate_external("/etc/passwd", "/x", group, "values", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_EQ(said(file), "values is a link out of its place");
  write_changed(file, [](hid_t, hid_t group) {
    H5Ldelete(group, "values", H5P_DEFAULT);
    H5Lcreate_soft("/columns/ids/offsets", group, "values", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_EQ(said(file), "values is a link out of its place");
  write_changed(file, [](hid_t, hid_t group) {
    replace_list(group, "values", H5T_STD_I32LE, 3,
                 [](hid_t list) { H5Pset_external(list, "/etc/passwd", 0, 12); });
  });
  EXPECT_EQ(said(file), "values lies in another file");
}

TEST(SideFile, RefusesFiltersAndSizesThatCannotBe) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  write_changed(file, [](hid_t, hid_t group) {
    replace_list(group, "values", H5T_STD_I32LE, 3, [](hid_t list) {
      const hsize_t chunk = 3;
      H5Pset_chunk(list, 1, &chunk);
      H5Pset_shuffle(list);
    });
  });
  EXPECT_EQ(said(file), "values uses filters");
  write_changed(file, [](hid_t, hid_t group) {
    replace_list(group, "values", H5T_STD_I32LE, hsize_t{1} << 40, [](hid_t list) {
      const hsize_t chunk = 1024;
      H5Pset_chunk(list, 1, &chunk);
    });
  });
  EXPECT_EQ(said(file), "values claims 1099511627776 elements, more than the file can hold");
  write_changed(file, [](hid_t, hid_t group) {
    const hid_t offsets = H5Dopen2(group, "offsets", H5P_DEFAULT);
    const int64_t wrong[2] = {0, 300};
    H5Dwrite(offsets, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, wrong);
    H5Dclose(offsets);
  });
  EXPECT_EQ(said(file), "offsets of column ids are not in order");
}

TEST(SideFile, EveryDamageIsNoticed) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cache.h5";
  write_example(file, 20);
  const std::string whole = read_file(file);
  Random random(1, Purpose::choose);
  for (int i = 0; i < 100; ++i) {
    std::string damaged = whole;
    if (i % 3 == 0) {
      damaged.resize(random.next_below(whole.size()));
    } else {
      // Behind the seal there is only padding up to the end of the user block.
      const uint64_t at =
          i % 3 == 1 ? random.next_below(84) : 512 + random.next_below(whole.size() - 512);
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.next_below(8)));
    }
    folder.file("cache.h5", damaged);
    EXPECT_EQ(open_cache(file, "key", kColumns), nullptr) << i;
    EXPECT_FALSE(fs::exists(file));
  }
}

}  // namespace
}  // namespace guerdon::data
