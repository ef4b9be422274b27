//! Broken rules and where in a value they are.

use std::fmt;

/// A place inside a written value: `stages[2].loss.Spectrum`. Variant names are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// The whole value.
    pub fn root() -> Place {
        Place::default()
    }

    /// A field of a struct, or the value under a key of a map.
    #[must_use]
    pub fn field(&self, name: &str) -> Place {
        if self.0.is_empty() { Place(name.into()) } else { Place(format!("{}.{name}", self.0)) }
    }

    /// An element of a list or tuple.
    #[must_use]
    pub fn index(&self, index: usize) -> Place {
        Place(format!("{}[{index}]", self.0))
    }

    /// A place given relative to this one.
    #[must_use]
    pub fn join(&self, inner: &Place) -> Place {
        match (self.0.is_empty(), inner.0.is_empty()) {
            (true, _) => inner.clone(),
            (_, true) => self.clone(),
            _ if inner.0.starts_with('[') => Place(format!("{}{}", self.0, inner.0)),
            _ => Place(format!("{}.{}", self.0, inner.0)),
        }
    }

    /// The value around this one; the root's is the root.
    #[must_use]
    pub fn outer(&self) -> Place {
        Place(self.0.rfind(['.', '[']).map_or(String::new(), |end| self.0[..end].into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A broken rule: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    pub message: String,
    pub help: Option<String>,
}

/// All broken rules of a value.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub list: Vec<Finding>,
}

impl Findings {
    pub fn add(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.list.push(Finding { place: place.clone(), message: message.into(), help });
    }

    /// A finite number within the bounds, both allowed.
    pub fn number(&mut self, place: &Place, value: f64, bounds: std::ops::RangeInclusive<f64>, what: &str) {
        if bounds.contains(&value) && value.is_finite() {
            return;
        }
        let (least, most) = (bounds.start(), bounds.end());
        let range = match most.is_finite() {
            true => format!("between {least} and {most}"),
            false => format!("of at least {least}"),
        };
        self.add(place, format!("{what} is {value}"), format!("write a finite number {range}"));
    }

    /// A whole number that is not zero.
    pub fn positive(&mut self, place: &Place, value: u64, what: &str) {
        if value == 0 {
            self.add(place, format!("{what} is 0"), "write a whole number of at least 1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_like_paths() {
        let place = Place::root().field("stages").index(2).field("loss");
        assert_eq!(place.as_str(), "stages[2].loss");
        assert_eq!(place.outer().as_str(), "stages[2]");
        assert_eq!(place.outer().outer().as_str(), "stages");
        assert_eq!(place.outer().outer().outer(), Place::root());
    }
}
