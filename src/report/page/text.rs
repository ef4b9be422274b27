//! Numbers and words as a page shows them.

/// Text that means nothing to HTML and SVG, neither between tags nor between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no other control characters, and none is worth showing.
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A sentence: what stands between backticks is shown as code.
pub(super) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let shown = |(index, part): (usize, &&str)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.iter().enumerate().map(shown).collect()
}

/// With so many digits that count: `0.08214`, `1.2e−7`.
pub(super) fn significant(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs().log10().floor() as i32;
    if (-4..=5).contains(&size) {
        let places = usize::try_from((digits - 1 - size).clamp(0, 8)).unwrap_or(0);
        return with_minus(&format!("{value:.places$}"));
    }
    let places = usize::try_from(digits - 2).unwrap_or(0);
    with_minus(&format!("{value:.places$e}"))
}

/// With so many places.
pub(super) fn fixed(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    let text = format!("{:.places$}", value.abs());
    if value < 0.0 && !is_zero(&text) { format!("\u{2212}{text}") } else { text }
}

/// With so many places and its sign; zero has none.
pub(super) fn signed(value: f64, places: usize) -> String {
    let text = fixed(value, places);
    if value > 0.0 && value.is_finite() && !is_zero(&text) { format!("+{text}") } else { text }
}

fn is_zero(text: &str) -> bool {
    text.chars().all(|letter| matches!(letter, '0' | '.'))
}

fn with_minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// Five digits that count: enough to draw and to read, and short in the page's data. NaN for what is not finite.
pub(super) fn rounded(value: f64) -> f64 {
    if !value.is_finite() {
        return f64::NAN;
    }
    format!("{value:.4e}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(escape("</script><img src=x onerror=1>"), "&lt;/script&gt;&lt;img src=x onerror=1&gt;");
        assert_eq!(escape("a\"b'c&d\u{1}"), "a&quot;b&#39;c&amp;d\u{fffd}");
        assert_eq!(prose("better on `hard` <b>"), "better on <code>hard</code> &lt;b&gt;");
        assert_eq!(prose("one ` only"), "one ` only");
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown = [0.0, 0.082_14, 1.234_56, 123_456.7, 1.25e-7, -3.5].map(|value| significant(value, 4));
        assert_eq!(shown, ["0", "0.08214", "1.235", "123457", "1.25e\u{2212}7", "\u{2212}3.500"]);
        assert_eq!(significant(f64::NAN, 4), "not finite");
        assert_eq!([1.24, -1.26, -0.01, 0.0].map(|value| signed(value, 1)), ["+1.2", "\u{2212}1.3", "0.0", "0.0"]);
        assert_eq!(fixed(-0.04, 1), "0.0");
        assert_eq!(rounded(0.123_456_7), 0.123_46);
        assert!(rounded(f64::INFINITY).is_nan());
    }
}
