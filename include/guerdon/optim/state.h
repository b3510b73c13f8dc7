/// Saving and loading what `parts` lists: the visitors behind checkpoints.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "guerdon/base/json_reader.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/ops/tensor.h"
#include "guerdon/optim/parts.h"

namespace guerdon::optim {

/// Something whose `parts` is called with a visitor.
using PartsOf = std::function<void(Parts&)>;

/// What the visitors make of a list of state: tensors, and everything else as JSON. Frozen
/// parameters are not stored but known by their SHA-256, unless their group says `moving`.
struct State {
  model::NamedTensors tensors;
  std::map<std::string, double> numbers;
  std::map<std::string, int64_t> integers;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::map<std::string, double>> rows;
  std::map<std::string, std::string> frozen;  ///< name -> SHA-256 of shape, type and bytes
};

/// Remembers the hashes of frozen tensors, which are large and do not change.
class FrozenHashes {
 public:
  std::string of(const Tensor& tensor);

 private:
  struct Known {
    const void* data;
    uint32_t version;
    std::string hash;
  };
  std::map<const void*, Known> known_;
};

/// The state as it is now; tensors are not copied. Throws Error (Kind::bug) for a name that is
/// listed twice.
State read_state(const PartsOf& parts, FrozenHashes& hashes);

/// Puts a saved state back. Everything is checked before anything is changed: an entry that is
/// missing, one that nobody asked for, a tensor of another shape or type, a frozen parameter with
/// another content are each an Error (Kind::input) that begins with `where` and names the entry.
void restore_state(const PartsOf& parts, const State& state, const std::string& where,
                   FrozenHashes& hashes);

/// Everything but the tensors as JSON text, numbers to the last bit, and back.
std::string state_json_text(const State& state);
/// Throws Error (Kind::input).
void read_state_json(const Json& json, const std::string& where, State& state);

/// A number that changes when any element of a tensor does (in all likelihood): the sum of its bit
/// patterns.
int64_t bit_sum(const Tensor& tensor);

}  // namespace guerdon::optim
