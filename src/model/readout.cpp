#include "guerdon/model/readout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon::model {
namespace {

int64_t count(const auto& list) { return static_cast<int64_t>(list.size()); }

Tensor row_of(const std::vector<double>& values, const Tensor& like) {
  return at::tensor(values, like.options().requires_grad(false));
}

/// Scores of the members, [N, members], from the numbers [N, members A].
Numbers member_scores(const Numbers& numbers, const Readout& r) {
  const std::vector<int64_t> shape{numbers.value.size(0), r.members, count(r.names)};
  const Tensor weights = row_of(r.weights, numbers.value);
  Numbers out{(numbers.value.view(shape) * weights).sum(2), {}};
  if (numbers.deviation.defined())
    out.deviation = (numbers.deviation.view(shape) * weights).square().sum(2).sqrt();
  return out;
}

Tensor unknown(const Tensor& like) {
  return at::full_like(like, std::numeric_limits<double>::quiet_NaN());
}

/// More columns [N, C]: they have deviations exactly where those before have some.
void append(Judgement& out, const std::vector<std::string>& names, const Numbers& more) {
  out.names.insert(out.names.end(), names.begin(), names.end());
  out.numbers = at::cat({out.numbers, more.value}, 1);
  if (out.deviation.defined()) out.deviation = at::cat({out.deviation, more.deviation}, 1);
}

Tensor nominal_of(const Numbers& members) {
  if (!members.deviation.defined()) return members.value.mean(1);
  const Tensor surest = members.deviation.argmin(1, /*keepdim=*/true);
  return members.value.gather(1, surest).squeeze(1);
}

Tensor median_of(const Tensor& members) {
  const Tensor sorted = std::get<0>(members.sort(1));
  const int64_t n = members.size(1);
  return (sorted.select(1, (n - 1) / 2) + sorted.select(1, n / 2)) / 2;
}

}  // namespace

const std::vector<std::string>& number_forms() {
  static const std::vector<std::string> names{"value", "gaussian", "quantiles", "classes"};
  return names;
}

std::vector<std::string> NumberForm::suffixes() const {
  if (name == "gaussian") return {"", "/raw_deviation"};
  if (name == "value") return {""};
  std::vector<std::string> out;
  for (const double point : points) out.push_back(str("/", point));
  return out;
}

Numbers read_numbers(const Tensor& outputs, const NumberForm& form) {
  const int64_t each = count(form.suffixes());
  GUERDON_CHECK(outputs.dim() == 2 && each > 0 && outputs.size(1) % each == 0,
                "read_numbers: ", outputs.sizes(), " outputs, ", each, " for each number");
  const Tensor z = outputs.view({outputs.size(0), -1, each});
  if (form.name == "value") return {z.squeeze(2), {}};
  if (form.name == "quantiles") return {z.mean(2), {}};
  if (form.name == "gaussian")
    return {z.select(2, 0), at::softplus(z.select(2, 1)) + form.least_deviation};
  GUERDON_CHECK(form.name == "classes", "read_numbers: no form is called ", show(form.name));
  const Tensor p = z.softmax(2), points = row_of(form.points, outputs);
  const Tensor value = (p * points).sum(2);
  return {value, (p * (points - value.unsqueeze(2)).square()).sum(2).sqrt()};
}

const std::vector<std::string>& member_combinations() {
  static const std::vector<std::string> names{"mean", "median", "min", "mean_minus_deviation",
                                              "robust"};
  return names;
}

void describe(SettingList& field, MemberOptions& o) {
  field("combine", o.combine, "How the members' scores become one",
        {.choices = member_combinations()});
  field("deviation_weight", o.deviation_weight,
        "mean_minus_deviation: how many standard deviations are taken off", {.min = 0.0});
  field("nominal_weight", o.nominal_weight,
        "robust: weight of the surest member's score; the rest is of the lowest",
        {.min = 0.0, .max = 1.0});
}

