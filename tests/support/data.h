/// Where tests find things: the real data (GUERDON_DATA, else ../shared/data beside the checkout;
/// without it tests skip, and say so), the fixtures of the repository, the program.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace guerdon::test {

std::filesystem::path data_folder();
/// tests/fixtures/NAME.
std::filesystem::path fixture(const std::string& name);
/// The root of the checkout.
std::filesystem::path source_folder();
/// The built `guerdon`.
std::filesystem::path program();

}  // namespace guerdon::test

/// At the start of a test that needs real data; `part` is a folder of it.
#define GUERDON_NEEDS_DATA(part)                                       \
  if (!std::filesystem::exists(guerdon::test::data_folder() / (part))) \
  GTEST_SKIP() << "SKIPPED FOR WANT OF DATA: set GUERDON_DATA to the folder that holds " << (part)
