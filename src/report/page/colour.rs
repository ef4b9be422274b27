//! The page's colours, light and dark: greys for what carries no data, and colours for branches that stay apart in every kind
//! of colour vision.

use super::lineage::Lineage;

/// What something is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Paper,
    Text,
    Soft,
    Line,
    Tint,
    Shade,
    /// What several branches share.
    Trunk,
    Branch(usize),
}

/// The colours of a page's branches.
#[derive(Clone, Debug)]
pub(super) struct Palette {
    /// On white and on black.
    branches: Vec<(String, String)>,
}

/// Names of the page's variables, on white and on black.
const PAGE: [(&str, &str, &str); 8] = [
    ("paper", "#ffffff", "#15181b"),
    ("ink", "#1c2025", "#e4e7ea"),
    ("soft", "#5c6670", "#9aa3ac"),
    ("line", "#dde1e5", "#2d3338"),
    ("tint", "#f4f5f7", "#1c2024"),
    ("shade", "#e9ecef", "#272d32"),
    ("trunk", "#868f98", "#7d8791"),
    ("focus", "#0072b2", "#6db4e8"),
];
/// For a few branches: after Okabe and Ito, darker where they were pale on white.
const FEW: [(&str, &str); 6] = [
    ("#0072b2", "#56a5e0"),
    ("#d55e00", "#f0884a"),
    ("#009e73", "#3fbf98"),
    ("#b5548f", "#e093c2"),
    ("#b07d00", "#e6b53c"),
    ("#3aa0dc", "#9ad4f5"),
];
/// For many branches, in their order: a way from dark to bright, as sweeps have one.
const MANY_LIGHT: [u32; 6] = [0x2f2a8c, 0x6b2a9e, 0xa1308f, 0xcb4a73, 0xe0693f, 0xd9922b];
const MANY_DARK: [u32; 6] = [0x7f7bee, 0xa873e0, 0xd072c4, 0xec7f9b, 0xf79c72, 0xf9c25e];

impl Ink {
    fn name(self) -> &'static str {
        match self {
            Ink::Paper => "paper",
            Ink::Text => "ink",
            Ink::Soft => "soft",
            Ink::Line => "line",
            Ink::Tint => "tint",
            Ink::Shade => "shade",
            Ink::Trunk | Ink::Branch(_) => "trunk",
        }
    }

    /// Classes by which the page's style recolours a drawing; `kind` is `s` for strokes, `f` for areas, `t` for text.
    pub(super) fn class(self, kind: char) -> String {
        match self {
            Ink::Branch(branch) => format!("{kind}-c c{branch}"),
            other => format!("{kind}-{}", other.name()),
        }
    }

    /// One branch, or what several share.
    pub(super) fn of(branches: &[usize]) -> Ink {
        match branches {
            [branch] => Ink::Branch(*branch),
            _ => Ink::Trunk,
        }
    }
}

impl Palette {
    /// The reference in the colour of text; a few others in colours of their own, many along a way of colours.
    pub(super) fn of(lineage: &Lineage) -> Palette {
        let others = lineage.branches.iter().filter(|branch| !branch.reference).count();
        let mut place = 0_usize;
        let mut next = || {
            place += 1;
            match FEW.get(place - 1) {
                Some((light, dark)) if others <= FEW.len() => ((*light).to_owned(), (*dark).to_owned()),
                _ => {
                    let way = (place - 1) as f64 / (others - 1) as f64;
                    (between(&MANY_LIGHT, way), between(&MANY_DARK, way))
                }
            }
        };
        let ink = || (page("ink").0.to_owned(), page("ink").1.to_owned());
        Palette { branches: lineage.branches.iter().map(|branch| if branch.reference { ink() } else { next() }).collect() }
    }

    /// The colour on white.
    pub(super) fn light(&self, ink: Ink) -> &str {
        match ink {
            Ink::Branch(branch) => self.branches.get(branch).map_or(page("trunk").0, |(light, _)| light),
            other => page(other.name()).0,
        }
    }

    /// Every colour as a variable, for light, dark and paper; `.c3` chooses that of branch 3 as `--c`.
    pub(super) fn css(&self) -> String {
        let (light, dark) = (self.variables(false), self.variables(true));
        let mut out = format!(":root{{{light}}}\n:root[data-theme=\"dark\"]{{{dark}}}\n");
        out += &format!("@media (prefers-color-scheme:dark){{:root:not([data-theme=\"light\"]){{{dark}}}}}\n");
        out += &format!("@media print{{:root:root:root{{{light}}}}}\n");
        for branch in 0..self.branches.len() {
            out += &format!(".c{branch}{{--c:var(--b{branch})}}\n");
        }
        out
    }

    fn variables(&self, dark: bool) -> String {
        let pick = |light: &str, other: &str| if dark { other.to_owned() } else { light.to_owned() };
        let page = PAGE.iter().map(|(name, light, other)| format!("--{name}:{};", pick(light, other)));
        let branches = self.branches.iter().enumerate();
        let branches = branches.map(|(index, (light, other))| format!("--b{index}:{};", pick(light, other)));
        let scheme = format!("color-scheme:{}", pick("light", "dark"));
        page.chain(branches).chain([scheme]).collect()
    }
}

fn page(name: &str) -> (&'static str, &'static str) {
    PAGE.iter().find(|(own, ..)| *own == name).map_or(("#000000", "#ffffff"), |(_, light, dark)| (*light, *dark))
}

/// The colour at a place from 0 to 1 on a way of colours.
fn between(way: &[u32; 6], place: f64) -> String {
    let at = place.clamp(0.0, 1.0) * 5.0;
    let first = (at as usize).min(4);
    let part = at - first as f64;
    let channel = |shift: u32| {
        let value = |colour: u32| f64::from((colour >> shift) & 0xff);
        (value(way[first]) + (value(way[first + 1]) - value(way[first])) * part).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(16), channel(8), channel(0))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn every_branch_has_a_colour_of_its_own() {
        for branches in [1, 2, 7, 8, 30] {
            let palette = Palette::of(&testing::lineage(branches, &[1]));
            let light: std::collections::BTreeSet<&str> =
                (0..branches).map(|branch| palette.light(Ink::Branch(branch))).collect();
            assert_eq!(light.len(), branches);
            assert_eq!(palette.light(Ink::Branch(branches - 1)), palette.light(Ink::Text));
        }
    }

    #[test]
    fn ways_of_colours_begin_and_end_where_they_say() {
        assert_eq!([0.0, 0.2, 1.0].map(|place| between(&MANY_LIGHT, place)), ["#2f2a8c", "#6b2a9e", "#d9922b"]);
        let css = Palette::of(&testing::lineage(2, &[1])).css();
        assert!(
            css.starts_with(":root{--paper:#ffffff;") && css.contains("--b0:#56a5e0;") && css.contains(".c1{--c:var(--b1)}")
        );
    }
}
