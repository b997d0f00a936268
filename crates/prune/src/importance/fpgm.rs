//! Distance from the geometric median (He et al., FPGM, 2019, arXiv:1811.00250).

use occam_graph::ValueId;
use rayon::prelude::*;

use super::axes::{Part, elements, parts};
use super::{Scores, Subject};
use crate::{Error, Result};

pub(super) const ABOUT: &str = "sum of the distances of a filter to the other filters of its layer";

/// `mean over layers of Σ_j ‖w_c − w_j‖₂` over the filters that compute the channel: what lies near the others can be
/// replaced by them.
pub(super) fn score(subject: &Subject<'_>) -> Result<Scores> {
    let parts = parts(subject.graph);
    let mut all = Vec::with_capacity(subject.trace.units.len());
    for unit in &subject.trace.units {
        if unit.kept_by.is_some() {
            all.push(Vec::new());
            continue;
        }
        let mut scores = vec![0f64; unit.channels];
        let mut count = 0usize;
        for member in &unit.members {
            if !matches!(parts.get(&member.value), Some(Part::Weight { output }) if *output == member.axis) {
                continue;
            }
            count += 1;
            let rows = rows(subject, member.value, member.axis)?;
            let own: Vec<Vec<f32>> = (0..unit.channels)
                .map(|c| {
                    member.of(c).iter().filter_map(|&e| rows.get(e as usize)).flatten().copied().collect()
                })
                .collect();
            let distances: Vec<f64> =
                own.par_iter().map(|a| own.iter().map(|b| distance(a, b)).sum()).collect();
            scores.iter_mut().zip(distances).for_each(|(s, d)| *s += d);
        }
        if count == 0 {
            let needs = "filters that compute a channel";
            return Err(Error::Needs { importance: "fpgm", needs, unit: unit.name.clone() });
        }
        scores.iter_mut().for_each(|s| *s /= count as f64);
        all.push(scores);
    }
    Ok(all)
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square: f32 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum();
    f64::from(square).sqrt()
}

/// The filters of a weight, one for each position on `axis`.
fn rows(subject: &Subject<'_>, value: ValueId, axis: usize) -> Result<Vec<Vec<f32>>> {
    let (shape, data) = elements(subject, value)?;
    let size = shape.get(axis).copied().unwrap_or(0);
    let inner: usize = shape.iter().skip(axis + 1).product();
    let mut rows = vec![Vec::new(); size];
    if inner > 0 && size > 0 {
        for block in data.chunks_exact(inner * size) {
            for (row, run) in rows.iter_mut().zip(block.chunks_exact(inner)) {
                row.extend_from_slice(run);
            }
        }
    }
    Ok(rows)
}
