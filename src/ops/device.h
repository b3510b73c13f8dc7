/// Private to `ops`: where operators on tensors of a GPU find their bodies. libguerdon_cuda.so
/// holds them, and is opened when the first such tensor comes along; without it the operators take
/// their composed forms.
#pragma once

#include <c10/core/DeviceType.h>

#include <span>
#include <string>
#include <utility>

#include "guerdon/ops/attention.h"
#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/policy_loss.h"
#include "guerdon/ops/sampling.h"
#include "guerdon/ops/scan.h"
#include "guerdon/ops/segment.h"
#include "guerdon/ops/token_stats.h"
#include "kernels/numbers.h"

namespace guerdon::ops {

struct RowStats {
  TokenStats of;
  Tensor finite;  ///< [N] float: columns that are not -inf, where the mean was asked for
};

/// What the backward pass needs of the forward one, [N] float each; `entropy`, `finite` may be
/// undefined where no gradient comes in through them.
struct SavedStats {
  Tensor lse, entropy, finite;
};
/// Upstream gradients [N] float, undefined for none.
struct StatsGradients {
  Tensor logprob, entropy, lse, mean_logit;
};

/// Two rows of logits [N, V] and what is asked of them. The teacher is weights[0] teacher +
/// weights[1] second where `second` is defined; weights [2, N] float.
struct PairInput {
  Tensor student, teacher, second, weights;
  Tensor live;  ///< [N] bool; undefined: all
  LogitTransform student_transform, teacher_transform;
  kernels::DivergenceKind kind;
  double beta;
  bool fast;
};
/// [N] float each: what the backward pass needs of the forward one.
struct PairSums {
  Tensor value, inner, lse_student, lse_teacher;
};

/// A policy loss, its gradient [n], and what is logged.
struct PolicyPass {
  Tensor loss, gradient;
  PolicySums sums;
};

struct AttentionGradient {
  Tensor query, key, value;
};

/// A norm's rows; rstd [rows] float is for the backward pass.
struct Normal {
  Tensor out, rstd;
};

constexpr int64_t kDeviceAttentionWidth = 256;

/// The operators' bodies for a device. Arguments have been checked and are what the CPU's kernels
/// take: float32, bfloat16 or float16 logits and activations, float32 elsewhere, contiguous but for
/// the rows of logits. Nothing waits for the device, unless it says so.
struct DeviceKernels {
  RowStats (*row_stats)(const Tensor& x, const Tensor& tokens, const Tensor& live,
                        const LogitTransform& transform, const StatsRequest& request);
  void (*row_gradients)(const Tensor& x, const Tensor& tokens, const Tensor& live,
                        const LogitTransform& transform, const SavedStats& saved,
                        const StatsGradients& gradients, Tensor& out);

  PairSums (*pair_sums)(const PairInput& input);
  /// d [N] float is the upstream gradient; `out` has the type and sizes of its side.
  void (*pair_gradient)(const PairInput& input, const PairSums& sums, bool of_student,
                        const Tensor& d, Tensor& out);

  /// (value, slope).
  std::pair<Tensor, Tensor> (*kl_estimate)(const Tensor& logprobs, const Tensor& reference,
                                           kernels::KlKind kind, const KlEstimateOptions& options);
  /// Waits, for PolicySums::live.
  PolicyPass (*policy_pass)(const PolicyTokens& tokens, const PolicyObjective& objective);
  SegmentLogprob (*segment_logprob)(const Tensor& values, const Tensor& row, int64_t rows,
                                    const Tensor& weight);
  /// Of float64.
  Tensor (*discounted_scan)(const Tensor& b, const Tensor& a, const ScanTokens& tokens);
  Gae (*gae)(const Tensor& rewards, const Tensor& values, const ScanTokens& tokens,
             const GaeOptions& options);
  /// uniforms [N] float64; lse [N] as row_stats gives it. Token, log-prob and kept mass alone.
  Sampled (*sample_tokens)(const Tensor& logits, const Tensor& uniforms, const Tensor& lse,
                           const LogitTransform& transform, const SamplingOptions& options);

  /// (out, lse [T, Hq]); q, k and v float32 with neighbouring dimensions, heads of a width up to
  /// kDeviceAttentionWidth.
  std::pair<Tensor, Tensor> (*attention_forward)(const Tensor& q, const Tensor& k, const Tensor& v,
                                                 std::span<const AttentionSegment> segments,
                                                 const AttentionOptions& options);
  /// out, lse and d_out contiguous.
  AttentionGradient (*attention_backward)(const Tensor& q, const Tensor& k, const Tensor& v,
                                          const Tensor& out, const Tensor& lse, const Tensor& d_out,
                                          std::span<const AttentionSegment> segments,
                                          const AttentionOptions& options);
  Tensor (*decode_attention)(const Tensor& q, const Tensor& keys, const Tensor& values,
                             const Tensor& lengths, const AttentionOptions& options);

  /// `sum` is undefined without a residual.
  Normal (*norm_forward)(const Tensor& x, const Tensor& weight, double epsilon, double offset,
                         const Tensor& residual, const Tensor& sum);
  /// (d_x, d_weight); the second undefined where not wanted.
  std::pair<Tensor, Tensor> (*norm_backward)(const Tensor& x, const Tensor& weight,
                                             const Tensor& rstd, double offset, const Tensor& d_out,
                                             const Tensor& d_sum, bool wants_weight);
  Tensor (*rope)(const Tensor& x, const Tensor& cosine, const Tensor& sine, float sign);
  Tensor (*gated)(kernels::Gate act, const Tensor& gate, const Tensor& up);
  /// (d_gate, d_up).
  std::pair<Tensor, Tensor> (*gated_backward)(kernels::Gate act, const Tensor& gate,
                                              const Tensor& up, const Tensor& d_out);
  Tensor (*embedding_backward)(const Tensor& rows, const Tensor& ids, int64_t table_rows);

  /// Waits for its number.
  double (*square_sum)(const Tensor& x);
  void (*adamw)(const Tensor& p, const Tensor& g, const Tensor& m, const Tensor& v,
                const kernels::AdamWNumbers& numbers);
};

/// The bodies for the device of x; null where there are none, or where the CPU's own serve.
const DeviceKernels* device_kernels(const Tensor& x);

/// Gives a type of device its bodies, null for none: for tests, which run those of a GPU on tensors
/// of the CPU.
void set_device_kernels(c10::DeviceType type, const DeviceKernels* bodies);

/// Opens libguerdon_cuda.so from the folder of this library; "" or why that did not work.
std::string open_device_library();

}  // namespace guerdon::ops

/// What libguerdon_cuda.so exports. The name carries the version of DeviceKernels.
extern "C" const guerdon::ops::DeviceKernels* guerdon_cuda_kernels_1();
