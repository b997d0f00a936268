//! A picture of what rounding does to each value: the worst first, with ranges, errors and histograms.

use std::fmt::Write;

use crate::Kind;
use crate::analyze::{BARS, Rounding};

/// Height of a row in pixels.
const ROW: f64 = 34.0;
/// Where columns begin.
const COLUMNS: [f64; 6] = [16.0, 330.0, 420.0, 570.0, 650.0, 740.0];
/// Width of a histogram.
const PLOT: f64 = 256.0;

/// An SVG of `roundings`, those with the least SQNR first, under `title`.
pub fn roundings(list: &[Rounding], title: &str) -> String {
    let mut order: Vec<&Rounding> = list.iter().collect();
    order.sort_by(|a, b| a.sqnr.total_cmp(&b.sqnr));
    let width = COLUMNS[5] + PLOT + 16.0;
    let height = 76.0 + ROW * order.len() as f64;
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    text(&mut out, 16.0, 26.0, "#1f2933", 16.0, title);
    let heads = ["value", "", "range", "SQNR", "clipped", "histogram (bars on a root scale)"];
    for (x, head) in COLUMNS.iter().zip(heads) {
        text(&mut out, *x, 56.0, "#66727f", 12.0, head);
    }
    for (i, r) in order.iter().enumerate() {
        let y = 66.0 + ROW * i as f64;
        if i % 2 == 0 {
            let _ = writeln!(
                out,
                r##"<rect x="8" y="{y:.1}" width="{:.1}" height="{ROW}" fill="#f5f7f9"/>"##,
                width - 16.0
            );
        }
        let base = y + 21.0;
        let color = match r.sqnr {
            s if s < 15.0 => "#c2453b",
            s if s < 25.0 => "#d08a1d",
            _ => "#2f6db3",
        };
        text(&mut out, COLUMNS[0], base, "#1f2933", 12.0, &shortened(&r.name));
        let kind = if r.kind == Kind::Weight { "weight" } else { "activation" };
        text(&mut out, COLUMNS[1], base, "#66727f", 12.0, kind);
        text(&mut out, COLUMNS[2], base, "#1f2933", 12.0, &format!("{:.3} .. {:.3}", r.range.0, r.range.1));
        let sqnr = if r.sqnr.is_finite() { format!("{:.1} dB", r.sqnr) } else { "exact".into() };
        text(&mut out, COLUMNS[3], base, color, 12.0, &sqnr);
        text(&mut out, COLUMNS[4], base, "#1f2933", 12.0, &format!("{:.2} %", 100.0 * r.clipped));
        let most = r.histogram.iter().copied().max().unwrap_or(0).max(1) as f64;
        let step = PLOT / BARS as f64;
        for (b, &count) in r.histogram.iter().enumerate().filter(|(_, c)| **c > 0) {
            let h = ((count as f64 / most).sqrt() * (ROW - 8.0)).max(1.0);
            let _ = write!(
                out,
                r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{h:.1}" fill="{color}"/>"#,
                COLUMNS[5] + b as f64 * step,
                y + ROW - 4.0 - h,
                step - 0.5
            );
        }
        out.push('\n');
    }
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, x: f64, y: f64, fill: &str, size: f64, what: &str) {
    let escaped = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" fill="{fill}" font-size="{size}">{escaped}</text>"#);
}

/// The end of a name that is too long for its column: that is where names differ.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= 46 {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - 45).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first() {
        let of = |name: &str, sqnr| Rounding {
            name: name.into(),
            kind: Kind::Activation,
            range: (-1.0, 2.0),
            sqnr,
            clipped: 0.0,
            histogram: vec![3; BARS],
        };
        let svg = roundings(&[of("fine<1>", 40.0), of("bad", 9.5)], "model");
        assert!(svg.find("bad").unwrap() < svg.find("fine&lt;1&gt;").unwrap(), "{svg}");
        assert!(svg.contains("9.5 dB") && svg.trim_end().ends_with("</svg>"));
    }
}
