#include "guerdon/train/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/generate/engine.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

// What the matrix kernels keep for themselves once they have run: packed panels, thread stacks.
constexpr int64_t kKernelBytes = int64_t{48} << 20;
constexpr const char* kForwardAndBackward = "forward and backward";
constexpr int64_t kMaxGroups = 4096;
// Forward passes that are drawn to find the largest of a run.
constexpr int64_t kDraws = 200;

int64_t file_bytes(const fs::path& folder) {
  int64_t bytes = 0;
  if (folder.empty()) return bytes;  // begins with nothing
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors")
      bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

bool is_bf16(const PreviewModel& m) { return m.body && m.body->options().compute == at::kBFloat16; }

/// A model without a body has no layers worth counting.
model::PassMemory layers_memory(const PreviewModel& m, const model::PassSize& size, bool trains) {
  return m.body ? model::layers_memory(*m.body, size, trains) : model::PassMemory();
}

/// The largest forward pass of a run: passes are drawn from the rows that were seen.
model::PassSize largest_part(const TrainSettings& s, const std::vector<model::PassSize>& groups,
                             int64_t groups_in_part, int64_t& count) {
  const Random random(static_cast<uint64_t>(s.seed), Purpose::choose, 0x706c616e);
  uint64_t draw = 0;
  const auto next = [&]() -> const model::PassSize& {
    return groups[random.below(draw++, groups.size())];
  };
  model::PassSize largest;
  count = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    model::PassSize part;
    int64_t n = 0;
    while (n < std::min(groups_in_part, kMaxGroups)) {
      const model::PassSize& group = next();
      if (s.micro_batch_tokens > 0 && n > 0 && part.tokens + group.tokens > s.micro_batch_tokens)
        break;
      part.tokens += group.tokens;
      part.targets += group.targets;
      ++n;
    }
    // Of more groups than are drawn the mean is good enough.
    if (n == kMaxGroups && n < groups_in_part) {
      double factor = static_cast<double>(groups_in_part) / static_cast<double>(n);
      if (s.micro_batch_tokens > 0) {
        factor = std::min(
            factor, static_cast<double>(s.micro_batch_tokens) / static_cast<double>(part.tokens));
      }
      part.tokens = static_cast<int64_t>(static_cast<double>(part.tokens) * factor);
      part.targets = static_cast<int64_t>(static_cast<double>(part.targets) * factor);
      n = static_cast<int64_t>(static_cast<double>(n) * factor);
    }
    if (part.tokens > largest.tokens) {
      largest = part;
      count = n;
    }
  }
  return largest;
}

/// Whether a checkpoint is written while steps are made; the last one is not.
bool saves_beside_training(const TrainSettings& s) {
  const bool only_the_last = s.save_strategy == "steps" && s.save_steps >= 1.0 && s.max_steps > 0 &&
                             s.save_steps >= static_cast<double>(s.max_steps);
  return s.checkpoint.in_background && s.save_strategy != "no" && !only_the_last;
}

void add(MemoryPhase& phase, const std::string& name, int64_t bytes) {
  if (bytes > 0) phase.items.push_back({name, bytes});
}

class Planner {
 public:
  Planner(const TrainSettings& settings, const Preview& preview, const PlanOptions& options)
      : settings_(settings),
        preview_(preview),
        batch_(options.batch_size > 0 ? options.batch_size : settings.per_device_train_batch_size),
        trained_(preview.models.at(0)),
        parameters_(model::parameter_memory(*trained_.module)) {
    add(base_, "program, libraries, tokenizer", options.process_bytes + kKernelBytes);
    for (const PreviewModel& m : preview.models) {
      const model::ParameterMemory own = model::parameter_memory(*m.module);
      const int64_t weights = own.all;
      if (&m != &trained_ && !m.judges) parameters_.trained += own.trained;  // a peer
      add(base_, "weights of " + m.role, weights);
      if (is_bf16(m)) add(base_, "bfloat16 copies of " + m.role, weights / 2);
    }
    std::vector<model::PassSize> groups;
    for (const PreviewFile& file : preview.files) {
      if (file.set == "train") groups.insert(groups.end(), file.groups.begin(), file.groups.end());
    }
    if (groups.empty())
      fail_input(preview.files.at(0).file, "none of its first rows is left after truncation");
    const int64_t step =
        std::max<int64_t>(1, batch_ * settings.gradient_accumulation_steps / preview.rows_in_group);
    const int64_t in_part = settings.micro_batch_tokens > 0
                                ? step
                                : std::max<int64_t>(1, batch_ / preview.rows_in_group);
    plan_.part = largest_part(settings, groups, in_part, plan_.groups);
    several_parts_ = step > plan_.groups;
  }

