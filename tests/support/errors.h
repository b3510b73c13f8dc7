/// What an Error says: the text of the refusal, for tests that check it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "guerdon/base/error.h"

namespace guerdon::test {

/// The text of the Error that `action` throws; fails the test when it throws none, or one of
/// another kind.
inline std::string refusal(Kind kind, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind, kind) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace guerdon::test
