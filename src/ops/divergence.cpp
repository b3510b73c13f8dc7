#include "guerdon/ops/divergence.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "composed.h"
#include "guerdon/base/error.h"
#include "guerdon/ops/linear.h"
#include "head.h"
#include "inputs.h"
#include "logit_rows.h"
#include "row_stats.h"

namespace guerdon::ops {
namespace {

using kernels::DivergenceKind;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The teacher of a row: one matrix, or a combination of two.
struct Teacher {
  LogitMatrix first;
  std::optional<LogitMatrix> second;
  Tensor first_weight, second_weight;  // [N] float

  kernels::LogitRow operator[](int64_t row) const {
    kernels::LogitRow out = first[row];
    if (!second) return out;
    const kernels::LogitRow other = (*second)[row];
    out.second = other.x, out.second_type = other.type;
    out.weight = first_weight.const_data_ptr<float>()[row];
    out.second_weight = second_weight.const_data_ptr<float>()[row];
    return out;
  }
};

Teacher teacher_of(const PairInput& in) {
  if (!in.second.defined())
    return {LogitMatrix(in.teacher, in.teacher_transform), std::nullopt, {}, {}};
  return {LogitMatrix(in.teacher, in.teacher_transform),
          LogitMatrix(in.second, in.teacher_transform), in.weights[0].contiguous(),
          in.weights[1].contiguous()};
}

const bool* live_of(const PairInput& in) {
  return in.live.defined() ? in.live.const_data_ptr<bool>() : nullptr;
}

/// Log-sum-exp of rows that are built on the fly (F8's combination too).
template <class Rows>
Tensor lse_of(const Rows& matrix, int64_t rows, int64_t columns, const bool* live) {
  Tensor lse = at::zeros({rows}, at::kFloat);
  reduce_rows<kernels::LogitBlock>(
      rows, columns, live,
      [&](int64_t row, int64_t begin, int64_t count, kernels::LogitBlock* block) {
        kernels::kernels().logit_block(matrix[row], begin, count, {}, block);
      },
      [&](int64_t row, const std::vector<kernels::LogitBlock>& blocks) {
        lse.data_ptr<float>()[row] = static_cast<float>(merged(blocks).lse());
      });
  return lse;
}

/// kernels.md 3.3: both log-sum-exps and both KLs from one read.
void fast_kl(const LogitMatrix& student, const Teacher& teacher, DivergenceKind kind,
             const bool* live, PairSums& out) {
  reduce_rows<kernels::PairBlock>(
      student.rows(), student.columns(), live,
      [&](int64_t row, int64_t begin, int64_t count, kernels::PairBlock* block) {
        kernels::kernels().pair_block(student[row], teacher[row], begin, count, block);
      },
      [&](int64_t row, const std::vector<kernels::PairBlock>& blocks) {
        kernels::MergedPair m;
        for (const kernels::PairBlock& b : blocks) m.add(b);
        const auto set = [&](const Tensor& to, double value) {
          to.data_ptr<float>()[row] = static_cast<float>(value);
        };
        set(out.value, m.kl(kind == DivergenceKind::forward_kl));
        set(out.lse_student, m.lse_z());
        set(out.lse_teacher, m.lse_w());
      });
}

kernels::DivergenceRow row_of(const LogitMatrix& student, const Teacher& teacher, double beta,
                              const PairSums& sums, int64_t row) {
  return {.student = student[row],
          .teacher = teacher[row],
          .lse_student = sums.lse_student.const_data_ptr<float>()[row],
          .lse_teacher = sums.lse_teacher.const_data_ptr<float>()[row],
          .beta = static_cast<float>(beta)};
}

PairSums pair_sums(const PairInput& in) {
  if (const DeviceKernels* device = device_kernels(in.student)) return device->pair_sums(in);
  const LogitMatrix student(in.student, in.student_transform);
  const Teacher teacher = teacher_of(in);
  const bool* live = live_of(in);
  const DivergenceKind kind = in.kind;
  const int64_t rows = student.rows(), columns = student.columns();
  const auto zeros = [&] { return at::zeros({rows}, at::kFloat); };
  PairSums out{zeros(), zeros(), zeros(), zeros()};
  if (in.fast && (kind == DivergenceKind::reverse_kl || kind == DivergenceKind::forward_kl)) {
    fast_kl(student, teacher, kind, live, out);
    return out;
  }
  out.lse_student = lse_of(student, rows, columns, live);
  out.lse_teacher = lse_of(teacher, rows, columns, live);
  reduce_rows<kernels::DivergenceBlock>(
      rows, columns, live,
      [&](int64_t row, int64_t begin, int64_t count, kernels::DivergenceBlock* block) {
        kernels::kernels().divergence_block(row_of(student, teacher, in.beta, out, row), kind,
                                            begin, count, block);
      },
      [&](int64_t row, const std::vector<kernels::DivergenceBlock>& blocks) {
        double value = 0, inner = 0;
        for (const kernels::DivergenceBlock& b : blocks) value += b.value, inner += b.inner;
        // Rows of -inf alone have no distribution; a NaN of either side is one of the row.
        const float both = out.lse_student.const_data_ptr<float>()[row] +
                           out.lse_teacher.const_data_ptr<float>()[row];
        const bool empty = std::isinf(both);
        if (std::isnan(both)) value = both;
        out.value.data_ptr<float>()[row] = empty ? 0.0f : static_cast<float>(value);
        out.inner.data_ptr<float>()[row] = empty ? 0.0f : static_cast<float>(inner);
      });
  return out;
}

/// d: upstream [N] float. The gradient into `out`, of the side's type and sizes, which may be the
/// side itself.
void pair_gradient(const PairInput& in, const PairSums& sums, bool of_student, const Tensor& d,
                   Tensor& out) {
  if (const DeviceKernels* device = device_kernels(in.student))
    return device->pair_gradient(in, sums, of_student, d, out);
  const LogitMatrix student(in.student, in.student_transform);
  const Teacher teacher = teacher_of(in);
  const bool* live = live_of(in);
  const auto element = static_cast<int64_t>(out.element_size());
  const auto number = [](const Tensor& x, int64_t row) { return x.const_data_ptr<float>()[row]; };
  for_each_slice(student.rows(), student.columns(), [&](int64_t row, int64_t begin, int64_t count) {
    char* to = static_cast<char*>(out.data_ptr()) + row * out.stride(0) * element;
    const bool none = (live && !live[row]) || number(d, row) == 0 ||
                      std::isinf(number(sums.lse_student, row)) ||
                      std::isinf(number(sums.lse_teacher, row));
    if (none) {
      std::fill_n(to + begin * element, count * element, char{0});
      return;
    }
    // KL = inf: the finite part's limit, so that no infinity enters the model.
    const float value = number(sums.value, row);
    kernels::kernels().divergence_gradient(
        row_of(student, teacher, in.beta, sums, row), in.kind, of_student, begin, count,
        std::isinf(value) ? 0.0f : value, number(sums.inner, row), number(d, row), to);
  });
}

struct Resolved {
  DivergenceKind kind;
  double beta;
};

Resolved resolved(Divergence kind, const DivergenceOptions& o) {
  switch (kind) {
    case Divergence::reverse_kl: return {DivergenceKind::reverse_kl, 0};
    case Divergence::forward_kl: return {DivergenceKind::forward_kl, 0};
    case Divergence::total_variation: return {DivergenceKind::total_variation, 0};
    case Divergence::jsd: break;
  }
  GUERDON_CHECK(o.beta >= 0 && o.beta <= 1, "divergence: beta ", o.beta, " lies outside [0, 1]");
  if (o.beta == 0) return {DivergenceKind::forward_kl, 0};
  if (o.beta == 1) return {DivergenceKind::reverse_kl, 0};
  return {DivergenceKind::jsd, o.beta};
}

/// Whether the student's logits may become their gradient in the backward pass, of which there is
/// one then.
enum class StudentLogits { stay, are_temporary };

class DivergenceFunction : public torch::autograd::Function<DivergenceFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& student, const Tensor& teacher,
                        const std::optional<Tensor>& second, const std::optional<Tensor>& weights,
                        const std::optional<Tensor>& live, const DivergenceOptions& o, Resolved how,
                        StudentLogits logits) {
    const PairSums sums = pair_sums({.student = student,
                                     .teacher = teacher,
                                     .second = second.value_or(Tensor()),
                                     .weights = weights.value_or(Tensor()),
                                     .live = live.value_or(Tensor()),
                                     .student_transform = o.student,
                                     .teacher_transform = o.teacher,
                                     .kind = how.kind,
                                     .beta = how.beta,
                                     .fast = o.fast});
    context->save_for_backward({student, teacher, second.value_or(Tensor()),
                                weights.value_or(Tensor()), live.value_or(Tensor()), sums.value,
                                sums.inner, sums.lse_student, sums.lse_teacher,
                                o.student.temperatures, o.teacher.temperatures});
    context->saved_data["transforms"] =
        std::vector<double>{o.student.scale, o.student.softcap, o.student.temperature,
                            o.teacher.scale, o.teacher.softcap, o.teacher.temperature};
    context->saved_data["kind"] = static_cast<int64_t>(how.kind);
    context->saved_data["beta"] = how.beta;
    context->saved_data["temporary"] = logits == StudentLogits::are_temporary;
    context->saved_data["spent"] = false;
    return sums.value;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("divergence");
    const variable_list s = context->get_saved_variables();
    const std::vector<double> t = context->saved_data["transforms"].toDoubleVector();
    const LogitTransform student{t[0], t[1], t[2], s[9]}, teacher{t[3], t[4], t[5], s[10]};
    const auto kind = static_cast<DivergenceKind>(context->saved_data["kind"].toInt());
    const Tensor d = gradients[0].to(at::kFloat).contiguous();
    const PairInput input{.student = s[0],
                          .teacher = s[1],
                          .second = s[2],
                          .weights = s[3],
                          .live = s[4],
                          .student_transform = student,
                          .teacher_transform = teacher,
                          .kind = kind,
                          .beta = context->saved_data["beta"].toDouble(),
                          .fast = false};
    const bool temporary = context->saved_data["temporary"].toBool();
    GUERDON_CHECK(!context->saved_data["spent"].toBool(),
                  "linear_divergence: a second backward pass, but the first one wrote the gradient "
                  "over the logits");
    context->saved_data["spent"] = temporary;
    const auto gradient = [&](bool of_student) {
      Tensor out = temporary && of_student
                       ? s[0]
                       : at::empty_like(s[of_student ? 0 : 1], at::MemoryFormat::Contiguous);
      pair_gradient(input, {s[5], s[6], s[7], s[8]}, of_student, d, out);
      return out;
    };
    Tensor of_student, of_teacher;
    if (context->needs_input_grad(0)) of_student = gradient(true);
    if (context->needs_input_grad(1)) {
      GUERDON_CHECK(!s[2].defined() &&
                        (kind == DivergenceKind::reverse_kl || kind == DivergenceKind::forward_kl),
                    "divergence: a gradient to the teacher exists for the two KL kinds alone");
      of_teacher = gradient(false);
    }
    return {of_student, of_teacher, {}, {}, {}, {}, {}, {}};
  }
};

