use super::*;

/// Rows logged every 10 steps; spectrum comes in at step 200 with weight 0.1 and takes 100 steps to be learned; its arrival
/// lifts the cross-entropy from 2 to 3 until step 400.
fn rows() -> Vec<MetricsRow> {
    let row = |step: u64| {
        let ripple = if step.is_multiple_of(20) { 0.01 } else { -0.01 };
        let entropy = if (200..400).contains(&step) { 3.0 } else { 2.0 } + ripple;
        let mut weights = BTreeMap::from([(Loss::CrossEntropy, 1.0)]);
        let mut terms = BTreeMap::from([(Loss::CrossEntropy, entropy)]);
        if step >= 200 {
            weights.insert(Loss::Spectrum, 0.1);
            terms.insert(Loss::Spectrum, if step < 300 { 0.8 } else { 0.4 });
        }
        let total = weights.iter().map(|(loss, weight)| weight * terms[loss]).sum();
        MetricsRow { step, weights, terms, total, gradient_norm: 1.0, rate: 1e-3, batch: 1, length: (7, 8) }
    };
    (0..60).map(|n| row(n * 10)).collect()
}

fn terms(rows: &[MetricsRow], edge: u64, loss: Loss) -> TermJump {
    let place = rows.partition_point(|row| row.step < edge);
    let before = &rows[place - WINDOW..place];
    term_jump(loss, edge, before, &rows[place..place + WINDOW], &rows[place..])
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn a_term_that_comes_in_jumps_by_its_weight() {
    let found = terms(&rows(), 200, Loss::Spectrum);
    assert!(near(found.weighted, 0.08) && near(found.by_weight, 0.08), "{found:?}");
    assert_eq!((found.raw, found.lasts), (None, None));
}

#[test]
fn a_term_that_stays_is_followed_until_it_is_back() {
    let found = terms(&rows(), 200, Loss::CrossEntropy);
    assert!(near(found.raw.unwrap(), 1.0) && near(found.weighted, 1.0) && near(found.by_weight, 0.0), "{found:?}");
    // From step 380 on most of five logged steps are back: 400, 410 and 420.
    assert_eq!(found.lasts, Some(Lasting::Steps(180)));
    let short: Vec<MetricsRow> = rows().into_iter().filter(|row| row.step < 350).collect();
    assert_eq!(terms(&short, 200, Loss::CrossEntropy).lasts, Some(Lasting::NotWithinTheRun));
    assert_eq!(terms(&rows(), 500, Loss::CrossEntropy).lasts, Some(Lasting::Steps(0)));
    assert_eq!(Lasting::Steps(180).to_string(), "180 steps");
}

#[test]
fn a_weight_that_changes_alone_moves_the_weighted_term_alone() {
    let mut rows = rows();
    rows.iter_mut().filter(|row| row.step >= 500).for_each(|row| {
        row.weights.insert(Loss::Spectrum, 0.3);
    });
    let found = terms(&rows, 500, Loss::Spectrum);
    assert!(near(found.weighted, 0.2 * 0.4) && near(found.by_weight, 0.2 * 0.4) && near(found.raw.unwrap(), 0.0), "{found:?}");
}
