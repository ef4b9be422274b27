//! A made-up page for tests.

use super::*;

/// A trunk to 600, and from there a leaf for each branch and seed to 1,600; the last branch is the reference.
pub(super) fn lineage(branches: usize, seeds: &[u64]) -> Lineage {
    let stage = |from, to, name: &str, weights: &[(&str, f64)]| Stage {
        from,
        to,
        name: name.into(),
        weights: weights.iter().map(|(loss, weight)| ((*loss).to_owned(), *weight)).collect(),
    };
    let own = |index: usize| Branch {
        name: format!("branch_{index}"),
        reference: index + 1 == branches,
        stages: vec![
            stage(0, 800, "foundation", &[("CrossEntropy", 1.0)]),
            stage(800, 1_600, "precursor", &[("CrossEntropy", 1.0), ("Precursor", 0.01)]),
        ],
    };
    let pairs = (0..branches).flat_map(|branch| seeds.iter().map(move |seed| (branch, *seed)));
    let leaf = |(branch, seed): (usize, u64)| Leaf {
        branch,
        seed: Some(seed),
        key: format!("branch_{branch}#{seed}"),
        end: 1_600,
        reached: 1_600,
    };
    let leaves: Vec<Leaf> = pairs.map(leaf).collect();
    let node = |parent, (from, to), owner: &str, leaves| Node {
        parent,
        from,
        to,
        owner: owner.into(),
        leaves,
        progress: Progress::Trained,
        reached: to,
    };
    let trunk = node(None, (0, 600), "trunk", (0..leaves.len()).collect());
    let ends = leaves.iter().enumerate().map(|(index, leaf)| node(Some(0), (600, 1_600), &leaf.key, vec![index]));
    let nodes: Vec<Node> = [trunk].into_iter().chain(ends).collect();
    Lineage { branches: (0..branches).map(own).collect(), leaves, nodes }
}

pub(super) fn heading(shape: Shape) -> Heading {
    let (key, group, title, scale) = match shape {
        Shape::Points => ("hard/token_accuracy", "Validation", "token accuracy, hard", Scale::Share),
        Shape::Line => ("total", "Training loss", "weighted total", Scale::Number),
        Shape::Steps => ("weight Precursor", "Schedules", "weight Precursor", Scale::Number),
    };
    Heading {
        key: key.into(),
        group: group.into(),
        title: title.into(),
        unit: String::new(),
        scale,
        log: false,
        shape,
        shown: true,
    }
}

/// A page with something in every part.
pub(super) fn page(branches: usize, seeds: &[u64]) -> Page {
    let lineage = lineage(branches, seeds);
    let figure = |shape: Shape| {
        let step = if shape == Shape::Points { 200 } else { 2 };
        let value = |leaf: usize, step: u64| match shape {
            Shape::Points => step as f64 / 2_000.0 + leaf as f64 * 1e-3,
            Shape::Line => 2.0 - step as f64 / 1_000.0 + ((step * 7 + leaf as u64 * 13) % 11) as f64 * 0.01,
            Shape::Steps => f64::from(u8::from(step >= 800)) * 0.01,
        };
        let curve = |leaf: usize| (0..=1_600).step_by(step).map(|step| (step, Some(value(leaf, step)))).collect();
        let curves: Vec<Points> = (0..lineage.leaves.len()).map(curve).collect();
        Figure::new(heading(shape), &lineage, &curves, Detail::of(&lineage, 3), &|_| 2.0)
    };
    let ranged = |value: f64, half: f64| Ranged { value, interval: Some((value - half, value + half)) };
    let is_reference = |branch: usize| branch + 1 == branches;
    let row = |branch: usize| OutcomeRow {
        branch,
        seeds: seeds.len(),
        value: ranged(0.7, 0.01),
        difference: (!is_reference(branch)).then(|| ranged(0.01, 0.005)),
        finding: if is_reference(branch) { Finding::Reference } else { Finding::Better },
        verdict: if is_reference(branch) { String::new() } else { "better".into() },
    };
    let length_row = |branch: usize| {
        let value = 0.7 - 0.01 * branch as f64;
        LengthRow {
            branch,
            values: vec![Some(ranged(value, 0.01)), Some(ranged(value, 0.01)), Some(ranged(value, 0.01)), None],
        }
    };
    let others = (0..branches).filter(|branch| !is_reference(*branch));
    let point = |branch: usize| ResponsePoint {
        branches: vec![branch],
        to: 800 + 100 * branch as u64,
        written: None,
        difference: ranged(0.01, 0.005),
    };
    Page {
        title: "precursor_timing".into(),
        question: Some("Does a later precursor loss end higher?".into()),
        state: State { complete: true, text: "complete".into(), updated: Some("2026-11-03 14:02 UTC".into()) },
        conclusion: vec!["branch_0 is better than the reference on `hard`.".into()],
        rule: vec!["decide: (metric: \"hard/token_accuracy\", at_least: 0.01)".into()],
        remarks: vec!["replicates of one trunk".into()],
        diffs: vec![Diff { title: "branch_0 against the reference".into(), lines: vec!["identical to step 600".into()] }],
        figures: [Shape::Points, Shape::Line, Shape::Steps].map(figure).into_iter().collect(),
        outcomes: vec![Outcome {
            metric: "token accuracy".into(),
            set: "hard".into(),
            scale: Scale::Share,
            unit: String::new(),
            higher_is_better: true,
            at: "at step 1,600".into(),
            note: "500 spectra".into(),
            at_least: Some(0.01),
            shown: true,
            rows: (0..branches).map(row).collect(),
        }],
        responses: vec![Response {
            title: "When Precursor begins".into(),
            metric: "token accuracy, hard".into(),
            scale: Scale::Share,
            unit: String::new(),
            baseline: "never".into(),
            null_band: Some((-0.004, 0.004)),
            points: others.map(point).collect(),
            note: "paired by seed".into(),
        }],
        lengths: vec![Lengths {
            title: "token accuracy by length, hard".into(),
            scale: Scale::Share,
            buckets: [("7-10", 180), ("11-14", 160), ("15-18", 110), ("19+", 0)]
                .map(|(name, spectra)| (name.to_owned(), spectra))
                .to_vec(),
            rows: (0..branches).map(length_row).collect(),
        }],
        grids: vec![Grid {
            title: "Jumps at stage edges".into(),
            short: "Jumps".into(),
            note: String::new(),
            columns: vec![
                Column { name: "branch".into(), is_text: true },
                Column { name: "step".into(), is_text: false },
                Column { name: "weighted total".into(), is_text: false },
            ],
            rows: vec![vec![Field::Branch(0), Field::Step(800), Field::Number(0.25, "+0.250".into())]],
        }],
        settings: vec![Setting { name: "Precursor".into(), values: vec![("0; 0.01 from 800".into(), vec![0])] }],
        provenance: vec![("runner".into(), "0.1.0".into())],
        footer: "Written by runner 0.1.0.".into(),
        lineage,
    }
}
