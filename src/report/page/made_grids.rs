//! The further tables of a page: jumps, instability, milestones.

use super::{Column, Field, Grid};
use crate::report::{Comparison, Lasting, Stability};

fn columns(names: &[(&str, bool)]) -> Vec<Column> {
    names.iter().map(|(name, is_text)| Column { name: (*name).into(), is_text: *is_text }).collect()
}

fn number(value: f64) -> Field {
    Field::Number(value, format!("{value:+.4}"))
}

pub(super) fn jumps(comparison: &Comparison, branch: &dyn Fn(&str) -> usize) -> Grid {
    let mut rows = Vec::new();
    for jump in &comparison.jumps {
        for (loss, term) in &jump.terms {
            let lasts = match term.lasts {
                Lasting::Steps(steps) => Field::Step(steps),
                Lasting::NotWithinTheStage => Field::Text(term.lasts.to_string()),
            };
            rows.push(vec![
                Field::Branch(branch(&jump.branch)),
                jump.seed.map_or(Field::Empty, Field::Step),
                Field::Text(jump.set.clone()),
                Field::Step(jump.step),
                Field::Text(loss.to_string()),
                number(term.weighted),
                number(term.by_weight),
                number(term.raw),
                Field::Step(term.highest_after),
                lasts,
            ]);
        }
    }
    Grid {
        title: "Jumps at stage edges".into(),
        short: "Jumps".into(),
        note: "the highest value until the next edge minus the one at the edge, on the same spectra with the same raw weights but for \
               their training; back is within 1 % of the level at the edge"
            .into(),
        columns: columns(&[
            ("branch", true),
            ("seed", false),
            ("set", true),
            ("step", false),
            ("term", true),
            ("weight × value", false),
            ("by the weight alone", false),
            ("raw value", false),
            ("highest after, steps", false),
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
