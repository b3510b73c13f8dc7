/// The log: levels and a sink. Silent until a program sets a sink; the library never prints by
/// itself.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace guerdon::log {

enum class Level { debug, info, warning, error };

using Sink = std::function<void(Level, const std::string&)>;

/// Where messages go from now on; an empty function silences. Returns the sink that was there.
Sink set_sink(Sink sink);
/// Messages below this level are dropped. Default: info.
void set_level(Level level);

void debug(const std::string& message);
void info(const std::string& message);
/// The same warning (same text) is passed on at most 5 times, then only counted.
void warning(const std::string& message);
void error(const std::string& message);

/// A sink that writes to standard error, and with a path also, with times, to that file (spdlog).
Sink standard_sink(const std::filesystem::path& file = {});

}  // namespace guerdon::log