/// c1, c2 as [2, N].
Tensor combination(const Tensor& first, const Tensor& second, int64_t rows) {
  for (const Tensor& w : {first, second}) {
    GUERDON_CHECK(w.dim() == 1 && w.size(0) == rows, "combined_kl: weights ", w.sizes(), " for ",
                  rows, " rows");
  }
  return at::stack({first, second}).detach();
}

Tensor value_of(const Tensor& given_student, const Tensor& given_teacher,
                const Tensor& given_second, const Tensor& weights, const Resolved& how,
                const DivergenceOptions& o, const Tensor& mask,
                StudentLogits logits = StudentLogits::stay) {
  Tensor student = given_student, teacher = given_teacher, second = given_second;
  check_logits("divergence", student, o.student);
  check_logits("divergence", teacher, o.teacher);
  if (o.truncate_vocabulary) {
    const int64_t width = std::min(student.size(1), teacher.size(1));
    student = student.narrow(1, 0, width), teacher = teacher.narrow(1, 0, width);
  }
  GUERDON_CHECK(student.sizes() == teacher.sizes(), "divergence: student ", student.sizes(),
                " and teacher ", teacher.sizes(), " differ");
  GUERDON_CHECK(!second.defined() || second.sizes() == teacher.sizes(), "combined_kl: teachers ",
                teacher.sizes(), " and ", second.defined() ? second.sizes() : at::IntArrayRef(),
                " differ");
  const Tensor live = live_rows("divergence", {}, {.mask = mask}, student.size(0), student.size(1));
  const bool kernel =
      has_kernel(student) && has_kernel(teacher) && (!second.defined() || has_kernel(second));
  if (kernel) {
    return DivergenceFunction::apply(student, teacher, optional(second),
                                     optional(weights.defined() ? weights.to(at::kFloat) : weights),
                                     optional(live), o, how, logits);
  }
  const auto rows = live.defined() ? live.nonzero().squeeze(1) : Tensor();
  const auto chosen = [&](const Tensor& x, const LogitTransform& t) {
    const Tensor wide = x.to(at::kDouble);
    if (!rows.defined()) return transformed(wide, t);
    return transformed(wide.index_select(0, rows), selected(t, rows));
  };
  Tensor w = chosen(teacher, o.teacher);
  if (second.defined()) {
    const Tensor c = rows.defined() ? weights.index_select(1, rows) : weights;
    const auto weighted = [&](const Tensor& x, const Tensor& by) {
      const Tensor column = by.to(at::kDouble).unsqueeze(1);
      return at::where(column == 0, at::zeros({}, x.options()), x * column);
    };
    w = weighted(w, c[0]) + weighted(chosen(second, o.teacher), c[1]);
  }
  const Tensor value = composed_divergence(chosen(student, o.student), w, how.kind, how.beta);
  if (!rows.defined()) return value;
  return at::zeros({live.size(0)}, value.options()).index_copy(0, rows, value);
}

