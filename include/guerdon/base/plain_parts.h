/// State lists without tensors: what must survive a resume, said once, for many visitors (save,
/// load, count, compare).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace guerdon {

/// A visitor of state. An object lists its state once, in `void parts(PlainParts&)`; saving reads
/// the referred values, loading writes them. Names are unique within their object; `nested` puts a
/// prefix before them ("sampler.epoch"). When loading, a missing entry is an error, and so is an
/// entry that nobody asked for.
class PlainParts {
 public:
  virtual ~PlainParts() = default;
  virtual void number(const std::string& name, double& value) = 0;
  virtual void integer(const std::string& name, int64_t& value) = 0;
  virtual void text(const std::string& name, std::string& value) = 0;
  /// A table from ids to values, for instance a running statistic for each prompt.
  virtual void rows(const std::string& name, std::map<std::string, double>& value) = 0;

  /// The parts of a member, under its name. `object` has a member function `parts` that takes this
  /// visitor.
  template <class Object>
  void nested(const std::string& name, Object& object) {
    enter(name);
    object.parts(*this);
    leave();
  }

 protected:
  virtual void enter(const std::string& name) = 0;
  virtual void leave() = 0;
};

}  // namespace guerdon
