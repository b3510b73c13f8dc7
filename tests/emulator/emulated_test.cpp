// The operators' tests with the kernels of a GPU, which the emulator runs; and what is special to
// these kernels.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "cuda_runtime.h"
#include "guerdon/ops/token_stats.h"
#include "kernels/cpu/kernels.h"
#include "ops/device.h"

namespace guerdon {
namespace {

void launch(unsigned blocks, unsigned threads, const std::function<void()>& body) {
  emulator::run(dim3(blocks), dim3(threads), body);
}

TEST(Emulator, RunsEveryThreadOfEveryBlock) {
  std::vector<int> runs(3 * 64);
  launch(3, 64, [&] { ++runs[blockIdx.x * 64 + threadIdx.x]; });
  EXPECT_EQ(runs, std::vector<int>(3 * 64, 1));
}

TEST(Emulator, BarriersSeparateWhatIsWrittenFromWhatIsRead) {
  std::vector<unsigned> from(256), to(256);
  launch(1, 256, [&] {
    from[threadIdx.x] = threadIdx.x;
    __syncthreads();
    to[threadIdx.x] = from[255 - threadIdx.x];
  });
  for (unsigned i = 0; i < 256; ++i) EXPECT_EQ(to[i], 255 - i);
}

TEST(Emulator, ShufflesAndBallotsAreThoseOfTheWarp) {
  std::vector<double> sums(64);
  std::vector<unsigned> odd(64);
  launch(1, 64, [&] {
    double x = threadIdx.x;
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    sums[threadIdx.x] = x;
    odd[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 2 == 1);
  });
  for (unsigned i = 0; i < 64; ++i) {
    EXPECT_EQ(sums[i], i < 32 ? 496 : 1520);
    EXPECT_EQ(odd[i], 0xaaaaaaaau);
  }
}

TEST(Emulator, RefusesBarriersThatSomeThreadsMiss) {
  EXPECT_THROW(launch(1, 64,
                      [] {
                        if (threadIdx.x < 63) __syncthreads();
                      }),
               std::logic_error);
  EXPECT_THROW(launch(1, 64,
                      [] {
                        if (threadIdx.x != 3) __shfl_sync(0xffffffffu, 1, 0);
                      }),
               std::logic_error);
  EXPECT_THROW(launch(1, 64, [] { __shfl_sync(0xffffu, 1, 0); }), std::logic_error);
}

// That these tests have other kernels than those of the CPU to do with.
TEST(Emulated, TheKernelsAreInPlace) {
  EXPECT_EQ(ops::device_kernels(at::ones({1})), guerdon_cuda_kernels_1());
  EXPECT_EQ(ops::device_kernels(at::ones({1}).to(at::kMeta)), nullptr);
}

/// Rows [N, V] at addresses of every alignment: row i begins i + 1 elements into its line.
Tensor unaligned(const Tensor& x) {
  const int64_t stride = (x.size(1) / 8 + 2) * 8 + 1;
  Tensor wide =
      at::full({x.size(0), stride}, std::numeric_limits<double>::quiet_NaN(), x.options());
  const Tensor out = wide.narrow(1, 1, x.size(1));
  out.copy_(x);
  return out;
}

// A thread's columns go by their numbers, not by addresses.
TEST(Emulated, AddressesChangeNoBit) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const int64_t columns : {1, 7, 8, 4096, 4097, 9001}) {
      const Tensor x = (at::randn({9, columns}) * 4).to(type), tokens = at::zeros({9}, at::kLong);
      const auto run = [&](const Tensor& given) {
        Tensor leaf = given.detach();
        leaf.requires_grad_();
        const ops::TokenStats s = ops::token_stats(leaf, tokens, {}, {.entropy = true});
        (s.logprob + s.entropy).sum().backward();
        return std::vector<Tensor>{s.logprob.detach(), s.entropy.detach(), leaf.grad()};
      };
      const auto a = run(x), b = run(unaligned(x));
      for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].equal(b[i])) << columns << " " << i;
    }
  }
}

// kernels.md T19: the log-sum-exp is that of the CPU's kernels but for its last bits.
TEST(Emulated, AgreesWithTheCpusKernels) {
  for (const int64_t columns : {5, 4096, 50257}) {
    const Tensor x = at::randn({4, columns}) * 3, tokens = at::zeros({4}, at::kLong);
    const Tensor here = ops::token_stats(x, tokens).lse;
    ops::set_device_kernels(at::kCPU, nullptr);
    const Tensor there = ops::token_stats(x, tokens).lse;
    ops::set_device_kernels(at::kCPU, guerdon_cuda_kernels_1());
    EXPECT_LE((here - there).abs().max().item<double>(),
              2 * 1.2e-7 * there.abs().max().item<double>());
  }
}

}  // namespace
}  // namespace guerdon

int main(int argc, char** argv) {
  // Sets of tokens are the CPU's alone, and thousands of draws take the emulator minutes.
  testing::GTEST_FLAG(filter) =
      "-Restricted*:SampleTokens.FollowsTheSoftmax*:SampleTokens.KeepsWhat*";
  testing::InitGoogleTest(&argc, argv);
  guerdon::ops::set_device_kernels(at::kCPU, guerdon_cuda_kernels_1());
  return RUN_ALL_TESTS();
}
