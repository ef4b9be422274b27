//! The further tables of a page: jumps, instability, milestones.

use super::{Column, Field, Grid};
use crate::report::jumps::{by_edge, typical};
use crate::report::statistics::mean;
use crate::report::{Comparison, Lasting, Stability, TermJump};
use crate::task::loss::Loss;

fn columns(names: &[(&str, bool)]) -> Vec<Column> {
    names.iter().map(|(name, is_text)| Column { name: (*name).into(), is_text: *is_text }).collect()
}

fn number(value: f64) -> Field {
    Field::Number(value, format!("{value:+.4}"))
}

pub(super) fn jumps(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let mut rows = Vec::new();
    for group in by_edge(&comparison.jumps) {
        let first = group[0];
        for loss in Loss::ALL {
            let terms: Vec<&TermJump> = group.iter().filter_map(|jump| jump.terms.get(&loss)).collect();
            let Some(lasts) = typical(&terms) else { continue };
            let over_seeds =
                |value: fn(&TermJump) -> f64| number(mean(&terms.iter().map(|term| value(term)).collect::<Vec<_>>()));
            rows.push(vec![
                Field::Branch(branch(&first.branch)),
                Field::Text(first.set.clone()),
                Field::Step(first.step),
                Field::Text(loss.to_string()),
                over_seeds(|term| term.weighted),
                over_seeds(|term| term.by_weight),
                over_seeds(|term| term.raw),
                match lasts {
                    Lasting::Steps(steps) => Field::Step(steps),
                    Lasting::NotWithinTheStage | Lasting::NotYet => Field::Text(lasts.to_string()),
                },
            ]);
        }
    }
    Grid {
        title: "Jumps at stage edges".into(),
        short: "Jumps".into(),
        note:
            "mean over the seeds: the highest value until the next edge minus the one at the edge, on the same spectra, with \
               the weights as the optimizer left them; it lasts until it is back within 1 % of its level at the edge"
                .into(),
        columns: columns(&[
            ("branch", true),
            ("set", true),
            ("step", false),
            ("term", true),
            ("weight × value", false),
            ("by the weight alone", false),
            ("raw value", false),
            ("lasts, steps", false),
        ]),
        rows,
    }
}

pub(super) fn stability(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let row = |found: &Stability| {
        vec![
            Field::Branch(branch(&found.branch)),
            found.seed.map_or(Field::Empty, Field::Step),
            Field::Step(found.logged as u64),
            Field::Step(found.gradient_spikes as u64),
            Field::Step(found.loss_spikes as u64),
            Field::Number(found.per_thousand, format!("{:.1}", found.per_thousand)),
        ]
    };
    Grid {
        title: "Instability".into(),
        short: "Instability".into(),
        note: "logged steps whose gradient norm or cross-entropy lies far above its surroundings".into(),
        columns: columns(&[
            ("branch", true),
            ("seed", false),
            ("logged steps", false),
            ("gradient spikes", false),
            ("loss spikes", false),
            ("in 1,000 steps", false),
        ]),
        rows: comparison.stability.iter().map(row).collect(),
    }
}

pub(super) fn milestones(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let mut rows = Vec::new();
    for set in &comparison.progress {
        for found in &set.branches {
            for milestone in found.milestones.iter().filter(|milestone| !milestone.steps.is_empty()) {
                rows.push(vec![
                    Field::Text(set.set.clone()),
                    Field::Branch(branch(&found.branch)),
                    Field::Number(milestone.accuracy, format!("{:.0} %", milestone.accuracy * 100.0)),
                    milestone.median.map_or(Field::Text("not by half the seeds".into()), |step| Field::Step(step as u64)),
                    Field::Step(milestone.steps.len() as u64),
                ]);
            }
        }
    }
    Grid {
        title: "Steps to reach an accuracy".into(),
        short: "Milestones".into(),
        note: "first evaluated step at or above a token accuracy, median over the seeds".into(),
        columns: columns(&[
            ("set", true),
            ("branch", true),
            ("token accuracy", false),
            ("step", false),
            ("seeds that came there", false),
        ]),
        rows,
    }
}
