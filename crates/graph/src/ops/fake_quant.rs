//! Rounding to a grid of integers and back.

use super::{OpFamily, check_axis, check_channels, check_inputs};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Result};

/// How scale and zero point of a [`FakeQuant`] learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GridLearning {
    /// They do not: whoever observes sets them.
    #[default]
    Fixed,
    /// By the gradients of LSQ (Esser et al., 2020, arXiv:1902.08153).
    Learned,
    /// The same times `1 / √(elements of x · high)`, the original's `use_grad_scaling`.
    LearnedScaled,
}

/// `y = (clamp(round(x / scale) + zero_point, low, high) − zero_point) · scale`, ties to even.
///
/// | input | shape | |
/// |---|---|---|
/// | 0 `x` | any, `f32` | |
/// | 1 `scale` | `[1]`, `[C]` along `axis`, or one for each group | size of a step |
/// | 2 `zero_point` | as `scale` | the whole number that 0 becomes, as `f32` |
///
/// The gradient passes straight through what was not clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeQuant {
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
    /// The axis of `x` with a scale for every index; one scale for all where there is none.
    pub axis: Option<usize>,
    /// Elements that share a scale: so many that follow each other within an index of the first axis, which `axis` names
    /// then. All those of an index of `axis` where there is none.
    pub group: Option<usize>,
    /// Whether scale and zero point learn.
    pub learning: GridLearning,
}

impl FakeQuant {
    /// The grid of integers in `low..=high`, with scales along `axis`, that does not learn.
    pub fn new(low: i32, high: i32, axis: Option<usize>) -> Self {
        Self { low, high, axis, group: None, learning: GridLearning::Fixed }
    }

    /// How many scales an `x` of `shape` has, and how many elements that follow each other share one: the `i`-th run has the
    /// scale `i` modulo their number. None where the axis or the groups do not fit.
    pub fn runs(&self, shape: &[usize]) -> Option<(usize, usize)> {
        runs(self.axis, self.group, shape)
    }
}

/// The runs of elements of one scale in a tensor; see [`FakeQuant::runs`].
pub fn runs(axis: Option<usize>, group: Option<usize>, shape: &[usize]) -> Option<(usize, usize)> {
    let whole: usize = shape.iter().product();
    let Some(axis) = axis else { return group.is_none().then_some((1, whole.max(1))) };
    let channels = *shape.get(axis)?;
    let inner: usize = shape.iter().skip(axis + 1).product();
    match group {
        None => Some((channels, inner.max(1))),
        Some(group) if axis == 0 && group > 0 && inner > 0 && inner.is_multiple_of(group) => {
            Some((channels * (inner / group), group))
        }
        Some(_) => None,
    }
}

impl OpFamily for FakeQuant {
    fn name(&self) -> &'static str {
        "FakeQuant"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![("low", self.low.to_string()), ("high", self.high.to_string())];
        if let Some(axis) = self.axis {
            list.push(("axis", axis.to_string()));
        }
        if let Some(group) = self.group {
            list.push(("group", group.to_string()));
        }
        if self.learning != GridLearning::Fixed {
            list.push(("learning", format!("{:?}", self.learning)));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 3..=3)?;
        let &[x, scale, zero] = inputs else { return Ok(Vec::new()) };
        if self.low >= self.high {
            return Err(Error::Op(format!("there is no grid in {}..={}", self.low, self.high)));
        }
        if let Some(other) = inputs.iter().find(|f| f.dtype != DType::F32) {
            return Err(Error::Op(format!("takes f32, found {other}")));
        }
        let channels = match self.axis {
            _ if self.group.is_some() => {
                let runs = x.known_shape().and_then(|shape| self.runs(&shape));
                let message = || Error::Op(format!("{x} has no groups of {}", self.group.unwrap_or(0)));
                Dim::Known(runs.ok_or_else(message)?.0)
            }
            None => Dim::Known(1),
            Some(axis) => {
                check_axis(x, axis)?;
                x.shape.get(axis).cloned().unwrap_or(Dim::Known(1))
            }
        };
        check_channels(scale, &channels, "the scale")?;
        check_channels(zero, &channels, "the zero point")?;
        Ok(vec![x.clone()])
    }

    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let rank = inputs.first().map_or(0, |f| f.rank());
        let map = AxisMap::elementwise(rank);
        match self.axis.filter(|_| self.group.is_none()) {
            None => map,
            Some(axis) => map.same(input(1, 0), output(0, axis)).same(input(2, 0), output(0, axis)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_fits_its_axis() {
        let x = Fact::f32([2usize, 3, 4]);
        let of = |n: usize| Fact::f32([n]);
        let by = |axis| FakeQuant::new(-8, 7, axis);
        assert_eq!(by(Some(1)).infer(&[&x, &of(3), &of(3)]).unwrap(), vec![x.clone()]);
        assert_eq!(by(None).infer(&[&x, &of(1), &of(1)]).unwrap(), vec![x.clone()]);
        assert!(by(None).infer(&[&x, &of(3), &of(3)]).is_err());
        assert!(by(Some(2)).infer(&[&x, &of(3), &of(3)]).is_err());
        assert!(by(Some(3)).infer(&[&x, &of(3), &of(3)]).is_err());
        assert!(FakeQuant::new(3, 3, None).infer(&[&x, &of(1), &of(1)]).is_err());
        // Twelve elements an index of the first axis: three groups of four.
        let grouped = |axis, group| FakeQuant { group: Some(group), ..FakeQuant::new(-8, 7, axis) };
        assert_eq!(grouped(Some(0), 4).infer(&[&x, &of(6), &of(6)]).unwrap(), vec![x.clone()]);
        assert_eq!(grouped(Some(0), 4).runs(&[2, 3, 4]), Some((6, 4)));
        assert!(grouped(Some(0), 5).infer(&[&x, &of(6), &of(6)]).is_err());
        assert!(grouped(Some(1), 4).infer(&[&x, &of(6), &of(6)]).is_err());
        assert!(grouped(None, 4).infer(&[&x, &of(6), &of(6)]).is_err());
    }
}
