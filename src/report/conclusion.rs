//! One line that says what follows, and the rule that led to it.

use serde::Serialize;

use super::measure;
use super::prose::{MOST_NAMES, listed};
use super::scores::{BranchScores, SetScores};
use super::statistics::{Estimate, Judgement};
use crate::spec::Decide;

/// What follows from a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conclusion {
    /// One line for people, the rule in it.
    pub line: String,
    /// The rule that decides: the one that stood when training began.
    pub rule: Option<Decide>,
    /// What was written instead since then.
    pub rule_change: Option<String>,
    pub settled: Settled,
}

/// Whether a rule came to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// There is no rule.
    NoRule,
    Decided,
    Inconclusive,
}

/// The rule that decides. `frozen` is what stood in the experiment when training began, where it has begun.
pub fn ruling<'a>(frozen: Option<Option<&'a Decide>>, now: Option<&'a Decide>) -> Option<&'a Decide> {
    frozen.flatten().or(now)
}

/// How the rule was edited since training began, as people read it; nothing where it was not.
pub fn rule_change(frozen: Option<&Decide>, now: Option<&Decide>) -> Option<String> {
    match (frozen, now) {
        (Some(before), Some(now)) if before != now => {
            Some(format!("the rule was `{before}` when training began; it is `{now}` now: the first one decides"))
        }
        (Some(before), None) => {
            Some(format!("the rule was `{before}` when training began; there is none now: the first one decides"))
        }
        (None, Some(now)) => {
            Some(format!("there was no rule when training began; it is `{now}` now, written with results in sight"))
        }
        _ => None,
    }
}

/// Who is compared with whom, and what they are called in a conclusion.
pub(super) struct Parties<'a> {
    pub reference: &'a str,
    /// Of a branch: `the curriculum of early, which differs in 7 settings`, or, where one setting differs, that setting.
    pub described: &'a dyn Fn(&str) -> String,
    pub sets: &'a [SetScores],
    pub paired: bool,
    pub seeds: usize,
}

/// The conclusion by a rule, or, where there is none, what the last set's token accuracy says.
pub(super) fn conclude(parties: &Parties<'_>, rule: Option<&Decide>, rule_change: Option<String>) -> Conclusion {
    let (line, settled) = match rule {
        Some(rule) => {
            let (line, settled) = by_rule(parties, rule);
            (format!("{line} (rule: {rule})"), settled)
        }
        None => (without_rule(parties), Settled::NoRule),
    };
    Conclusion { line, rule: rule.cloned(), rule_change, settled }
}

fn by_rule(parties: &Parties<'_>, rule: &Decide) -> (String, Settled) {
    let (name, metric) = rule.parts();
    let Some(set) = parties.sets.iter().find(|set| set.set == name) else {
        return (format!("inconclusive: there are no scores on `{name}` yet"), Settled::Inconclusive);
    };
    if let Some(why) = no_verdict(parties) {
        return (format!("inconclusive: {why}"), Settled::Inconclusive);
    }
    let known = judged(set, metric);
    let matters = |(_, estimate): &&(&BranchScores, &Estimate)| {
        estimate.judgement == Some(Judgement::Better) && estimate.mean >= rule.at_least
    };
    let best = known.iter().filter(matters).max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    if let Some((branch, estimate)) = best {
        let against = sentence(parties, branch, estimate, set, metric);
        return (against + &undecided_besides(&known), Settled::Decided);
    }
    let open: Vec<&(&BranchScores, &Estimate)> = known.iter().filter(|(_, estimate)| is_open(estimate)).collect();
    match open.first() {
        Some((branch, estimate)) => {
            let text = sentence(parties, branch, estimate, set, metric);
            let others = if open.len() > 1 { format!("; {} more branches are as open", open.len() - 1) } else { String::new() };
            (format!("inconclusive: {text}{others}"), Settled::Inconclusive)
        }
        None => (nothing_better(parties, &known, set, metric), Settled::Decided),
    }
}

/// Every branch was judged, and none is better by as much as matters.
fn nothing_better(parties: &Parties<'_>, known: &[(&BranchScores, &Estimate)], set: &SetScores, metric: &str) -> String {
    let reference = parties.reference;
    match known {
        [] => format!("nothing is compared with `{reference}`"),
        [(branch, estimate)] => {
            let too_little = match estimate.judgement {
                Some(Judgement::Better) => ", less than what matters",
                _ => "",
            };
            format!("{}{too_little}: `{reference}` stays", sentence(parties, branch, estimate, set, metric))
        }
        several => {
            let count = several.len();
            let words = measure::words(metric);
            format!("none of {count} branches is better than `{reference}` by as much as matters: {words} on `{}`", set.set)
        }
    }
}

/// Under a rule that has a winner: what of the other branches is not known.
fn undecided_besides(known: &[(&BranchScores, &Estimate)]) -> String {
    let open: Vec<String> =
        known.iter().filter(|(_, estimate)| is_open(estimate)).map(|(branch, _)| format!("`{}`", branch.branch)).collect();
    if open.is_empty() { String::new() } else { format!("; not decided: {}", listed(&open, "branches")) }
}

