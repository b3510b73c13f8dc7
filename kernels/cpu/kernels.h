/// Bodies of the operators for the CPU. Raw pointers and sizes, no LibTorch: each body is compiled
/// once for AVX2 and once for AVX-512, and the processor chooses at run time. Only `ops` calls
/// them; it checks shapes and splits the work over threads.
#pragma once

#include <cstdint>

#include "kernels/numbers.h"

namespace guerdon::kernels {

/// Consecutive keys and values of one key head: token i at `key + i * stride`.
template <class T>
struct KeyRun {
  const T* key;
  const T* value;
  int64_t key_stride, value_stride, count;
};

/// The rows of some queries against one key head. A row is one (query, query head) pair.
template <class T>
struct AttentionRows {
  const KeyRun<T>* runs;  ///< the sequence's keys in logical order
  int64_t run_count;
  int64_t width;          ///< D
  double scale, softcap;  ///< softcap 0: none
  int64_t window;         ///< 0: none
  bool causal;
  int64_t queries, heads;  ///< rows = queries x heads; heads: query heads that share the key head
  int64_t first;           ///< logical position of the first query; the others follow
  const T* query;          ///< query i, head g at query + i * query_stride + g * head_stride
  int64_t query_stride, head_stride;
};

template <class T>
struct AttentionForward {
  AttentionRows<T> rows;
  T* out;  ///< laid out as the queries, with strides of its own
  int64_t out_stride, out_head_stride;
  T* lse;  ///< query i, head g at lse + i * lse_stride + g; may be null
  int64_t lse_stride;
};

template <class T>
struct AttentionBackward {
  AttentionRows<T> rows;  ///< all queries of a segment
  const T* out;
  const T* d_out;  ///< strides of `out` and `d_out` alike
  int64_t out_stride, out_head_stride;
  const T* lse;
  int64_t lse_stride;
  T* d_query;  ///< written
  int64_t d_query_stride, d_head_stride;
  const KeyRun<T>* d_runs;  ///< where the gradients of the runs' keys and values are added
                            ///< (pointers cast to non-const)
};

struct Kernels {
  void (*attention_forward_float)(const AttentionForward<float>&);
  void (*attention_forward_double)(const AttentionForward<double>&);
  void (*attention_backward_float)(const AttentionBackward<float>&);
  void (*attention_backward_double)(const AttentionBackward<double>&);

  /// out = x rstd (weight + offset); rstd [rows] is kept for the backward pass. With `residual`, x
  /// + residual goes into `sum` and stands for x.
  void (*rms_norm)(const NormRows& rows, const void* residual, void* sum, void* out, float* rstd);
  /// d_x, with `d_sum` added where it is not null; d_weight [width] of these rows added in row
  /// order.
  void (*rms_norm_backward)(const NormRows& rows, const float* rstd, const void* d_out,
                            const void* d_sum, void* d_x, double* d_weight);
  /// Rotates the first 2 * half dimensions of [tokens, heads, width] as two halves; sign -1 rotates
  /// back.
  void (*rope)(Element type, const void* x, const float* cosine, const float* sine, float sign,
               int64_t tokens, int64_t heads, int64_t width, int64_t half, int64_t token_stride,
               void* out);
  /// act(gate) * up.
  void (*gated)(Element type, Gate act, const void* gate, const void* up, int64_t count, void* out);
  void (*gated_backward)(Element type, Gate act, const void* gate, const void* up,
                         const void* d_out, int64_t count, void* d_gate, void* d_up);
  /// table[ids[i]][columns begin to end] += rows[i], in the order of i.
  void (*add_rows)(const float* rows, const int64_t* ids, int64_t count, int64_t width,
                   int64_t begin, int64_t end, float* table);

  /// Columns [begin, begin + count) of a row, count <= kColumnBlock; `argmax` counts from 0.
  void (*logit_block)(const LogitRow& row, int64_t begin, int64_t count, const LogitWish& wish,
                      LogitBlock* out);
  /// z of columns [begin, begin + count), by the arithmetic of logit_block.
  void (*logit_values)(const LogitRow& row, int64_t begin, int64_t count, float* z);
  /// z of the columns `ids`, by the same arithmetic.
  void (*gather_logits)(const LogitRow& row, const int32_t* ids, int64_t count, float* z);
  /// J_i (d_logprob (1[i = token] - p_i) + d_lse p_i) into the columns `ids` of d_x, p_i = e^(z_i -
  /// lse); the others are left as they are.
  void (*scatter_gradient)(const LogitRow& row, const int32_t* ids, int64_t count, int64_t token,
                           float lse, float d_logprob, float d_lse, void* out);
  /// p = e^(z - lse).
  void (*probabilities)(const float* z, int64_t count, float lse, float* p);
  /// Number of columns with z > threshold, and the sum of their p.
  void (*above)(const float* z, const float* p, int64_t count, float threshold, int64_t* number,
                double* mass);
  /// Columns of d_x into `out` (may be x itself), stored as the row is: J_i (-(d_logprob - d_lse)
  /// p_i - d_entropy p_i (log p_i + entropy)), and at `token` (-1: none) the term of d_logprob too.
  /// `smoothing`: added to each column of z that is not -inf (label smoothing's share).
  void (*logit_gradient)(const LogitRow& row, int64_t begin, int64_t count, int64_t token,
                         float lse, float entropy, float d_logprob, float d_entropy, float d_lse,
                         float smoothing, void* out);

  void (*pair_block)(const LogitRow& z, const LogitRow& w, int64_t begin, int64_t count,
                     PairBlock* out);
  void (*divergence_block)(const DivergenceRow& row, DivergenceKind kind, int64_t begin,
                           int64_t count, DivergenceBlock* out);
  /// Columns of the gradient of `d` times the divergence, to the student's x (`of_student`) or the
  /// teacher's, stored as that row is. value, inner: the whole row's sums.
  void (*divergence_gradient)(const DivergenceRow& row, DivergenceKind kind, bool of_student,
                              int64_t begin, int64_t count, float value, float inner, float d,
                              void* out);

  /// Value and slope of an estimate of KL in x = logprob - reference clamped to [-bound, bound];
  /// the value clamped to [-most, most] (kernels.md F5).
  void (*kl_estimate)(const float* logprob, const float* reference, KlKind kind, float bound,
                      float most, int64_t count, float* value, float* slope);
  void (*policy_terms)(const PolicyColumns& columns, const PolicyNumbers& numbers, int64_t count,
                       const PolicyGradients& out, PolicySums* sums);

  double (*square_sum)(const float* x, int64_t count);
  void (*adamw)(float* p, const float* g, float* m, float* v, int64_t count,
                const AdamWNumbers& numbers);

  const char* name;  ///< "avx512" or "avx2"
};

/// The bodies for this processor.
const Kernels& kernels();

}  // namespace guerdon::kernels
