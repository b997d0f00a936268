//! Which widths are measured, and the multiples that follow.

use occam_data::Seed;
use occam_data::streams::Draw;

use super::blocks::Blocks;
use super::table::Table;
use crate::solve::{Solver, Unit, gcd, set};

/// Multiples of which sizes of layers may be.
pub const MULTIPLES: [usize; 4] = [4, 8, 16, 32];

/// The part of all channels at which multiples are compared.
const COMPARED: f64 = 0.6;

/// A lesser multiple is as good where its times are no longer than this, compared with the best.
const AS_GOOD: f64 = 1.03;

/// Parts of all channels that are measured once the multiples are known.
const PARTS: [f64; 4] = [0.8, 0.6, 0.4, 0.2];

/// Models that are measured whose units have widths of their own.
const MIXED: usize = 4;

/// Widths of which layers have sizes that are multiples of `multiple` and not of twice as much, near a part of all channels.
pub fn exactly(solver: &Solver<'_>, multiple: usize) -> Vec<usize> {
    let mut widths = solver.full();
    for unit in &solver.units {
        let mut step = (multiple / gcd(multiple, unit.each)).max(1);
        while step > 1 && unit.channels < 2 * step {
            step /= 2;
        }
        let wanted = unit.channels as f64 * COMPARED;
        let odd = (1..=unit.channels / step).step_by(2).map(|k| k * step);
        let near = odd.filter(|&w| w >= unit.least.min(unit.channels));
        let best = near.min_by(|&a, &b| (a as f64 - wanted).abs().total_cmp(&(b as f64 - wanted).abs()));
        if let Some(width) = best {
            set(&mut widths, unit.index, width);
        }
    }
    widths
}

/// Widths at which models are measured for the times between them.
pub fn grid(solver: &Solver<'_>) -> Vec<Vec<usize>> {
    let at = |part: &mut dyn FnMut(&Unit) -> f64| {
        let mut widths = solver.full();
        for unit in &solver.units {
            let width = part(unit) * unit.channels as f64;
            set(&mut widths, unit.index, unit.rounded(width.round() as usize));
        }
        widths
    };
    let mut all: Vec<Vec<usize>> = PARTS.into_iter().map(|part| at(&mut |_| part)).collect();
    for index in 0..MIXED {
        let mut stream = Seed(0).stream("widths to measure", &[index as u64]);
        all.push(at(&mut |_| {
            let part = stream.uniform_f64();
            // Some keep all channels: their number is often no multiple.
            if part < 0.2 { 1.0 } else { part }
        }));
    }
    all
}

/// By unit of the trace the least multiple that is as good as any.
///
/// A multiple is as good as its blocks are fast: the times of all blocks of a unit in a model of this multiple, over those
/// that they would have if time went with the product of their sizes.
pub fn choose(solver: &Solver<'_>, blocks: &Blocks, table: &Table) -> Vec<usize> {
    let full = blocks.gone(&solver.full());
    let compared: Vec<(usize, Vec<usize>)> =
        MULTIPLES.into_iter().map(|m| (m, blocks.gone(&exactly(solver, m)))).collect();
    let mut chosen = vec![1; solver.trace.units.len()];
    for unit in &solver.units {
        let own = blocks.of_unit.get(unit.index).map(Vec::as_slice).unwrap_or_default();
        let effort = |gone: &[usize]| {
            let (mut took, mut fair) = (0.0, 0.0);
            for block in own.iter().filter_map(|&b| blocks.all.get(b)) {
                let (sizes, all) = (block.sizes(gone), block.sizes(&full));
                if let (Some(us), Some(whole)) = (table.get(&block.op, &sizes), table.get(&block.op, &all)) {
                    let part = |(&s, &a): (&usize, &usize)| s as f64 / a.max(1) as f64;
                    took += us;
                    fair += whole * sizes.iter().zip(&all).map(part).product::<f64>();
                }
            }
            if fair > 0.0 { took / fair } else { 1.0 }
        };
        let efforts: Vec<(usize, f64)> = compared.iter().map(|(m, gone)| (*m, effort(gone))).collect();
        let least = efforts.iter().map(|(_, e)| *e).fold(f64::INFINITY, f64::min);
        let best = efforts.iter().find(|(_, e)| *e <= least * AS_GOOD).map_or(1, |(m, _)| *m);
        set(&mut chosen, unit.index, best);
    }
    chosen
}
