#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"

namespace guerdon::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr size_t kLogColumns = 160;  // where there is no terminal to fit into

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDERR_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // nobody listens: results do not depend on it
    text.remove_prefix(static_cast<size_t>(count));
  }
}

size_t columns() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20;
  return known ? size.ws_col - 1U : 79U;
}

std::string formatted(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string rate_text(double per_second) {
  if (per_second >= 1e6) return formatted("%.1fM", per_second / 1e6);
  if (per_second >= 1e4) return formatted("%.0fk", per_second / 1e3);
  if (per_second >= 1e3) return formatted("%.1fk", per_second / 1e3);
  return formatted(per_second >= 10 ? "%.0f" : "%.1f", per_second);
}

std::string time_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::min(seconds, 359'999.0)));
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  }
  return text;
}

std::string cut(const std::string& text, size_t columns) {
  size_t at = 0;
  for (size_t shown = 0; at < text.size() && shown < columns; ++shown) {
    at += std::max<size_t>(1, utf8_length(std::string_view(text).substr(at)));
  }
  return text.substr(0, at);
}

}  // namespace

std::string progress_text(const Progress& begin, const Progress& now, double seconds,
                          size_t columns) {
  const double done = static_cast<double>(now.done - begin.done);
  std::string numbers;
  if (now.total > 0) {
    numbers += str(now.done, "/", now.total);
  } else {
    numbers += str(now.done);
  }
  if (!now.unit.empty()) numbers += " " + now.unit + (now.done == 1 && now.total <= 1 ? "" : "s");
  if (seconds > 0 && now.tokens > begin.tokens) {
    numbers +=
        ", " + rate_text(static_cast<double>(now.tokens - begin.tokens) / seconds) + " tokens/s";
  } else if (seconds > 0 && done > 0 && !now.unit.empty()) {
    numbers += ", " + rate_text(done / seconds) + " " + now.unit + "s/s";
  }
  if (now.total > 0 && now.done >= now.total) {
    numbers += ", took " + time_text(seconds);
  } else if (now.total > 0 && done > 0 && seconds > 0) {
    numbers +=
        ", " + time_text(seconds / done * static_cast<double>(now.total - now.done)) + " left";
  }
  if (!now.note.empty()) numbers += ", " + now.note;

  std::string bar;
  if (now.total > 0) {
    constexpr int64_t kCells = 20;
    const int64_t filled = std::clamp<int64_t>(now.done * kCells / now.total, 0, kCells);
    bar = " [" + std::string(filled, '#') + std::string(kCells - filled, '-') + "]";
  }
  return cut(now.task + bar + " " + numbers, columns);
}

Console::Console() : terminal_(::isatty(STDERR_FILENO) == 1) {}

Console& Console::get() {
  static Console console;
  return console;
}

void Console::erase() {
  if (!bar_.empty()) write_all("\r\x1b[K");
}

void Console::draw(const std::string& bar) {
  erase();
  bar_ = bar;
  write_all(bar_);
}

void Console::print(const std::string& text) {
  const std::lock_guard lock(mutex_);
  erase();
  write_all(text + "\n");
  write_all(bar_);
}

log::Sink Console::log_sink(const std::filesystem::path& file) {
  return [this, sink = log::standard_sink(file)](log::Level level, const std::string& message) {
    const std::lock_guard lock(mutex_);
    erase();
    sink(level, message);
    write_all(bar_);
  };
}

void Console::set_quiet(bool quiet) {
  const std::lock_guard lock(mutex_);
  quiet_ = quiet;
}

ProgressSink Console::progress() {
  struct Task {
    Clock::time_point begun = Clock::now(), drawn = begun;
    Progress begin;
    bool started = false;
  };
  return [this, task = std::make_shared<Task>()](const Progress& now) {
    const std::lock_guard lock(mutex_);
    if (quiet_) return;
    const Clock::time_point time = Clock::now();
    const bool first = !task->started;
    if (first) {
      task->started = true;
      task->begun = time;
      task->begin = now;
    }
    const bool finished = now.total > 0 && now.done >= now.total;
    if (!first && !finished &&
        time - task->drawn < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLineEvery)))
      return;
    task->drawn = time;
    const double seconds = std::chrono::duration<double>(time - task->begun).count();
    const std::string text =
        progress_text(task->begin, now, seconds, terminal_ ? columns() : kLogColumns);
    if (!terminal_) {
      if (!first || finished) write_all(text + "\n");
      return;
    }
    draw(text);
    if (finished) {
      bar_.clear();
      write_all("\n");
    }
  };
}

}  // namespace guerdon::cli