Numbers combine_members(const Numbers& members, const MemberOptions& o) {
  const Tensor& r = members.value;
  GUERDON_CHECK(r.dim() == 2 && r.size(1) > 0, "combine_members: needs [N, M], got ", r.sizes());
  Tensor variance = r.var(1, /*unbiased=*/false);
  const auto score = [&]() -> Tensor {
    if (o.combine == "mean") return r.mean(1);
    if (o.combine == "median") return median_of(r);
    if (o.combine == "min") return r.amin(1);
    if (o.combine == "mean_minus_deviation")
      return r.mean(1) - o.deviation_weight * variance.sqrt();
    GUERDON_CHECK(o.combine == "robust", "no combination is called ", show(o.combine));
    return o.nominal_weight * nominal_of(members) + (1.0 - o.nominal_weight) * r.amin(1);
  }();
  if (members.deviation.defined()) variance = variance + members.deviation.square().mean(1);
  return {score, variance.sqrt()};
}

int64_t Readout::outputs() const { return members * count(names) * count(form.suffixes()); }

std::vector<std::string> Readout::labels() const {
  std::vector<std::string> out;
  for (int64_t m = 0; m < members; ++m) {
    for (const std::string& name : names) {
      for (const std::string& suffix : form.suffixes())
        out.push_back((members > 1 ? str("member", m, "/") : "") + name + suffix);
    }
  }
  return out;
}

bool Readout::is_linear() const {
  return form.name != "classes" && (members == 1 || combination.combine == "mean");
}

std::vector<double> Readout::output_weights() const {
  GUERDON_CHECK(is_linear(), "this score is no weighted sum of its outputs");
  const int64_t each = count(form.suffixes());
  std::vector<double> out;
  for (int64_t m = 0; m < members; ++m) {
    for (const double weight : weights) {
      for (int64_t i = 0; i < each; ++i) {
        const double share =
            form.name == "gaussian" ? (i == 0 ? 1.0 : 0.0) : 1.0 / static_cast<double>(each);
        out.push_back(weight * share / static_cast<double>(members));
      }
    }
  }
  return out;
}

Tensor score_of(const Tensor& outputs, const Readout& r) {
  GUERDON_CHECK(outputs.dim() == 2 && outputs.size(1) == r.outputs(), "score_of: ", outputs.sizes(),
                " outputs, a head of ", r.outputs());
  const Numbers numbers = read_numbers(outputs, r.form);
  if (r.members == 1 && r.weights == std::vector<double>{1.0}) return numbers.value.squeeze(1);
  const Numbers members = member_scores(numbers, r);
  if (r.members == 1) return members.value.squeeze(1);
  return combine_members(members, r.combination).value;
}

std::vector<std::string> member_names(int64_t members) {
  std::vector<std::string> out;
  for (int64_t m = 0; m < members; ++m) out.push_back(str("member", m));
  return out;
}

Judgement judge_members(const Numbers& members, const std::vector<std::string>& names,
                        const MemberOptions& options) {
  const Numbers one = combine_members(members, options);
  const Tensor own = members.deviation.defined() ? members.deviation : unknown(members.value);
  Judgement out{.score = one.value,
                .names = {"mean"},
                .numbers = at::cat({members.value.mean(1, true), members.value}, 1),
                .deviation = at::cat({one.deviation.unsqueeze(1), own}, 1)};
  out.names.insert(out.names.end(), names.begin(), names.end());
  return out;
}

Judgement judge(const Tensor& outputs, const Readout& r) {
  const Numbers numbers = read_numbers(outputs, r.form);
  const int64_t each = count(r.names);
  if (r.members > 1) {
    Judgement out =
        judge_members(member_scores(numbers, r), member_names(r.members), r.combination);
    for (int64_t a = 0; a < each && each > 1; ++a) {
      const auto by_member = [&](const Tensor& x) {
        return x.defined() ? x.view({x.size(0), r.members, each}).select(2, a) : x;
      };
      const Numbers mean =
          combine_members({by_member(numbers.value), by_member(numbers.deviation)}, {});
      append(out, {r.names[static_cast<size_t>(a)]},
             {mean.value.unsqueeze(1), mean.deviation.unsqueeze(1)});
    }
    return out;
  }
  Judgement out{.score = score_of(outputs, r), .names = {}, .numbers = {}, .deviation = {}};
  if (each == 1 && r.form.name == "value") return out;
  out.names = r.names;
  out.numbers = numbers.value;
  out.deviation = numbers.deviation;
  if (r.form.name == "quantiles") append(out, r.labels(), {outputs, {}});
  return out;
}

}  // namespace guerdon::model
