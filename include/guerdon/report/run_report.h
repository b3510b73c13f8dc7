/// The report of a run: what a run folder holds, as one page to look at. Reads whatever is there,
/// so that runs which are still going, were interrupted or failed get a report too; what is missing
/// or damaged is said on the page.
#pragma once

#include <filesystem>
#include <string>

namespace guerdon::report {

/// The page of the run in `folder`, which may hold any of these:
///
/// - config.json: the resolved settings.
/// - metrics.jsonl: one object for each step, "step" and numbers. Lines of an evaluation may come
/// between.
/// - samples.jsonl: "step", "prompt" (text or messages), "completion", "reward", and "rewards" (an
/// object: component to number).
/// - manifest.json: "status" (running, finished, interrupted, failed), "error", "command", times.
/// - result.json: what `guerdon eval reward` found.
/// - log.txt: its end, and its warnings.
///
/// The folder of a recipe holds instead
///
/// - stages.json: "title", and "stages", a list of {"name", "command", "status", "seconds", "note",
/// "folder"}, folders relative
///   to it.
///
/// Its page has a table of the stages, what came out of them (samples of the same prompts before
/// and after), then every stage.
///
/// Throws Error (Kind::input) when the folder does not exist or holds nothing of a run.
std::string run_report(const std::filesystem::path& folder);

}  // namespace guerdon::report
