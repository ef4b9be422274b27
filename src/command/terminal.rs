//! What stdout is: whether a person looks at it, how wide it is, and whether it wants colour.

use std::ffi::OsString;
use std::io::IsTerminal;

use crate::report::Style;

/// How listings are to look.
pub(crate) fn style() -> Style {
    let is_terminal = std::io::stdout().is_terminal();
    let width = terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| usize::from(width.0));
    Style { width, colour: wants_colour(&|name| std::env::var_os(name), is_terminal) }
}

/// Colour is for terminals. `NO_COLOR` forbids it everywhere, `CLICOLOR_FORCE` asks for it everywhere.
fn wants_colour(variable: &dyn Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let is_zero = |name: &str| variable(name).is_some_and(|value| value == "0");
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") {
        return true;
    }
    is_terminal && !is_zero("CLICOLOR") && variable("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        let wants = |variables: &[(&str, &str)], is_terminal: bool| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            wants_colour(&find, is_terminal)
        };
        assert!(wants(&[("TERM", "xterm")], true) && wants(&[], true) && !wants(&[], false));
        assert!(!wants(&[("NO_COLOR", "1")], true) && wants(&[("NO_COLOR", "")], true));
        assert!(wants(&[("CLICOLOR_FORCE", "1")], false) && !wants(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!wants(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
        assert!(!wants(&[("CLICOLOR", "0")], true) && !wants(&[("TERM", "dumb")], true));
    }
}
