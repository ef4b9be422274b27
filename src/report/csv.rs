//! A comparison as CSV (RFC 4180): one number a line, in long form, everything that is shown.

use super::compare::Comparison;
use super::jumps::{Jump, Lasting};
use super::onsets::Begun;
use super::progress::SetProgress;
use super::scores::{BranchScores, SetScores};
use super::statistics::Estimate;
use super::sweep::{Curve, SweepPoint};

const COLUMNS: [&str; 11] = ["section", "branch", "seed", "set", "metric", "step", "value", "low", "high", "seeds", "text"];

/// One line; what is not known stays empty.
#[derive(Clone, Debug, Default)]
struct Line {
    section: &'static str,
    branch: String,
    seed: Option<u64>,
    set: String,
    metric: String,
    step: Option<u64>,
    value: Option<f64>,
    /// Two-sided 95 %.
    low: Option<f64>,
    high: Option<f64>,
    seeds: Option<usize>,
    text: String,
}

/// The comparison as the text of a CSV file.
pub fn csv(comparison: &Comparison) -> String {
    let mut lines = vec![conclusion(comparison)];
    lines.extend(comparison.heads.iter().map(|head| Line {
        section: "difference of settings",
        branch: head.branch.clone(),
        step: head.difference.identical_to,
        text: head.difference.to_string(),
        ..Line::default()
    }));
    let at = |_: &str| comparison.step;
    comparison.sets.iter().for_each(|set| scores(&mut lines, "", set, &comparison.seed_list, &at));
    if let Some(equal) = &comparison.equal_samples {
        let at = |branch: &str| equal.steps.get(branch).copied();
        equal.sets.iter().for_each(|set| scores(&mut lines, "at equal samples", set, &comparison.seed_list, &at));
    }
    comparison.progress.iter().for_each(|set| progress(&mut lines, set, &comparison.seed_list));
    comparison.sweep.iter().flat_map(|sweep| &sweep.curves).for_each(|curve| response(&mut lines, curve));
    comparison.jumps.iter().for_each(|found| jump(&mut lines, found));
    for found in &comparison.stability {
        let line = |metric: &str, value: f64| Line {
            section: "stability",
            branch: found.branch.clone(),
            seed: found.seed,
            metric: metric.into(),
            value: Some(value),
            ..Line::default()
        };
        lines.push(line("logged steps", found.logged as f64));
        lines.push(line("gradient spikes", found.gradient_spikes as f64));
        lines.push(line("loss spikes", found.loss_spikes as f64));
        lines.push(line("spikes per thousand", found.per_thousand));
    }
    let notes = [("setting that differs", &comparison.settings_that_differ), ("remark", &comparison.remarks)];
    for (section, texts) in notes {
        lines.extend(texts.iter().map(|text| Line { section, text: text.clone(), ..Line::default() }));
    }
    let rows = lines.iter().map(Line::written);
    std::iter::once(COLUMNS.join(",")).chain(rows).map(|row| row + "\r\n").collect()
}

fn conclusion(comparison: &Comparison) -> Line {
    Line {
        section: "conclusion",
        branch: comparison.reference.clone(),
        step: comparison.step,
        seeds: Some(comparison.seeds),
        text: comparison.conclusion.line.clone(),
        ..Line::default()
    }
}

type StepOf<'s> = &'s dyn Fn(&str) -> Option<u64>;

/// Values, differences and the same spectra of one set. `when` tells sections apart.
fn scores(lines: &mut Vec<Line>, when: &str, set: &SetScores, seeds: &[Option<u64>], step: StepOf<'_>) {
    let base = |section: &'static str, branch: &str, metric: &str| Line {
        section,
        branch: branch.into(),
        set: set.set.clone(),
        metric: metric.into(),
        step: step(branch),
        text: when.into(),
        ..Line::default()
    };
    let floors = [("commonest residue", Some(set.commonest_residue)), ("frequencies", set.frequency_cross_entropy)];
    lines.extend(floors.into_iter().map(|(metric, value)| Line { value, ..base("without looking", "", metric) }));
    for (metric, band) in &set.null_bands {
        lines.push(Line { low: Some(-band), high: Some(*band), value: Some(0.0), ..base("null band", "", metric) });
    }
    for branch in &set.branches {
        for (metric, spread) in &branch.metrics {
            let each = spread.values.iter().zip(seeds);
            let own = || base("score", &branch.branch, metric);
            lines.extend(each.map(|(value, seed)| Line { seed: *seed, value: Some(*value), ..own() }));
            lines.push(Line { value: Some(spread.mean), seeds: Some(spread.values.len()), ..own() });
        }
        for (bucket, accuracy) in &branch.by_length {
            lines.push(Line { value: Some(*accuracy), ..base("token accuracy by length", &branch.branch, bucket) });
        }
        for (metric, estimate) in &branch.differences {
            difference(lines, || base("difference", &branch.branch, metric), estimate, seeds);
        }
        same_spectra(lines, branch, &base);
    }
}

/// Each seed's difference, then the mean with its intervals; the verdict is the text.
fn difference(lines: &mut Vec<Line>, base: impl Fn() -> Line, estimate: &Estimate, seeds: &[Option<u64>]) {
    let each = estimate.differences.iter().zip(seeds);
    lines.extend(each.map(|(value, seed)| Line { seed: *seed, value: Some(*value), ..base() }));
    let mean = |section: &'static str, interval: Option<(f64, f64)>, text: String| Line {
        section,
        value: Some(estimate.mean),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        seeds: Some(estimate.seeds()),
        text,
        ..base()
    };
    lines.push(mean("mean difference", estimate.interval, base().text));
    lines.push(mean("mean difference of all at once", estimate.simultaneous, base().text));
    lines.push(mean("verdict", estimate.simultaneous, super::conclusion::verdict(estimate)));
    lines.push(Line { section: "corrected p", value: estimate.p, seeds: Some(estimate.seeds()), ..base() });
}

