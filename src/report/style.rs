//! How text looks where it is shown: how much room there is, and whether there is colour. Whoever knows the terminal says so.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a text stands for. Without colour all look alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    Plain,
    Heading,
    Faint,
    Good,
    Doubtful,
    Bad,
}

/// How a listing is shown. The default is what goes into a file: lines of any length, without colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; none where lines may be of any length.
    pub width: Option<usize>,
    pub colour: bool,
}

impl Style {
    /// The text as it is to be written.
    pub fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Plain => return text.to_owned(),
            Look::Heading => "1",
            Look::Faint => "2",
            Look::Good => "32",
            Look::Doubtful => "33",
            Look::Bad => "31",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// The text on one line, without what a terminal would take for an order: names of stages may hold anything.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text in at most so many columns; what does not fit is left out behind `…`.
pub fn shortened(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken + 1 > room {
            break;
        }
        kept.push(c);
    }
    if room > 0 { kept + "…" } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(shortened("precursor", 9), "precursor");
        assert_eq!(shortened("precursor", 8), "precurs…");
        assert_eq!(shortened("precursor", 1), "…");
        assert_eq!(shortened("precursor", 0), "");
        // Each of these takes two columns.
        assert_eq!(shortened("質量分析", 5), "質量…");
        assert_eq!(columns(&shortened("質量分析", 6)), 5);
    }

    #[test]
    fn only_colour_writes_orders_to_the_terminal() {
        let coloured = Style { colour: true, ..Style::default() };
        assert_eq!(coloured.paint(Look::Bad, "failed"), "\x1b[31mfailed\x1b[0m");
        assert_eq!(Style::default().paint(Look::Bad, "failed"), "failed");
        assert_eq!(printable("a\x1b[31mb\nc"), "a [31mb c");
    }
}
