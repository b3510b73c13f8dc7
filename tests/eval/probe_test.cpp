#include "guerdon/eval/probe.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::eval {
namespace {

Tensor normal(std::vector<int64_t> shape, uint64_t seed) {
  const Random random(seed, Purpose::data);
  Tensor out = at::empty(shape, at::kFloat);
  float* at = out.data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i)
    at[i] = static_cast<float>(random.normal(static_cast<uint64_t>(i)));
  return out;
}

Tensor matrix(int64_t width, const std::vector<float>& values) {
  return at::tensor(values).view({-1, width});
}

ProbeRow row(std::map<std::string, int64_t> labels) {
  ProbeRow out;
  out.row.fields = Fields(Json::object(), "rows.jsonl:1");
  out.labels = std::move(labels);
  return out;
}

// Worked numbers of the notes on arXiv:2511.12464.
TEST(Probe, Worked) {
  const Tensor identity = at::eye(2), zero = at::zeros({2, 2});
  EXPECT_NEAR(probe_loss(identity, matrix(2, {1.0f, 0.0f}), at::tensor(std::vector<int64_t>{0})),
              0.313262, 1e-6);
  EXPECT_NEAR(probe_loss(zero, matrix(2, {3.0f, -1.0f}), at::tensor(std::vector<int64_t>{1})),
              0.693147, 1e-6);
  EXPECT_NEAR(
      probe_loss(at::zeros({2, 3}), matrix(2, {3.0f, -1.0f}), at::tensor(std::vector<int64_t>{1})),
      1.098612, 1e-6);
  const Tensor centres = matrix(2, {0.0f, 0.0f, 3.0f, 4.0f});
  EXPECT_NEAR(nearest_distance(matrix(2, {1.0f, 1.0f}), centres).item<double>(), 1.414214, 1e-6);
  EXPECT_NEAR(nearest_distance(matrix(2, {1.0f, 1.0f}), centres.narrow(0, 1, 1)).item<double>(),
              3.605551, 1e-6);
  // The means of two groups, from (4, 4).
  const Tensor first = centroids_of(matrix(2, {0.0f, 0.0f, 2.0f, 0.0f}), 1, 0),
               second = centroids_of(matrix(2, {10.0f, 0.0f, 12.0f, 0.0f}), 1, 0);
  const Tensor point = matrix(2, {4.0f, 4.0f});
  EXPECT_NEAR(nearest_distance(point, first).item<double>(), 5.0, 1e-6);
  EXPECT_NEAR(nearest_distance(point, second).item<double>(), 8.062258, 1e-6);
}

TEST(Probe, DistancesAreThoseOfEveryRotationAndShift) {
  const Tensor states = normal({30, 8}, 1), shift = normal({8}, 2);
  const Tensor turn = std::get<0>(at::linalg_qr(normal({8, 8}, 3)));
  const Tensor moved = states.matmul(turn) + shift;
  const Tensor centres = centroids_of(states, 3, 4), moved_centres = centroids_of(moved, 3, 4);
  EXPECT_TRUE(at::allclose(nearest_distance(states, centres),
                           nearest_distance(moved, moved_centres), 1e-4, 1e-4));
}

TEST(Centroids, FindClustersThatLieApart) {
  const Tensor centres = matrix(2, {0.0f, 0.0f, 50.0f, 0.0f, 0.0f, 50.0f});
  const Tensor states = at::cat({normal({40, 2}, 1) + centres[0], normal({40, 2}, 2) + centres[1],
                                 normal({40, 2}, 3) + centres[2]});
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Tensor found = centroids_of(states, 3, seed);
    EXPECT_LT(nearest_distance(centres, found).max().item<double>(), 1.0) << seed;
  }
  // Fewer different states than clusters: no centre becomes NaN.
  EXPECT_TRUE(centroids_of(at::ones({5, 2}), 3, 0).isfinite().all().item<bool>());
  test::refusal(Kind::input, [&] { centroids_of(at::ones({2, 2}), 3, 0); });
}

