//! What leaves are compared by: the metrics of an evaluation, which way is better, and how they are written for people.

use crate::record::Evaluation;
use crate::task::metrics::NAMES;

/// Mean cross-entropy, nats a token.
pub const CROSS_ENTROPY: &str = "cross_entropy";
/// Median of the relative mass error, parts per million; shown, not judged: neither end is the better one.
pub const MASS_ERROR: &str = "mass_error_ppm";
/// Metrics that are shares of the spectra, not of the tokens.
const OF_SPECTRA: [&str; 3] = ["peptide_precision", "length_accuracy", "within_20_ppm"];

/// Every metric that differences are taken of.
pub fn judged_metrics() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain([CROSS_ENTROPY])
}

/// Every metric that is shown.
pub fn shown_metrics() -> impl Iterator<Item = &'static str> {
    judged_metrics().chain([MASS_ERROR])
}

pub fn value(metric: &str, found: &Evaluation) -> Option<f64> {
    let all = &found.scores.summary.all;
    match metric {
        CROSS_ENTROPY => Some(found.scores.cross_entropy),
        MASS_ERROR => all.mass_error_ppm,
        name => all.named(name),
    }
}

pub fn higher_is_better(metric: &str) -> bool {
    metric != CROSS_ENTROPY
}

pub fn is_share_of_spectra(metric: &str) -> bool {
    OF_SPECTRA.contains(&metric)
}

/// The metric as people call it: `peptide precision`.
pub fn words(metric: &str) -> String {
    match metric {
        CROSS_ENTROPY => "cross-entropy".into(),
        MASS_ERROR => "mass error (median)".into(),
        "within_20_ppm" => "within 20 ppm".into(),
        name => name.replace('_', " "),
    }
}

/// The unit of [`number`] and [`signed`]: shares are shown as per cent, their differences as points.
pub fn unit(metric: &str) -> &'static str {
    match metric {
        CROSS_ENTROPY => "nats",
        MASS_ERROR => "ppm",
        _ => "points",
    }
}

/// A value without its unit: `71.3`, `0.842`.
pub fn number(metric: &str, value: f64) -> String {
    let (factor, digits) = form(metric);
    format!("{:.digits$}", value * factor)
}

/// A difference without its unit: `+2.30`, `-0.012`; zero has no sign.
pub fn signed(metric: &str, value: f64) -> String {
    let (factor, digits) = form(metric);
    let digits = if factor > 1.0 { digits + 1 } else { digits };
    let text = format!("{:+.digits$}", value * factor);
    let is_zero = text.chars().all(|c| !c.is_ascii_digit() || c == '0');
    if is_zero { text.trim_start_matches(['+', '-']).to_owned() } else { text }
}

/// What a value is multiplied by, and the digits behind the point.
fn form(metric: &str) -> (f64, usize) {
    match metric {
        CROSS_ENTROPY => (1.0, 3),
        MASS_ERROR => (1.0, 1),
        _ => (100.0, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_unit() {
        assert_eq!((number("token_accuracy", 0.7126), unit("token_accuracy")), ("71.3".to_owned(), "points"));
        assert_eq!(signed("token_accuracy", -0.0123), "-1.23");
        assert_eq!(signed("token_accuracy", 0.0), "0.00");
        assert_eq!(signed("token_accuracy", -1e-9), "0.00");
        assert_eq!(signed(CROSS_ENTROPY, 0.0123), "+0.012");
        assert_eq!(words("peptide_precision"), "peptide precision");
        assert_eq!(judged_metrics().count(), NAMES.len() + 1);
        assert!(higher_is_better("token_accuracy") && !higher_is_better(CROSS_ENTROPY));
    }
}
