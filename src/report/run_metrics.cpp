#include "report/run_metrics.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/math/statistics.h"

namespace guerdon::report {
namespace {

/// The names of reward nodes with weight 0, wherever they stand in the tree.
void collect_watched(const Json& node, std::set<std::string>& out) {
  if (node.is_array()) {
    for (const Json& child : node) collect_watched(child, out);
  }
  if (!node.is_object()) return;
  const auto weight = node.find("weight");
  if (weight != node.end() && weight->is_number() && weight->get<double>() == 0) {
    for (const char* key : {"name", "use"}) {
      const auto name = node.find(key);
      if (name != node.end() && name->is_string()) {
        out.insert(name->get<std::string>());
        break;
      }
    }
  }
  if (const auto children = node.find("of"); children != node.end())
    collect_watched(*children, out);
}

}  // namespace

Ends ends(const Curve& curve) {
  Ends out;
  std::vector<double> values;
  for (const double v : curve.values) {
    if (std::isfinite(v)) values.push_back(v);
  }
  out.count = values.size();
  if (values.empty()) return out;
  const size_t window = std::min(values.size(), std::max<size_t>(3, values.size() / 10));
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i] - (i >= window ? values[i - window] : 0.0);
    if (i + 1 >= window) out.smooth.push_back(sum / static_cast<double>(window));
  }
  out.first = out.smooth.front();
  out.middle = out.smooth[out.smooth.size() / 2];
  out.last = out.smooth.back();
  return out;
}

bool is_online(const RunRecord& run) {
  return run.find("completions/mean_length") || run.find("reward_std");
}

std::vector<Component> reward_components(const RunRecord& run) {
  std::set<std::string> watched;
  if (run.config.is_object() && run.config.contains("reward"))
    collect_watched(run.config["reward"], watched);
  std::vector<Component> out;
  const std::string prefix = "rewards/", suffix = "/mean";
  for (const auto& [name, curve] : run.metrics) {
    if (!name.starts_with(prefix) || !name.ends_with(suffix) ||
        name.size() <= prefix.size() + suffix.size())
      continue;
    Component c;
    c.name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    // A node inside another has a dotted name; its own is the last part.
    c.optimised =
        !watched.contains(c.name) && !watched.contains(c.name.substr(c.name.rfind('.') + 1));
    c.mean = curve;
    const Ends e = ends(curve);
    const Curve* spread = run.find(prefix + c.name + "/std");
    double unit = spread ? ends(*spread).first : 0.0;
    if (!(unit > 0)) unit = math::standard_deviation(curve.values);
    if (unit > 0) {
      for (size_t i = 0; i < curve.values.size(); ++i) {
        c.standardised.steps.push_back(curve.steps[i]);
        c.standardised.values.push_back((curve.values[i] - e.first) / unit);
      }
    }
    out.push_back(std::move(c));
  }
  return out;
}

}  // namespace guerdon::report
