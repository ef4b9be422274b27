use super::*;

fn trial(reference: &[f64]) -> Trial<'_> {
    Trial { reference, higher_is_better: true, spectra: None, effect: None }
}

fn one(differences: &[f64], trial: &Trial<'_>) -> Estimate {
    estimate(&[differences.to_vec()], trial).remove(0)
}

#[test]
fn spreads_are_sample_deviations() {
    let spread = Spread::of([1.0, 2.0, 3.0]);
    assert_eq!((spread.mean, spread.deviation), (2.0, Some(1.0)));
    assert_eq!(Spread::of([4.0]).deviation, None);
}

/// Student's own example, the additional hours of sleep of ten patients: mean 1.58, deviation 1.23, p 0.0028.
#[test]
fn the_interval_is_students() {
    let sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
    let found = one(&sleep, &trial(&[0.0; 10]));
    assert!((found.mean - 1.58).abs() < 1e-9 && (found.deviation.unwrap() - 1.229_995).abs() < 1e-5);
    let (low, high) = found.interval.unwrap();
    assert!((low - 0.700_114).abs() < 1e-3 && (high - 2.459_886).abs() < 1e-3, "{low} to {high}");
    assert_eq!(found.interval, found.simultaneous);
    assert!((found.p.unwrap() - 0.002_833).abs() < 1e-4, "{:?}", found.p);
    assert_eq!(found.judgement, Some(Judgement::Better));
}

#[test]
fn lower_can_be_better() {
    let reference = [0.5, 0.5, 0.5];
    let lower = Trial { higher_is_better: false, ..trial(&reference) };
    assert_eq!(one(&[-0.1, -0.11, -0.12], &lower).judgement, Some(Judgement::Better));
    assert_eq!(one(&[-0.1, -0.11, -0.12], &trial(&reference)).judgement, Some(Judgement::Worse));
}

#[test]
fn a_lucky_spread_is_no_verdict() {
    // Three differences within 0.0002 of each other, from a reference whose seeds differ by 0.05.
    let differences = [0.0100, 0.0101, 0.0102];
    assert_eq!(one(&differences, &trial(&[0.5, 0.5, 0.5])).judgement, Some(Judgement::Better));
    let noisy = one(&differences, &trial(&[0.45, 0.50, 0.55]));
    assert!((noisy.spread.unwrap() - 0.05 * 0.2_f64.sqrt()).abs() < 1e-9, "{noisy:?}");
    assert!(matches!(noisy.judgement, Some(Judgement::UnderPowered { .. } | Judgement::NoDetectableDifference)));
    // One spectrum of 256 more in each seed is as fine as can be seen, and no verdict either.
    let share = Trial { spectra: Some(256), ..trial(&[0.0, 0.0, 0.0]) };
    assert_ne!(one(&[1.0 / 256.0; 3], &share).judgement, Some(Judgement::Better));
    assert_eq!(one(&[5.0 / 256.0; 3], &share).judgement, Some(Judgement::Better));
}

#[test]
fn few_seeds_give_numbers_and_no_verdict() {
    let two = one(&[0.1, 0.2], &trial(&[0.5, 0.6]));
    assert_eq!((two.judgement, two.p, two.seeds()), (None, None, 2));
    assert!(two.interval.is_some());
    let single = one(&[0.1], &trial(&[0.5]));
    assert_eq!((single.mean, single.deviation, single.interval, single.judgement), (0.1, None, None, None));
    assert_eq!(one(&[0.1, f64::NAN, 0.1], &trial(&[0.5; 3])).judgement, None);
}

#[test]
fn corrections_are_holms() {
    assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
    assert!(holm(&[]).is_empty());
    // What is found alone may not be found among many.
    let close = [0.010, 0.013, 0.008, 0.012];
    let none = [0.001, -0.002, 0.002, -0.001];
    let reference = [0.5, 0.5, 0.5, 0.5];
    let alone = one(&close, &trial(&reference));
    let among = estimate(&[close.to_vec(), none.to_vec(), none.to_vec()], &trial(&reference));
    assert!(among[0].p > alone.p);
    assert!(among[0].simultaneous.unwrap().0 < among[0].interval.unwrap().0);
}

#[test]
fn a_declared_effect_settles_what_cannot_be_found() {
    let reference = [0.50, 0.51, 0.49, 0.50, 0.50];
    let differences = [0.001, -0.002, 0.002, -0.001, 0.0005];
    let declared = |effect: f64| Trial { effect: Some(effect), ..trial(&reference) };
    assert_eq!(one(&differences, &declared(0.02)).judgement, Some(Judgement::NoDetectableDifference));
    let Some(Judgement::UnderPowered { more_seeds }) = one(&differences, &declared(0.002)).judgement else { panic!() };
    assert!((5..200).contains(&more_seeds), "{more_seeds}");
    // Without one, only what the observed difference would take is known.
    assert_eq!(one(&differences, &trial(&reference)).judgement, Some(Judgement::NoDetectableDifference));
}

#[test]
fn more_seeds_are_fewer_where_the_spread_is_better_known() {
    let reference = [0.50, 0.51, 0.49];
    let wide = [0.02, -0.01, 0.01];
    let declared = Trial { effect: Some(0.01), ..trial(&reference) };
    let more = |branches: &[Vec<f64>]| match estimate(branches, &declared)[0].judgement {
        Some(Judgement::UnderPowered { more_seeds }) => more_seeds,
        other => panic!("{other:?}"),
    };
    // Three branches tell more of the spread than one, though they must share the level.
    assert!(more(&[wide.to_vec()]) > more(&[wide.to_vec(), vec![0.0, -0.02, 0.005], vec![0.01, -0.015, 0.0]]));
}

#[test]
fn bands_and_words_are_what_they_say() {
    let band = null_band(&[0.45, 0.50, 0.55]).unwrap();
    assert!((band - 4.302_65 * 0.05 * (2.0_f64 / 3.0).sqrt()).abs() < 1e-4, "{band}");
    assert_eq!(null_band(&[0.5]), None);
    let words = [
        (Judgement::Better, "better"),
        (Judgement::NoDetectableDifference, "no detectable difference"),
        (Judgement::UnderPowered { more_seeds: 1 }, "under-powered: about 1 more seed"),
        (Judgement::UnderPowered { more_seeds: 7 }, "under-powered: about 7 more seeds"),
    ];
    for (judgement, expected) in words {
        assert_eq!(judgement.to_string(), expected);
    }
    assert_eq!(Estimate::same_training(3).judgement, Some(Judgement::NoDetectableDifference));
}
