//! A drawing that grows mark by mark.

use std::fmt::Write;

/// Of what matters most.
pub(super) const INK: &str = "#1f2933";
/// Of what explains.
pub(super) const SOFT: &str = "#66727f";
/// Of lines behind the data.
pub(super) const GRID: &str = "#e4e8ed";
/// Of what is fine.
pub(super) const BLUE: &str = "#2f6db3";
/// Of what needs care.
pub(super) const AMBER: &str = "#d08a1d";
/// Of what must not be touched.
pub(super) const RED: &str = "#c2453b";

/// Mean width of a letter, as a part of the font's size.
const LETTER: f64 = 0.56;

/// Where text starts from.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    End,
}

/// An SVG file.
pub(super) struct Sheet {
    width: f64,
    height: f64,
    body: String,
}

impl Sheet {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    // Writing into a string cannot fail.

    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, fill: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::End => r#" text-anchor="end""#,
        };
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{fill}"{anchor}>{}</text>"#,
            escape(text)
        );
    }

    pub(super) fn bold(&mut self, x: f64, y: f64, size: f64, text: &str) {
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{INK}" font-weight="600">{}</text>"#,
            escape(text)
        );
    }

    /// A box; with `title`, a browser shows that where the pointer is on it.
    pub(super) fn rect(&mut self, [x, y, w, h]: [f64; 4], radius: f64, fill: &str, title: &str) {
        let _ = write!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="{radius}" fill="{fill}""#
        );
        let _ = match title.is_empty() {
            true => writeln!(self.body, "/>"),
            false => writeln!(self.body, "><title>{}</title></rect>", escape(title)),
        };
    }

    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], stroke: &str, dashes: &str) {
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        let _ = writeln!(
            self.body,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{stroke}"{dashes}/>"#
        );
    }

    /// A line through points, and the area between it and the height `base`.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], base: f64, stroke: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let list: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let list = list.join(" ");
        let _ = writeln!(
            self.body,
            r#"<polygon points="{:.1},{base:.1} {list} {:.1},{base:.1}" fill="{stroke}" fill-opacity="0.12"/>"#,
            first.0, last.0
        );
        let _ = writeln!(
            self.body,
            r#"<polyline points="{list}" fill="none" stroke="{stroke}" stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/>"#
        );
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), fill: &str, title: &str) {
        let _ = writeln!(
            self.body,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="2.4" fill="{fill}" stroke="#ffffff" stroke-width="0.8"><title>{}</title></circle>"##,
            escape(title)
        );
    }

    pub(super) fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"Inter, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

/// About how wide `text` is.
pub(super) fn extent(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// `text` in about `room`, without letters of its middle where it is longer.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    let most = ((room / (size * LETTER)) as usize).max(3);
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = ((most - 1) / 2, most - 1 - (most - 1) / 2);
    letters.iter().take(head).chain(&['…']).chain(letters.iter().skip(letters.len() - tail)).collect()
}

/// The name of a unit without its channels.
pub(super) fn short(name: &str) -> &str {
    name.rsplit_once("_(").map_or(name, |(layer, _)| layer)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(fitted("abcdefghij", 10.0, 1000.0), "abcdefghij");
        let short = fitted("abcdefghij", 10.0, 5.0 * 10.0 * LETTER + 0.1);
        assert_eq!(short, "ab…ij");
    }
}
