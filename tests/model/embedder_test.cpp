#include "guerdon/model/embedder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "guerdon/model/pretrained.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon::model {
namespace {

class EmbedderTest : public testing::Test {
 protected:
  EmbedderTest() { test::make_tiny_policy(folder_); }
  Embedder embedder(const EmbedderOptions& options = {}) const {
    return Embedder(folder_.path() / "policy", options);
  }
  test::TemporaryFolder folder_;
};

TEST_F(EmbedderTest, AVectorIsThePooledHiddenState) {
  const auto body = load_backbone(folder_.path() / "policy");
  const Embedder mean = embedder(), last = embedder({.pooling = "last"});
  const std::vector<int64_t> tokens = mean.tokens(std::string("bad"));
  const std::vector<Sequence> one = {{.tokens = tokens}};
  const at::NoGradGuard no_grad;
  const Tensor states = body->forward(pack(one, {}));
  EXPECT_EQ(mean.width(), 32);
  EXPECT_TRUE(at::allclose(mean.vectors({&tokens, 1})[0], states.mean(0)));
  EXPECT_TRUE(at::allclose(last.vectors({&tokens, 1})[0], states[-1]));
}

TEST_F(EmbedderTest, DoesNotDependOnTheBatch) {
  const Embedder wide = embedder(), narrow = embedder({.batch_tokens = 1});
  std::vector<std::vector<int64_t>> texts;
  for (const char* text : {"a", "bad", "", "hedge", "fed"})
    texts.push_back(text[0] == '\0' ? std::vector<int64_t>() : wide.tokens(std::string(text)));
  const Tensor vectors = wide.vectors(texts);
  EXPECT_TRUE(at::allclose(vectors, narrow.vectors(texts), 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(vectors[2], at::zeros({32})));
}

TEST_F(EmbedderTest, ReadsMessagesAsTheirWordsAndPairsAsARewardModelDoes) {
  const Embedder e = embedder();
  const Conversation turns = {{.role = "user", .content = "ba", .extra = {}},
                              {.role = "assistant", .content = "d", .extra = {}}};
  // A new line is no letter of this tokenizer's: <u>.
  EXPECT_EQ(e.tokens(turns).size(), 5u);  // b a <u> d and the end
  Example row;
  row.prompt = std::string("ba");
  row.responses.resize(1);
  row.responses[0].text = std::string("d");
  EXPECT_EQ(e.judged_tokens(row, 0), e.tokens(std::string("bad")));
}

TEST_F(EmbedderTest, RefusesAPoolingThatThereIsNot) {
  EXPECT_EQ(test::refusal(Kind::settings, [&] { embedder({.pooling = "max"}); }),
            "pooling: must be mean, last or cls, got \"max\"");
}

}  // namespace
}  // namespace guerdon::model
