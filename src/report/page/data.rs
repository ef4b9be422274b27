//! What the page's script draws, as JSON: curves rounded to what can be seen, steps as differences.

use serde_json::{Value, json};

use super::figure::{Figure, Series, Strand};
use super::mean::Mean;
use super::text::rounded;
use super::{Page, Scale};

pub(super) fn value(page: &Page) -> Value {
    let lineage = &page.lineage;
    let (from, to) = lineage.span();
    let branches: Vec<Value> =
        lineage.branches.iter().map(|branch| json!({"name": branch.name, "reference": branch.reference})).collect();
    // A seed may be a larger number than a script can tell from its neighbours.
    let leaves = lineage.leaves.iter().map(|leaf| {
        let seed = leaf.seed.map(|seed| seed.to_string());
        json!({"branch": leaf.branch, "seed": seed, "key": leaf.key})
    });
    let leaves: Vec<Value> = leaves.collect();
    let stages = lineage.branches.iter().map(|branch| {
        let stages = branch.stages.iter();
        let stages = stages.map(|stage| json!({"from": stage.from, "to": stage.to, "name": stage.name, "text": stage.text()}));
        stages.collect::<Vec<Value>>()
    });
    let stages: Vec<Vec<Value>> = stages.collect();
    json!({
        "title": page.title,
        "from": from,
        "to": to,
        "focus": lineage.focus(),
        "branches": branches,
        "leaves": leaves,
        "stages": stages,
        "forks": lineage.forks(),
        "figures": page.figures.iter().map(figure).collect::<Vec<Value>>(),
    })
}

fn figure(figure: &Figure) -> Value {
    let heading = &figure.heading;
    json!({
        "key": heading.key,
        "group": heading.group,
        "title": heading.title,
        "unit": heading.unit,
        "share": heading.scale == Scale::Share,
        "log": heading.log,
        "shape": heading.shape,
        "shown": heading.shown,
        "thinned": figure.thinned,
        "strands": figure.strands.iter().map(strand).collect::<Vec<Value>>(),
    })
}

fn strand(strand: &Strand) -> Value {
    json!({
        "branches": strand.branches,
        "from": strand.from,
        "to": strand.to,
        "parent": strand.parent,
        "series": strand.series.iter().map(series).collect::<Vec<Value>>(),
        "mean": strand.mean.as_ref().map(mean),
    })
}

fn series(series: &Series) -> Value {
    json!({
        "leaves": series.leaves,
        "steps": differences(&series.steps),
        "values": values(&series.values),
        "holes": series.holes,
    })
}

fn mean(mean: &Mean) -> Value {
    json!({
        "seeds": mean.seeds,
        "steps": differences(&mean.steps),
        "mean": values(&mean.mean),
        "low": mean.low.as_deref().map(values),
        "high": mean.high.as_deref().map(values),
        "min": values(&mean.min),
        "max": values(&mean.max),
    })
}

/// The first step, and of each further one how much it is later.
fn differences(steps: &[u64]) -> Vec<u64> {
    let later = steps.windows(2).map(|pair| pair[1] - pair[0]);
    steps.first().copied().into_iter().chain(later).collect()
}

/// What is not finite becomes null.
fn values(values: &[f64]) -> Vec<f64> {
    values.iter().copied().map(rounded).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn curves_travel_short() {
        assert_eq!(differences(&[600, 610, 630]), [600, 10, 20]);
        assert_eq!(differences(&[]), Vec::<u64>::new());
        let json = value(&testing::page(2, &[u64::MAX])).to_string();
        assert!(json.contains("\"seed\":\"18446744073709551615\""), "{}", &json[..400]);
        assert!(json.contains("\"shape\":\"points\"") && json.contains("\"steps\":[0,200,200,200]"));
        assert_eq!(json!(values(&[0.123_456_78, f64::INFINITY])).to_string(), "[0.12346,null]");
    }
}
