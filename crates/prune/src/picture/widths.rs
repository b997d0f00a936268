//! Widths before and after.

use occam_space::{Selection, Trace};

use super::sheet::{Anchor, BLUE, GRID, INK, SOFT, Sheet, extent, fitted, short};

const ROW: f64 = 20.0;
const BAR: f64 = 400.0;
const TOP: f64 = 92.0;
/// Most room for names.
const NAMES: f64 = 330.0;

/// An SVG file with a bar for each unit that can be pruned, in the order of the model: how many channels it had, and what part
/// of them stays.
pub fn widths(trace: &Trace, selection: &Selection, title: &str) -> String {
    let rows: Vec<(&str, usize, usize)> = trace
        .units
        .iter()
        .enumerate()
        .filter(|(_, u)| u.kept_by.is_none())
        .map(|(i, u)| (u.name.as_str(), u.channels, selection.width(i)))
        .collect();
    let names = rows.iter().map(|r| extent(short(r.0), 11.0)).fold(60.0, f64::max).min(NAMES);
    let left = 24.0 + names + 12.0;
    let (width, height) = (left + BAR + 130.0, TOP + ROW * rows.len() as f64 + 24.0);
    let mut sheet = Sheet::new(width, height);
    let (full, kept) = rows.iter().fold((0, 0), |(a, b), (_, full, kept)| (a + full, b + kept));
    sheet.bold(24.0, 32.0, 16.0, title);
    let narrower = rows.iter().filter(|(_, full, kept)| kept < full).count();
    let about = format!("{kept} of {full} channels stay; {narrower} of {} units are narrower", rows.len());
    sheet.text(24.0, 52.0, 11.5, SOFT, Anchor::Start, &about);
    let bottom = TOP + ROW * rows.len() as f64;
    for quarter in 0..=4 {
        let x = left + BAR * f64::from(quarter) / 4.0;
        sheet.line([x, TOP - 6.0, x, bottom], GRID, "");
        let label = format!("{} %", 25 * quarter);
        sheet.text(x + extent(&label, 10.0) / 2.0, TOP - 11.0, 10.0, SOFT, Anchor::End, &label);
    }
    for (i, (name, full, kept)) in rows.iter().enumerate() {
        let y = TOP + ROW * i as f64;
        let part = *kept as f64 / (*full).max(1) as f64;
        let said = format!("{name}: {kept} of {full}");
        sheet.text(left - 10.0, y + 13.5, 11.0, INK, Anchor::End, &fitted(short(name), 11.0, NAMES));
        sheet.rect([left, y + 4.0, BAR, 12.0], 3.0, "#dbe3ec", &said);
        sheet.rect([left, y + 4.0, part * BAR, 12.0], 3.0, if kept < full { BLUE } else { "#8aa9cc" }, &said);
        let (numbers, fill) = match kept < full {
            true => (format!("{full} → {kept}"), INK),
            false => (full.to_string(), SOFT),
        };
        sheet.text(left + BAR + 12.0, y + 13.5, 11.0, fill, Anchor::Start, &numbers);
    }
    sheet.finish()
}
