//! Multiply-accumulates as a differentiable function of widths.

use occam_graph::{Bindings, Graph};

use crate::resources::{Estimator, Variable};
use crate::{Error, Result, Trace};

/// Sizes that shrink together: all are what they were less `Σ n · (channels − width)` elements.
struct Group {
    /// Units, with the elements that one channel has here.
    by: Vec<(u32, u32)>,
    /// How many elements are gone at each sampled point; at most three, from 0 on.
    points: Vec<f64>,
}

/// One node: its cost at all combinations of its groups' points, the last group's varying fastest.
struct Term {
    groups: Vec<Group>,
    costs: Vec<f64>,
}

/// Multiply-accumulates of a graph at real widths of its units, such as expected ones, with their derivatives.
///
/// The cost of a node is a polynomial of at most second degree in each of the sizes of its axes, such as
/// `positions · kernel · inputs · outputs` of a convolution; it is interpolated from what the [`Estimator`] says at whole
/// widths, with which it therefore agrees.
pub struct SmoothMacs {
    channels: Vec<usize>,
    fixed: f64,
    terms: Vec<Term>,
}

impl SmoothMacs {
    /// Of `graph`; sizes with symbols are those of `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound, or the cost of a node is no such polynomial.
    pub fn new(graph: &Graph, trace: &Trace, bindings: &Bindings) -> Result<Self> {
        let estimator = Estimator::new(graph, trace, bindings)?;
        let mut smooth = Self {
            channels: trace.units.iter().map(|u| u.channels).collect(),
            fixed: estimator.fixed().macs as f64,
            terms: Vec::new(),
        };
        for variable in estimator.variables() {
            if let Some(term) = smooth.term(&estimator, variable)? {
                smooth.terms.push(term);
            }
        }
        Ok(smooth)
    }

    /// The cost of one node; none where it has none.
    fn term(&self, estimator: &Estimator<'_>, variable: &Variable) -> Result<Option<Term>> {
        let full = estimator.sizes();
        if estimator.macs(variable, &full)? == 0 {
            return Ok(None);
        }
        let mut groups: Vec<Group> = Vec::new();
        // By axis of the node its group.
        let mut of_axis: Vec<(usize, usize)> = Vec::new();
        for axis in variable.axes() {
            let mut by = estimator.shrinking(axis).to_vec();
            by.sort_unstable();
            let group = match groups.iter().position(|g| g.by == by) {
                Some(group) => group,
                None => {
                    let points = self.points(&by);
                    groups.push(Group { by, points });
                    groups.len() - 1
                }
            };
            of_axis.push((axis, group));
        }
        let at = |gone: &[f64]| -> Result<f64> {
            let mut sizes = full.clone();
            for &(axis, group) in &of_axis {
                if let (Some(size), Some(&all), Some(&gone)) =
                    (sizes.get_mut(axis), full.get(axis), gone.get(group))
                {
                    *size = all.saturating_sub(gone as usize);
                }
            }
            Ok(estimator.macs(variable, &sizes)? as f64)
        };
        let mut term = Term { costs: Vec::new(), groups };
        let mut gone = vec![0.0; term.groups.len()];
        term.sample(0, &mut gone, &at)?;
        // Between the points the polynomial must be what it is taken for.
        let between: Vec<f64> =
            term.groups.iter().map(|g| (g.points.last().copied().unwrap_or(0.0) / 4.0).floor()).collect();
        let (found, wanted) = (term.value(&between).0, at(&between)?);
        if (found - wanted).abs() > 1e-6 * wanted.max(1.0) {
            let name = estimator.name(variable);
            let message = format!("its cost is no product of sizes: {wanted} where {found:.1} would follow");
            return Err(Error::Shrink { node: name, message });
        }
        Ok(Some(term))
    }

    /// How many elements are gone at no, half and the most channels that can go.
    fn points(&self, by: &[(u32, u32)]) -> Vec<f64> {
        let each = by.iter().map(|&(_, n)| n).min().unwrap_or(1);
        let all = |&(unit, n): &(u32, u32)| self.channels.get(unit as usize).map_or(0, |c| c * n as usize);
        let most = by.iter().map(all).sum::<usize>().saturating_sub(each as usize);
        let mut points = vec![0.0, (most / 2) as f64, most as f64];
        points.dedup();
        points
    }

