/// The kernels of a GPU as their callers see them: raw pointers on the device, sizes and a stream.
/// Each call starts its kernels on the stream and returns; errors wait in cudaGetLastError().
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/merge.h"
#include "kernels/numbers.h"

namespace guerdon::kernels::cuda {

/// Rows of logits and their way to z (kernels.md section 1).
struct LogitRows {
  const void* x;
  Element type;
  int64_t stride;  ///< elements from row to row; nothing need be aligned
  int64_t rows, columns;
  float scale, softcap, temperature;
  const float* temperatures;  ///< [rows], in place of `temperature`; may be null
  const bool* live;           ///< [rows]; null: all. Dead rows are never read

  /// Blocks of columns in a row: a row is reduced block by block, and these are merged in order,
  /// so that its bits depend on nothing but itself.
  GUERDON_EVERYWHERE int64_t blocks() const { return (columns + kColumnBlock - 1) / kColumnBlock; }
};

// ---- logits.cu: F1, F2
// ---------------------------------------------------------------------------

/// [rows] each; null where not wanted, but for lse.
struct RowResults {
  float *lse, *logprob, *entropy, *mean, *squares, *raw, *finite;
  int64_t* argmax;
};
/// room [rows x blocks()]. A token outside [0, columns) gives NaN.
void token_stats(const LogitRows& rows, const LogitWish& wish, const int64_t* tokens,
                 LogitBlock* room, const RowResults& out, cudaStream_t stream);

/// [rows] each; null: 0.
struct RowGradients {
  const float *lse, *entropy, *finite, *d_logprob, *d_entropy, *d_lse, *d_mean;
};
/// `out` has the type of the rows, and may be they.
void token_stats_backward(const LogitRows& rows, const int64_t* tokens, const RowGradients& from,
                          void* out, int64_t out_stride, cudaStream_t stream);

// ---- divergence.cu: F6 to F9
// ---------------------------------------------------------------------

/// Student and teacher; with `combined` the teacher is weight z(teacher) + second_weight z(second).
struct PairRows {
  LogitRows student, teacher, second;
  bool combined;
  const float *weight, *second_weight;  ///< [rows]
};
/// [rows] each.
struct PairResults {
  float *value, *inner, *lse_student, *lse_teacher;
};
/// Both log-sum-exps, and KL by one read of both (kernels.md 3.3); room [rows x blocks()].
void pair_sums(const PairRows& rows, bool forward, PairBlock* room, const PairResults& out,
               cudaStream_t stream);
/// The divergence by a second read, where the log-sum-exps are known (3.4).
void divergence(const PairRows& rows, DivergenceKind kind, float beta, DivergenceBlock* room,
                const PairResults& out, cudaStream_t stream);
void divergence_backward(const PairRows& rows, DivergenceKind kind, float beta,
                         const PairResults& sums, bool of_student, const float* d, void* out,
                         int64_t out_stride, cudaStream_t stream);

// ---- tokens.cu: F5, F17, F18, F22
// ----------------------------------------------------------------

void kl_estimate(const float* logprob, const float* reference, KlKind kind, float bound, float most,
                 int64_t count, float* value, float* slope, cudaStream_t stream);

/// room [policy_blocks(count)]; sums [8]: the members of PolicySums in their order.
int64_t policy_blocks(int64_t count);
void policy_terms(const PolicyColumns& columns, const PolicyNumbers& numbers, int64_t count,
                  const PolicyGradients& out, PolicySums* room, double* sums, cudaStream_t stream);

/// out[r] = sum of weight (value), over the tokens of row r in their order; value null: of the
/// weights alone. Tokens of weight 0 are not read.
void row_sums(const float* value, const float* weight, const int64_t* row, int64_t count,
              int64_t rows, double* out, cudaStream_t stream);
void row_sums(const double* value, const float* weight, const int64_t* row, int64_t count,
              int64_t rows, double* out, cudaStream_t stream);

/// offsets [sequences + 1]; mask null: all tokens count.
void discounted_scan(const double* b, const double* a, const int64_t* offsets, const bool* mask,
                     int64_t sequences, double* y, cudaStream_t stream);
/// bootstrap [sequences] or null.
void gae(const double* rewards, const double* values, const double* bootstrap, double gamma,
         double lambda, const int64_t* offsets, const bool* mask, int64_t sequences,
         double* advantage, double* returns, cudaStream_t stream);

// ---- sampling.cu: F21
// ----------------------------------------------------------------------------

struct SamplingNumbers {
  bool greedy;
  int64_t top_k;
  double top_p, min_p;
};
/// uniforms, lse [rows]; `token` holds the arg-max where greedy. A row without a distribution: -1.
void sample_tokens(const LogitRows& rows, const SamplingNumbers& numbers, const double* uniforms,
                   const float* lse, int64_t* token, float* logprob, float* kept,
                   cudaStream_t stream);

// ---- attention.cu: F23
// ---------------------------------------------------------------------------

constexpr int kAttentionWidth = 256;  ///< of a head, at most

struct AttentionNumbers {
  int width;
  float scale, softcap;  ///< softcap 0: none
  int64_t window;        ///< 0: none
  bool causal;
  int64_t heads, key_heads;
};

/// Consecutive tokens of a sequence, by their logical positions.
struct KeySpan {
  int64_t position, token, length;
};

/// Which token sees which, all on the device. Segment s has the tokens begin[s] to begin[s + 1];
/// its keys are spans[first_span[s]] to those of s + 1; its tokens are read by the segments
/// readers[first_reader[s]] and on, itself first.
struct PackedTokens {
  int64_t tokens;
  const int64_t *segment, *position;  ///< [tokens]
  const int64_t* begin;               ///< [segments + 1]
  const int64_t *first_span, *first_reader, *readers;
  const KeySpan* spans;
};

/// Distances between tokens and between heads, in elements; dimensions are side by side.
struct AttentionTensors {
  const float *query, *key, *value;
  int64_t query_stride, query_head, key_stride, key_head, value_stride, value_head;
};

/// out [tokens, heads, width], lse [tokens, heads].
void attention_forward(const AttentionNumbers& numbers, const PackedTokens& tokens,
                       const AttentionTensors& in, float* out, float* lse, cudaStream_t stream);

/// All contiguous; mean [tokens, heads] is room.
struct AttentionGradients {
  const float *out, *lse, *d_out;
  float *d_query, *d_key, *d_value, *mean;
};
void attention_backward(const AttentionNumbers& numbers, const PackedTokens& tokens,
                        const AttentionTensors& in, const AttentionGradients& gradients,
                        cudaStream_t stream);

/// One query a sequence over its cache, whose first lengths[n] positions count.
void decode_attention(const AttentionNumbers& numbers, const AttentionTensors& in,
                      int64_t sequences, int64_t key_sequence, int64_t value_sequence,
                      const int64_t* lengths, float* out, cudaStream_t stream);

// ---- layers.cu: F24, F25
// -------------------------------------------------------------------------

/// As the CPU's rms_norm (kernels/cpu/kernels.h).
void rms_norm(const NormRows& rows, const void* residual, void* sum, void* out, float* rstd,
              cudaStream_t stream);
/// d_weight [norm_chunks(rows) x width], to be summed over the first; may be null.
int64_t norm_chunks(int64_t rows);
void rms_norm_backward(const NormRows& rows, const float* rstd, const void* d_out,
                       const void* d_sum, void* d_x, double* d_weight, cudaStream_t stream);
void rope(Element type, const void* x, const float* cosine, const float* sine, float sign,
          int64_t tokens, int64_t heads, int64_t width, int64_t half, int64_t token_stride,
          void* out, cudaStream_t stream);
void gated(Element type, Gate act, const void* gate, const void* up, int64_t count, void* out,
           cudaStream_t stream);
void gated_backward(Element type, Gate act, const void* gate, const void* up, const void* d_out,
                    int64_t count, void* d_gate, void* d_up, cudaStream_t stream);
/// table[ids[i]] = sum of rows[order[i]], equal ids next to each other in `ids`; rows without an id
/// are left as they are.
void add_rows(const float* rows, const int64_t* ids, const int64_t* order, int64_t count,
              int64_t width, float* table, cudaStream_t stream);

/// room [square_pieces(count)], to be summed.
int64_t square_pieces(int64_t count);
void square_sums(const float* x, int64_t count, double* room, cudaStream_t stream);
void adamw(float* p, const float* g, float* m, float* v, int64_t count, const AdamWNumbers& numbers,
           cudaStream_t stream);

}  // namespace guerdon::kernels::cuda
