/// Packed attention (kernels.md F23). Keys are visited in blocks of 64 logical positions, in order,
/// with one running (maximum, sum, accumulator) per row; inside a block every sum runs in a fixed
/// order. So the bits of a row depend on its own sequence only: alone or packed, prompt shared or
/// repeated, all queries at once or one at a time.
///
/// Included once for each instruction set, inside its own namespace.

constexpr int64_t kBlock = 64;  // keys a block
constexpr int64_t kTile = 96;   // rows that go through a block of keys together

template <class T>
inline int64_t rounded_up(int64_t n) {
  return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

/// Memory of whole 64-byte lines that only grows; growing forgets what it held. Not a std::vector:
/// the linker keeps one copy of a template's functions, that of either instruction set, for both.
template <class T>
struct Scratch {
  ~Scratch() { std::free(data); }
  T* of(int64_t count) {
    if (count <= size) return data;
    constexpr int64_t kLine = 64 / sizeof(T);
    const int64_t lines = (count + kLine - 1) / kLine;
    std::free(data);
    size = 0;
    data = static_cast<T*>(std::aligned_alloc(64, static_cast<size_t>(lines) * 64));
    if (!data) throw std::bad_alloc();
    size = lines * kLine;
    return data;
  }

  T* data = nullptr;
  int64_t size = 0;
};

/// One for each thread and use.
template <class T, int kUse>
T* scratch(int64_t count) {
  static thread_local Scratch<T> memory;
  return memory.of(count);
}

/// C [M, N] (+)= A [M, K] B [K, N], N a multiple of the lanes. Element (i, k) of A lies at a[i *
/// row + k * column]. Each element of C is one chain of fused multiply-adds over k in order,
/// whatever the tile that it falls into.
template <class T, int M, int N>
inline void multiply_tile(int64_t depth, const T* a, int64_t row, int64_t column, const T* b,
                          int64_t b_row, T* c, int64_t c_row, bool accumulate) {
  constexpr int64_t lanes = kLanes<T>;
  Vector<T> sums[M][N];
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j)
      sums[i][j] = accumulate ? load(c + i * c_row + j * lanes) : Vector<T>{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector<T> right[N];
    for (int j = 0; j < N; ++j) right[j] = load(b + k * b_row + j * lanes);
    for (int i = 0; i < M; ++i) {
      const Vector<T> left = all(a[i * row + k * column]);
      for (int j = 0; j < N; ++j) sums[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) store(c + i * c_row + j * lanes, sums[i][j]);
  }
}

template <class T, int N>
inline void multiply_columns(int64_t rows, int64_t depth, const T* a, int64_t row, int64_t column,
                             const T* b, int64_t b_row, T* c, int64_t c_row, bool accumulate) {
  int64_t i = 0;
  for (; i + 6 <= rows; i += 6)
    multiply_tile<T, 6, N>(depth, a + i * row, row, column, b, b_row, c + i * c_row, c_row,
                           accumulate);
  for (; i + 2 <= rows; i += 2)
    multiply_tile<T, 2, N>(depth, a + i * row, row, column, b, b_row, c + i * c_row, c_row,
                           accumulate);
  for (; i < rows; ++i)
    multiply_tile<T, 1, N>(depth, a + i * row, row, column, b, b_row, c + i * c_row, c_row,
                           accumulate);
}

template <class T>
inline void multiply(int64_t rows, int64_t columns, int64_t depth, const T* a, int64_t row,
                     int64_t column, const T* b, int64_t b_row, T* c, int64_t c_row,
                     bool accumulate) {
  constexpr int64_t lanes = kLanes<T>;
  int64_t j = 0;
  for (; j + kColumns * lanes <= columns; j += kColumns * lanes) {
    multiply_columns<T, kColumns>(rows, depth, a, row, column, b + j, b_row, c + j, c_row,
                                  accumulate);
  }
  for (; j + lanes <= columns; j += lanes)
    multiply_columns<T, 1>(rows, depth, a, row, column, b + j, b_row, c + j, c_row, accumulate);
}

/// The block of logical keys [begin, begin + count): calls visit(index in the block, run, token of
/// the run) for each.
template <class T, class Visit>
inline void visit_block(const AttentionRows<T>& a, int64_t begin, int64_t count,
                        const Visit& visit) {
  int64_t skip = begin, done = 0;
  for (int64_t r = 0; r < a.run_count && done < count; ++r) {
    const int64_t length = a.runs[r].count;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const int64_t take = std::min(length - skip, count - done);
    for (int64_t i = 0; i < take; ++i) visit(done + i, r, skip + i);
    done += take;
    skip = 0;
  }
}

template <class T>
inline int64_t key_count(const AttentionRows<T>& a) {
  int64_t count = 0;
  for (int64_t r = 0; r < a.run_count; ++r) count += a.runs[r].count;
  return count;
}

/// Columns [low, high) of a block that the query at logical position t may see.
template <class T>
inline void visible(const AttentionRows<T>& a, int64_t t, int64_t begin, int64_t count,
                    int64_t& low, int64_t& high) {
  const int64_t first = a.window == 0 ? 0 : a.causal ? t - a.window + 1 : t - a.window / 2;
  const int64_t last = a.causal        ? t
                       : a.window == 0 ? std::numeric_limits<int64_t>::max() - 1
                                       : t + a.window / 2;
  low = std::clamp<int64_t>(first - begin, 0, count);
  high = std::clamp<int64_t>(last + 1 - begin, low, count);
}

/// Blocks [first, last) that some query of logical positions [from, to] sees.
template <class T>
inline void visible_blocks(const AttentionRows<T>& a, int64_t from, int64_t to, int64_t keys,
                           int64_t& first, int64_t& last) {
  int64_t low, high, unused;
  visible(a, from, 0, keys, low, unused);
  visible(a, to, 0, keys, unused, high);
  first = low / kBlock;
  last = (high + kBlock - 1) / kBlock;
}

/// Dot products become scores: scale, softcap; hidden columns become -infinity.
template <class T>
inline void score_row(const AttentionRows<T>& a, T* s, int64_t low, int64_t high) {
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  for (int64_t j = 0; j < kBlock; j += kLanes<T>)
    store(s + j, load(s + j) * static_cast<T>(a.scale));
  if (a.softcap > 0) {
    const T cap = static_cast<T>(a.softcap);
    for (int64_t j = low; j < high; ++j) s[j] = cap * std::tanh(s[j] / cap);
  }
  for (int64_t j = 0; j < low; ++j) s[j] = kHidden;
  for (int64_t j = high; j < kBlock; ++j) s[j] = kHidden;
}

template <class T>
void attention_forward(const AttentionForward<T>& f) {
  constexpr int64_t lanes = kLanes<T>;
  const AttentionRows<T>& a = f.rows;
  const int64_t padded = rounded_up<T>(a.width), keys = key_count(a),
                per_tile = std::max<int64_t>(1, kTile / a.heads);
  const int64_t rows_at_most = per_tile * a.heads;
  T* query = scratch<T, 0>(rows_at_most * padded);
  T* accumulator = scratch<T, 1>(rows_at_most * padded);
  T* score = scratch<T, 2>(rows_at_most * kBlock);
  T* key = scratch<T, 3>(padded * kBlock);    // transposed: [D][64]
  T* value = scratch<T, 4>(kBlock * padded);  // [64][D]
  T* state = scratch<T, 5>(rows_at_most * 2);

  for (int64_t first = 0; first < a.queries; first += per_tile) {
    const int64_t count = std::min(per_tile, a.queries - first), rows = count * a.heads;
    T* maxima = state;
    T* sums = state + rows;
    for (int64_t r = 0; r < rows; ++r) {
      const T* from =
          a.query + (first + r / a.heads) * a.query_stride + r % a.heads * a.head_stride;
      std::copy(from, from + a.width, query + r * padded);
      std::fill(query + r * padded + a.width, query + (r + 1) * padded, T{0});
      maxima[r] = -std::numeric_limits<T>::infinity();
      sums[r] = 0;
    }
    std::fill(accumulator, accumulator + rows * padded, T{0});

    int64_t block, block_end;
    visible_blocks(a, a.first + first, a.first + first + count - 1, keys, block, block_end);
    for (; block < block_end; ++block) {
      const int64_t begin = block * kBlock, size = std::min(kBlock, keys - begin);
      if (size < kBlock) {
        std::fill(key, key + padded * kBlock, T{0});
        std::fill(value + size * padded, value + kBlock * padded, T{0});
      }
      visit_block(a, begin, size, [&](int64_t j, int64_t run, int64_t token) {
        const KeyRun<T>& from = a.runs[run];
        const T* k = from.key + token * from.key_stride;
        const T* v = from.value + token * from.value_stride;
        for (int64_t d = 0; d < a.width; ++d) key[d * kBlock + j] = k[d];
        std::copy(v, v + a.width, value + j * padded);
        std::fill(value + j * padded + a.width, value + (j + 1) * padded, T{0});
      });
      multiply(rows, kBlock, a.width, query, padded, int64_t{1}, key, kBlock, score, kBlock, false);
      for (int64_t r = 0; r < rows; ++r) {
        T* s = score + r * kBlock;
        int64_t low, high;
        visible(a, a.first + first + r / a.heads, begin, size, low, high);
        if (low == high) {
          std::fill(s, s + kBlock, T{0});
          continue;
        }
        score_row(a, s, low, high);
        Vector<T> highest = load(s);
        for (int64_t j = lanes; j < kBlock; j += lanes) highest = larger<T>(highest, load(s + j));
        const T block_maximum = maximum<T>(highest), top = std::max(maxima[r], block_maximum);
        const T shift = top == -std::numeric_limits<T>::infinity()
                            ? T{0}
                            : top;  // a row of -infinity: all p are 0
        Vector<T> total{};
        for (int64_t j = 0; j < kBlock; j += lanes) {
          const Vector<T> p = exponential(load(s + j) - shift);
          store(s + j, p);
          total += p;
        }
        const T rescale = exponential_of<T>(maxima[r] - shift);
        sums[r] = sums[r] * rescale + sum<T>(total);
        maxima[r] = top;
        T* sink = accumulator + r * padded;
        for (int64_t d = 0; d < padded; d += lanes) store(sink + d, load(sink + d) * rescale);
      }
      multiply(rows, padded, kBlock, score, kBlock, int64_t{1}, value, padded, accumulator, padded,
               true);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = first + r / a.heads, g = r % a.heads;
      const T inverse = sums[r] == 0 ? T{0} : T{1} / sums[r];
      T* to = f.out + i * f.out_stride + g * f.out_head_stride;
      for (int64_t d = 0; d < a.width; ++d) to[d] = accumulator[r * padded + d] * inverse;
      if (f.lse) f.lse[i * f.lse_stride + g] = maxima[r] + std::log(sums[r]);
    }
  }
}

/// The gradient of all queries of one segment. P is computed again from the log-sum-exp; ds = p (dp
/// - sum(do o)) (1 - (s / c)^2). The keys' gradients of a block are summed over these queries
/// first, then added once.
template <class T>
void attention_backward(const AttentionBackward<T>& f) {
  constexpr int64_t lanes = kLanes<T>;
  const AttentionRows<T>& a = f.rows;
  const int64_t padded = rounded_up<T>(a.width), keys = key_count(a),
                all_rows = a.queries * a.heads;
  const int64_t per_tile = std::max<int64_t>(1, kTile / a.heads), rows_at_most = per_tile * a.heads;
  T* query = scratch<T, 0>(all_rows * padded);
  T* d_out = scratch<T, 1>(all_rows * padded);
  T* d_query = scratch<T, 6>(all_rows * padded);
  T* row_state = scratch<T, 5>(all_rows * 2);  // lse, sum(do o)
  T* score = scratch<T, 2>(rows_at_most * kBlock);
  T* d_score = scratch<T, 7>(rows_at_most * kBlock);
  T* key_columns = scratch<T, 3>(padded * kBlock);
  T* value_columns = scratch<T, 4>(padded * kBlock);
  T* key_rows = scratch<T, 8>(kBlock * padded);
  T* d_key = scratch<T, 9>(kBlock * padded);
  T* d_value = scratch<T, 10>(kBlock * padded);

  for (int64_t r = 0; r < all_rows; ++r) {
    const int64_t i = r / a.heads, g = r % a.heads;
    const T* q = a.query + i * a.query_stride + g * a.head_stride;
    const T* o = f.out + i * f.out_stride + g * f.out_head_stride;
    const T* go = f.d_out + i * f.out_stride + g * f.out_head_stride;
    T product = 0;
    for (int64_t d = 0; d < a.width; ++d) {
      query[r * padded + d] = q[d];
      d_out[r * padded + d] = go[d];
      product += o[d] * go[d];
    }
    for (int64_t d = a.width; d < padded; ++d) query[r * padded + d] = d_out[r * padded + d] = 0;
    row_state[2 * r] = f.lse[i * f.lse_stride + g];
    row_state[2 * r + 1] = product;
  }
  std::fill(d_query, d_query + all_rows * padded, T{0});

  int64_t first_block, last_block;
  visible_blocks(a, a.first, a.first + a.queries - 1, keys, first_block, last_block);
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t begin = block * kBlock, size = std::min(kBlock, keys - begin);
    if (size < kBlock || a.width < padded) {
      std::fill(key_columns, key_columns + padded * kBlock, T{0});
      std::fill(value_columns, value_columns + padded * kBlock, T{0});
      std::fill(key_rows, key_rows + kBlock * padded, T{0});
    }
    visit_block(a, begin, size, [&](int64_t j, int64_t run, int64_t token) {
      const KeyRun<T>& from = a.runs[run];
      const T* k = from.key + token * from.key_stride;
      const T* v = from.value + token * from.value_stride;
      for (int64_t d = 0; d < a.width; ++d) {
        key_columns[d * kBlock + j] = k[d];
        value_columns[d * kBlock + j] = v[d];
      }
      std::copy(k, k + a.width, key_rows + j * padded);
    });
    std::fill(d_key, d_key + kBlock * padded, T{0});
    std::fill(d_value, d_value + kBlock * padded, T{0});

    for (int64_t first = 0; first < a.queries; first += per_tile) {
      const int64_t count = std::min(per_tile, a.queries - first), rows = count * a.heads,
                    r0 = first * a.heads;
      int64_t tile_block, tile_end;
      visible_blocks(a, a.first + first, a.first + first + count - 1, keys, tile_block, tile_end);
      if (block < tile_block || block >= tile_end) continue;
      multiply(rows, kBlock, a.width, query + r0 * padded, padded, int64_t{1}, key_columns, kBlock,
               score, kBlock, false);
      multiply(rows, kBlock, a.width, d_out + r0 * padded, padded, int64_t{1}, value_columns,
               kBlock, d_score, kBlock, false);
      for (int64_t r = 0; r < rows; ++r) {
        T* s = score + r * kBlock;
        T* ds = d_score + r * kBlock;
        int64_t low, high;
        visible(a, a.first + first + r / a.heads, begin, size, low, high);
        if (low == high) {
          std::fill(s, s + kBlock, T{0});
          std::fill(ds, ds + kBlock, T{0});
          continue;
        }
        score_row(a, s, low, high);
        const T lse = row_state[2 * (r0 + r)], product = row_state[2 * (r0 + r) + 1];
        for (int64_t j = 0; j < kBlock; j += lanes) {
          const Vector<T> z = load(s + j), p = exponential(z - lse);
          Vector<T> d = p * (load(ds + j) - product) * static_cast<T>(a.scale);
          if (a.softcap > 0) {
            const Vector<T> share = z / static_cast<T>(a.softcap);
            d = p > T{0} ? d * (T{1} - share * share) : Vector<T>{};
          }
          store(s + j, p);
          store(ds + j, d);
        }
      }
      multiply(rows, padded, kBlock, d_score, kBlock, int64_t{1}, key_rows, padded,
               d_query + r0 * padded, padded, true);
      multiply(kBlock, padded, rows, d_score, int64_t{1}, kBlock, query + r0 * padded, padded,
               d_key, padded, true);
      multiply(kBlock, padded, rows, score, int64_t{1}, kBlock, d_out + r0 * padded, padded,
               d_value, padded, true);
    }
    visit_block(a, begin, size, [&](int64_t j, int64_t run, int64_t token) {
      const KeyRun<T>& to = f.d_runs[run];
      T* dk = const_cast<T*>(to.key) + token * to.key_stride;
      T* dv = const_cast<T*>(to.value) + token * to.value_stride;
      for (int64_t d = 0; d < a.width; ++d) {
        dk[d] += d_key[j * padded + d];
        dv[d] += d_value[j * padded + d];
      }
    });
  }
  for (int64_t r = 0; r < all_rows; ++r) {
    T* to = f.d_query + r / a.heads * f.d_query_stride + r % a.heads * f.d_head_stride;
    std::copy(d_query + r * padded, d_query + r * padded + a.width, to);
  }
}
