/// Rows that name vectors, with a truth: people prefer the response whose vector is more like the
/// prompt's, and whose first number is larger.
#pragma once

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <string>

#include "guerdon/base/random.h"
#include "guerdon/model/tensor_file.h"
#include "support/temporary.h"

namespace guerdon::test {

inline constexpr int64_t kVectorWidth = 6;

/// How good a response is: [..., D] each.
inline Tensor true_score(const Tensor& prompt, const Tensor& response) {
  return (prompt * response).sum(-1) + 2.0 * response.select(-1, 0);
}

/// FOLDER/NAME.safetensors with `count` random vectors each of prompts and responses, [3 count, D]:
/// prompt, chosen and rejected of each pair. Normal numbers of a seed.
inline Tensor make_vectors(const TemporaryFolder& folder, const std::string& name, int64_t count,
                           uint64_t seed) {
  const Random random(seed, Purpose::data);
  Tensor values = at::empty({3 * count, kVectorWidth});
  for (int64_t i = 0; i < values.numel(); ++i)
    values.view({-1})[i] = random.normal(static_cast<uint64_t>(i));
  for (int64_t i = 0; i < count; ++i) {
    const Tensor prompt = values[3 * i], a = values[3 * i + 1], b = values[3 * i + 2];
    if (true_score(prompt, a).item<double>() >= true_score(prompt, b).item<double>()) continue;
    const Tensor swapped = a.clone();
    a.copy_(b);
    b.copy_(swapped);
  }
  NewFolder out(folder.path() / name);
  model::add_tensors(out, "v.safetensors", {{"v", values}});
  out.commit();
  return values;
}

/// The pairs of such a file, or its chosen responses alone.
inline std::string vector_rows(const TemporaryFolder& folder, const std::string& name,
                               int64_t count, bool pairs = true) {
  std::string rows;
  for (int64_t i = 0; i < count; ++i) {
    const auto vector = [&](int64_t which) {
      return Json{{"file", name + "/v.safetensors"}, {"key", "v"}, {"row", 3 * i + which}};
    };
    Json row = {{"prompt", "p"}, {"prompt_vector", vector(0)}};
    if (pairs) {
      row.update({{"chosen", "a"},
                  {"rejected", "b"},
                  {"chosen_vector", vector(1)},
                  {"rejected_vector", vector(2)}});
    } else {
      row.update({{"completion", "a"}, {"completion_vector", vector(1)}});
    }
    rows += row.dump() + "\n";
  }
  return folder.file(name + (pairs ? "-pairs" : "-samples") + ".jsonl", rows).string();
}

}  // namespace guerdon::test
