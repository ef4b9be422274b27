use super::*;

fn probed(entropy: f64, spectrum: f64) -> Probed {
    let terms = BTreeMap::from([(Loss::CrossEntropy, entropy), (Loss::Spectrum, spectrum), (Loss::Precursor, 5.0)]);
    Probed { set: "hard".into(), set_digest: "digest".into(), spectra: 64, terms }
}

fn weights(spectrum: f64) -> BTreeMap<Loss, f64> {
    let all = [(Loss::CrossEntropy, 1.0), (Loss::Spectrum, spectrum)];
    all.into_iter().filter(|(_, weight)| *weight > 0.0).collect()
}

/// The spectrum loss comes in with the weight 0.1, or goes from `before` to it; at the looks, cross-entropy and spectrum.
fn term(before: f64, seen: &[(u64, f64, f64)], loss: Loss) -> Option<TermJump> {
    let values: Vec<Probed> = seen.iter().map(|&(_, entropy, spectrum)| probed(entropy, spectrum)).collect();
    let looks = seen.iter().zip(&values).map(|(&(after, ..), probed)| Look { after, weights: weights(0.1), probed });
    let at_edge = probed(2.0, 0.8);
    Edge { before: weights(before), after: weights(0.1), probed: &at_edge, looks: looks.collect(), is_whole: true }.term(loss)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

const SEEN: [(u64, f64, f64); 5] = [(1, 2.1, 0.8), (3, 2.6, 0.75), (10, 2.5, 0.6), (30, 2.01, 0.5), (100, 1.8, 0.4)];

#[test]
fn a_loss_that_comes_in_jumps_by_its_weight_alone() {
    let found = term(0.0, &SEEN, Loss::Spectrum).unwrap();
    assert!(near(found.by_weight, 0.08) && near(found.weighted, 0.08) && near(found.raw, 0.0), "{found:?}");
    assert_eq!((found.highest_after, found.lasts), (1, Lasting::Steps(0)));
}

#[test]
fn a_term_that_is_pushed_away_is_followed_until_it_is_back() {
    let found = term(0.0, &SEEN, Loss::CrossEntropy).unwrap();
    assert!(near(found.by_weight, 0.0) && near(found.weighted, 0.6) && near(found.raw, 0.6), "{found:?}");
    assert_eq!((found.highest_after, found.lasts), (3, Lasting::Steps(30)));
    assert_eq!(term(0.0, &SEEN[..3], Loss::CrossEntropy).unwrap().lasts, Lasting::NotWithinTheStage);
    // One look that happens to be low is not the way back; a rise that comes late counts from when it comes.
    let wavers = [(1, 2.5, 0.8), (3, 2.0, 0.8), (10, 2.5, 0.8), (30, 2.0, 0.8)];
    assert_eq!(term(0.0, &wavers, Loss::CrossEntropy).unwrap().lasts, Lasting::Steps(30));
    let late = [(1, 2.0, 0.8), (3, 2.0, 0.8), (10, 2.5, 0.8), (30, 2.0, 0.8)];
    assert_eq!(term(0.0, &late, Loss::CrossEntropy).unwrap().lasts, Lasting::Steps(30));
    assert_eq!(Lasting::Steps(30).to_string(), "30 steps");
}

#[test]
fn a_weight_that_changes_alone_moves_the_weighted_term_alone() {
    let found = term(0.3, &[(1, 2.0, 0.8), (3, 2.0, 0.8)], Loss::Spectrum).unwrap();
    assert!(near(found.by_weight, -0.16) && near(found.weighted, -0.16) && near(found.raw, 0.0), "{found:?}");
}

#[test]
fn a_loss_that_is_never_trained_has_no_jump() {
    assert_eq!(term(0.0, &SEEN, Loss::Precursor), None);
}
