//! `Mul` or `Div` by what is computed of a normalization's weight and variance.

use occam_graph::Array;
use occam_graph::ops::NormScale;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;

impl OnnxForm for NormScale {
    /// Factors that are 0 stay 0 here: a file is for what has learned.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        let (x, rank) = (x.to_owned(), fact.rank());
        let (weight, var) = (at.input(1)?.0.to_owned(), at.input(2)?.0.to_owned());
        let eps = at.number("eps", self.eps)?;
        let sum = at.before("sum", "Add", &[&var, &eps], []);
        let deviation = at.before("deviation", "Sqrt", &[&sum], []);
        let mut factor = at.before("factor", "Div", &[&weight, &deviation], []);
        if self.axis + 1 != rank {
            // One size is open: the channels.
            let shape: Vec<i64> = (0..rank).map(|d| if d == self.axis { -1 } else { 1 }).collect();
            let shape = at.constant("shape", &Array::from_i64([rank], shape)?)?;
            factor = at.before("factors", "Reshape", &[&factor, &shape], []);
        }
        at.last(if self.inverse { "Div" } else { "Mul" }, &[&x, &factor], []);
        Ok(())
    }
}
