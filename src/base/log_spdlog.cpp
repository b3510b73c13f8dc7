// The only file that sees spdlog: Debian's is built on fmt 9, LibTorch ships fmt 12, and a file
// that includes both does not compile.
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <vector>

#include "guerdon/base/log.h"

namespace guerdon::log {

Sink standard_sink(const std::filesystem::path& file) {
  auto terminal = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  terminal->set_pattern("%v");
  std::vector<spdlog::sink_ptr> sinks{terminal};
  if (!file.empty()) {
    auto to_file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    to_file->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    sinks.push_back(to_file);
  }
  auto logger = std::make_shared<spdlog::logger>("guerdon", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::info);
  return [logger](Level level, const std::string& message) {
    switch (level) {
      case Level::debug: logger->debug("{}", message); break;
      case Level::info: logger->info("{}", message); break;
      case Level::warning: logger->warn("guerdon: warning: {}", message); break;
      case Level::error: logger->error("guerdon: error: {}", message); break;
    }
  };
}

}  // namespace guerdon::log
