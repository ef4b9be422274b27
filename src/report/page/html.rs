//! The page as one HTML file. It loads nothing, from nowhere: style, script and data are inside, and its policy names the
//! digests of the only script and style that may act.

use sha2::{Digest, Sha256};

use super::colour::Palette;
use super::figure::Shape;
use super::text::{escape, prose};
use super::{Diff, Page, curves, data, lengths, response, tables, tree};
use crate::report::grouped;

const UPLOT: &str = include_str!("assets/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("assets/uPlot.min.css");
/// One function around all of it, so that no name of the script is the page's.
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("assets/view.js"),
    include_str!("assets/drawing.js"),
    include_str!("assets/charts.js"),
    include_str!("assets/reading.js"),
    include_str!("assets/controls.js"),
    "})();\n"
);
const STYLE: &str = include_str!("assets/report.css");
/// Differences shown before the others are folded.
const MOST_DIFFS: usize = 5;

/// Writes the page.
pub fn render(page: &Page) -> String {
    let palette = Palette::of(&page.lineage);
    let style = [palette.css().as_str(), UPLOT_STYLE, "\n", STYLE].concat();
    let json = data::value(page).to_string().replace('<', "\\u003c");
    let mut out = head(page, &style);
    out += &top(page);
    out += "<main>\n";
    out += &summary(page);
    for (anchor, title, body) in sections(page, &palette) {
        out += &format!("<section id=\"{anchor}\"><h2>{}</h2>\n{body}</section>\n", escape(&title));
    }
    out += &format!("<footer>{}</footer>\n</main>\n", escape(&page.footer));
    out += "<div id=\"spoken\" class=\"unseen\" aria-live=\"polite\"></div>\n";
    out += &format!("<script type=\"application/json\" id=\"data\">{json}</script>\n");
    out += &format!("<script>{UPLOT}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

fn head(page: &Page, style: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(UPLOT),
        digest(SCRIPT),
        digest(style)
    );
    // With the script, the script reads the page again, and can be told not to.
    let again = match page.state.complete {
        true => "",
        false => "<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript>\n",
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         {again}<style>{style}</style>\n</head>\n<body>\n",
        escape(&page.title)
    )
}

/// The bar on top.
fn top(page: &Page) -> String {
    let link = |(anchor, name): (String, String)| format!("<a href=\"#{anchor}\">{}</a>", escape(&name));
    let links: String = anchors(page).into_iter().map(link).collect();
    format!(
        "<div class=\"top\"><div><strong>{}</strong><nav aria-label=\"sections\">{links}</nav>\
         <button type=\"button\" id=\"theme\" class=\"plain\" hidden>dark</button></div></div>\n",
        escape(&page.title)
    )
}

/// Question, conclusion, and how the branches differ.
fn summary(page: &Page) -> String {
    let state = &page.state;
    let headline = page.question.as_deref().unwrap_or(&page.title);
    let said = [Some(page.title.as_str()), Some(state.text.as_str()), state.updated.as_deref()];
    let said: Vec<String> = said.into_iter().flatten().map(escape).collect();
    let mut out = format!("<header><h1>{}</h1><p>{}</p></header>\n", escape(headline), said.join(" \u{b7} "));
    if !state.complete {
        out += "<div class=\"notice\" role=\"status\"><b>This run is incomplete.</b> \
                <span>The figures are those so far; this file is written anew while it trains.</span>\
                <span class=\"spring\"></span><span id=\"reload\"></span></div>\n";
    }
    if !page.conclusion.is_empty() || !page.rule.is_empty() {
        let lines: String = page.conclusion.iter().map(|line| format!("<p>{}</p>", prose(line))).collect();
        let rule: String = page.rule.iter().map(|line| format!("<p class=\"rule\">{}</p>", prose(line))).collect();
        out += &format!("<section id=\"conclusion\" class=\"conclusion\">{lines}{rule}</section>\n");
    }
    if !page.remarks.is_empty() {
        let remarks: String = page.remarks.iter().map(|line| format!("<li>{}</li>", prose(line))).collect();
        out += &format!("<ul class=\"remarks\">{remarks}</ul>\n");
    }
    out + &diffs(&page.diffs)
}

fn diffs(diffs: &[Diff]) -> String {
    let entry = |diff: &Diff| {
        let mut lines = diff.lines.iter().map(|line| prose(line));
        let first = lines.next().unwrap_or_default();
        let more: String = lines.map(|line| format!("<div>{line}</div>")).collect();
        format!("<div><dt>{}</dt><dd>{first}{more}</dd></div>", escape(&diff.title))
    };
    let list = |diffs: &[Diff]| format!("<dl class=\"diffs\">{}</dl>", diffs.iter().map(entry).collect::<String>());
    let (first, more) = diffs.split_at(diffs.len().min(MOST_DIFFS));
    let mut out = if first.is_empty() { String::new() } else { list(first) + "\n" };
    if !more.is_empty() {
        out += &format!("<details class=\"diffs\"><summary>{} more</summary>{}</details>\n", more.len(), list(more));
    }
    out
}

/// Anchors of the sections with the names by which the bar on top calls them.
fn anchors(page: &Page) -> Vec<(String, String)> {
    let fixed = |anchor: &str, name: &str, is_there: bool| is_there.then(|| (anchor.to_owned(), name.to_owned()));
    let before = [
        fixed("results", "Results", !page.outcomes.is_empty()),
        fixed("lineage", "Lineage", true),
        fixed("curves", "Curves", !page.figures.is_empty()),
        fixed("response", "Response", !page.responses.is_empty()),
        fixed("lengths", "Lengths", !page.lengths.is_empty()),
    ];
    let grids = page.grids.iter().enumerate().map(|(index, grid)| Some((format!("table-{}", index + 1), grid.short.clone())));
    let after = [
        fixed("settings", "Settings", !page.settings.is_empty()),
        fixed("provenance", "Provenance", !page.provenance.is_empty()),
    ];
    before.into_iter().chain(grids).chain(after).flatten().collect()
}

/// Every section: its anchor, its title, and what it shows.
fn sections(page: &Page, palette: &Palette) -> Vec<(String, String, String)> {
    let lineage = &page.lineage;
    let mut grids = page.grids.iter();
    let section = |(anchor, name): (String, String)| {
        let (title, body) = match anchor.as_str() {
            "results" => (name, tables::outcomes(page, palette)),
            "lineage" => (name, figure(&tree::draw(lineage, palette))),
            "curves" => (name, all_curves(page, palette)),
            "response" => (name, responses(page, palette)),
            "lengths" => ("By length".to_owned(), by_length(page, palette)),
            "settings" => ("Settings that differ".to_owned(), tables::settings(lineage, &page.settings)),
            "provenance" => (name, provenance(&page.provenance)),
            _ => grids.next().map_or_else(Default::default, |grid| (grid.title.clone(), tables::grid(lineage, grid))),
        };
        (anchor, title, body)
    };
    anchors(page).into_iter().map(section).collect()
}

fn figure(drawing: &str) -> String {
    format!("<figure class=\"scroll\">{drawing}</figure>\n")
}

/// The place for the curves; still drawings where there is no script.
fn all_curves(page: &Page, palette: &Palette) -> String {
    let shown = page.figures.iter().filter(|figure| figure.heading.shown);
    let still: String = shown.map(|shown| figure(&curves::draw(&page.lineage, palette, shown))).collect();
    format!(
        "<p class=\"note\">{}</p>\n<div class=\"curves\"><div class=\"charts\" id=\"charts\"><noscript>{still}</noscript></div>\
         <aside><div class=\"legend\" id=\"legend\"></div></aside></div>\n",
        escape(&curves_note(page))
    )
}

fn curves_note(page: &Page) -> String {
    let lineage = &page.lineage;
    let several = lineage.leaves.len() > lineage.branches.len();
    let bin = page.figures.iter().filter(|figure| figure.heading.shape == Shape::Line).map(|figure| figure.bin).max();
    let over = if several { "means over the seeds" } else { "means" };
    let mut note = match bin {
        Some(bin) if bin > 1 => format!("Noisy curves are {over} in bins of {} steps, cut at stage edges", grouped(bin)),
        _ => format!("Noisy curves are {over}"),
    };
    if several {
        note += "; shading is the 95 % interval of that mean, which goes as far as every seed has been trained";
    }
    note += ". What branches share is one curve, in grey.";
    let logged = page.figures.iter().filter_map(|figure| figure.thinned).max();
    if let Some(logged) = logged {
        note += &format!(" Of up to {} logged steps not every point is kept, but every extreme.", grouped(logged));
    }
    note
}

fn responses(page: &Page, palette: &Palette) -> String {
    let one = |shown: &super::Response| figure(&response::draw(&page.lineage, palette, shown)) + &tables::note(&shown.note);
    page.responses.iter().map(one).collect()
}

fn by_length(page: &Page, palette: &Palette) -> String {
    let one =
        |shown: &super::Lengths| figure(&lengths::draw(&page.lineage, palette, shown)) + &tables::lengths(&page.lineage, shown);
    page.lengths.iter().map(one).collect()
}

fn provenance(entries: &[(String, String)]) -> String {
    let entry = |(name, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    format!("<dl class=\"provenance\">{}</dl>\n", entries.iter().map(entry).collect::<String>())
}

/// By which a policy names the text of a script or a style.
fn digest(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (index, byte)| word | (u32::from(*byte) << (16 - 8 * index)));
        for place in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * place)) as usize % 64]);
            out.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const HOSTILE: &str = "</script><img src=x onerror=1>";

    #[test]
    fn what_users_wrote_is_never_markup() {
        let mut page = testing::page(3, &[1, 2]);
        let hostile = || HOSTILE.to_owned();
        page.title = hostile();
        page.question = Some(hostile());
        page.footer = hostile();
        page.conclusion = vec![hostile()];
        page.rule = vec![hostile()];
        page.remarks = vec![hostile()];
        page.diffs = vec![Diff { title: hostile(), lines: vec![hostile(), hostile()] }];
        page.provenance = vec![(hostile(), hostile())];
        page.lineage.branches[0].name = hostile();
        page.lineage.branches[0].stages[0].name = hostile();
        page.lineage.leaves[0].key = hostile();
        page.lineage.nodes[0].owner = hostile();
        page.figures[0].heading.title = hostile();
        page.outcomes[0].metric = hostile();
        page.outcomes[0].rows[0].verdict = hostile();
        page.responses[0].baseline = hostile();
        page.lengths[0].buckets[0].0 = hostile();
        page.grids[0].title = hostile();
        page.settings[0].values[0].0 = hostile();
        let text = render(&page);
        assert!(!text.contains("<img"));
        assert_eq!(text.matches("<script").count(), 3);
        assert_eq!(text.matches("</script").count(), 3);
        assert!(text.contains("\\u003c/script>"));
    }

    #[test]
    fn equal_pages_give_equal_bytes() {
        assert_eq!(render(&testing::page(4, &[1, 2, 3])), render(&testing::page(4, &[1, 2, 3])));
    }

    #[test]
    fn the_data_are_json_and_the_policy_names_what_is_inside() {
        let text = render(&testing::page(2, &[1]));
        let data = text.split("id=\"data\">").nth(1).and_then(|rest| rest.split("</script>").next()).unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["branches"][1]["name"], "branch_1");
        let style = text.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        assert!(text.contains(&digest(style)) && text.contains(&digest(SCRIPT)) && text.contains(&digest(UPLOT)));
        assert!(!text.contains("unsafe-inline") && !text.contains(" style=\""));
    }

    #[test]
    fn only_an_incomplete_page_is_read_again() {
        let mut page = testing::page(2, &[1]);
        assert!(!render(&page).contains("http-equiv=\"refresh\""));
        page.state.complete = false;
        let text = render(&page);
        assert!(text.contains("http-equiv=\"refresh\"") && text.contains("This run is incomplete."));
    }

    #[test]
    fn a_page_without_anything_is_a_page() {
        let empty = Page {
            title: "nothing".into(),
            lineage: super::super::Lineage { branches: vec![], leaves: vec![], nodes: vec![] },
            figures: vec![],
            outcomes: vec![],
            responses: vec![],
            lengths: vec![],
            grids: vec![],
            settings: vec![],
            conclusion: vec![],
            rule: vec![],
            diffs: vec![],
            provenance: vec![],
            ..testing::page(1, &[1])
        };
        let text = render(&empty);
        assert!(text.contains("<section id=\"lineage\">") && !text.contains("<section id=\"results\">"));
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(digest("abc"), "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }
}