fn is_open(estimate: &Estimate) -> bool {
    matches!(estimate.judgement, None | Some(Judgement::UnderPowered { .. }))
}

fn without_rule(parties: &Parties<'_>) -> String {
    let Some(set) = parties.sets.last() else { return "nothing to compare yet".into() };
    let metric = "token_accuracy";
    let known = judged(set, metric);
    if known.is_empty() || parties.seeds == 0 {
        return no_verdict(parties).map_or("nothing to compare".to_owned(), |why| format!("no verdict: {why}"));
    }
    if let Some(why) = no_verdict(parties) {
        return format!("no verdict: {why}");
    }
    match &known[..] {
        [(branch, estimate)] => sentence(parties, branch, estimate, set, metric),
        several => {
            let words = |(branch, estimate): &(&BranchScores, &Estimate)| format!("`{}` {}", branch.branch, verdict(estimate));
            let listed = several.iter().take(MOST_NAMES).map(words).collect::<Vec<_>>().join(", ");
            let hidden = several.len().saturating_sub(MOST_NAMES);
            let more = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
            format!("against `{}`, token accuracy on `{}`: {listed}{more}", parties.reference, set.set)
        }
    }
}

/// Why there are numbers only.
fn no_verdict(parties: &Parties<'_>) -> Option<String> {
    if !parties.paired {
        return Some("the leaves are not paired".into());
    }
    let fewest = super::statistics::FEWEST_SEEDS;
    let differ = |set: &SetScores| set.branches.iter().flat_map(|b| b.differences.values()).any(|e| !e.is_same_training);
    if parties.seeds < fewest && parties.sets.iter().any(differ) {
        let plural = if parties.seeds == 1 { "" } else { "s" };
        return Some(format!("{} seed{plural}, and a verdict takes {fewest} or more", parties.seeds));
    }
    None
}

/// Branches with their differences, in the order of the file.
fn judged<'a>(set: &'a SetScores, metric: &str) -> Vec<(&'a BranchScores, &'a Estimate)> {
    set.branches.iter().filter_map(|branch| Some((branch, branch.differences.get(metric)?))).collect()
}

/// `better`, or why two leaves cannot differ.
pub(super) fn verdict(estimate: &Estimate) -> String {
    match estimate.judgement {
        _ if estimate.is_same_training => "no detectable difference (the same training)".into(),
        Some(judgement) => judgement.to_string(),
        None => "numbers only".into(),
    }
}

/// One branch against the reference, with the numbers.
fn sentence(parties: &Parties<'_>, branch: &BranchScores, estimate: &Estimate, set: &SetScores, metric: &str) -> String {
    let (who, reference) = ((parties.described)(&branch.branch), parties.reference);
    let on = format!("{} on `{}`", measure::words(metric), set.set);
    if estimate.is_same_training {
        return format!("no detectable difference: `{}` and `{reference}` are the same training, {on}", branch.branch);
    }
    let claim = match estimate.judgement {
        Some(Judgement::Better) => format!("{who} is better than `{reference}`"),
        Some(Judgement::Worse) => format!("{who} is worse than `{reference}`"),
        Some(Judgement::NoDetectableDifference) => format!("no detectable difference between {who} and `{reference}`"),
        Some(judgement) => return format!("{who} against `{reference}`: {on} {}: {judgement}", numbers(estimate, metric)),
        None => format!("{who} against `{reference}`"),
    };
    format!("{claim}: {on} {}", numbers(estimate, metric))
}

/// `+2.30 points (95 %: +1.10 to +3.50; 5 seeds)`.
fn numbers(estimate: &Estimate, metric: &str) -> String {
    let signed = |value: f64| measure::signed(metric, value);
    let seeds = estimate.seeds();
    let plural = if seeds == 1 { "" } else { "s" };
    let interval =
        estimate.simultaneous.map_or(String::new(), |(low, high)| format!("95 %: {} to {}; ", signed(low), signed(high)));
    format!("{} {} ({interval}{seeds} seed{plural})", signed(estimate.mean), measure::unit(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(metric: &str, at_least: f64) -> Decide {
        Decide { metric: metric.into(), at_least }
    }

    #[test]
    fn the_rule_of_the_beginning_decides_and_edits_are_said() {
        let (first, second) = (rule("hard/peptide_precision", 0.01), rule("hard/peptide_precision", 0.001));
        assert_eq!(rule_change(Some(&first), Some(&first)), None);
        assert_eq!(rule_change(None, None), None);
        assert_eq!(
            rule_change(Some(&first), Some(&second)).unwrap(),
            "the rule was `hard/peptide_precision, at least 0.01` when training began; \
             it is `hard/peptide_precision, at least 0.001` now: the first one decides"
        );
        assert!(rule_change(None, Some(&second)).unwrap().contains("with results in sight"));
        assert!(rule_change(Some(&first), None).unwrap().contains("there is none now"));
        assert_eq!(ruling(Some(Some(&first)), Some(&second)), Some(&first));
        assert_eq!(ruling(Some(None), Some(&second)), Some(&second));
        assert_eq!(ruling(None, Some(&second)), Some(&second));
    }
}
