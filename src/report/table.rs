//! Tables as text: aligned columns, and on a terminal no wider than there is room.

use super::style::{Look, Style, columns, printable, shortened};

/// Rows of cells below a heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A text in a table, and what it stands for.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    look: Look,
}

/// Spaces between two columns.
const GAP: usize = 2;
/// A column of text is not shortened below this.
const LEAST: usize = 8;
/// A heading over numbers is not shortened below this.
const LEAST_HEADING: usize = 5;

impl Cell {
    pub fn new(text: &str, look: Look) -> Cell {
        Cell { text: printable(text), look }
    }

    /// The text outside of a table.
    pub fn painted(&self, style: Style) -> String {
        style.paint(self.look, &self.text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(&text, Look::Plain)
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Cell {
        Cell::new(text, Look::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, Look::Plain)
    }
}

impl Table {
    pub fn new<S: Into<Cell>>(heading: impl IntoIterator<Item = S>) -> Table {
        Table { rows: vec![heading.into_iter().map(Into::into).collect()] }
    }

    pub fn row<S: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The table where it is shown: numbers to the right, text to the left. Where there is not room enough, headings over
    /// numbers are shortened, then the widest columns of text; numbers never are.
    pub fn shown(&self, style: Style) -> String {
        let is_number: Vec<bool> = (0..self.columns()).map(|column| self.holds_numbers(column)).collect();
        let mut widths = self.widths(0);
        if let Some(room) = style.width {
            let numbers = self.widths(1).into_iter().map(|width| width.max(LEAST_HEADING));
            let least: Vec<usize> = numbers.zip(&is_number).map(|(number, is)| if *is { number } else { LEAST }).collect();
            narrow(&mut widths, &least, &is_number, room);
        }
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let text = shortened(&cell.text, widths[column]);
                let pad = " ".repeat(widths[column] - columns(&text));
                let painted = style.paint(if index == 0 { Look::Heading } else { cell.look }, &text);
                let gap = if column == 0 { 0 } else { GAP };
                line += &" ".repeat(gap);
                line += &if is_number[column] { pad + &painted } else { painted + &pad };
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// How wide each column is, from a row on.
    fn widths(&self, from: usize) -> Vec<usize> {
        let width = |column: usize| self.column(column, from).map(|cell| columns(&cell.text)).max().unwrap_or(0);
        (0..self.columns()).map(width).collect()
    }

    fn column(&self, column: usize, from: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().skip(from).filter_map(move |row| row.get(column))
    }

    /// Whether a column holds numbers and nothing else; `-` says that there is none.
    fn holds_numbers(&self, column: usize) -> bool {
        let mut body = self.column(column, 1).map(|cell| cell.text.as_str()).filter(|text| !["", "-"].contains(text));
        let is_number = |text: &str| text.trim_start_matches(['+', '-', '±']).starts_with(|c: char| c.is_ascii_digit());
        let Some(first) = body.next() else { return false };
        is_number(first) && body.all(is_number)
    }
}

/// Takes from the widest headings over numbers, then from the widest columns of text, until all columns fit or none of them
/// can give more.
fn narrow(widths: &mut [usize], least: &[usize], is_number: &[bool], room: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        let widest = (0..widths.len())
            .filter(|&column| widths[column] > least[column])
            .max_by_key(|&column| (is_number[column], widths[column]));
        let Some(widest) = widest else { return };
        widths[widest] -= 1;
    }
}

/// The table as it goes into a file: the first column to the left, all others to the right.
impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths(0);
        for row in &self.rows {
            let mut line = String::new();
            for (column, Cell { text, .. }) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - columns(text));
                line += &if column == 0 { format!("{text}{pad}") } else { format!("  {pad}{text}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["run", "status", "steps", "note"]);
        table.row(["precursor_timing", "complete", "1,600", "the later one is better, but not by much"]);
        table.row([Cell::from("b"), Cell::new("failed", Look::Bad), "-".into(), "".into()]);
        table
    }

    #[test]
    fn numbers_stand_to_the_right_and_text_to_the_left() {
        let shown = table().shown(Style::default());
        let expected = "run               status    steps  note\n\
                        precursor_timing  complete  1,600  the later one is better, but not by much\n\
                        b                 failed        -\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_widest_text_gives_way() {
        for room in [40, 50, 60, 74, 75, 200] {
            let shown = table().shown(Style { width: Some(room), colour: false });
            assert!(shown.lines().all(|line| columns(line) <= room), "{room}\n{shown}");
            assert!(shown.contains("1,600"), "{shown}");
            assert_eq!(shown.contains('…'), room < 75, "{room}\n{shown}");
        }
        // Too little room for anything: numbers are not cut.
        assert!(table().shown(Style { width: Some(5), colour: false }).contains("1,600"));
    }

    #[test]
    fn colour_takes_no_room() {
        let shown = table().shown(Style { width: Some(60), colour: true });
        assert!(shown.contains("\x1b[31mfailed\x1b[0m") && shown.contains("\x1b[1mrun\x1b[0m"), "{shown:?}");
        let bare = ["\x1b[0m", "\x1b[1m", "\x1b[31m"].iter().fold(shown, |text, code| text.replace(code, ""));
        assert_eq!(bare, table().shown(Style { width: Some(60), colour: false }));
    }

    #[test]
    fn files_get_what_they_always_got() {
        let expected = "run                 status  steps                                      note\n\
                        precursor_timing  complete  1,600  the later one is better, but not by much\n\
                        b                   failed      -\n";
        assert_eq!(table().to_string(), expected);
    }
}
