//! Lists within sentences.

/// More names than this are counted, not written out: the tables have them all.
pub const MOST_NAMES: usize = 6;

/// `a, b, c`; of more than six, how many of what there are: `27 branches`.
pub fn listed<S: AsRef<str>>(names: &[S], what: &str) -> String {
    match names.len() > MOST_NAMES {
        true => format!("{} {what}", names.len()),
        false => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (0..7).map(|index| format!("b{index}")).collect();
        assert_eq!(listed(&names[..6], "branches"), "b0, b1, b2, b3, b4, b5");
        assert_eq!(listed(&names, "branches"), "7 branches");
        assert_eq!(listed::<&str>(&[], "branches"), "");
    }
}
