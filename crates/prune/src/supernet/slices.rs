//! Parts of tensors, with gradients.

use std::ops::Range;

use occam_engine::Tensor;
use occam_train::Result;

/// What stays of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stay {
    axis: usize,
    size: usize,
    /// In order, none of which touches the next.
    runs: Vec<Range<usize>>,
}

/// What a narrower model has of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slices {
    axes: Vec<Stay>,
}

impl Slices {
    /// Of masks by axis, as [`occam_space::kept`] gives them.
    pub fn of(axes: &[(usize, Vec<bool>)]) -> Self {
        let stay = |(axis, mask): &(usize, Vec<bool>)| {
            let mut runs: Vec<Range<usize>> = Vec::new();
            for i in mask.iter().enumerate().filter(|(_, keep)| **keep).map(|(i, _)| i) {
                match runs.last_mut() {
                    Some(last) if last.end == i => last.end = i + 1,
                    _ => runs.push(i..i + 1),
                }
            }
            Stay { axis: *axis, size: mask.len(), runs }
        };
        Self { axes: axes.iter().map(stay).collect() }
    }

    /// The part of `full`; gradients that reach it go to its place in `full`, and 0 to the rest.
    pub fn take(&self, full: &Tensor) -> Result<Tensor> {
        self.axes.iter().try_fold(full.clone(), |tensor, stay| stay.take(&tensor))
    }

    /// `full` with `part` in its place, without a tape.
    pub fn put(&self, full: &Tensor, part: &Tensor) -> Result<Tensor> {
        put(&self.axes, &full.detach(), &part.detach())
    }
}

impl Stay {
    fn take(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(match self.runs.as_slice() {
            [one] => tensor.narrow(self.axis, one.start, one.len())?,
            many => tensor.select(self.axis, &many.iter().cloned().flatten().collect::<Vec<_>>())?,
        })
    }
}

fn put(axes: &[Stay], full: &Tensor, part: &Tensor) -> Result<Tensor> {
    let Some((stay, others)) = axes.split_first() else { return Ok(part.clone()) };
    let inner = put(others, &stay.take(full)?, part)?;
    let (mut pieces, mut end, mut taken) = (Vec::new(), 0, 0);
    for run in &stay.runs {
        if run.start > end {
            pieces.push(full.narrow(stay.axis, end, run.start - end)?);
        }
        pieces.push(inner.narrow(stay.axis, taken, run.len())?);
        (end, taken) = (run.end, taken + run.len());
    }
    if end < stay.size {
        pieces.push(full.narrow(stay.axis, end, stay.size - end)?);
    }
    Ok(Tensor::concat(&pieces, stay.axis)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_engine::Device;

    fn range(shape: &[usize], from: f32) -> Tensor {
        let data = (0..shape.iter().product::<usize>()).map(|i| from + i as f32).collect();
        Tensor::from_f32(shape, data, &Device::cpu()).unwrap()
    }

    #[test]
    fn parts_are_taken_and_put_back() {
        let slices = Slices::of(&[(0, vec![true, false, true]), (1, vec![false, true, true, false])]);
        let full = range(&[3, 4], 0.0);
        let part = slices.take(&full).unwrap();
        assert_eq!(part.to_f32().unwrap(), [1.0, 2.0, 9.0, 10.0]);
        let back = slices.put(&full, &range(&[2, 2], 100.0)).unwrap();
        let wanted = [0.0, 100.0, 101.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 102.0, 103.0, 11.0];
        assert_eq!(back.to_f32().unwrap(), wanted);
    }

    #[test]
    fn gradients_reach_the_whole() {
        for masks in [vec![true, true, false, false], vec![true, false, false, true]] {
            for axis in [0, 1, 2] {
                let leaf = range(&[4, 4, 4], 1.0).require_grad();
                let part = Slices::of(&[(axis, masks.clone())]).take(&leaf).unwrap();
                // d(sum of squares) = 2x where it stays, else 0.
                let mut gradients = part.mul(&part).unwrap().sum().unwrap().backward().unwrap();
                let found = gradients.take(&leaf).unwrap().to_f32().unwrap();
                for (i, (found, x)) in found.iter().zip(leaf.to_f32().unwrap()).enumerate() {
                    let at = i / [16, 4, 1][axis] % 4;
                    let wanted = if masks[at] { 2.0 * x } else { 0.0 };
                    assert_eq!(*found, wanted, "axis {axis}, element {i}");
                }
            }
        }
    }
}