    /// The multiply-accumulates at `widths`, and their derivative by each.
    pub fn at(&self, widths: &[f64]) -> (f64, Vec<f64>) {
        let gone = |&(unit, n): &(u32, u32)| {
            let unit = unit as usize;
            let (Some(&all), Some(&width)) = (self.channels.get(unit), widths.get(unit)) else { return 0.0 };
            (all as f64 - width) * f64::from(n)
        };
        let mut macs = self.fixed;
        let mut derivatives = vec![0.0; self.channels.len()];
        for term in &self.terms {
            let at: Vec<f64> = term.groups.iter().map(|g| g.by.iter().map(gone).sum()).collect();
            let (cost, slopes) = term.value(&at);
            macs += cost;
            for (group, slope) in term.groups.iter().zip(slopes) {
                for &(unit, n) in &group.by {
                    if let Some(d) = derivatives.get_mut(unit as usize) {
                        *d -= slope * f64::from(n);
                    }
                }
            }
        }
        (macs, derivatives)
    }
}

impl Term {
    /// Adds the costs at all points of the groups from `index` on.
    fn sample(&mut self, index: usize, gone: &mut [f64], at: &impl Fn(&[f64]) -> Result<f64>) -> Result<()> {
        let Some(points) = self.groups.get(index).map(|g| g.points.clone()) else {
            self.costs.push(at(gone)?);
            return Ok(());
        };
        for point in points {
            if let Some(own) = gone.get_mut(index) {
                *own = point;
            }
            self.sample(index + 1, gone, at)?;
        }
        Ok(())
    }

    /// The cost where so many elements are gone of each group, and its derivative by each.
    fn value(&self, gone: &[f64]) -> (f64, Vec<f64>) {
        let bases: Vec<Vec<[f64; 2]>> =
            self.groups.iter().zip(gone).map(|(g, &t)| lagrange(&g.points, t)).collect();
        let mut value = 0.0;
        let mut slopes = vec![0.0; self.groups.len()];
        for (i, cost) in self.costs.iter().enumerate() {
            // The point of each group, the last varying fastest.
            let mut rest = i;
            let mut own: Vec<[f64; 2]> = Vec::with_capacity(bases.len());
            for basis in bases.iter().rev() {
                own.push(basis.get(rest % basis.len().max(1)).copied().unwrap_or([1.0, 0.0]));
                rest /= basis.len().max(1);
            }
            own.reverse();
            value += cost * own.iter().map(|b| b[0]).product::<f64>();
            for (g, slope) in slopes.iter_mut().enumerate() {
                let part = own.iter().enumerate().map(|(j, b)| if j == g { b[1] } else { b[0] });
                *slope += cost * part.product::<f64>();
            }
        }
        (value, slopes)
    }
}

/// The values and derivatives at `t` of the polynomials that are 1 at one of `points` and 0 at the others.
fn lagrange(points: &[f64], t: f64) -> Vec<[f64; 2]> {
    let basis = |k: usize, own: f64| {
        let others = || points.iter().enumerate().filter(move |(j, _)| *j != k).map(|(_, p)| *p);
        let scale: f64 = others().map(|p| own - p).product();
        let value: f64 = others().map(|p| t - p).product();
        let slope: f64 = (0..points.len().saturating_sub(1))
            .map(|left_out| {
                others().enumerate().filter(|(i, _)| *i != left_out).map(|(_, p)| t - p).product::<f64>()
            })
            .sum();
        [value / scale, slope / scale]
    };
    points.iter().enumerate().map(|(k, &own)| basis(k, own)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_interpolated_with_their_slopes() {
        let points = [0.0, 3.0, 7.0];
        let f = |t: f64| 2.0 * t * t - 5.0 * t + 4.0;
        for t in [-1.0, 0.0, 2.5, 7.0] {
            let basis = lagrange(&points, t);
            let value: f64 = basis.iter().zip(points).map(|(b, p)| b[0] * f(p)).sum();
            let slope: f64 = basis.iter().zip(points).map(|(b, p)| b[1] * f(p)).sum();
            assert!((value - f(t)).abs() < 1e-9 && (slope - (4.0 * t - 5.0)).abs() < 1e-9, "{t}");
        }
        assert_eq!(lagrange(&[0.0], 5.0), [[1.0, 0.0]]);
    }
}
