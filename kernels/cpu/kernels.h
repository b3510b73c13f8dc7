/// Bodies of the operators for the CPU. Raw pointers and sizes, no LibTorch: each body is compiled
/// once for AVX2 and once for AVX-512, and the processor chooses at run time. Only `ops` calls
/// them; it checks shapes and splits the work over threads.
#pragma once

#include <cstdint>

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

  /// out = x * rstd * (weight + offset) for `rows` rows of `width`; rstd [rows] is kept for the
  /// backward pass.
  void (*rms_norm)(const float* x, const float* weight, float offset, float epsilon, int64_t rows,
                   int64_t width, float* out, float* rstd);
  /// d_x, and d_weight [width] of these rows added in row order.
  void (*rms_norm_backward)(const float* x, const float* weight, float offset, const float* rstd,
                            const float* d_out, int64_t rows, int64_t width, float* d_x,
                            double* d_weight);
  /// Rotates the first 2 * half dimensions of [tokens, heads, width] as two halves; sign -1 rotates
  /// back.
  void (*rope)(const float* x, const float* cosine, const float* sine, float sign, int64_t tokens,
               int64_t heads, int64_t width, int64_t half, int64_t token_stride, float* out);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* out);
  void (*swiglu_backward)(const float* gate, const float* up, const float* d_out, int64_t count,
                          float* d_gate, float* d_up);

  /// One row of raw logits, V long, which stays as it is: log-sum-exp of z, and where the pointer
  /// is not null the entropy, log sum p^2, arg-max and mean of x.
  void (*row_stats)(const float* x, int64_t vocabulary, float scale, float softcap,
                    float temperature, float* lse, float* entropy, float* sum_squares,
                    int64_t* argmax, float* mean);
  /// The row becomes its gradient: d_logprob on `token`, d_entropy on the entropy.
  void (*row_gradient)(float* x, int64_t vocabulary, int64_t token, float scale, float softcap,
                       float temperature, float lse, float entropy, float d_logprob,
                       float d_entropy);

  const char* name;  ///< "avx512" or "avx2"
};

/// The bodies for this processor.
const Kernels& kernels();

}  // namespace guerdon::kernels
