//! Numbers rounded for people.

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    separated(number, ',')
}

/// `1_234_567`: as steps are written in files.
pub fn underscored(number: u64) -> String {
    separated(number, '_')
}

fn separated(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// `512 B`, `12.3 kB`, `4.5 GB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 999.95 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3.4 days`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..172_800 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// Three digits that matter: `0.08`, `12.5`, `1,500`, `1.5e-4`.
pub fn brief(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if (1_000.0..1e15).contains(&size) {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(size.round() as u64));
    }
    if !(1e-3..1e15).contains(&size) {
        return scientific(value);
    }
    let before = size.log10().floor() as i32 + 1;
    let decimals = usize::try_from(3 - before).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}"))
}

/// `1.5e-4`: without needless zeros.
fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", trimmed(digits)),
        None => text,
    }
}

fn trimmed(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = [0.0, 0.08, 0.025, 1.0, 12.5, 150.0, 999.0, 1_500.0, 1.5e-4, 1e-3, -0.5, 123.456, f64::INFINITY];
        let shown = ["0", "0.08", "0.025", "1", "12.5", "150", "999", "1,500", "1.5e-4", "0.001", "-0.5", "123", "inf"];
        assert_eq!(written.map(brief), shown);
        assert_eq!([7, 1_000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
        assert_eq!(underscored(40_000), "40_000");
    }

    #[test]
    fn times_have_fitting_units() {
        let shown = [0.04, 9.94, 42.0, 200.0, 7_500.0, 200_000.0].map(duration);
        assert_eq!(shown, ["0.0 s", "9.9 s", "42 s", "3 min 20 s", "2 h 5 min", "2.3 days"]);
    }

    #[test]
    fn sizes_have_a_fitting_unit() {
        assert_eq!(
            [0, 999, 1_000, 12_345, 999_960, 4_500_000_000].map(size),
            ["0 B", "999 B", "1.0 kB", "12.3 kB", "1.0 MB", "4.5 GB"]
        );
    }
}
