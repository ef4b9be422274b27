//! The page's tables.

use super::colour::{Ink, Palette};
use super::lineage::Lineage;
use super::svg::{Stroke, Svg};
use super::text::{escape, prose};
use super::{Field, Finding, Grid, Lengths, Outcome, OutcomeRow, Page, Ranged, Scale, Setting};
use crate::report::grouped;
use crate::report::prose::MOST_NAMES;

/// Size of the drawing of a difference in its cell.
const CELL: (f64, f64) = (190.0, 16.0);

/// What an outcome's table needs to know besides its rows.
struct Judged<'a> {
    lineage: &'a Lineage,
    palette: &'a Palette,
    outcome: &'a Outcome,
    /// Whether any value has an interval, any row a difference, any difference an interval.
    has: (bool, bool, bool),
    /// Largest difference that the drawings have room for.
    reach: f64,
}

/// Final metrics with their verdicts, those that matter less folded.
pub(super) fn outcomes(page: &Page, palette: &Palette) -> String {
    let mut out = String::new();
    for outcome in &page.outcomes {
        let name = format!("{}, {}", escape(&outcome.metric), escape(&outcome.set));
        let at = format!("<span class=\"soft\">{}</span>", escape(&outcome.at));
        let body = note(&outcome.note) + &Judged::new(&page.lineage, palette, outcome).table();
        out += &match outcome.shown {
            true => format!("<h3>{name} {at}</h3>{body}\n"),
            false => format!("<details><summary><b>{name}</b> {at}</summary>{body}</details>\n"),
        };
    }
    out
}

/// A paragraph of small print; nothing where there is nothing to say.
pub(super) fn note(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", prose(text)) }
}

