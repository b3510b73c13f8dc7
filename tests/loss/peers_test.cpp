#include "guerdon/loss/peers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "guerdon/loss/reward_model.h"

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

std::vector<bool> kept(const std::vector<double>& margins, double rate) {
  const Tensor found = kept_by_peer(row(margins), rate);
  std::vector<bool> out;
  for (int64_t i = 0; i < found.numel(); ++i) out.push_back(found[i].item<bool>());
  return out;
}

TEST(KeptByPeer, WorkedByHand) {  // CRM
  EXPECT_EQ(kept({2, -.5, .3, 1.1}, .5), (std::vector<bool>{true, false, false, true}));
  const Tensor learner = row({1, .2, -.1, .5});
  const Tensor loss = pair_loss({learner, at::zeros_like(learner)});
  const Tensor mine = kept_by_peer(row({2, -.5, .3, 1.1}), .5);
  EXPECT_NEAR(loss.masked_select(mine).mean().item<double>(), .393669, 6e-7);
  EXPECT_NEAR(loss.mean().item<double>(), .532469, 6e-7);
}

TEST(KeptByPeer, DoesNotKnowWhereZeroIsNorHowLongAMarginIs) {
  EXPECT_EQ(kept({12, 9.5, 10.3, 11.1}, .5), kept({2, -.5, .3, 1.1}, .5));
  EXPECT_EQ(kept({20, -5, 3, 11}, .5), kept({2, -.5, .3, 1.1}, .5));
}

TEST(KeptByPeer, KeepsAtLeastOneTheFirstOfEqualsAndNothingThatIsNoNumber) {
  EXPECT_EQ(kept({1, 2, 3}, .01), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(kept({1, 1, 1}, .5), (std::vector<bool>{true, true, false}));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(kept({nan, -1, nan}, 1), (std::vector<bool>{false, true, false}));
}

TEST(KeepRate, FallsUntilTheWarmUpIsOver) {
  EXPECT_EQ(keep_rate(.4, .3, 0, 100), 1.0);
  EXPECT_NEAR(keep_rate(.4, .3, 15, 100), .8, 1e-12);
  EXPECT_NEAR(keep_rate(.4, .3, 90, 100), .6, 1e-12);
  EXPECT_NEAR(keep_rate(.4, 0, 0, 100), .6, 1e-12);
}

}  // namespace
}  // namespace guerdon::loss
