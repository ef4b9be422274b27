//! A comparison as text: the conclusion first, then how the branches part, then the tables.

use super::compare::Comparison;
use super::numbers::grouped;
use super::prose::{MOST_NAMES, listed};
use super::scores::SetScores;
use super::style::{Look, Style, columns};
use super::text_tables as tables;
use crate::record::Weights;

/// What tables stand behind.
const TABLE_INDENT: &str = "  ";

/// The whole comparison. Where the style knows a width, lines are wrapped at it, between 80 and 160 columns.
pub fn text(comparison: &Comparison, question: Option<&str>, style: Style) -> String {
    let width = style.width.map(|width| width.clamp(80, 160));
    let table_style = Style { width: width.map(|width| width - TABLE_INDENT.len()), ..style };
    let mut page = Page { out: String::from("\n"), style: Style { width, ..style }, table_style };
    head(&mut page, comparison, question);
    comparison.sets.iter().for_each(|set| set_page(&mut page, comparison, set));
    if let Some(equal) = &comparison.equal_samples {
        let steps = equal.steps.iter().map(|(branch, step)| format!("{branch} at step {}", grouped(*step)));
        let steps = listed(&steps.collect::<Vec<_>>(), "branches, each at a step of its own");
        page.heading(&format!("at equal samples: {} seen ({steps})", grouped(equal.samples)));
        equal.sets.iter().for_each(|set| scores(&mut page, comparison, set));
    }
    if let Some(sweep) = &comparison.sweep {
        for curve in &sweep.curves {
            page.heading(&tables::sweep_title(sweep, curve));
            page.table(tables::sweep(curve, table_style));
        }
        sweep.clamped().iter().for_each(|clamped| page.lines(clamped, "  ", Look::Faint));
    }
    if let Some(first) = comparison.jumps.first() {
        page.heading(&tables::jumps_title(first));
        page.table(tables::jumps(comparison, &first.set, table_style));
    }
    if comparison.stability.iter().any(|found| found.logged > 0) {
        page.heading("spikes: logged steps more than 6 median absolute deviations above those before");
        page.table(tables::stability(comparison, table_style));
    }
    tail(&mut page, comparison);
    page.out
}

/// What has been written so far.
struct Page {
    out: String,
    style: Style,
    table_style: Style,
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.lines(text, "", Look::Heading);
    }

    /// A text, wrapped between words where the width is known; what follows on is indented further.
    fn lines(&mut self, text: &str, indent: &str, look: Look) {
        for (number, line) in wrapped(text, self.style.width, indent).into_iter().enumerate() {
            let deeper = if number == 0 { "" } else { "  " };
            self.out += &format!("{indent}{deeper}{}\n", self.style.paint(look, &line));
        }
    }

    fn table(&mut self, text: String) {
        text.lines().for_each(|line| self.out += &format!("{TABLE_INDENT}{line}\n"));
    }
}

fn head(page: &mut Page, comparison: &Comparison, question: Option<&str>) {
    let question = question.map_or(String::new(), |question| format!(": {question}"));
    page.lines(&format!("{}{question}", comparison.experiment), "", Look::Plain);
    page.lines(&comparison.conclusion.line, "", Look::Heading);
    if let Some(change) = &comparison.conclusion.rule_change {
        page.lines(&format!("note: {change}"), "", Look::Doubtful);
    }
    page.out.push('\n');
    for head in comparison.heads.iter().take(MOST_NAMES) {
        let text = format!("{} against {}: {}", head.branch, comparison.reference, head.difference);
        text.lines().for_each(|line| page.lines(line, "", Look::Plain));
    }
    let more = comparison.heads.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        page.lines(&format!("and {more} more branches, whose settings are in comparison.csv"), "", Look::Faint);
    }
    let step = comparison.step.map_or("no common step".to_owned(), |step| format!("step {}", grouped(step)));
    let what = if comparison.seed_list.iter().all(Option::is_none) { "replicate" } else { "seed" };
    let plural = if comparison.seeds == 1 { "" } else { "s" };
    let text = format!("at {step}, {} {what}{plural}; mean ± deviation over the seeds", comparison.seeds);
    page.lines(&text, "", Look::Plain);
}

fn set_page(page: &mut Page, comparison: &Comparison, set: &SetScores) {
    scores(page, comparison, set);
    page.table(tables::by_length(set, page.table_style));
    if let Some(progress) = comparison.progress.iter().find(|progress| progress.set == set.set) {
        page.table(tables::progress(progress, page.table_style));
    }
    if set.branches.iter().any(|branch| !branch.same_spectra.is_empty()) {
        let text = "the same spectra under both: about these networks and these spectra, not about training again";
        page.lines(text, "  ", Look::Faint);
        page.table(tables::same_spectra(set, page.table_style));
    }
}

fn scores(page: &mut Page, comparison: &Comparison, set: &SetScores) {
    let weights = match set.weights {
        Weights::Raw => "raw weights",
        Weights::Averaged => "averaged weights",
    };
    page.heading(&format!("{} ({} spectra, {weights})", set.set, set.spectra));
    let commonest = set.commonest_residue * 100.0;
    let mut text = format!("without looking: {commonest:.1} % of the tokens by always answering the commonest residue");
    if let Some(frequency) = set.frequency_cross_entropy {
        text += &format!(", cross-entropy {frequency:.3} by the frequencies of residues and lengths in training");
    }
    page.lines(&text, "  ", Look::Faint);
    page.table(tables::scores(set, page.table_style));
    for metric in tables::main_metrics(comparison, set) {
        if set.branches.iter().any(|branch| branch.differences.contains_key(&metric)) {
            page.lines(&tables::differences_title(comparison, set, &metric), "  ", Look::Plain);
            page.table(tables::differences(set, &metric, page.table_style));
        }
    }
}

fn tail(page: &mut Page, comparison: &Comparison) {
    if !comparison.settings_that_differ.is_empty() {
        page.out.push('\n');
        page.lines(&format!("the branches differ in: {}", comparison.settings_that_differ.join(", ")), "", Look::Plain);
    }
    comparison.remarks.iter().for_each(|remark| page.lines(&format!("note: {remark}"), "", Look::Plain));
}

/// The text in lines that fit beside their indent.
fn wrapped(text: &str, width: Option<usize>, indent: &str) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    // Leading spaces say what a line belongs to.
    let leading: String = text.chars().take_while(|c| *c == ' ').collect();
    let room = width.saturating_sub(columns(indent) + 2).max(20);
    let mut lines = vec![leading];
    let mut is_new = true;
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| columns(line));
        if !is_new && last + 1 + columns(word) > room {
            lines.push(word.to_owned());
        } else if let Some(line) = lines.last_mut() {
            *line += &if is_new { word.to_owned() } else { format!(" {word}") };
        }
        is_new = false;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words() {
        let text = "  one two three four five six seven";
        assert_eq!(wrapped(text, None, ""), [text]);
        let lines = wrapped(text, Some(24), "");
        assert_eq!(lines, ["  one two three four", "five six seven"]);
        assert_eq!(wrapped("", Some(80), ""), [""]);
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long, Some(80), ""), [long]);
    }
}
