#include "logit_rows.h"

#include <cmath>

#include "guerdon/base/error.h"
#include "inputs.h"

namespace guerdon::ops {

void check_logits(const char* who, const Tensor& x, const LogitTransform& t) {
  GUERDON_CHECK(x.dim() == 2 && x.size(1) > 0, who, ": logits must be [N, V], got ", x.sizes());
  GUERDON_CHECK(x.stride(1) == 1 || x.size(1) == 1, who,
                ": columns must be contiguous, strides are ", x.strides());
  GUERDON_CHECK(at::isFloatingType(x.scalar_type()), who, ": logits of type ", x.scalar_type());
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  GUERDON_CHECK(positive(t.scale) && positive(t.temperature), who, ": scale ", t.scale,
                " and temperature ", t.temperature, " must be finite and positive");
  if (!t.temperatures.defined()) return;
  // Those of another device are taken as they are: to look at them would be to wait for it.
  GUERDON_CHECK(t.temperatures.dim() == 1 && t.temperatures.size(0) == x.size(0), who,
                ": temperatures ", t.temperatures.sizes(), " for ", x.size(0), " rows");
  for (int64_t i = 0; i < x.size(0) && t.temperatures.is_cpu(); ++i) {
    const auto value = t.temperatures[i].item<double>();
    GUERDON_CHECK(positive(value), who, ": temperature ", value, " of row ", i,
                  " must be finite and positive");
  }
}

Tensor live_rows(const char* who, const Tensor& tokens, const LiveRows& live, int64_t rows,
                 int64_t vocabulary) {
  Tensor alive;
  if (live.mask.defined()) {
    GUERDON_CHECK(live.mask.dim() == 1 && live.mask.size(0) == rows, who, ": mask ",
                  live.mask.sizes(), " for ", rows, " rows");
    alive = live.mask.to(at::kBool).contiguous();
  }
  if (!tokens.defined()) return alive;
  GUERDON_CHECK(tokens.dim() == 1 && tokens.scalar_type() == at::kLong && tokens.size(0) == rows,
                who, ": tokens ", tokens.sizes(), " must be [", rows, "] int64");
  const Tensor ignored = tokens == live.ignore_index;
  if (!tokens.is_cpu()) return alive.defined() ? alive & ~ignored : ~ignored;
  if (ignored.any().item<bool>()) {
    alive = alive.defined() ? alive & ~ignored : ~ignored;
  }
  Tensor wrong = (tokens < 0) | (tokens >= vocabulary);
  if (alive.defined()) wrong = wrong & alive;
  GUERDON_CHECK(!wrong.any().item<bool>(), who, ": a token lies outside [0, ", vocabulary, ")");
  if (alive.defined() && alive.all().item<bool>()) return {};
  return alive;
}

Tensor transformed(const Tensor& x, const LogitTransform& t) {
  Tensor z = t.scale == 1.0 ? x : x * t.scale;
  if (t.softcap > 0) z = at::where(z.isneginf(), z, at::tanh(z / t.softcap) * t.softcap);
  if (t.temperatures.defined()) return z / t.temperatures.to(z.scalar_type()).unsqueeze(1);
  return t.temperature == 1.0 ? z : z / t.temperature;
}

LogitTransform narrowed(const LogitTransform& transform, int64_t first, int64_t count) {
  LogitTransform part = transform;
  if (part.temperatures.defined()) part.temperatures = part.temperatures.narrow(0, first, count);
  return part;
}

LogitTransform selected(const LogitTransform& transform, const Tensor& rows) {
  LogitTransform part = transform;
  if (part.temperatures.defined()) part.temperatures = part.temperatures.index_select(0, rows);
  return part;
}

LogitMatrix::LogitMatrix(const Tensor& x, const LogitTransform& t)
    : data_(static_cast<const char*>(x.const_data_ptr())),
      rows_(x.size(0)),
      columns_(x.size(1)),
      row_bytes_(x.stride(0) * static_cast<int64_t>(x.element_size())),
      temperatures_(t.temperatures.defined() ? t.temperatures.to(at::kFloat).contiguous()
                                             : Tensor()) {
  first_.type = element_of(x);
  first_.scale = static_cast<float>(t.scale);
  first_.softcap = static_cast<float>(t.softcap);
  first_.temperature = static_cast<float>(t.temperature);
}

kernels::LogitRow LogitMatrix::operator[](int64_t row) const {
  kernels::LogitRow out = first_;
  out.x = data_ + row * row_bytes_;
  if (temperatures_.defined()) out.temperature = temperatures_.const_data_ptr<float>()[row];
  return out;
}

}  // namespace guerdon::ops
