/// The rows of reward benchmarks. Whatever a benchmark's file looks like, a row becomes an item: a
/// prompt, candidates of which the first are right, and the subset that it counts to. Published
/// tables of scores are read the same way; their items have scores in place of texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "guerdon/data/example.h"

namespace guerdon::eval {

struct Item {
  std::string id;     ///< as the file has it; may be empty
  std::string where;  ///< "FILE:LINE"
  std::string subset;
  std::string group;  ///< items of one subset and group are credited together; empty: alone
  /// The candidates are the responses of these examples, end to end. One example a prompt; contrast
  /// instructions have two. Empty where the file holds scores alone.
  std::vector<Example> prompts;
  size_t candidates = 0;  ///< at least 2
  size_t right = 1;       ///< candidates [0, right) are right; all of them: people call it a tie
  std::vector<size_t> order;  ///< candidate k is the file's order[k]-th; empty: as in the file
  /// Scores that the file gives: judge to [candidates]. A judge without a name is "".
  std::map<std::string, std::vector<double>> scores;
};

struct ItemOptions {
  std::string reduction = "geometric_mean";  ///< of step scores: math::reduce_steps
  std::string context = "none";  ///< what a judge sees of the user: "none", "profile" or "rubric"
};

struct RowForm;
using ItemReader = std::vector<Item> (*)(std::span<const Fields>, const RowForm&,
                                         const ItemOptions&);

/// How the rows of a benchmark are read.
struct RowForm {
  ItemReader read;
  std::vector<std::string> subset = {"subset"};  ///< the first of these columns that is there
  bool file_names_subset = false;                ///< where there is no such column: the file's name
};

// The readers. All throw Error (Kind::input) at the row, naming the key, what it has and what is
// expected. Scores may stand in the row in any of these forms, a number or a list of step scores
// per candidate:
//     "scores" or "score": [...]            of the judge that "model" names
//     "scores": {"JUDGE": [...], ...}       so, too, "scalar", "judge" and "steps"
//     "score_chosen" and "score_rejected"   (or scores_...): a number or a list each

/// "prompt" (or question, instruction and input, problem, query), "chosen", "rejected": one
/// response each or a list. Also "documents", which a question is answered from, and "profile" and
/// "rubric_aspects" of the user who asks. Items of the subset Ties are grouped by what follows
/// "ref:" or "tied:" in their ids (RewardBench 2).
std::vector<Item> read_ranked(std::span<const Fields> rows, const RowForm& form,
                              const ItemOptions& options);

/// Pairs with a verdict: "output_1", "output_2" and "label" (1 or 2; LLMBar); "response1",
/// "response2" and people's labels (0 a tie, 1, 2), "annotators": [...] or "label_0", "label_1",
/// ... (PandaLM; the majority counts, and where there is none it is a tie). A response that a
/// converter took for a number or a truth value is read as its text. Rows with "chosen" are read by
/// read_ranked.
std::vector<Item> read_verdicts(std::span<const Fields> rows, const RowForm& form,
                                const ItemOptions& options);

/// Solutions of which one is right: "problem", "solutions" and "correct_index", or the names of who
/// wrote them ("generators", "source" or "solution_reference") with "human_to_GPT-4" for the right
/// one; or a solution a row, "problem_id", "solution" (or "eval_solution", its steps) and
/// "is_correct" (or "solution_type": chosen, rejected), rows of a problem one after the other. A
/// judge that compares the right one with each wrong one: "score" and "chosen_position" hold the
/// letters that it chose and that the right one bore; then the right one scores 0, a wrong one that
/// lost -1, one that won 1.
std::vector<Item> read_solutions(std::span<const Fields> rows, const RowForm& form,
                                 const ItemOptions& options);

/// Two instructions that differ a little, each with the response that it prefers: "query",
/// "query_response_k", "retrieval", "retrieval_response_k" (Contrast Instructions). Candidates:
/// (x1, y1), (x1, y2), (x2, y2), (x2, y1). Scores stand in the file in the order (x1, y1), (x1,
/// y2), (x2, y1), (x2, y2). Rows with equal responses are left out.
std::vector<Item> read_contrast(std::span<const Fields> rows, const RowForm& form,
                                const ItemOptions& options);

/// Any candidates, right or not: "responses" (or samples, completions), or as read_ranked. In the
/// long form a response a row, "prompt_id" and numbers "score_NAME" of judges, rows of a prompt one
/// after the other.
std::vector<Item> read_candidates(std::span<const Fields> rows, const RowForm& form,
                                  const ItemOptions& options);

/// The rows of a file: JSON lines, a JSON array, or one object of columns ({"id": [...], "scores":
/// [...], "model": "..."}, as RewardBench publishes scores). Throws Error (Kind::input).
std::vector<Fields> read_rows(const std::filesystem::path& file);

/// Gives the items the scores of another file: a row for each item, in one of the forms above;
/// matched by "id" where both have one, else by their order. A judge without a name is called
/// `name`. Throws Error (Kind::input) naming the row that lacks scores, or has as many as fit no
/// item.
void add_scores(std::span<Item> items, const std::filesystem::path& file, const std::string& name,
                const ItemOptions& options);

}  // namespace guerdon::eval
