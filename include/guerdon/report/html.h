/// Pages of HTML that need nothing but themselves: no script, no font, no network. Whatever comes
/// from data is escaped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace guerdon::report {

/// Text for HTML, attributes included. Hostile by assumption: markup is escaped; bytes that are not
/// UTF-8 become U+FFFD; control characters and those that reorder text (U+202A..U+202E,
/// U+2066..U+2069) are shown as their code.
std::string escaped(std::string_view text);

/// Markup that is ready to go into a page. Made from text by `escaped`, from numbers by plots;
/// never from data directly.
struct Html {
  std::string markup;
};

/// Text in a page: escaped, and cut at `limit` characters with a note of how many are missing.
Html text(std::string_view text, size_t limit = 2000);

struct Column {
  std::string name;
  bool number = false;  ///< right-aligned digits
  bool wide = false;    ///< keeps room for a sentence
};
Html table(const std::vector<Column>& columns, const std::vector<std::vector<Html>>& rows);

/// Shares in [0, 1] as percent, the higher the stronger the colour; NaN is an empty cell. `values`:
/// [rows][columns].
Html heat_table(const std::vector<std::string>& rows, const std::vector<std::string>& columns,
                const std::vector<std::vector<double>>& values);

/// A plot with its heading and a sentence on how to read it.
Html figure(std::string_view heading, std::string_view note, const std::string& svg);
/// Figures side by side as the window allows.
Html grid(const std::vector<Html>& figures);

/// A big number with its name, and a remark below it.
struct Tile {
  std::string name, value, note;
};
Html tiles(const std::vector<Tile>& tiles);

enum class Mood { good, neutral, warning, problem };
/// A remark in a coloured box: what was seen, and what to do.
Html remark(Mood mood, std::string_view what, std::string_view advice = {});
/// A small coloured word.
Html badge(Mood mood, std::string_view text);
/// Something that opens at a click.
Html folded(std::string_view summary, const Html& content, bool open = false);
/// Text as it is, in a box that scrolls.
Html preformatted(std::string_view text, size_t limit = 20000);
Html joined(const std::vector<Html>& parts);

struct Section {
  std::string heading;
  Html content;
};

/// The whole page. `intro` comes before the sections; with more than two sections there is a list
/// of links to them.
std::string page(std::string_view title, const Html& intro, const std::vector<Section>& sections);

}  // namespace guerdon::report