fn same_spectra(lines: &mut Vec<Line>, branch: &BranchScores, base: &dyn Fn(&'static str, &str, &str) -> Line) {
    for pair in &branch.same_spectra {
        let line = |metric: &str, value: f64| Line {
            seed: pair.seed,
            value: Some(value),
            ..base("same spectra", &branch.branch, metric)
        };
        lines.push(Line {
            low: Some(pair.interval.0),
            high: Some(pair.interval.1),
            ..line("difference of right peptides", pair.difference)
        });
        let counts = [
            ("both right", pair.both),
            ("only the branch right", pair.only_branch),
            ("only the reference right", pair.only_reference),
            ("neither right", pair.neither),
            ("more right residues", pair.more_residues),
            ("fewer right residues", pair.fewer_residues),
        ];
        lines.extend(counts.map(|(metric, count)| line(metric, count as f64)));
    }
}

fn progress(lines: &mut Vec<Line>, set: &SetProgress, seeds: &[Option<u64>]) {
    for branch in &set.branches {
        let base = |section: &'static str, metric: &str| Line {
            section,
            branch: branch.branch.clone(),
            set: set.set.clone(),
            metric: metric.into(),
            ..Line::default()
        };
        let each = branch.best.values.iter().zip(&branch.best_steps).zip(seeds);
        lines.extend(each.map(|((value, step), seed)| Line {
            seed: *seed,
            step: Some(*step),
            value: Some(*value),
            ..base("best", "token_accuracy")
        }));
        let buckets = branch.best_by_length.iter();
        lines.extend(buckets.map(|(name, value)| Line { value: Some(*value), ..base("best by length", name) }));
        for milestone in &branch.milestones {
            let metric = format!("{:.0} % token accuracy", milestone.accuracy * 100.0);
            let reached = Some(milestone.steps.len());
            lines.push(Line { value: milestone.median, seeds: reached, ..base("steps to reach (median)", &metric) });
        }
    }
}

fn response(lines: &mut Vec<Line>, curve: &Curve) {
    let all = curve.points.iter().flat_map(|point| point.onset.branches.iter().map(move |begun| (point, begun)));
    lines.extend(all.map(|(point, begun)| Line {
        section: "sweep",
        branch: begun.branch.clone(),
        set: curve.set.clone(),
        metric: curve.metric.clone(),
        step: point.onset.to,
        value: Some(point.mean),
        low: point.interval.map(|(low, _)| low),
        high: point.interval.map(|(_, high)| high),
        text: place(point, begun),
        ..Line::default()
    }));
}

/// What is to be known of a branch's place on the curve; nothing where it stands alone where it was written.
fn place(point: &SweepPoint, begun: &Begun) -> String {
    let first = &point.onset.branches[0].branch;
    let reference = point.is_reference.then(|| "reference".to_owned());
    let written = begun.written.map(|written| format!("written {written}, clamped by the fork"));
    let same = (begun.branch != *first).then(|| format!("the same training as {first}"));
    [reference, written, same].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn jump(lines: &mut Vec<Line>, jump: &Jump) {
    let line = |metric: String, value: Option<f64>| Line {
        section: "jump",
        branch: jump.branch.clone(),
        seed: jump.seed,
        set: jump.set.clone(),
        metric,
        step: Some(jump.step),
        value,
        ..Line::default()
    };
    lines.push(line("weighted sum".into(), Some(jump.total)));
    for (loss, term) in &jump.terms {
        lines.push(line(format!("{loss} weighted"), Some(term.weighted)));
        lines.push(line(format!("{loss} by its weight alone"), Some(term.by_weight)));
        lines.push(line(format!("{loss} raw"), Some(term.raw)));
        lines.push(line(format!("{loss} raw highest after, steps"), Some(term.highest_after as f64)));
        let steps = match term.lasts {
            Lasting::Steps(steps) => Some(steps as f64),
            Lasting::NotWithinTheStage | Lasting::NotYet => None,
        };
        lines.push(Line { text: term.lasts.to_string(), ..line(format!("{loss} raw lasts, steps"), steps) });
    }
}

impl Line {
    fn written(&self) -> String {
        let whole = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
        // JSON and CSV readers know no infinities: what is not finite stays empty.
        let number =
            |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(String::new(), |value| value.to_string());
        let cells = [
            self.section.to_owned(),
            self.branch.clone(),
            whole(self.seed),
            self.set.clone(),
            self.metric.clone(),
            whole(self.step),
            number(self.value),
            number(self.low),
            number(self.high),
            self.seeds.map_or(String::new(), |seeds| seeds.to_string()),
            self.text.clone(),
        ];
        cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",")
    }
}

/// In quotes where it holds a comma, a quote or the end of a line; quotes are doubled.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("he said \"no\""), "\"he said \"\"no\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
        assert_eq!(quoted(""), "");
    }

    #[test]
    fn a_line_has_a_cell_for_every_column() {
        let line = Line {
            section: "score",
            branch: "a".into(),
            seed: Some(3),
            metric: "token_accuracy".into(),
            value: Some(0.25),
            low: Some(f64::NAN),
            text: "x, y".into(),
            ..Line::default()
        };
        assert_eq!(line.written(), "score,a,3,,token_accuracy,,0.25,,,,\"x, y\"");
        assert_eq!(Line::default().written().matches(',').count(), COLUMNS.len() - 1);
    }
}
