//! Where each value of a RON text stands.
//!
//! The parser proper (the crate `ron`) knows positions only while it reads; broken rules are found afterwards, several at
//! a time. This reads the same text for its structure alone, and also finds repeated map keys, which `ron` merges.

use std::collections::BTreeMap;
use std::ops::Range;

use super::findings::Place;

/// Deepest nesting that is followed; `ron` itself refuses at 128.
const MOST_DEPTH: usize = 128;

/// Byte ranges of the values of a text, and the keys that stand twice in one map or struct.
#[derive(Debug, Default)]
pub struct Outline {
    spans: BTreeMap<Place, Range<usize>>,
    /// Second and further uses of a key: its place and the range of the key itself.
    pub repeated: Vec<(Place, Range<usize>)>,
}

impl Outline {
    /// Reads a text that `ron` has accepted; of any other text as much as makes sense.
    pub fn read(text: &str) -> Outline {
        let mut reader = Reader { text, at: 0, outline: Outline::default() };
        reader.skip_attributes();
        reader.value(&Place::root(), 0);
        reader.outline
    }

    /// Range of the value at a place, or of the nearest value around it that is written.
    pub fn span(&self, place: &Place) -> Range<usize> {
        let mut place = place.clone();
        loop {
            match self.spans.get(&place) {
                Some(span) => return span.clone(),
                None if place == Place::root() => return 0..0,
                None => place = place.outer(),
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    outline: Outline,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_attributes(&mut self) {
        self.blank();
        while self.rest().starts_with("#!") {
            self.at += self.rest().find(']').map_or(self.rest().len(), |end| end + 1);
            self.blank();
        }
    }

    /// Skips white space and comments; block comments nest.
    fn blank(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.block_comment();
            } else if rest.starts_with(char::is_whitespace) {
                self.bump();
            } else {
                return;
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.bump();
            }
        }
    }

    /// Reads one value and notes its range; a name before brackets belongs to the value and not to the place.
    fn value(&mut self, place: &Place, depth: usize) {
        self.blank();
        let start = self.at;
        self.word();
        let after_word = self.at;
        self.blank();
        match self.peek() {
            Some('(' | '[' | '{') if depth < MOST_DEPTH => self.items(place, depth),
            _ => self.at = after_word,
        }
        self.outline.spans.insert(place.clone(), start..self.at);
    }

    /// Reads the items of a bracketed value: `key: value`, or values by index.
    fn items(&mut self, place: &Place, depth: usize) {
        self.bump();
        let mut keys: Vec<String> = Vec::new();
        for index in 0.. {
            self.blank();
            let start = self.at;
            if matches!(self.peek(), None | Some(')' | ']' | '}')) {
                break;
            }
            match self.key() {
                Some(key) => {
                    let inner = place.field(key.trim_matches('"'));
                    if keys.contains(&key) {
                        self.outline.repeated.push((inner.clone(), start..start + key.len()));
                    }
                    keys.push(key);
                    self.value(&inner, depth + 1);
                }
                None => self.value(&place.index(index), depth + 1),
            }
            self.blank();
            // A comma, or something that is nothing: either way on to what follows.
            if self.peek() == Some(',') || self.at == start {
                self.bump();
            }
        }
        self.bump();
    }

    /// A key and its colon, or nothing and no move.
    fn key(&mut self) -> Option<String> {
        let start = self.at;
        self.word();
        let key = self.text[start..self.at].to_owned();
        self.blank();
        if !key.is_empty() && self.peek() == Some(':') {
            self.bump();
            return Some(key);
        }
        self.at = start;
        None
    }

    /// A name, number, range or string.
    fn word(&mut self) {
        match self.peek() {
            Some('"') => self.string(),
            Some('r') if self.rest().trim_start_matches('r').trim_start_matches('#').starts_with('"') => self.raw_string(),
            Some('\'') => self.character(),
            _ => {
                let ends = |c: char| c.is_whitespace() || "()[]{},:\"/".contains(c);
                self.at += self.rest().find(ends).unwrap_or(self.rest().len());
            }
        }
    }

    fn string(&mut self) {
        self.bump();
        while let Some(c) = self.peek() {
            self.bump();
            match c {
                '\\' => self.bump(),
                '"' => return,
                _ => {}
            }
        }
    }

    fn raw_string(&mut self) {
        let hashes = self.rest()[1..].bytes().take_while(|&byte| byte == b'#').count();
        let close = format!("\"{}", "#".repeat(hashes));
        let open = 2 + hashes;
        let body = self.rest().get(open..).unwrap_or_default();
        self.at += body.find(&close).map_or(self.rest().len(), |end| open + end + close.len());
    }

    fn character(&mut self) {
        self.bump();
        if self.peek() == Some('\\') {
            self.bump();
        }
        self.bump();
        if self.peek() == Some('\'') {
            self.bump();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"#![enable(implicit_some)]
// a comment with (brackets
(
    question: "one \" two (", /* and /* nested */ ] */
    parent: Scratch(seed: 42, lr: Cosine(peak: 1e-3)),
    stages: [
        (from: 0, loss: {CrossEntropy: 1.0, Spectrum: 0.5}, length: 7..=10),
        (from: 5, loss: {CrossEntropy: 1.0, CrossEntropy: 2.0}),
    ],
    file: File("early"),
    raw: r#"a " b"#,
)"##;

    fn at(path: &str) -> &'static str {
        let outline = Outline::read(TEXT);
        let place = path.split('.').fold(Place::root(), |place, part| match part.split_once('[') {
            Some((name, index)) => place.field(name).index(index.trim_end_matches(']').parse().unwrap()),
            None => place.field(part),
        });
        &TEXT[outline.span(&place)]
    }

    #[test]
    fn values_are_found_by_their_place() {
        assert_eq!(at("parent.seed"), "42");
        assert_eq!(at("parent.lr"), "Cosine(peak: 1e-3)");
        assert_eq!(at("stages[0].loss.Spectrum"), "0.5");
        assert_eq!(at("stages[0].length"), "7..=10");
        assert_eq!(at("stages[1].from"), "5");
        assert_eq!(at("file[0]"), "\"early\"");
        assert_eq!(at("raw"), r##"r#"a " b"#"##);
        assert_eq!(at("parent.nothing.there"), "Scratch(seed: 42, lr: Cosine(peak: 1e-3))");
    }

    #[test]
    fn repeated_keys_are_found() {
        let outline = Outline::read(TEXT);
        assert_eq!(outline.repeated.len(), 1);
        assert_eq!(outline.repeated[0].0.as_str(), "stages[1].loss.CrossEntropy");
        assert_eq!(&TEXT[outline.repeated[0].1.clone()], "CrossEntropy");
    }

    #[test]
    fn no_text_breaks_it() {
        for cut in 0..TEXT.len() {
            if TEXT.is_char_boundary(cut) {
                Outline::read(&TEXT[..cut]);
                Outline::read(&TEXT[cut..]);
            }
        }
        Outline::read(&"(".repeat(100_000));
        Outline::read(")]}é:::,,'");
    }
}