/// Rows [begin, begin + n) of the heads' logits.
Tensor logits_of(const Head& head, int64_t begin, int64_t count, const HeadOptions& options) {
  return chunk_logits(head.hidden.narrow(0, begin, count), head.weight, head.bias, options);
}

/// The student's hidden, weight, bias -> the rows' divergence, all logits one chunk at a time.
class LinearDivergence : public torch::autograd::Function<LinearDivergence> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const std::optional<Tensor>& bias, const Head& first, const Head& second,
                        const std::optional<Tensor>& given_weights, const DivergenceOptions& o,
                        Resolved how, const HeadOptions& options) {
    const Tensor weights = given_weights.value_or(Tensor());
    std::vector<Tensor> values;
    const Head student{hidden, weight, bias.value_or(Tensor())};
    each_chunk(student, second.hidden.defined(), options, [&](int64_t begin, int64_t count) {
      values.push_back(
          chunk_value(student, first, second, weights, o, how, options, begin, count, nullptr));
    });
    context->save_for_backward({hidden, weight, student.bias, first.hidden, first.weight,
                                first.bias, second.hidden, second.weight, second.bias, weights,
                                o.student.temperatures, o.teacher.temperatures});
    context->saved_data["transforms"] =
        std::vector<double>{o.student.scale, o.student.softcap, o.student.temperature,
                            o.teacher.scale, o.teacher.softcap, o.teacher.temperature};
    context->saved_data["how"] = std::vector<int64_t>{
        static_cast<int64_t>(how.kind), o.fast, options.workspace_bytes, options.float_logits};
    context->saved_data["beta"] = how.beta;
    return values.empty() ? at::zeros({0}, at::kFloat) : at::cat(values);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list s = context->get_saved_variables();
    const std::vector<double> t = context->saved_data["transforms"].toDoubleVector();
    const std::vector<int64_t> h = context->saved_data["how"].toIntVector();
    const DivergenceOptions o{.student = {t[0], t[1], t[2], s[10]},
                              .teacher = {t[3], t[4], t[5], s[11]},
                              .fast = h[1] != 0};
    const Resolved how{static_cast<DivergenceKind>(h[0]), context->saved_data["beta"].toDouble()};
    const HeadOptions options{h[2], h[3] != 0};
    const Head student{s[0], s[1], s[2]};
    const bool of_bias = student.bias.defined() && context->needs_input_grad(2);
    HeadGradients sums(student.hidden, student.weight, student.bias, context->needs_input_grad(0),
                       context->needs_input_grad(1), of_bias);
    each_chunk(student, s[6].defined(), options, [&](int64_t begin, int64_t count) {
      Tensor d_logits = gradients[0].narrow(0, begin, count);
      chunk_value(student, {s[3], s[4], s[5]}, {s[6], s[7], s[8]}, s[9], o, how, options, begin,
                  count, &d_logits);
      sums.add(begin, d_logits);
    });
    return {sums.hidden(), sums.weight(), sums.bias(), {}, {}, {}, {}, {}, {}};
  }

 private:
  template <class Body>
  static void each_chunk(const Head& student, bool two, const HeadOptions& options,
                         const Body& body) {
    const int64_t rows = student.hidden.size(0),
                  chunk = chunk_rows(logit_row_bytes(student.hidden, student.weight), options,
                                     two ? 4 : 3);
    for (int64_t begin = 0; begin < rows; begin += chunk)
      body(begin, std::min(chunk, rows - begin));
  }

  /// The chunk's values; with `gradient`, the upstream gradient becomes that of the student's
  /// logits.
  static Tensor chunk_value(const Head& student, const Head& first, const Head& second,
                            const Tensor& weights, const DivergenceOptions& o, const Resolved& how,
                            const HeadOptions& options, int64_t begin, int64_t count,
                            Tensor* gradient) {
    DivergenceOptions part = o;
    part.student = narrowed(o.student, begin, count);
    part.teacher = narrowed(o.teacher, begin, count);
    Tensor z, w, w2, c;
    {
      const at::NoGradGuard no_gradient;
      z = logits_of(student, begin, count, options);
      w = logits_of(first, begin, count, options);
      if (second.hidden.defined()) w2 = logits_of(second, begin, count, options);
      if (weights.defined()) c = weights.narrow(1, begin, count);
    }
    const at::AutoGradMode mode(gradient != nullptr);
    if (gradient) z.requires_grad_();
    const Tensor value = value_of(z, w, w2, c, how, part, {});
    if (gradient)
      *gradient = torch::autograd::grad({value}, {z}, {gradient->to(value.scalar_type())})[0];
    return value.detach();
  }
};

