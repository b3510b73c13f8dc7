#include "guerdon/reward/exec.h"

#include <ATen/ATen.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/process.h"
#include "guerdon/generate/rollout.h"
#include "guerdon/rules/reply.h"

namespace guerdon {
namespace {

std::string question(const Rollout& rollout, int64_t step) {
  Json line;
  if (rollout.example) {
    const Text& prompt = rollout.example->prompt;
    const auto* messages = std::get_if<Conversation>(&prompt);
    line["prompt"] = messages ? conversation_json(*messages) : Json(std::get<std::string>(prompt));
    line["id"] = rollout.example->id;
    line["row"] = rollout.example->fields.json();
  }
  line["completion"] = rollout.text;
  line["tokens"] = rollout.tokens.size();
  line["finish_reason"] = name_of(rollout.finish);
  line["sample"] = rollout.sample;
  line["step"] = step;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Exec::Exec(const Options& options) : options_(options) {
  if (options.command.empty()) fail_settings("reward exec", "key command: must name a program");
}

Exec::~Exec() = default;

Scores Exec::score(const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Scores out;
  out.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(n, Verdict::no_opinion);
  out.notes.resize(n);
  float* total = out.total.data_ptr<float>();
  for (size_t i = 0; i < n; ++i) {
    if (!process_)
      process_ = std::make_unique<Process>(ProcessOptions{.command = options_.command});
    const Process::Reply reply =
        process_->ask(question(batch.rollouts[i], batch.step), options_.timeout_s);
    switch (reply.status) {
      case Process::Status::line:
        try {
          const rules::Reply answer = rules::read_reply(reply.text);
          out.notes[i] = answer.note;
          if (answer.score) {
            total[i] = static_cast<float>(*answer.score);
            out.verdicts[i] = Verdict::scored;
          }
        } catch (const Error& e) {
          out.verdicts[i] = Verdict::failed;
          out.notes[i] = e.what();
        }
        continue;
      case Process::Status::timed_out: out.verdicts[i] = Verdict::timed_out; break;
      case Process::Status::too_long:
        out.verdicts[i] = Verdict::failed;
        out.notes[i] = "its reply is too long";
        break;
      case Process::Status::ended: {
        const ProcessResult end = process_->finish(1.0);
        const std::string said = end.errors.substr(0, end.errors.find_last_not_of('\n') + 1);
        out.verdicts[i] = Verdict::failed;
        out.notes[i] = (end.signal != 0 ? str("it was ended by signal ", end.signal)
                                        : str("it ended with code ", end.code)) +
                       (said.empty() ? "" : ", saying " + show(said.substr(said.rfind('\n') + 1)));
        break;
      }
    }
    process_.reset();  // kills it and its process group; the next rollout gets a new one
  }
  return out;
}

void describe(SettingList& field, Exec::Options& o) {
  field("command", o.command, "The program and its arguments");
  field("timeout_s", o.timeout_s, "Seconds that it may take for one response", {.above = 0.0});
}

}  // namespace guerdon
