//! Rounding to a grid, as arithmetic on floats: any range of integers, any scale along an axis.
//!
//! Files that hold integers are made by `occam-quant`, which knows the numbers.

use occam_graph::Array;
use occam_graph::ops::FakeQuant;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for FakeQuant {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        if at.opset() < 11 {
            return Err(at.refused("needs operator set 11 or a newer one"));
        }
        let (x, fact) = at.input(0)?;
        let (x, rank) = (x.to_owned(), fact.rank());
        let (mut scale, mut zero) = (at.input(1)?.0.to_owned(), at.input(2)?.0.to_owned());
        let mut x = x;
        let ungrouped = match self.group {
            None => None,
            Some(group) => {
                let sizes = at.input(0)?.1.known_shape();
                let sizes = sizes.ok_or_else(|| at.refused("rounds groups of a size that is open"))?;
                let sizes: Vec<i64> = sizes.iter().map(|&d| d as i64).collect();
                let rows = at.constant("groups", &Array::from_i64([2], vec![-1, group as i64])?)?;
                x = at.before("grouped", "Reshape", &[&x, &rows], []);
                Some(at.constant("shape", &Array::from_i64([rank], sizes)?)?)
            }
        };
        if ungrouped.is_some() {
            let column = at.constant("column", &Array::from_i64([2], vec![-1, 1])?)?;
            scale = at.before("scales", "Reshape", &[&scale, &column], []);
            zero = at.before("zeros", "Reshape", &[&zero, &column], []);
        } else if let Some(axis) = self.axis.filter(|&axis| axis + 1 != rank) {
            // One size is open: the channels.
            let shape: Vec<i64> = (0..rank).map(|d| if d == axis { -1 } else { 1 }).collect();
            let shape = at.constant("shape", &Array::from_i64([rank], shape)?)?;
            scale = at.before("scales", "Reshape", &[&scale, &shape], []);
            zero = at.before("zeros", "Reshape", &[&zero, &shape], []);
        }
        let (low, high) = (at.number("low", self.low.into())?, at.number("high", self.high.into())?);
        let steps = at.before("steps", "Div", &[&x, &scale], []);
        let whole = at.before("whole", "Round", &[&steps], []);
        let moved = at.before("moved", "Add", &[&whole, &zero], []);
        let within = at.before("within", "Clip", &[&moved, &low, &high], []);
        let back = at.before("back", "Sub", &[&within, &zero], []);
        match ungrouped {
            None => at.last("Mul", &[&back, &scale], []),
            Some(shape) => {
                let floats = at.before("floats", "Mul", &[&back, &scale], []);
                at.last("Reshape", &[&floats, &shape], []);
            }
        }
        Ok(())
    }
}