Tensor linear_value(const Head& student, const Head& first, const Head& second,
                    const Tensor& weights, const Resolved& how, const DivergenceOptions& o,
                    const Tensor& mask, const HeadOptions& options) {
  check_head("linear_divergence", student.hidden, student.weight, student.bias);
  const int64_t rows = student.hidden.size(0);
  for (const Head* teacher : {&first, &second}) {
    if (!teacher->hidden.defined()) continue;
    check_head("linear_divergence", teacher->hidden, teacher->weight, teacher->bias);
    GUERDON_CHECK(teacher->hidden.size(0) == rows, "linear_divergence: ", rows, " student rows, ",
                  teacher->hidden.size(0), " teacher rows");
    GUERDON_CHECK(!teacher->hidden.requires_grad() || !c10::GradMode::is_enabled(),
                  "linear_divergence: the teacher takes no gradient; detach its hidden states");
  }
  const Tensor live =
      live_rows("linear_divergence", {}, {.mask = mask}, rows, student.weight.size(0));
  if (!live.defined() || live.all().item<bool>()) {
    const int64_t row_bytes = logit_row_bytes(student.hidden, student.weight);
    const bool wide = student.weight.scalar_type() == at::kFloat;
    if (wide && rows * row_bytes * (second.hidden.defined() ? 3 : 2) <= options.workspace_bytes) {
      // Everything fits: the logits are kept for the backward pass, which saves the products there.
      const auto frozen = [&](const Head& head) {
        const at::NoGradGuard no_gradient;
        return head.hidden.defined() ? logits_of(head, 0, rows, options) : Tensor();
      };
      return value_of(linear(student.hidden.to(at::kFloat), student.weight, student.bias),
                      frozen(first), frozen(second), weights, how, o, {},
                      StudentLogits::are_temporary);
    }
    return LinearDivergence::apply(student.hidden, student.weight, optional(student.bias), first,
                                   second, optional(weights), o, how, options);
  }
  const Tensor some = live.nonzero().squeeze(1);
  const auto part = [&](const Head& head) {
    return Head{head.hidden.defined() ? head.hidden.index_select(0, some) : head.hidden,
                head.weight, head.bias};
  };
  DivergenceOptions of_some = o;
  of_some.student = selected(o.student, some), of_some.teacher = selected(o.teacher, some);
  const Tensor value = linear_value(part(student), part(first), part(second),
                                    weights.defined() ? weights.index_select(1, some) : weights,
                                    how, of_some, {}, options);
  return at::zeros({rows}, value.options()).index_copy(0, some, value);
}

}  // namespace

