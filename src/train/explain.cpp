#include "guerdon/train/explain.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"

namespace guerdon::train {

std::string rows_of_step(const TrainSettings& s) {
  return str(s.per_device_train_batch_size, " x ", s.gradient_accumulation_steps, " = ",
             s.per_device_train_batch_size * s.gradient_accumulation_steps);
}

Section explain_step(const TrainSettings& s, const std::string& unit) {
  Section out{.title = "step", .lines = {}};
  const std::string cut = s.micro_batch_tokens > 0
                              ? str("cut into forward passes of at most ", s.micro_batch_tokens,
                                    " packed tokens (micro_batch_tokens)")
                              : str(s.per_device_train_batch_size, " in a forward pass");
  out.lines.push_back(str("an optimizer step has ", rows_of_step(s), " ", unit,
                          " (per_device_train_batch_size x gradient_accumulation_steps), ", cut));
  out.lines.emplace_back(
      "every sum is divided by totals of the whole step, counted before its first forward pass: "
      "how "
      "it is cut changes speed and memory, not the loss");
  if (s.max_grad_norm > 0.0) {
    out.lines.push_back(
        str("the gradient is scaled down to the norm ", s.max_grad_norm, " where it is longer"));
  }
  out.lines.push_back(str("AdamW: learning rate ", s.learning_rate, " (",
                          s.schedule.lr_scheduler_type, "), betas ", s.adam.adam_beta1, " and ",
                          s.adam.adam_beta2, ", weight decay ", s.adam.weight_decay,
                          " on matrices"));
  return out;
}

Section explain_settings(const SettingList& list, const std::vector<std::string>& names) {
  Section out{.title = "settings that change it", .lines = {}};
  for (const std::string& name : names) {
    const Setting* setting = list.find(name);
    GUERDON_CHECK(setting, "explain: no setting is called ", name);
    out.lines.push_back(name + " = " + setting_value(*setting).dump() + ": " + setting->help);
  }
  return out;
}

std::string text_of(const Explanation& explanation) {
  std::string out;
  for (const Section& section : explanation) {
    out += (out.empty() ? "" : "\n") + section.title + "\n";
    for (const std::string& line : section.lines) out += "  " + line + "\n";
  }
  return out;
}

}  // namespace guerdon::train