TEST(Probe, FindsWhatIsThereAndNothingElse) {
  // The first coordinate tells "there"; nothing tells "noise". Three in four are of class 0.
  const auto make = [](int64_t n, uint64_t seed) {
    Tensor states = normal({n, 6}, seed);
    std::vector<ProbeRow> rows;
    const Random random(seed, Purpose::choose);
    for (int64_t i = 0; i < n; ++i) {
      const bool one = random.uniform(static_cast<uint64_t>(i)) < 0.25;
      states[i][0] += one ? 4.0 : -4.0;
      rows.push_back(row({{"there", one ? 3 : 1}}));
      if (i % 2 == 0) rows.back().labels["noise"] = i / 2 % 2;
    }
    return std::pair(rows, states);
  };
  const auto [train, train_states] = make(800, 1);
  const auto [test, test_states] = make(400, 2);
  const Tensor before = train_states.clone();
  const ProbeOptions options{.epochs = 30, .batch_size = 32, .learning_rate = 1e-2};
  const Probes found = probe(train, train_states, test, test_states, {}, options);
  EXPECT_TRUE(train_states.equal(before));
  ASSERT_EQ(found.dimensions.size(), 2u);
  const ProbeResult &noise = found.dimensions[0], &there = found.dimensions[1];
  EXPECT_EQ(there.classes, (std::vector<std::string>{"1", "3"}));
  EXPECT_GT(there.accuracy, 0.99);
  EXPECT_LT(there.train, 500) << "as many of each class";
  EXPECT_LT(there.train_loss, 0.2);
  EXPECT_EQ(noise.test, 200);
  EXPECT_LT(noise.accuracy, 0.6);
  EXPECT_GT(noise.accuracy, 0.4);
  EXPECT_NEAR(found.mean, (noise.accuracy + there.accuracy) / 2, 1e-12);
  EXPECT_EQ(found.centroids.size(), 4u);
  EXPECT_EQ(found.centroids[2].first, "there/1");
  EXPECT_EQ(found.distances.size(), 400u);
  EXPECT_EQ(probes_json(found)["dimensions"][1]["name"], "there");
}

TEST(Probe, MergesLabels) {
  EXPECT_EQ(read_merge("harmlessness=0|1,2,3").second,
            (std::vector<std::vector<int64_t>>{{0}, {1, 2, 3}}));
  for (const char* wrong : {"", "x", "=0|1", "x=", "x=0|", "x=0,,1", "x=a|b", "x=0 1"})
    test::refusal(Kind::settings, [&] { read_merge(wrong); });

  std::vector<ProbeRow> rows;
  for (int64_t i = 0; i < 8; ++i) rows.push_back(row({{"harm", i % 4}}));
  const Tensor states = normal({8, 3}, 1);
  const Probes easy = probe(rows, states, rows, states, {read_merge("harm=0|1,2,3")}, {});
  EXPECT_EQ(easy.dimensions[0].classes, (std::vector<std::string>{"0", "1,2,3"}));
  EXPECT_EQ(easy.dimensions[0].train, 4);
  const Probes hard = probe(rows, states, rows, states, {read_merge("harm=0|1|2,3")}, {});
  EXPECT_EQ(hard.dimensions[0].classes.size(), 3u);

  const auto refused = [&](const Merges& merges, const std::vector<ProbeRow>& test) {
    return test::refusal(Kind::input, [&] { probe(rows, states, test, states, merges, {}); });
  };
  EXPECT_EQ(refused({read_merge("harm=0|1,2")}, rows),
            "rows.jsonl:1: label 3 of \"harm\" is in none of its classes");
  EXPECT_EQ(refused({}, {row({{"harm", 0}})}),
            "rows.jsonl:1: no row of the file has a label of class 1 of \"harm\"");
  EXPECT_EQ(refused({read_merge("harm=0,1,2,3")}, rows),
            "rows.jsonl:1: the file has one class of \"harm\", two are needed");
}

TEST(ReadProbeRows, ReadsAndRefuses) {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& line) {
    return read_probe_rows(folder.file("p.jsonl", line + "\n"));
  };
  const auto rows = read(R"({"prompt": "a", "response": "b", "labels": {"x": 2, "y": null}})");
  EXPECT_EQ(rows[0].labels, (std::map<std::string, int64_t>{{"x", 2}}));
  EXPECT_EQ(std::get<std::string>(rows[0].row.responses[0].text), "b");
  for (const char* wrong :
       {R"({"prompt": "a", "labels": {"x": 1}})", R"({"response": "b"})",
        R"({"response": "b", "labels": [1]})", R"({"response": "b", "labels": {"x": 1.5}})",
        R"({"response": ["b", "c"], "labels": {"x": 1}})"})
    test::refusal(Kind::input, [&] { read(wrong); });
}

}  // namespace
}  // namespace guerdon::eval
