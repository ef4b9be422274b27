//! The figures of a page.

use super::lineage::Lineage;
use super::made::Told;
use super::{Detail, Figure, Heading, Points, Scale, Shape};
use crate::record::MetricsRow;
use crate::report::{LeafRecords, judged_metrics, measure, t_quantile};
use crate::spec::Decide;
use crate::task::loss::Loss;

/// A curve of every leaf: values by step, from its rows.
type Curve<'a> = Box<dyn Fn(&MetricsRow) -> Option<f64> + 'a>;

/// The curves of everything that was logged and evaluated, as one figure each.
pub(super) fn figures(told: &Told<'_>, lineage: &Lineage) -> Vec<Figure> {
    let mut kinds: Vec<(Heading, Curve<'_>)> = Vec::new();
    let heading = |key: String, group: &str, unit: &str, shape: Shape| Heading {
        title: key.clone(),
        key,
        group: group.into(),
        unit: unit.into(),
        scale: Scale::Number,
        log: false,
        shape,
        shown: true,
    };
    for loss in Loss::ALL {
        let unit = if loss == Loss::CrossEntropy { "nats a token" } else { "" };
        let term = heading(format!("term {loss}"), "Training loss", unit, Shape::Line);
        kinds.push((term, Box::new(move |row| row.terms.get(&loss).copied())));
    }
    kinds.push((heading("weighted total".into(), "Training loss", "", Shape::Line), Box::new(|row| Some(row.total))));
    let norm = Heading { log: true, shown: false, ..heading("gradient norm".into(), "Training loss", "", Shape::Line) };
    kinds.push((norm, Box::new(|row| Some(row.gradient_norm))));
    for loss in Loss::ALL {
        let weight = Heading { shown: false, ..heading(format!("weight {loss}"), "Schedules", "", Shape::Steps) };
        kinds.push((weight, Box::new(move |row| Some(row.weights.get(&loss).copied().unwrap_or(0.0)))));
    }
    let rate = Heading { shown: false, ..heading("learning rate".into(), "Schedules", "", Shape::Steps) };
    kinds.push((rate, Box::new(|row| Some(row.rate))));
    let detail = Detail::of(lineage, kinds.len());
    let factor = |seeds: usize| t_quantile(0.975, seeds.saturating_sub(1) as f64);
    let mut figures = evaluated(told, lineage, detail, &factor);
    for (heading, value) in kinds {
        let curve = |leaf: &LeafRecords<'_>| {
            let mut points = Points::default();
            leaf.rows.iter().for_each(|row| points.push(row.step, value(row)));
            points
        };
        let curves: Vec<Points> = told.leaves.iter().map(curve).collect();
        figures.push(Figure::new(heading, lineage, &curves, detail, &factor));
    }
    figures
}

/// The curves of every metric on every set.
fn evaluated(told: &Told<'_>, lineage: &Lineage, detail: Detail, factor: &dyn Fn(usize) -> f64) -> Vec<Figure> {
    let mut figures = Vec::new();
    let decides = told.comparison.conclusion.rule.as_ref().map(Decide::parts);
    for set in told.sets {
        for metric in judged_metrics() {
            let curve = |leaf: &LeafRecords<'_>| {
                let mut points: Vec<(u64, f64)> = leaf
                    .evaluations
                    .iter()
                    .filter(|found| found.set_digest == set.digest)
                    .filter_map(|found| Some((found.step, measure::value(metric, found)?)))
                    .collect();
                points.sort_by_key(|(step, _)| *step);
                points.dedup_by_key(|(step, _)| *step);
                let mut curve = Points::default();
                points.into_iter().for_each(|(step, value)| curve.push(step, Some(value)));
                curve
            };
            let curves: Vec<Points> = told.leaves.iter().map(curve).collect();
            let heading = Heading {
                key: format!("{}/{metric}", set.name),
                group: "Validation".into(),
                title: format!("{}, {}", measure::words(metric), set.name),
                unit: unit(metric).into(),
                scale: scale(metric),
                log: false,
                shape: Shape::Points,
                shown: ["token_accuracy", "cross_entropy"].contains(&metric) || decides == Some((&set.name, metric)),
            };
            figures.push(Figure::new(heading, lineage, &curves, detail, factor));
        }
    }
    figures
}

pub(super) fn scale(metric: &str) -> Scale {
    if measure::unit(metric) == "%" || measure::higher_is_better(metric) { Scale::Share } else { Scale::Number }
}

pub(super) fn unit(metric: &str) -> &'static str {
    if scale(metric) == Scale::Share { "" } else { "nats a token" }
}