Tensor divergence(const Tensor& student, const Tensor& teacher, Divergence kind,
                  const DivergenceOptions& options, const Tensor& mask) {
  return value_of(student, teacher, {}, {}, resolved(kind, options), options, mask);
}

Tensor combined_kl(const Tensor& student, const Tensor& first, const Tensor& second,
                   const Tensor& first_weight, const Tensor& second_weight,
                   const DivergenceOptions& options, const Tensor& mask) {
  return value_of(student, first, second, combination(first_weight, second_weight, student.size(0)),
                  {DivergenceKind::reverse_kl, 0}, options, mask);
}

Tensor linear_divergence(const Head& student, const Head& teacher, Divergence kind,
                         const DivergenceOptions& options, const Tensor& mask,
                         const HeadOptions& head) {
  return linear_value(student, teacher, {}, {}, resolved(kind, options), options, mask, head);
}

Tensor linear_combined_kl(const Head& student, const Head& first, const Head& second,
                          const Tensor& first_weight, const Tensor& second_weight,
                          const DivergenceOptions& options, const Tensor& mask,
                          const HeadOptions& head) {
  return linear_value(student, first, second,
                      combination(first_weight, second_weight, student.hidden.size(0)),
                      {DivergenceKind::reverse_kl, 0}, options, mask, head);
}

}  // namespace guerdon::ops
