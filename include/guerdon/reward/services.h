/// What a reward may ask of the run that it judges for.
#pragma once

namespace guerdon {

namespace text {
class Tokenizer;
}

/// A service that the run does not have throws Error (Kind::settings), in one sentence that says
/// what is missing. The object itself is what `guerdon score` hands over: it has nothing.
class Services {
 public:
  virtual ~Services() = default;
  /// Of the policy whose rollouts are judged.
  virtual const text::Tokenizer& tokenizer();
};

}  // namespace guerdon
