#include "guerdon/base/log.h"

#include <map>
#include <mutex>
#include <utility>

#include "guerdon/base/error.h"

namespace guerdon::log {
namespace {

struct State {
  std::mutex mutex;
  Sink sink;
  Level level = Level::info;
  std::map<std::string, int> warnings;  // how often each text came
};

State& state() {
  static State instance;
  return instance;
}

constexpr int kWarningRepeats = 5;
constexpr size_t kWarningTexts = 10'000;

void pass_on(Level level, const std::string& message) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!s.sink || level < s.level) return;
  if (level == Level::warning && s.warnings.size() < kWarningTexts) {
    const int count = ++s.warnings[message];
    if (count > kWarningRepeats) return;
    if (count == kWarningRepeats) {
      s.sink(level,
             message + " (said " + std::to_string(count) + " times, from now on only counted)");
      return;
    }
  }
  s.sink(level, message);
}

}  // namespace

Sink set_sink(Sink sink) {
  const std::lock_guard lock(state().mutex);
  return std::exchange(state().sink, std::move(sink));
}

void set_level(Level level) {
  const std::lock_guard lock(state().mutex);
  state().level = level;
}

void debug(const std::string& message) { pass_on(Level::debug, message); }
void info(const std::string& message) { pass_on(Level::info, message); }
void warning(const std::string& message) { pass_on(Level::warning, message); }
void error(const std::string& message) { pass_on(Level::error, message); }

}  // namespace guerdon::log