  MemoryPlan plan() {
    loading();
    if (preview_.generation) {
      generation(*preview_.generation);
      judging(*preview_.generation);
      reference(*preview_.generation);
    }
    forward_and_backward();
    optimizer_step();
    saving();
    return std::move(plan_);
  }

 private:
  MemoryPhase phase(const std::string& name, bool trained = true) const {
    MemoryPhase out{.name = name, .items = base_.items};
    if (trained) {
      add(out, "optimizer moments", 2 * parameters_.trained);
      if (saves_beside_training(settings_))
        add(out, "weights and moments of a checkpoint being written", 3 * parameters_.trained);
    }
    return out;
  }

  // The files are mapped while they are copied.
  void loading() {
    MemoryPhase out = phase("loading", false);
    int64_t largest = 0;
    for (const PreviewModel& m : preview_.models) largest = std::max(largest, file_bytes(m.folder));
    add(out, "model file, mapped", largest);
    plan_.phases.push_back(std::move(out));
  }

  int64_t prompts_of(const PreviewGeneration& g) const {
    return std::max<int64_t>(1, g.prompts * batch_ / settings_.per_device_train_batch_size);
  }

  int64_t pass_without_graph(const PreviewModel& m, const model::PassSize& size, bool head) const {
    int64_t bytes = layers_memory(m, size, false).forward;
    if (head) {
      bytes = std::max(
          bytes,
          model::head_memory(*m.body->config().decoder(), is_bf16(m), size.targets, false).forward);
    }
    return bytes;
  }

  // The cache, prompts read in passes, one row of logits for each completion.
  void generation(const PreviewGeneration& g) {
    MemoryPhase out = phase("generation");
    // Those of the last step stay until the next one begins.
    add(out, "gradients of the last step", parameters_.trained);
    const data::DecoderConfig& c = *trained_.body->config().decoder();
    const int64_t element = is_bf16(trained_) ? 2 : 4;
    const int64_t prompts = prompts_of(g), slots = std::min(g.slots, prompts * g.completions);
    const int64_t longest = *std::max_element(g.prompt_tokens.begin(), g.prompt_tokens.end());
    const int64_t mean =
        std::accumulate(g.prompt_tokens.begin(), g.prompt_tokens.end(), int64_t{0}) /
        static_cast<int64_t>(g.prompt_tokens.size());
    const int64_t capacity = generate::cache_capacity(longest + g.max_completion_length);
    const int64_t token = 2 * static_cast<int64_t>(c.layers.size()) * c.kv_heads * c.head_dim *
                          element;  // keys and values
    const int64_t one_tensor = slots * capacity * c.kv_heads * c.head_dim * element;
    add(out, "key-value cache", slots * capacity * token + one_tensor);
    const int64_t started = std::min(prompts, (slots + g.completions - 1) / g.completions);
    const int64_t pass =
        std::clamp(started * mean, longest, std::max(longest, generate::kPrefillTokens));
    add(out, "prompts, read", pass * token);
    const int64_t prefill = layers_memory(trained_, {pass, started}, false).forward;
    // Logits, tempered logits, and what the draw needs of them.
    const int64_t logits = 3 * slots * c.vocabulary_size * 4;
    // In bfloat16 the keys and values of a layer are widened for a step.
    const int64_t widened = is_bf16(trained_) ? 2 * one_tensor / element * 4 : 0;
    add(out, "temporaries", std::max(prefill, logits + widened));
    plan_.phases.push_back(std::move(out));
  }

  void judging(const PreviewGeneration& g) {
    const bool any = std::any_of(preview_.models.begin(), preview_.models.end(),
                                 [](const PreviewModel& m) { return m.judges; });
    if (!any) return;
    MemoryPhase out = phase("scoring by reward models");
    add(out, "gradients of the last step", parameters_.trained);
    int64_t most = 0;
    for (const PreviewModel& m : preview_.models) {
      if (!m.judges) continue;
      // A pass is full when the tokens of its responses, each with its prompt, reach the limit.
      const int64_t longest = *std::max_element(g.prompt_tokens.begin(), g.prompt_tokens.end());
      const int64_t whole = prompts_of(g) * g.completions * (longest + g.max_completion_length);
      const int64_t tokens =
          std::min(whole, m.judge_tokens + g.completions * (longest + g.max_completion_length));
      most = std::max(most, pass_without_graph(m, {tokens, g.completions}, false));
    }
    add(out, "temporaries", most);
    plan_.phases.push_back(std::move(out));
  }

  void reference(const PreviewGeneration& g) {
    if (!g.reference_pass) return;
    MemoryPhase out = phase("log-probs of the reference");
    add(out, "gradients of the last step", parameters_.trained);
    model::PassSize largest;
    for (const PreviewFile& file : preview_.files) {
      for (const model::PassSize& group : file.groups)
        if (group.tokens > largest.tokens) largest = group;
    }
    add(out, "temporaries", pass_without_graph(trained_, largest, true));
    plan_.phases.push_back(std::move(out));
  }

