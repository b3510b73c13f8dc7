// Links guerdon::guerdon: a loss of the installed library on tensors of LibTorch.
#include <ATen/ATen.h>

#include <cmath>
#include <iostream>

#include "guerdon/loss/preference.h"

int main() {
  const at::Tensor same = at::zeros({3});
  const auto out = guerdon::loss::dpo({same, same}, {same, same});
  const double loss = out.loss.mean().item<double>();
  std::cout << "dpo of equal models: " << loss << '\n';
  return std::abs(loss - std::log(2.0)) < 1e-6 ? 0 : 1;
}
