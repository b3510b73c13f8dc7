#include "guerdon/base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "guerdon/base/error.h"

extern char** environ;

namespace guerdon {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

// Between looks at a child that is silent: how late its end, or the end of its time, may be seen.
constexpr auto kLook = std::chrono::milliseconds(20);

struct Descriptor {
  int value = -1;
  Descriptor() = default;
  explicit Descriptor(int value) : value(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void close() {
    if (value >= 0) ::close(value);
    value = -1;
  }
  bool open() const { return value >= 0; }
};

struct Pipe {
  Descriptor read, write;
  Pipe() {
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      fail_surroundings("pipe", std::string("could not be made: ") + std::strerror(errno));
    }
    read.value = ends[0];
    write.value = ends[1];
  }
};

void set_nonblocking(const Descriptor& d) {
  ::fcntl(d.value, F_SETFL, ::fcntl(d.value, F_GETFL) | O_NONBLOCK);
}

/// Writing to a child that has ended must not end us: holds SIGPIPE back from this thread, and
/// takes the one that came.
class NoSigpipe {
 public:
  NoSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{};
    if (!was_pending_) ::sigtimedwait(&pipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

std::vector<std::string> environment_of(const ProcessOptions& options) {
  std::map<std::string, std::string> variables = options.environment;
  if (!options.clear_environment) {
    for (char** entry = environ; *entry; ++entry) {
      const std::string_view text(*entry);
      const size_t equals = text.find('=');
      if (equals != std::string_view::npos) {
        variables.emplace(text.substr(0, equals), text.substr(equals + 1));
      }
    }
  }
  std::vector<std::string> out;
  out.reserve(variables.size());
  for (const auto& [name, value] : variables) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

void limit(int resource, uint64_t value) {
  if (value == 0) return;
  const rlimit both{value, value};
  ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

// Descriptors of ours that lack close-on-exec (libraries open some) must not reach the child.
void hide_descriptors() {
  constexpr unsigned kCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC, Linux 5.11
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec) == 0) return;
#endif
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const int last = static_cast<int>(std::min<rlim_t>(files.rlim_cur, 65'536));
  for (int d = 3; d < last; ++d) ::fcntl(d, F_SETFD, FD_CLOEXEC);
}

/// The child between fork and exec: only calls that are safe there. Returns when it could not
/// become the program.
void become(const char* program, char* const* arguments, char* const* environment,
            const char* folder, const ResourceLimits& limits, int input, int output, int errors) {
  ::setpgid(0, 0);
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (const int s : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaction(s, &plain, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(input, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 ||
      ::dup2(errors, STDERR_FILENO) < 0) {
    return;
  }
  hide_descriptors();
  if (*folder && ::chdir(folder) != 0) return;
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  limit(RLIMIT_AS, limits.memory_bytes);
  limit(RLIMIT_CPU, limits.cpu_s);
  limit(RLIMIT_FSIZE, limits.file_bytes);
  limit(RLIMIT_NOFILE, limits.open_files);
  ::execve(program, arguments, environment);
}

}  // namespace

std::optional<fs::path> find_program(const std::string& name) {
  const auto runs = [](const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    return runs(name) ? std::optional(fs::path(name)) : std::nullopt;
  }
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!name.empty() && !rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const fs::path candidate = fs::path(colon == 0 ? "." : rest.substr(0, colon)) / name;
    if (runs(candidate)) return candidate;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return std::nullopt;
}

struct Process::State {
  ProcessOptions options;
  pid_t id = -1;
  Descriptor input, output, errors;
  std::string unsent;    // waits for the child to read
  std::string received;  // standard output that nobody has taken
  size_t searched = 0;   // received[0, searched) holds no line end
  std::string error_text;
  int wait_status = -1;  // set once the child was reaped

  void start();
  bool ended() const;
  void kill_and_reap();
  void step(Clock::time_point deadline);
  void send();
  bool receive(Descriptor& from, std::string& to);
  bool receive_errors();
};

void Process::State::start() {
  GUERDON_CHECK(!options.command.empty(), "Process: no command");
  const std::string& name = options.command.front();
  const std::optional<fs::path> found = find_program(name);
  if (!found) {
    fail_settings("command " + show(name), name.find('/') == std::string::npos
                                               ? "no such program in PATH"
                                               : "is no program that can be run");
  }
  // Everything that allocates happens before the fork.
  const std::string program = fs::absolute(*found).string();
  const std::string folder = options.folder.string();
  std::vector<std::string> arguments = options.command, environment = environment_of(options);
  const std::vector<char*> argument_list = pointers(arguments),
                           environment_list = pointers(environment);
  Pipe in, out, err, failed;

  id = ::fork();
  if (id < 0) {
    fail_surroundings("command " + show(name),
                      std::string("could not start: ") + std::strerror(errno));
  }
  if (id == 0) {
    become(program.c_str(), argument_list.data(), environment_list.data(), folder.c_str(),
           options.limits, in.read.value, out.write.value, err.write.value);
    const int error = errno;
    const ssize_t told = ::write(failed.write.value, &error, sizeof error);
    ::_exit(told == sizeof error ? 127 : 126);
  }
  ::setpgid(id, id);  // here too: whoever comes first
  failed.write.close();
  int error = 0;
  ssize_t count = 0;
  while ((count = ::read(failed.read.value, &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (count > 0) {
    kill_and_reap();
    fail_surroundings("command " + show(name),
                      std::string("could not start: ") + std::strerror(error));
  }
  std::swap(input.value, in.write.value);
  std::swap(output.value, out.read.value);
  std::swap(errors.value, err.read.value);
  for (const Descriptor* d : {&input, &output, &errors}) set_nonblocking(*d);
}

// Leaves the child unreaped: so long as it is, its number names nobody else, and its group can be
// killed.
bool Process::State::ended() const {
  siginfo_t info{};
  return wait_status >= 0 ||
         (::waitid(P_PID, static_cast<id_t>(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == id);
}

void Process::State::kill_and_reap() {
  if (wait_status >= 0) return;
  ::kill(-id, SIGKILL);
  ::kill(id, SIGKILL);  // it may have left the group
  int status = 0;
  pid_t reaped = 0;
  while ((reaped = ::waitpid(id, &status, 0)) < 0 && errno == EINTR) {
  }
  wait_status = reaped == id ? status : 0;
}

void Process::State::send() {
  if (!input.open() || unsent.empty()) return;
  const NoSigpipe guard;
  const ssize_t count = ::write(input.value, unsent.data(), unsent.size());
  if (count > 0) {
    unsent.erase(0, static_cast<size_t>(count));
  } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
    input.close();  // it reads no more; what it wrote still counts
    unsent.clear();
  }
}

/// True when something came.
bool Process::State::receive(Descriptor& from, std::string& to) {
  if (!from.open()) return false;
  std::array<char, 1 << 16> buffer;
  const ssize_t count = ::read(from.value, buffer.data(), buffer.size());
  if (count > 0) to.append(buffer.data(), static_cast<size_t>(count));
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) from.close();
  return count > 0;
}

bool Process::State::receive_errors() {
  const bool came = receive(errors, error_text);
  if (error_text.size() > options.max_errors)
    error_text.erase(0, error_text.size() - options.max_errors);
  return came;
}

// Waits until something can be sent or received, at most until the deadline, and does it.
void Process::State::step(Clock::time_point deadline) {
  std::array<pollfd, 3> watched{};
  size_t count = 0;
  if (input.open() && !unsent.empty()) watched[count++] = {input.value, POLLOUT, 0};
  if (output.open()) watched[count++] = {output.value, POLLIN, 0};
  if (errors.open()) watched[count++] = {errors.value, POLLIN, 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  // With both outputs closed nothing announces the end: look more often.
  const auto look = output.open() || errors.open() ? kLook : std::chrono::milliseconds(1);
  const auto pause = std::clamp(left, std::chrono::milliseconds(0), look);
  if (::poll(watched.data(), count, static_cast<int>(pause.count())) < 0 && errno != EINTR) {
    fail_surroundings("poll", std::strerror(errno));
  }
  for (size_t i = 0; i < count; ++i) {
    if (watched[i].revents == 0) continue;
    if (watched[i].fd == input.value) {
      send();
    } else if (watched[i].fd == output.value) {
      receive(output, received);
    } else {
      receive_errors();
    }
  }
}

namespace {
Clock::time_point deadline_after(double seconds) {
  // A year is for ever, and does not overflow the clock.
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::clamp(seconds, 0.0, 3.2e7)));
}
}  // namespace

Process::Process(const ProcessOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->start();
}

Process::~Process() { state_->kill_and_reap(); }

const std::string& Process::errors() const { return state_->error_text; }
pid_t Process::id() const { return state_->id; }

Process::Reply Process::ask(std::string_view text, double timeout_s) {
  State& s = *state_;
  const Clock::time_point deadline = deadline_after(timeout_s);
  s.unsent += text;
  s.send();
  for (;;) {
    const size_t end = s.received.find('\n', s.searched);
    if (end != std::string::npos && end <= s.options.max_output) {
      std::string line = s.received.substr(0, end);
      s.received.erase(0, end + 1);
      s.searched = 0;
      if (line.ends_with('\r')) line.pop_back();
      return {Status::line, std::move(line)};
    }
    s.searched = s.received.size();
    if (s.received.size() > s.options.max_output) return {Status::too_long, {}};
    if (!s.output.open()) return {Status::ended, std::exchange(s.received, {})};
    if (Clock::now() >= deadline) return {Status::timed_out, {}};
    s.step(deadline);
  }
}

ProcessResult Process::finish(double timeout_s, std::string_view text) {
  State& s = *state_;
  const Clock::time_point deadline = deadline_after(timeout_s);
  ProcessResult result;
  s.unsent += text;
  s.send();
  while (!s.ended()) {
    if (s.unsent.empty()) s.input.close();
    result.too_long = s.received.size() > s.options.max_output;
    result.timed_out = Clock::now() >= deadline;
    if (result.too_long || result.timed_out) break;
    s.step(deadline);
  }
  // Also after the child's own end: what it started may live on in its group, and hold the outputs
  // open.
  s.kill_and_reap();
  while (s.received.size() <= s.options.max_output && s.receive(s.output, s.received)) {
  }
  while (s.receive_errors()) {
  }
  if (s.received.size() > s.options.max_output) {
    result.too_long = true;
    s.received.resize(s.options.max_output);
  }
  result.output = std::exchange(s.received, {});
  result.errors = s.error_text;
  if (WIFSIGNALED(s.wait_status)) result.signal = WTERMSIG(s.wait_status);
  if (WIFEXITED(s.wait_status)) result.code = WEXITSTATUS(s.wait_status);
  return result;
}

ProcessResult run_process(const ProcessOptions& options, double timeout_s, std::string_view input) {
  return Process(options).finish(timeout_s, input);
}

}  // namespace guerdon