impl<'a> Judged<'a> {
    fn new(lineage: &'a Lineage, palette: &'a Palette, outcome: &'a Outcome) -> Judged<'a> {
        let rows = &outcome.rows;
        let differences = || rows.iter().filter_map(|row| row.difference);
        let has = (
            rows.iter().any(|row| row.value.interval.is_some()),
            differences().next().is_some(),
            differences().any(|difference| difference.interval.is_some()),
        );
        let sizes = differences().flat_map(Ranged::all).chain(outcome.at_least).map(f64::abs);
        let reach = sizes.filter(|size| size.is_finite()).fold(0.0, f64::max) * 1.08;
        Judged { lineage, palette, outcome, has, reach: if reach > 0.0 { reach } else { 1.0 } }
    }

    fn table(&self) -> String {
        let rows: String = self.outcome.rows.iter().map(|row| self.row(row)).collect();
        format!(
            "<div class=\"scroll\"><table class=\"sortable\"><thead><tr>{}</tr></thead><tbody>{rows}</tbody></table></div>",
            self.heading()
        )
    }

    fn heading(&self) -> String {
        let outcome = self.outcome;
        let unit = match outcome.scale {
            Scale::Share => ", %".to_owned(),
            Scale::Number if outcome.unit.is_empty() => String::new(),
            Scale::Number => format!(", {}", escape(&outcome.unit)),
        };
        let points = if outcome.scale == Scale::Share { ", points" } else { "" };
        let reference = escape(self.lineage.reference().map_or("the reference", |branch| &branch.name));
        let ways = if outcome.higher_is_better { "worse \u{2190} \u{2192} better" } else { "better \u{2190} \u{2192} worse" };
        let interval = |has: bool| if has { "<th>95 % interval</th>" } else { "" };
        let mut out = format!("<th class=\"text\">branch</th><th>mean{unit}</th>{}", interval(self.has.0));
        if self.has.1 {
            out += &format!("<th>difference to {reference}{points}</th>{}", interval(self.has.2));
            out += &format!("<th class=\"middle\" data-fixed>{ways}</th>");
        }
        out + "<th>seeds</th><th class=\"text\">verdict</th>"
    }

    fn row(&self, row: &OutcomeRow) -> String {
        let scale = self.outcome.scale;
        let mut out = format!("<tr data-branch=\"{}\">{}", row.branch, branch_cell(self.lineage, row.branch));
        out += &number_cell(row.value.value, &scale.value(row.value.value));
        if self.has.0 {
            out += &interval_cell(Some(row.value), |value| scale.value(value));
        }
        if self.has.1 {
            let shown = |difference: Ranged| number_cell(difference.value, &scale.difference(difference.value));
            out += &row.difference.map_or(EMPTY.to_owned(), shown);
            if self.has.2 {
                out += &interval_cell(row.difference, |value| scale.difference(value));
            }
            out += &format!("<td>{}</td>", self.drawing(row));
        }
        out += &number_cell(row.seeds as f64, &row.seeds.to_string());
        let verdict = escape(&row.verdict);
        let verdict = match row.finding {
            Finding::Better => format!("<b>\u{25b2} {verdict}</b>"),
            Finding::Worse => format!("<b>\u{25bc} {verdict}</b>"),
            Finding::NoDifference => format!("= {verdict}"),
            Finding::UnderPowered => format!("? {verdict}"),
            Finding::Reference | Finding::NotJudged => verdict,
        };
        out + &format!("<td class=\"verdict\">{verdict}</td></tr>")
    }

    /// The difference with its interval beside no difference, and the size that the rule asks for.
    fn drawing(&self, row: &OutcomeRow) -> String {
        let (width, height) = CELL;
        let middle = height / 2.0;
        let x = |value: f64| width / 2.0 * (1.0 + (value / self.reach).clamp(-1.0, 1.0));
        let mut svg = Svg::new(self.palette, CELL, "the difference, drawn");
        svg.line((x(0.0), 0.0), (x(0.0), height), Stroke::of(Ink::Soft, 1.0));
        for limit in self.outcome.at_least.into_iter().flat_map(|limit| [-limit, limit]) {
            svg.line((x(limit), 0.0), (x(limit), height), Stroke::of(Ink::Trunk, 1.0).dashed("2 2"));
        }
        if let Some(difference) = row.difference.filter(|difference| difference.value.is_finite()) {
            let ink = Ink::Branch(row.branch);
            if let Some((low, high)) = difference.interval {
                svg.line((x(low), middle), (x(high), middle), Stroke::of(ink, 1.6));
            }
            svg.dot((x(difference.value), middle), 3.2, ink, "");
        }
        svg.finish()
    }
}

/// A cell without a value: sorted below all others.
const EMPTY: &str = "<td data-value=\"\"></td>";

pub(super) fn swatch(branch: usize) -> String {
    format!("<span class=\"swatch c{branch}\"></span>")
}

fn branch_cell(lineage: &Lineage, branch: usize) -> String {
    let is_reference = lineage.branches.get(branch).is_some_and(|branch| branch.reference);
    let more = if is_reference { " <span class=\"soft\">reference</span>" } else { "" };
    format!("<td class=\"text\" data-value=\"{branch}\">{}{}{more}</td>", swatch(branch), escape(lineage.name(branch)))
}

fn number_cell(value: f64, shown: &str) -> String {
    let value = if value.is_finite() { value.to_string() } else { String::new() };
    format!("<td data-value=\"{value}\">{}</td>", escape(shown))
}

fn interval_cell(value: Option<Ranged>, shown: impl Fn(f64) -> String) -> String {
    let Some((low, high)) = value.and_then(|value| value.interval) else { return EMPTY.to_owned() };
    let value = if low.is_finite() { low.to_string() } else { String::new() };
    format!("<td class=\"soft\" data-value=\"{value}\">{} to {}</td>", shown(low), shown(high))
}

pub(super) fn grid(lineage: &Lineage, grid: &Grid) -> String {
    let heading =
        |name: &str, is_text: bool| format!("<th{}>{}</th>", if is_text { " class=\"text\"" } else { "" }, escape(name));
    let headings: String = grid.columns.iter().map(|column| heading(&column.name, column.is_text)).collect();
    let row = |fields: &Vec<Field>| {
        let cells: String = fields.iter().map(|field| cell(lineage, field)).collect();
        format!("<tr>{cells}</tr>")
    };
    let rows: String = grid.rows.iter().map(row).collect();
    format!(
        "{}<div class=\"scroll\"><table class=\"sortable\"><thead><tr>{headings}</tr></thead>\
         <tbody>{rows}</tbody></table></div>",
        note(&grid.note)
    )
}

fn cell(lineage: &Lineage, field: &Field) -> String {
    match field {
        Field::Branch(branch) => branch_cell(lineage, *branch),
        Field::Text(text) => format!("<td class=\"text long\">{}</td>", prose(text)),
        Field::Step(step) => format!("<td data-value=\"{step}\">{}</td>", grouped(*step)),
        Field::Number(value, shown) => number_cell(*value, shown),
        Field::Empty => EMPTY.to_owned(),
    }
}

/// The numbers of a drawing by length.
pub(super) fn lengths(lineage: &Lineage, lengths: &Lengths) -> String {
    let headings: String = lengths.buckets.iter().map(|(name, _)| format!("<th>{}</th>", escape(name))).collect();
    let mut rows = String::new();
    for row in &lengths.rows {
        rows += &format!("<tr data-branch=\"{}\">{}", row.branch, branch_cell(lineage, row.branch));
        for value in &row.values {
            rows += &value.map_or(EMPTY.to_owned(), |value| number_cell(value.value, &lengths.scale.value(value.value)));
        }
        rows += "</tr>";
    }
    format!(
        "<details><summary>as a table</summary><div class=\"scroll\"><table class=\"sortable\"><thead><tr>\
         <th class=\"text\">branch</th>{headings}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
}

pub(super) fn settings(lineage: &Lineage, settings: &[Setting]) -> String {
    let mut rows = String::new();
    for setting in settings {
        for (index, (value, branches)) in setting.values.iter().enumerate() {
            let name = if index == 0 { escape(&setting.name) } else { String::new() };
            rows += &format!(
                "<tr><td class=\"text\">{name}</td><td class=\"text long\">{}</td><td class=\"text long\">{}</td></tr>",
                escape(value),
                who(lineage, branches)
            );
        }
    }
    format!(
        "<div class=\"scroll\"><table><thead><tr><th class=\"text\">setting</th><th class=\"text\">value</th>\
         <th class=\"text\">branches</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// Branches by name; many are folded behind their number.
fn who(lineage: &Lineage, branches: &[usize]) -> String {
    let one = |branch: &usize| format!("<span class=\"who\">{}{}</span>", swatch(*branch), escape(lineage.name(*branch)));
    let all = branches.iter().map(one).collect::<Vec<_>>().join(" ");
    match branches.len() > MOST_NAMES {
        true => format!("<details><summary>{} branches</summary>{all}</details>", branches.len()),
        false => all,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_verdict_stands_with_its_evidence() {
        let page = testing::page(3, &[1, 2, 3]);
        let table = outcomes(&page, &Palette::of(&page.lineage));
        assert!(table.contains("<h3>token accuracy, hard <span class=\"soft\">at step 1,600</span></h3>"), "{table}");
        assert!(table.contains("<td data-value=\"0.01\">+1.0</td>"), "{table}");
        assert!(table.contains(">+0.5 to +1.5</td>") && table.contains("<b>\u{25b2} better</b>"), "{table}");
        assert!(table.contains("<th>difference to branch_2, points</th>"), "{table}");
        assert_eq!(table.matches("<svg").count(), 3);
    }

    #[test]
    fn without_differences_there_is_no_column_for_them() {
        let mut page = testing::page(2, &[1]);
        page.outcomes[0].rows.iter_mut().for_each(|row| row.difference = None);
        let table = outcomes(&page, &Palette::of(&page.lineage));
        assert!(!table.contains("difference to") && !table.contains("<svg"), "{table}");
    }

    #[test]
    fn many_branches_of_one_setting_are_folded() {
        let lineage = testing::lineage(9, &[1]);
        let shown = |count: usize| {
            settings(&lineage, &[Setting { name: "batch".into(), values: vec![("8".into(), (0..count).collect())] }])
        };
        assert!(!shown(6).contains("<details>") && shown(6).contains("branch_5"));
        let folded = shown(9);
        assert!(folded.contains("<details><summary>9 branches</summary>") && folded.contains("branch_8"), "{folded}");
    }

    #[test]
    fn fields_are_sorted_by_what_they_mean() {
        let lineage = testing::lineage(2, &[1]);
        let cells = [
            Field::Branch(1),
            Field::Text("<b>".into()),
            Field::Step(12_000),
            Field::Number(f64::NAN, "not finite".into()),
            Field::Empty,
        ];
        let shown = cells.map(|field| cell(&lineage, &field)).concat();
        assert!(shown.contains("data-value=\"1\"") && shown.contains("reference"), "{shown}");
        assert!(shown.contains("&lt;b&gt;") && shown.contains("<td data-value=\"12000\">12,000</td>"), "{shown}");
        assert!(shown.ends_with("<td data-value=\"\">not finite</td><td data-value=\"\"></td>"), "{shown}");
    }
}
