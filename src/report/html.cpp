#include "guerdon/report/html.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "guerdon/base/version.h"
#include "guerdon/report/svg.h"

namespace guerdon::report {
namespace {

// System fonts, two colour schemes, one column that is easy to read; plots bring their own rules.
constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5d6b7c;--faint:#8a96a5;--line:#e3e7ec;
--good:#147a53;--good-back:#e3f5ec;--warn:#9a5b00;--warn-back:#fdf1dc;--bad:#b3261e;--bad-back:#fce8e6;--calm-back:#e8eef8;--calm:#2c5aa8}
@media(prefers-color-scheme:dark){:root{--page:#11161d;--card:#19212b;--ink:#e4e9f0;--soft:#a1aebd;--faint:#74818f;--line:#2b3643;
--good:#5fd3a0;--good-back:#12352a;--warn:#f0b357;--warn-back:#3a2b10;--bad:#ff8a80;--bad-back:#43201e;--calm-back:#1d2c45;--calm:#8fb8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:19px;margin:38px 0 12px;letter-spacing:-.01em;scroll-margin-top:12px}
h3{font-size:15px;margin:22px 0 8px}
p{margin:6px 0}
.soft{color:var(--soft)}
nav{margin:14px 0 0;display:flex;flex-wrap:wrap;gap:6px 16px;font-size:13.5px}
nav a{color:var(--calm);text-decoration:none}nav a:hover{text-decoration:underline}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:18px 0}
.tile,.card,figure{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 15px 11px}.tile b{display:block;font-size:20px;font-weight:620;letter-spacing:-.015em;font-variant-numeric:tabular-nums;line-height:1.25;overflow-wrap:anywhere}
.tile span{color:var(--soft);font-size:12.5px}.tile i{display:block;font-style:normal;color:var(--faint);font-size:12px;line-height:1.35;margin-top:2px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:14px}
figure{margin:0;padding:14px 16px 8px;min-width:0}
figcaption b{font-size:14.5px;font-weight:620}figcaption span{display:block;color:var(--soft);font-size:12.5px;line-height:1.4}
figure svg{display:block;width:100%;height:auto;margin-top:6px}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12.5px;white-space:nowrap}
th,td{padding:8px 14px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
.w{min-width:210px}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.t{white-space:pre-wrap;overflow-wrap:anywhere}
.more{color:var(--faint);font-size:12px}
.remark{border-radius:10px;padding:10px 15px;margin:8px 0;background:var(--calm-back);border-left:4px solid var(--calm)}
.remark p{margin:2px 0 0;color:var(--soft);font-size:13.5px}
.good{--tone:var(--good);--back:var(--good-back)}.neutral{--tone:var(--calm);--back:var(--calm-back)}
.warning{--tone:var(--warn);--back:var(--warn-back)}.problem{--tone:var(--bad);--back:var(--bad-back)}
.remark{background:var(--back);border-color:var(--tone)}
.badge{display:inline-block;background:var(--back);color:var(--tone);border-radius:99px;padding:1px 10px;font-size:12.5px;font-weight:600;white-space:nowrap}
details{margin:10px 0}summary{cursor:pointer;color:var(--soft);font-size:14px;padding:4px 0}
details[open]>summary{margin-bottom:6px}
pre{margin:0;padding:12px 15px;background:var(--card);border:1px solid var(--line);border-radius:10px;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;max-height:460px;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
footer{margin-top:44px;color:var(--faint);font-size:12.5px}
@media(max-width:640px){main{padding:18px 12px 40px}}
@media print{body{background:#fff}figure,.tile{break-inside:avoid}nav{display:none}}
)";

const char* word(Mood mood) {
  constexpr std::array<const char*, 4> kWords{"good", "neutral", "warning", "problem"};
  return kWords[static_cast<size_t>(mood)];
}

bool reorders(char32_t c) {
  return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F;
}

std::string code(char32_t c) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string digits;
  for (int shift = 12; shift >= 0; shift -= 4) digits += kDigits[(c >> shift) & 0xF];
  return "[U+" + digits + "]";
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    const char32_t c = utf8_decode(text, length);
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || reorders(c)) {
      out += code(c);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

Html text(std::string_view text, size_t limit) {
  size_t bytes = 0, characters = 0;
  while (bytes < text.size() && characters < limit) {
    bytes += std::max<size_t>(utf8_length(text.substr(bytes)), 1);
    ++characters;
  }
  std::string out = "<span class=\"t\"><bdi>" + escaped(text.substr(0, bytes)) + "</bdi></span>";
  if (bytes < text.size())
    out += str("<span class=\"more\"> ... and ", text.size() - bytes, " more bytes</span>");
  return {out};
}

Html table(const std::vector<Column>& columns, const std::vector<std::vector<Html>>& rows) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  const auto open = [](const char* tag, const Column& column) {
    return str("<", tag, column.number ? " class=\"n\">" : column.wide ? " class=\"w\">" : ">");
  };
  for (const Column& column : columns) out += open("th", column) + escaped(column.name) + "</th>";
  out += "</tr></thead><tbody>";
  for (const std::vector<Html>& row : rows) {
    GUERDON_CHECK(row.size() == columns.size(), "table: a row has ", row.size(), " cells for ",
                  columns.size(), " columns");
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) out += open("td", columns[i]) + row[i].markup + "</td>";
    out += "</tr>";
  }
  return {out + "</tbody></table></div>"};
}

Html heat_table(const std::vector<std::string>& rows, const std::vector<std::string>& columns,
                const std::vector<std::vector<double>>& values) {
  GUERDON_CHECK(values.size() == rows.size(), "heat_table: ", values.size(), " rows of values for ",
                rows.size());
  std::string out = "<div class=\"scroll\"><table class=\"heat\"><thead><tr><th></th>";
  for (const std::string& column : columns) out += "<th class=\"n\">" + escaped(column) + "</th>";
  out += "</tr></thead><tbody>";
  for (size_t i = 0; i < rows.size(); ++i) {
    GUERDON_CHECK(values[i].size() == columns.size(), "heat_table: ", values[i].size(),
                  " values for ", columns.size(), " columns");
    out += "<tr><td>" + escaped(rows[i]) + "</td>";
    for (const double value : values[i]) {
      if (!std::isfinite(value)) {
        out += "<td></td>";
        continue;
      }
      const auto strength = static_cast<int>(std::lround(70 * std::clamp(value, 0.0, 1.0)));
      out += str("<td class=\"n\" style=\"background:color-mix(in srgb,var(--calm) ", strength,
                 "%,transparent)\">", std::round(1000 * value) / 10, "</td>");
    }
    out += "</tr>";
  }
  return {out + "</tbody></table></div>"};
}

Html figure(std::string_view heading, std::string_view note, const std::string& svg) {
  return {"<figure><figcaption><b>" + escaped(heading) + "</b>" +
          (note.empty() ? "" : "<span>" + escaped(note) + "</span>") + "</figcaption>" + svg +
          "</figure>"};
}

Html grid(const std::vector<Html>& figures) {
  return {"<div class=\"grid\">" + joined(figures).markup + "</div>"};
}

Html tiles(const std::vector<Tile>& tiles) {
  std::string out = "<div class=\"tiles\">";
  for (const Tile& tile : tiles) {
    out += "<div class=\"tile\"><span>" + escaped(tile.name) + "</span><b>" + escaped(tile.value) +
           "</b>" + (tile.note.empty() ? "" : "<i>" + escaped(tile.note) + "</i>") + "</div>";
  }
  return {out + "</div>"};
}

Html remark(Mood mood, std::string_view what, std::string_view advice) {
  return {str("<div class=\"remark ", word(mood), "\">", escaped(what),
              advice.empty() ? "" : "<p>" + escaped(advice) + "</p>", "</div>")};
}

Html badge(Mood mood, std::string_view text) {
  return {str("<span class=\"badge ", word(mood), "\">", escaped(text), "</span>")};
}

Html folded(std::string_view summary, const Html& content, bool open) {
  return {str("<details", open ? " open" : "", "><summary>", escaped(summary), "</summary>",
              content.markup, "</details>")};
}

Html preformatted(std::string_view text, size_t limit) {
  // A log's end is its interesting part.
  const size_t cut = text.size() > limit ? text.size() - limit : 0;
  return {"<pre>" +
          (cut > 0 ? str("<span class=\"more\">", cut, " bytes left out ...</span>\n") : "") +
          escaped(text.substr(cut)) + "</pre>"};
}

Html joined(const std::vector<Html>& parts) {
  Html out;
  for (const Html& part : parts) out.markup += part.markup;
  return out;
}

std::string page(std::string_view title, const Html& intro, const std::vector<Section>& sections) {
  // The policy forbids scripts and every request, whatever might slip through.
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">"
      "<meta name=\"referrer\" content=\"no-referrer\"><title>" +
      escaped(title) + "</title><style>" + kStyle + plot_style() +
      "</style></head><body><main><h1>" + escaped(title) + "</h1>" + intro.markup;
  if (sections.size() > 2) {
    out += "<nav>";
    for (size_t i = 0; i < sections.size(); ++i)
      out += str("<a href=\"#s", i, "\">", escaped(sections[i].heading), "</a>");
    out += "</nav>";
  }
  for (size_t i = 0; i < sections.size(); ++i) {
    out += str("<section><h2 id=\"s", i, "\">", escaped(sections[i].heading), "</h2>",
               sections[i].content.markup, "</section>");
  }
  return out + "<footer>guerdon " + escaped(version()) + "</footer></main></body></html>\n";
}

}  // namespace guerdon::report
