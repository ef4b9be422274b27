//! A small writer of SVG. Colours are attributes, so that a drawing stands alone, and classes, so that the page's style can
//! give it others.

use super::colour::{Ink, Palette};
use super::text::escape;

/// A drawing in the making.
pub(super) struct Svg<'a> {
    palette: &'a Palette,
    width: f64,
    height: f64,
    label: String,
    body: String,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    ink: Ink,
    width: f64,
    dash: Option<&'static str>,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Stroke {
    pub(super) fn of(ink: Ink, width: f64) -> Stroke {
        Stroke { ink, width, dash: None }
    }

    pub(super) fn dashed(self, dash: &'static str) -> Stroke {
        Stroke { dash: Some(dash), ..self }
    }
}

impl<'a> Svg<'a> {
    /// `label` is what is read aloud.
    pub(super) fn new(palette: &'a Palette, size: (f64, f64), label: &str) -> Svg<'a> {
        Svg { palette, width: size.0, height: size.1, label: label.into(), body: String::new() }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        let stroke = self.stroke(stroke);
        self.body += &format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {stroke}/>");
    }

    /// A line through places; a place that is not finite is a gap.
    pub(super) fn path(&mut self, places: impl IntoIterator<Item = (f64, f64)>, stroke: Stroke) {
        let mut way = String::new();
        let mut goes_on = false;
        for (x, y) in places {
            let is_place = x.is_finite() && y.is_finite();
            if is_place {
                way += &format!("{}{} {}", if goes_on { 'L' } else { 'M' }, number(x), number(y));
            }
            goes_on = is_place;
        }
        if !way.is_empty() {
            let stroke = self.stroke(stroke);
            self.body += &format!("<path d=\"{way}\" fill=\"none\" {stroke} stroke-linejoin=\"round\"/>");
        }
    }

    /// The area within places.
    pub(super) fn area(&mut self, places: impl IntoIterator<Item = (f64, f64)>, ink: Ink, opacity: f64) {
        let corners: Vec<String> = places.into_iter().map(|(x, y)| format!("{} {}", number(x), number(y))).collect();
        if corners.len() > 2 {
            let fill = self.fill(ink);
            self.body += &format!("<path d=\"M{}Z\" {fill} fill-opacity=\"{opacity}\"/>", corners.join("L"));
        }
    }

    pub(super) fn rectangle(&mut self, corner: (f64, f64), size: (f64, f64), ink: Ink) {
        let (x, y, width, height) = (number(corner.0), number(corner.1), number(size.0), number(size.1));
        let fill = self.fill(ink);
        self.body += &format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {fill}/>");
    }

    /// A dot; what it stands for is shown when it is pointed at.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, ink: Ink, title: &str) {
        let (x, y, fill) = (number(at.0), number(at.1), self.fill(ink));
        let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
        self.body += &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {fill}>{title}</circle>");
    }

    /// A dot that is not full.
    pub(super) fn ring(&mut self, at: (f64, f64), radius: f64, ink: Ink) {
        let (x, y) = (number(at.0), number(at.1));
        let class = format!("f-paper {}", ink.class('s'));
        let (fill, stroke) = (self.palette.light(Ink::Paper), self.palette.light(ink));
        self.body += &format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" class=\"{class}\" fill=\"{fill}\" stroke=\"{stroke}\" \
             stroke-width=\"1.5\"/>"
        );
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, ink: Ink, size: f64, text: &str) {
        self.write(at, anchor, ink, size, "", text);
    }

    pub(super) fn bold(&mut self, at: (f64, f64), anchor: Anchor, ink: Ink, size: f64, text: &str) {
        self.write(at, anchor, ink, size, " font-weight=\"600\"", text);
    }

    fn write(&mut self, at: (f64, f64), anchor: Anchor, ink: Ink, size: f64, weight: &str, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (class, fill) = (ink.class('t'), self.palette.light(ink));
        self.body += &format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" class=\"{class}\" fill=\"{fill}\" \
             font-size=\"{size}\"{weight}>{}</text>",
            escape(text)
        );
    }

    /// A figure's title, and beside it what else is to be known.
    pub(super) fn title(&mut self, title: &str, more: &str) {
        let (ink, soft) = (self.palette.light(Ink::Text), self.palette.light(Ink::Soft));
        let (title, more) = (escape(title), escape(more));
        self.body += &format!(
            "<text x=\"0\" y=\"12\" class=\"t-ink\" fill=\"{ink}\" font-size=\"12\">\
             <tspan font-weight=\"600\">{title}</tspan>\
             <tspan dx=\"8\" class=\"t-soft\" fill=\"{soft}\" font-size=\"11\">{more}</tspan></text>"
        );
    }

    /// Begins a group; that of a branch is hidden and dimmed with it.
    pub(super) fn open(&mut self, branch: Option<usize>) {
        match branch {
            Some(branch) => self.body += &format!("<g data-branch=\"{branch}\">"),
            None => self.body += "<g>",
        }
    }

    /// Says what the group just begun is, when it is pointed at.
    pub(super) fn describe(&mut self, text: &str) {
        self.body += &format!("<title>{}</title>", escape(text));
    }

    pub(super) fn close(&mut self) {
        self.body += "</g>";
    }

    pub(super) fn finish(self) -> String {
        let (width, height, label) = (number(self.width), number(self.height), escape(&self.label));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{label}\" font-family=\"Helvetica, Arial, sans-serif\">{}</svg>",
            self.body
        )
    }

    fn stroke(&self, stroke: Stroke) -> String {
        let (class, colour, width) = (stroke.ink.class('s'), self.palette.light(stroke.ink), stroke.width);
        let dash = stroke.dash.map_or(String::new(), |dash| format!(" stroke-dasharray=\"{dash}\""));
        format!("class=\"{class}\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}")
    }

    fn fill(&self, ink: Ink) -> String {
        format!("class=\"{}\" fill=\"{}\"", ink.class('f'), self.palette.light(ink))
    }
}

/// About how wide a text is, without the font at hand.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.56
}

/// A tenth of a unit is finer than any screen. What is not finite has no place: it is drawn at 0.
fn number(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if tenths == 0.0 || !tenths.is_finite() { "0".into() } else { (tenths / 10.0).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn drawings_are_short_and_what_users_wrote_is_text() {
        let palette = Palette::of(&testing::lineage(2, &[1]));
        let mut svg = Svg::new(&palette, (100.0, 50.0), "a \"label\"");
        svg.line((0.0, 1.25), (10.04, -0.01), Stroke::of(Ink::Branch(0), 1.5).dashed("3 3"));
        svg.path([(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)], Stroke::of(Ink::Trunk, 1.0));
        svg.text((0.0, 0.0), Anchor::End, Ink::Soft, 11.0, "</text><script>");
        let text = svg.finish();
        assert!(text.contains("aria-label=\"a &quot;label&quot;\""), "{text}");
        assert!(text.contains("x1=\"0\" y1=\"1.3\" x2=\"10\" y2=\"0\" class=\"s-c c0\" stroke=\"#0072b2\""), "{text}");
        assert!(text.contains("d=\"M0 0M2 2L3 3\""), "{text}");
        assert!(text.contains(">&lt;/text&gt;&lt;script&gt;</text>"), "{text}");
        assert_eq!([0.05, -0.04, 3.0, f64::NAN].map(number), ["0.1", "0", "3", "0"]);
    }
}