  void forward_and_backward() {
    MemoryPhase out = phase(kForwardAndBackward);
    if (preview_.body_is_frozen) {
      add(out, "temporaries", pass_without_graph(trained_, plan_.part, false));
      plan_.phases.push_back(std::move(out));
      return;
    }
    const model::PassMemory layers = layers_memory(trained_, plan_.part, true);
    add(out, "activations of one forward pass", layers.kept);
    int64_t forward = layers.forward, backward = layers.backward, head_gradient = 0;
    if (preview_.log_probs) {
      const data::DecoderConfig& c = *trained_.body->config().decoder();
      const model::PassMemory head =
          model::head_memory(c, is_bf16(trained_), plan_.part.targets, true);
      add(out, "logits", head.kept);
      forward = std::max(forward, head.forward);
      backward = std::max(backward, head.backward);
      if (parameters_.trained == parameters_.all)
        head_gradient = c.vocabulary_size * c.hidden_size * 4;
    }
    if (preview_.reference_in_forward)
      forward = std::max(forward, pass_without_graph(trained_, plan_.part, preview_.log_probs));
    // With one part the gradients come as the activations go: the head's is the first.
    const int64_t gradients =
        several_parts_ ? parameters_.trained + parameters_.largest_trained : head_gradient;
    add(out, "gradients", gradients);
    add(out, "temporaries", std::max(forward, backward));
    plan_.phases.push_back(std::move(out));
  }

  // Norms and sums of bits are taken in 8 bytes an element, a tensor at a time.
  void optimizer_step() {
    MemoryPhase out = phase("optimizer step");
    add(out, "gradients", parameters_.trained);
    add(out, "temporaries", 2 * parameters_.largest_trained);
    plan_.phases.push_back(std::move(out));
  }

  void saving() {
    MemoryPhase out = phase("saving");
    add(out, "gradients of the last step", parameters_.trained);
    if (preview_.saved_is_opened) {
      const int64_t weights = model::parameter_memory(*trained_.module).all;
      // The activations' memory is free by now, but the allocator has given little of it back, and
      // in pieces that are too small for this.
      const auto training =
          std::find_if(plan_.phases.begin(), plan_.phases.end(),
                       [](const MemoryPhase& p) { return p.name == kForwardAndBackward; });
      add(out, "freed, but kept by the allocator", training->total() - out.total());
      add(out, "saved model, opened and compared", weights);
      add(out, "its file, mapped", weights);
    } else {
      add(out, "temporaries", 2 * parameters_.largest_trained);
    }
    plan_.phases.push_back(std::move(out));
  }

  const TrainSettings& settings_;
  const Preview& preview_;
  const int64_t batch_;
  const PreviewModel& trained_;
  model::ParameterMemory parameters_;
  MemoryPhase base_;
  MemoryPlan plan_;
  bool several_parts_ = false;
};

int64_t number_in(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    return std::strtoll(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

}  // namespace

int64_t MemoryPhase::total() const {
  int64_t sum = 0;
  for (const MemoryItem& item : items) sum += item.bytes;
  return sum;
}

const MemoryPhase& MemoryPlan::peak() const {
  return *std::max_element(
      phases.begin(), phases.end(),
      [](const MemoryPhase& a, const MemoryPhase& b) { return a.total() < b.total(); });
}

MemoryPlan memory_plan(const TrainSettings& settings, const Preview& preview,
                       const PlanOptions& options) {
  return Planner(settings, preview, options).plan();
}

int64_t largest_batch(const TrainSettings& settings, const Preview& preview, int64_t process_bytes,
                      int64_t memory) {
  const auto fits = [&](int64_t groups) {
    const PlanOptions options{.batch_size = groups * preview.rows_in_group,
                              .process_bytes = process_bytes};
    const int64_t peak = memory_plan(settings, preview, options).peak().total();
    return peak + peak / 4 <= memory;
  };
  int64_t low = 0, high = 1;  // low fits, high does not
  while (high <= kMaxGroups && fits(high)) {
    low = high;
    high *= 2;
  }
  high = std::min(high, kMaxGroups + 1);
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low * preview.rows_in_group;
}

int64_t machine_memory() {
  int64_t bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const int64_t limit = number_in(file, "");
    if (limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

int64_t peak_of_process() { return number_in("/proc/self/status", "VmHWM:") * 1024; }

std::string memory_text(int64_t bytes) {
  constexpr double kMiB = 1024.0 * 1024.0;
  char text[32];
  const double mib = static_cast<double>(bytes) / kMiB;
  std::snprintf(text, sizeof text, mib < 1024.0 ? "%.0f MiB" : "%.2f GiB",
                mib < 1024.0 ? mib : mib / 1024.0);
  return text;
}

}  // namespace guerdon::train
