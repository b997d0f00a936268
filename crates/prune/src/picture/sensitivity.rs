//! How the accuracy falls as one unit loses channels.

use super::sheet::{AMBER, Anchor, BLUE, GRID, INK, RED, SOFT, Sheet, fitted, short};
use crate::sensitivity::Curve;

/// What the numbers are of.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Above the picture.
    pub title: &'a str,
    /// What was measured, in percent: `accuracy`.
    pub what: &'a str,
    /// What it was measured on and how channels were chosen, in one line.
    pub how: &'a str,
    /// Of the model with all channels.
    pub whole: f64,
}

/// Loss, in points, up to which a part is called safe.
const LOSS: f64 = 1.0;

const PANEL: [f64; 2] = [214.0, 150.0];
/// Left, top, right and bottom of a panel's axes.
const MARGIN: [f64; 4] = [30.0, 44.0, 10.0, 20.0];
const TOP: f64 = 104.0;

/// An SVG file with a panel for each unit, the most sensitive first: the accuracy, from 0 to 100 percent, against the part of
/// the unit's channels that is gone. A dashed line is the whole model; below the name stands what part can go for at most one
/// point.
pub fn sensitivity(curves: &[Curve], about: &About<'_>) -> String {
    let columns = curves.len().clamp(1, 4);
    let rows = curves.len().div_ceil(columns);
    let [w, h] = PANEL;
    let width = (w * columns as f64 + 36.0).max(560.0);
    let mut sheet = Sheet::new(width, TOP + h * rows as f64 + 14.0);
    sheet.bold(24.0, 32.0, 16.0, about.title);
    let line = format!("{} of the whole model {:.1} %; {}", about.what, about.whole, about.how);
    sheet.text(24.0, 52.0, 11.5, SOFT, Anchor::Start, &line);
    let mut x = 24.0;
    for (fill, text) in
        [(RED, "less than a fifth can go for 1 point"), (AMBER, "less than half"), (BLUE, "half or more")]
    {
        sheet.rect([x, 68.0, 10.0, 10.0], 2.0, fill, "");
        sheet.text(x + 15.0, 77.0, 11.0, INK, Anchor::Start, text);
        x += 30.0 + super::sheet::extent(text, 11.0);
    }
    for (i, curve) in curves.iter().enumerate() {
        let place = (18.0 + w * (i % columns) as f64, TOP + h * (i / columns) as f64);
        panel(&mut sheet, place, curve, about.whole);
    }
    sheet.finish()
}

fn panel(sheet: &mut Sheet, (x, y): (f64, f64), curve: &Curve, whole: f64) {
    let [w, h] = PANEL;
    let [left, top, right, bottom] = MARGIN;
    let (x0, x1, y0, y1) = (x + left, x + w - right, y + h - bottom, y + top);
    let at = |ratio: f64, score: f64| {
        (x0 + (x1 - x0) * ratio.clamp(0.0, 1.0), y0 - (y0 - y1) * (score / 100.0).clamp(0.0, 1.0))
    };
    let safe = curve.safe(whole - LOSS);
    let color = match safe {
        s if s < 0.2 => RED,
        s if s < 0.5 => AMBER,
        _ => BLUE,
    };
    sheet.text(x0, y + 14.0, 11.5, INK, Anchor::Start, &fitted(short(&curve.name), 11.5, w - left - 4.0));
    let about = match safe > 0.0 {
        true => format!("{} channels, {:.0} % can go", curve.channels, 100.0 * safe),
        false => format!("{} channels, none can go", curve.channels),
    };
    sheet.text(x0, y + 29.0, 10.0, SOFT, Anchor::Start, &about);
    for score in [0.0, 50.0, 100.0] {
        let (_, height) = at(0.0, score);
        sheet.line([x0, height, x1, height], GRID, "");
        sheet.text(x0 - 5.0, height + 3.5, 9.0, SOFT, Anchor::End, &format!("{score:.0}"));
    }
    for ratio in [0.0, 0.5, 1.0] {
        let (place, _) = at(ratio, 0.0);
        let label = format!("{:.0} %", 100.0 * ratio);
        let half = super::sheet::extent(&label, 9.0) / 2.0;
        sheet.text((place + half).min(x1 + 6.0), y0 + 12.0, 9.0, SOFT, Anchor::End, &label);
    }
    let (_, height) = at(0.0, whole);
    sheet.line([x0, height, x1, height], SOFT, "3 3");
    let points: Vec<(f64, f64)> =
        [at(0.0, whole)].into_iter().chain(curve.points.iter().map(|p| at(p.ratio, p.score))).collect();
    sheet.curve(&points, y0, color);
    for (place, p) in points.iter().skip(1).zip(&curve.points) {
        let said = format!("{} of {} channels: {:.1} %", p.width, curve.channels, p.score);
        sheet.dot(*place, color, &said);
    }
}
