/// What the bodies of the operators are given and give back, on every device: plain numbers and
/// pointers.
#pragma once

#include <cstdint>

namespace guerdon::kernels {

/// How a tensor's numbers are stored.
enum class Element : int8_t { float32, bfloat16, float16 };

/// Rows that are normalised by their root mean square.
struct NormRows {
  Element type;
  const void* x;
  const float* weight;
  float offset, epsilon;
  int64_t rows, width;
};

/// The activation of a gated unit; gelu by its tanh form.
enum class Gate : int8_t { silu, gelu };

/// A row of logits x [V] and the way to z = c tanh(scale x / c) / temperature (no c: scale x /
/// temperature). With `second`, z is weight z(x) + second_weight z(second).
struct LogitRow {
  const void* x = nullptr;
  Element type = Element::float32;
  float scale = 1, softcap = 0, temperature = 1;
  const void* second = nullptr;
  Element second_type = Element::float32;
  float weight = 1, second_weight = 0;
};

/// Columns are reduced in blocks of this size, whose results are merged in order, so that no result
/// depends on how blocks were spread over threads.
constexpr int64_t kColumnBlock = 4096;

/// What is wanted beside the log-sum-exp of z.
struct LogitWish {
  bool entropy = false, squares = false, argmax = false, mean = false, raw = false;
};

/// One block of columns (kernels.md 3.2). A maximum of -inf says that all columns are -inf.
struct LogitBlock {
  float top;                             ///< largest z
  double sum, entropy_sum, squares_sum;  ///< sum e^(z-top), e^(z-top) (z-top), e^2(z-top)
  float raw_top;                         ///< largest x, where arg-max or `raw` are wanted
  double raw_sum;                        ///< sum e^(x-raw_top)
  int64_t argmax;                        ///< lowest index of raw_top
  double total;                          ///< sum of the z that are not -inf
  int64_t finite;                        ///< their number
  bool poisoned;                         ///< a NaN or +inf was met
};

/// One block of columns of two rows z and w (kernels.md 3.3).
struct PairBlock {
  float top_z, top_w;
  double sum_z, sum_w, reverse, forward;  ///< s, u, a, b
  bool poisoned;
};

enum class DivergenceKind : int8_t { reverse_kl, forward_kl, jsd, total_variation };

/// Two rows whose log-sum-exps are known: policy or student p = softmax z, reference or teacher q =
/// softmax w. `beta`: the teacher's share of Jensen-Shannon's mixture.
struct DivergenceRow {
  LogitRow student, teacher;
  float lse_student, lse_teacher, beta;
};

/// Sums over a block. value: kernels.md 3.4. inner: what the student's gradient subtracts,
/// KL(student || mixture) for jsd, sum p sign(p - q) for total_variation.
struct DivergenceBlock {
  double value, inner;
};

/// AdamW's numbers of one step: p <- p decay - rate m / (sqrt(v) / root + epsilon).
struct AdamWNumbers {
  float decay, beta1, rest1, beta2, rest2;  ///< rest = 1 - beta
  float rate, root, epsilon;                ///< lr / (1 - beta1^t), sqrt(1 - beta2^t)
  float gradient_scale;
};

enum class KlKind : int8_t { k1, k2, k3, abs, k3_straight_through };

enum class PolicyTerm : int8_t { clipped, geometric, soft, detached, plain };

struct PolicyNumbers {
  PolicyTerm term;
  float low, high, cap;  ///< of the ratio; of the log-ratio for `geometric`
  float positive_temperature, negative_temperature;
  float beta;
  bool kl_times_ratio;
  float share;  ///< what a token of weight 1 counts, where `row_share` is null
};

/// Columns of consecutive tokens; what is null is not there. A token of weight 0 is never read.
struct PolicyColumns {
  const float *logprob, *old, *reference, *sampling, *entropy, *factor, *advantage, *weight;
  const int64_t* row;
  const float* row_log_ratio;  ///< of each row: then the ratio is the row's
  const float* row_share;      ///< of each row: what a token of weight 1 counts
};

/// Where the kernel writes, one number a token.
struct PolicyGradients {
  float* direct;   ///< d loss / d logprob with the row's ratio held
  float* through;  ///< d loss / d log of the row's ratio; unused where the ratio is the token's
  float* side;     ///< -1 clipped below, 1 above, 0 not
};

/// Weighted sums over the tokens, but for the loss, which is a sum of shares.
struct PolicySums {
  double loss, kl, k1, k2, k3, entropy, difference;
  float largest_difference;
};

}  // namespace guerdon::kernels
