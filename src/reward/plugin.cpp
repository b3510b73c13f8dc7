#include <dlfcn.h>

#include <filesystem>
#include <map>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/reward/registry.h"

namespace guerdon {

void load_plugin(const std::string& file) {
  static std::map<std::string, void*>
      loaded;  // opened once, never closed: its code may be in use until the end
  const std::string path = std::filesystem::absolute(file).lexically_normal();
  if (loaded.contains(path)) return;

  const std::string marker = "guerdon-plugin-abi:";
  {
    const MappedFile mapped(path);
    const std::string_view bytes = mapped.bytes();
    if (!bytes.starts_with("\x7f"
                           "ELF"))
      fail_input(file, "is not a shared library");
    size_t at = bytes.find(marker);
    if (at == std::string_view::npos) {
      fail_input(file,
                 "has no guerdon-plugin-abi mark; a plugin registers its rewards with "
                 "GUERDON_REGISTER_REWARD");
    }
    at += marker.size();
    const size_t end = bytes.find(';', at);
    const std::string number(
        bytes.substr(at, end == std::string_view::npos || end - at > 12 ? 12 : end - at));
    if (number != std::to_string(GUERDON_PLUGIN_ABI)) {
      fail_input(file, str("was built for plugin interface ", show(number), ", this guerdon has ",
                           GUERDON_PLUGIN_ABI, "; build it again"));
    }
  }
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) fail_input(file, str("cannot be opened: ", ::dlerror()));
  loaded[path] = handle;
}

}  // namespace guerdon
