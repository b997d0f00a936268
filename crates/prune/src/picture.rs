//! Widths before and after as a picture.

use std::fmt::Write;

use occam_space::{Selection, Trace};

const ROW: f64 = 18.0;
const BAR: f64 = 420.0;
const LETTER: f64 = 6.4;

/// An SVG file with a bar for each unit that can be pruned: how wide it was, and how much of it stays.
pub fn widths(trace: &Trace, selection: &Selection, title: &str) -> String {
    let rows: Vec<(&str, usize, usize)> = trace
        .units
        .iter()
        .enumerate()
        .filter(|(_, u)| u.kept_by.is_none())
        .map(|(i, u)| (u.name.as_str(), u.channels, selection.width(i)))
        .collect();
    let label = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0) as f64 * LETTER + 12.0;
    let (width, height) = (label + BAR + 110.0, 52.0 + ROW * rows.len() as f64 + 12.0);
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="Helvetica, Arial, sans-serif" font-size="11"><rect width="100%" height="100%" fill="#ffffff"/><text x="12" y="22" font-size="14" font-weight="bold" fill="#222">{}</text><rect x="12" y="32" width="10" height="10" fill="#2f6db3"/><text x="26" y="41" fill="#444">channels that stay</text><rect x="136" y="32" width="10" height="10" fill="#d9dee6"/><text x="150" y="41" fill="#444">channels that go</text>"##,
        escape(title)
    );
    for (i, (name, full, kept)) in rows.iter().enumerate() {
        let y = 52.0 + ROW * i as f64;
        let part = *kept as f64 / (*full).max(1) as f64;
        let _ = write!(
            out,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="end" fill="#333">{}</text><rect x="{label:.1}" y="{:.1}" width="{:.1}" height="12" fill="#d9dee6"/><rect x="{label:.1}" y="{:.1}" width="{:.1}" height="12" fill="#2f6db3"/><text x="{:.1}" y="{:.1}" fill="#333">{full} → {kept}</text>"##,
            label - 6.0,
            y + 11.0,
            escape(name),
            y + 1.0,
            BAR,
            y + 1.0,
            part * BAR,
            label + BAR + 6.0,
            y + 11.0,
        );
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
