/// `guerdon doctor`: what this machine and this build offer, and whether they work.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/base/process.h"
#include "guerdon/base/threads.h"
#include "guerdon/base/version.h"
#include "guerdon/ops/torch_build.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

enum class State { good, note, bad };

struct Finding {
  std::string name;
  State state = State::good;
  std::string text;
  std::string advice = {};
};

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
  return text;
}

/// The value of the first "KEY : VALUE" line of a file under /proc.
std::string line_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    return line.substr(std::min(line.find_first_not_of(" \t", colon + 1), line.size()));
  }
  return {};
}

Finding processor() {
  const std::string flags = " " + line_of("/proc/cpuinfo", "flags") + " ";
  std::string found;
  for (const char* flag : {"avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(std::string(" ") + flag + " ") != std::string::npos)
      found += std::string(" ") + flag;
  }
  Finding out{"processor", State::good, line_of("/proc/cpuinfo", "model name") + "," + found};
  if (found.find("avx2") == std::string::npos) {
    out.state = State::note;
    out.advice = "without AVX2 everything works, slowly";
  }
  return out;
}

Finding threads() {
  return {"threads", State::good,
          str(thread_count(), " on the ground floor, ", at::get_num_threads(),
              " in LibTorch (--threads N)")};
}

Finding memory() {
  const auto kilobytes = [](const std::string& text) {
    return text.empty() ? 0.0 : std::stod(text) * 1024;
  };
  const double total = kilobytes(line_of("/proc/meminfo", "MemTotal"));
  const double free = kilobytes(line_of("/proc/meminfo", "MemAvailable"));
  Finding out{"memory", State::good, gigabytes(free) + " free of " + gigabytes(total)};
  // A container's limit is below what the machine has, and going past it is a SIGKILL.
  std::ifstream limit_file("/sys/fs/cgroup/memory.max");
  if (double limit = 0; limit_file >> limit && limit < total)
    out.text += ", limited to " + gigabytes(limit);
  if (free < 1e9) {
    out.state = State::note;
    out.advice = "guerdon plan tells what a run needs";
  }
  return out;
}

/// Room in a folder, and whether a file can be written and synced there.
Finding disk(const std::string& name, const fs::path& folder) {
  Finding out{name, State::good, folder.string() + ": "};
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) == 0) {
    out.text +=
        gigabytes(static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize)) +
        " free";
  }
  try {
    const fs::path probe = folder / str(".guerdon-doctor-", ::getpid());
    write_file(probe, "probe");
    fs::remove(probe);
  } catch (const Error& e) {
    out.state = State::bad;
    out.text = e.what();
    out.advice = "runs are written below the present folder; choose one with --output";
  }
  return out;
}

/// A product of matrices against the same in double precision.
Finding arithmetic() {
  const at::Tensor a = at::arange(64 * 96, at::kFloat).reshape({64, 96}).sin();
  const at::Tensor b = at::arange(96 * 32, at::kFloat).reshape({96, 32}).cos();
  const double off = (a.matmul(b).to(at::kDouble) - a.to(at::kDouble).matmul(b.to(at::kDouble)))
                         .abs()
                         .max()
                         .item<double>();
  if (off < 1e-4) return {"arithmetic", State::good, "matrix products agree with double precision"};
  return {"arithmetic", State::bad, str("a matrix product is off by ", off),
          "this LibTorch does not work here"};
}

/// Whether a row of a product has the same bits whatever else is in the batch. Where it has not,
/// generation and training differ in the last bits, as the log of a run shows
/// (sampling/logp_difference).
Finding invariance() {
  const at::Tensor weight = at::arange(512 * 384, at::kFloat).reshape({512, 384}).sin();
  const at::Tensor rows = at::arange(64 * 384, at::kFloat).reshape({64, 384}).cos();
  const at::Tensor whole = at::linear(rows, weight);
  std::string differing;
  for (const int64_t batch : {1, 2, 3, 8, 17, 33}) {
    if (!at::equal(at::linear(rows.narrow(0, 5, batch), weight), whole.narrow(0, 5, batch))) {
      differing += str(differing.empty() ? "" : ", ", batch);
    }
  }
  if (differing.empty())
    return {"row invariance", State::good, "rows of a product do not depend on the batch"};
  return {"row invariance", State::note,
          "rows of a product differ in the last bits in batches of " + differing + " rows"};
}

std::vector<Finding> examine() {
  std::vector<Finding> out = {
      {"guerdon", State::good, version() + ", " + compiler()},
      {"LibTorch", State::good,
       ops::torch_version() + ", kernels for " + ops::torch_cpu_capability()},
      processor(),
      threads(),
      memory(),
      disk("run folder", fs::current_path()),
      disk("temporary folder", fs::temp_directory_path()),
      arithmetic(),
      invariance(),
  };
  for (const OptionalPart& part : optional_parts()) {
    out.push_back({part.name, part.present ? State::good : State::note,
                   (part.present ? "in: " : "left out: ") + part.purpose});
  }
  const bool sandbox = find_program("bwrap").has_value();
  out.push_back(
      {"sandbox", sandbox ? State::good : State::note,
       sandbox ? "bubblewrap is there" : "bubblewrap is not there",
       sandbox ? "" : "rewards that run model-written code need it (package bubblewrap)"});
  return out;
}

void run_doctor(bool json) {
  const std::vector<Finding> findings = examine();
  constexpr const char* kWords[] = {"ok", "note", "BAD"};
  std::string text;
  if (json) {
    Json list = Json::array();
    for (const Finding& f : findings) {
      list.push_back({{"name", f.name},
                      {"state", kWords[static_cast<int>(f.state)]},
                      {"text", f.text},
                      {"advice", f.advice}});
    }
    text = list.dump(1) + "\n";
  } else {
    for (const Finding& f : findings) {
      char head[64];
      std::snprintf(head, sizeof head, "%-5s %-17s ", kWords[static_cast<int>(f.state)],
                    f.name.c_str());
      text += head + f.text + (f.advice.empty() ? "" : " (" + f.advice + ")") + "\n";
    }
  }
  write_standard_output(text);
  for (const Finding& f : findings) {
    if (f.state == State::bad) fail_surroundings(f.name, f.text, f.advice);
  }
}

}  // namespace

void add_doctor(CLI::App& program) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = add_command(program, "doctor", "guerdon doctor");
  command->add_flag("--json", *json, "As a JSON list");
  command->callback([json] { run_doctor(*json); });
}

}  // namespace guerdon::cli
