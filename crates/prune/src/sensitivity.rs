//! How much a model suffers when one unit alone loses channels (Li et al., 2017, arXiv:1608.08710, figure 2).

use occam_graph::{Graph, Weights};
use occam_space::{Trace, shrink};

use crate::{Error, Solver};

/// The parts of a unit's channels that are removed.
pub const RATIOS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// A unit with some of its channels removed, all others whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The part of the channels that is gone, as a whole number of channels allows.
    pub ratio: f64,
    /// Channels that stay.
    pub width: usize,
    /// Multiply-accumulates of the whole model.
    pub macs: u64,
    /// What was measured.
    pub score: f64,
}

/// What was measured of one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Position of the unit in the trace.
    pub unit: usize,
    /// Its name.
    pub name: String,
    /// Its channels.
    pub channels: usize,
    /// From few channels removed to many.
    pub points: Vec<Point>,
}

impl Curve {
    /// Mean of what was measured over [`RATIOS`]: low where the model suffers much.
    pub fn mean(&self) -> f64 {
        self.points.iter().map(|p| p.score).sum::<f64>() / self.points.len().max(1) as f64
    }

    /// The largest part that can go with a score of at least `least` there and at all smaller parts; 0 where there is
    /// none.
    pub fn safe(&self, least: f64) -> f64 {
        let safe = self.points.iter().take_while(|p| p.score >= least);
        safe.last().map_or(0.0, |p| p.ratio)
    }
}

/// What of a unit of so many channels is left at each of [`RATIOS`]; widths that differ, at least 1.
fn widths(channels: usize) -> Vec<usize> {
    let mut widths: Vec<usize> =
        RATIOS.iter().map(|r| channels - (channels as f64 * r).round() as usize).collect();
    widths.dedup();
    widths.retain(|&w| w > 0 && w < channels);
    widths
}

/// How many models [`curves`] measures.
pub fn count(trace: &Trace) -> usize {
    trace.prunable().map(|u| widths(u.channels).len()).sum()
}

/// Measures every unit that can be pruned alone, at each of [`RATIOS`] of its channels; those go first that `solver` finds
/// least important. The units that suffer most come first.
///
/// `measure` gets the smaller model, which is an ordinary one, and gives a number that is high where it is good.
///
/// # Errors
/// A unit has no scores, a node cannot follow, or what `measure` fails with.
pub fn curves<E: From<Error>>(
    graph: &Graph,
    weights: &Weights,
    trace: &Trace,
    solver: &Solver<'_>,
    mut measure: impl FnMut(Graph, Weights) -> Result<f64, E>,
) -> Result<Vec<Curve>, E> {
    let full: Vec<usize> = trace.units.iter().map(|u| u.channels).collect();
    let mut curves = Vec::new();
    for (index, unit) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
        let mut points = Vec::new();
        for width in widths(unit.channels) {
            let mut all = full.clone();
            if let Some(own) = all.get_mut(index) {
                *own = width;
            }
            let found = solver.at(&all)?;
            let (small, sliced) = shrink(graph, weights, trace, &found.selection).map_err(Error::from)?;
            let score = measure(small, sliced)?;
            let ratio = 1.0 - width as f64 / unit.channels as f64;
            points.push(Point { ratio, width, macs: found.after.macs, score });
        }
        if !points.is_empty() {
            curves.push(Curve { unit: index, name: unit.name.clone(), channels: unit.channels, points });
        }
    }
    curves.sort_by(|a, b| a.mean().total_cmp(&b.mean()));
    Ok(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_become_whole_numbers_of_channels() {
        assert_eq!(widths(10), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(widths(64), [58, 51, 45, 38, 32, 26, 19, 13, 6]);
        assert_eq!(widths(3), [2, 1]);
        assert!(widths(1).is_empty());
    }

    #[test]
    fn safe_parts_end_at_the_first_loss() {
        let point = |ratio, score| Point { ratio, width: 1, macs: 0, score };
        let points = vec![point(0.1, 90.0), point(0.2, 88.0), point(0.3, 89.5)];
        let curve = Curve { unit: 0, name: "a".into(), channels: 10, points };
        assert_eq!((curve.safe(89.0), curve.safe(85.0), curve.safe(95.0)), (0.1, 0.3, 0.0));
        assert!((curve.mean() - 89.166_666).abs() < 1e-4);
    }
}
