//! Importances that grow batch by batch, and what they are divided by.

use std::collections::HashMap;

use occam_graph::{Bindings, Dim, Graph};
use occam_space::{Estimator, Trace};

use crate::gates::bind;
use crate::layers::layers;
use crate::units::Normalization;
use crate::{Result, Shaped};

/// By unit and channel that is left, the sum of what the batches so far gave.
pub(crate) struct Accumulated {
    /// Units that lose no channels have none.
    pub of: Vec<Vec<f64>>,
    /// Batches that are in it.
    pub batches: i64,
    mutable: Vec<bool>,
}

impl Accumulated {
    pub fn new(widths: &[usize], mutable: &[bool]) -> Self {
        let mut new = Self { of: Vec::new(), batches: 0, mutable: mutable.to_vec() };
        new.reset(widths);
        new
    }

    /// Begins anew, for units of these widths.
    pub fn reset(&mut self, widths: &[usize]) {
        let own = widths.iter().zip(&self.mutable);
        self.of = own.map(|(&width, &mutable)| vec![0.0; if mutable { width } else { 0 }]).collect();
        self.batches = 0;
    }

    /// Adds a batch: `Σ_samples x² / gain` of what `of` gives by sample and channel of a unit. A batch with a number that is
    /// not finite is left out.
    pub fn add(&mut self, of: impl Fn(usize) -> Vec<Vec<f64>>, gains: &[f64]) {
        let mut batch = Vec::with_capacity(self.of.len());
        for (i, own) in self.of.iter().enumerate() {
            let mut sums = vec![0f64; own.len()];
            let gain = gains.get(i).copied().unwrap_or(1.0);
            if !own.is_empty() {
                for row in of(i) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= gain);
            batch.push(sums);
        }
        if batch.iter().flatten().any(|x| !x.is_finite()) {
            return;
        }
        for (own, sums) in self.of.iter_mut().zip(batch) {
            own.iter_mut().zip(sums).for_each(|(a, b)| *a += b);
        }
        self.batches += 1;
    }

    /// Unit, channel and importance of the least important channel of all units that have two: of equal ones the first.
    pub fn least(&self, widths: &[usize]) -> Option<(usize, usize, f64)> {
        let mut least: Option<(usize, usize, f64)> = None;
        for (i, own) in self.of.iter().enumerate().filter(|_| self.batches > 0) {
            if widths.get(i).is_none_or(|&width| width < 2) {
                continue;
            }
            for (c, &x) in own.iter().enumerate() {
                if least.is_none_or(|(_, _, best)| x < best) {
                    least = Some((i, c, x));
                }
            }
        }
        least
    }
}

/// By unit what removing one of its channels saves at the present widths.
pub(crate) struct Gains {
    kind: Normalization,
    /// By shape of the images.
    known: HashMap<Vec<usize>, Vec<f64>>,
}

impl Gains {
    pub fn new(kind: Normalization) -> Self {
        Self { kind, known: HashMap::new() }
    }

    /// The widths are others than before.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// The gains for images of the shape `[batch, channels, height, width]`; 1 for units that are not `wanted`.
    ///
    /// # Errors
    /// The images do not fit the graph.
    pub fn of(&mut self, shaped: &Shaped, wanted: &[bool], images: &[usize]) -> Result<&[f64]> {
        let mut one = images.to_vec();
        if let Some(batch) = one.first_mut() {
            *batch = 1;
        }
        if !self.known.contains_key(&one) {
            let bindings = bind(shaped.graph(), &one);
            let gains = gains(self.kind, shaped.graph(), shaped.trace(), shaped.widths(), wanted, &bindings)?;
            self.known.insert(one.clone(), gains);
        }
        Ok(self.known.get(&one).map(Vec::as_slice).unwrap_or_default())
    }
}

/// What the channels of `trace` are worth; see [`Normalization`].
fn gains(
    kind: Normalization,
    graph: &Graph,
    trace: &Trace,
    widths: &[usize],
    wanted: &[bool],
    bindings: &Bindings,
) -> Result<Vec<f64>> {
    let mut gains = vec![1.0; trace.units.len()];
    let units = trace.units.iter().enumerate().filter(|(i, _)| wanted.get(*i).copied().unwrap_or(false));
    match kind {
        Normalization::None => {}
        Normalization::Flops => {
            let estimator = Estimator::new(graph, trace, bindings)?;
            let now = estimator.at(widths)?.macs;
            for (i, _) in units {
                let mut fewer = widths.to_vec();
                if let Some(width) = fewer.get_mut(i) {
                    *width = width.saturating_sub(1);
                }
                let saved = now.saturating_sub(estimator.at(&fewer)?.macs);
                if let Some(gain) = gains.get_mut(i) {
                    *gain = saved.max(1) as f64 / 1e9;
                }
            }
        }
        Normalization::Act => {
            let outputs: Vec<_> = layers(graph).into_iter().map(|l| l.output).collect();
            for (i, unit) in units {
                let mut written = 0u64;
                for member in unit.members.iter().filter(|m| outputs.contains(&(m.value, m.axis))) {
                    let fact = &graph.value(member.value)?.fact;
                    let all = fact.numel(bindings)?;
                    let size = fact.shape.get(member.axis).and_then(Dim::known).unwrap_or(1).max(1);
                    written += all / size as u64 * member.per_channel as u64;
                }
                if let Some(gain) = gains.get_mut(i) {
                    *gain = written.max(1) as f64 / 1e6;
                }
            }
        }
    }
    Ok(gains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_channel_is_found_wherever_importances_lie() {
        let mut sums = Accumulated::new(&[2, 3, 1, 4], &[true, true, true, false]);
        assert_eq!(sums.least(&[2, 3, 1, 4]), None);
        let rows = |i: usize| match i {
            0 => vec![vec![2e6, 1e6], vec![0.0, 3e6]],
            1 => vec![vec![1e6, 2e6, 1e6], vec![1e6, 0.0, 1e6]],
            _ => vec![vec![1.0], vec![1.0]],
        };
        sums.add(rows, &[1.0, 1.0, 1.0, 1.0]);
        // All are above the 1e5 from which the original begins to look; the third unit has its last channel.
        assert_eq!(sums.least(&[2, 3, 1, 4]), Some((1, 0, 2e12)));
        assert_eq!(sums.of[0], [4e12, 1e13]);
        sums.add(|_| vec![vec![f64::NAN; 3]], &[1.0; 4]);
        assert_eq!((sums.batches, sums.of[1][1]), (1, 4e12));
        sums.reset(&[2, 2, 1, 4]);
        assert_eq!((sums.of[1].len(), sums.of[3].len(), sums.batches), (2, 0, 0));
    }
}
