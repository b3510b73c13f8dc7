/// Private to `train`: settings that nothing would read are mistakes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "guerdon/base/error.h"
#include "guerdon/base/settings.h"

namespace guerdon::train {

/// Throws Error (Kind::settings), "WHERE: key PATH: WHY", for the first setting that is not the
/// default.
template <class Options>
void refuse_changed(Options given, const std::string& where, const std::string& why) {
  Options defaults;
  const SettingList list = settings_of(given), usual = settings_of(defaults);
  for (size_t i = 0; i < list.all().size(); ++i) {
    if (setting_value(list.all()[i]) != setting_value(usual.all()[i]))
      fail_settings(where, "key " + list.all()[i].path + ": " + why);
  }
}

}  // namespace guerdon::train
