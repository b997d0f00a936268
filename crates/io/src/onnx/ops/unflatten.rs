//! `Reshape`.

use occam_graph::Array;
use occam_graph::ops::Unflatten;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::Site;
use crate::onnx::to_i64;

impl OnnxForm for Unflatten {
    /// In the shape of a `Reshape`, 0 keeps the axis of the same place and −1 takes what is left: one axis behind the
    /// split may have a size that only a run knows.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        let mut shape = vec![0; self.axis];
        for &size in &self.sizes {
            shape.push(to_i64(size)?);
        }
        for d in fact.shape.iter().skip(self.axis.saturating_add(1)) {
            match d.known() {
                Some(size) => shape.push(to_i64(size)?),
                None if !shape.contains(&-1) => shape.push(-1),
                None => return Err(at.refused(format!("of {fact} more than one size is not known"))),
            }
        }
        let x = x.to_owned();
        let shape = at.constant("shape", &Array::from_i64([shape.len()], shape)?)?;
        at.last("Reshape", &[&x, &shape], []);
        Ok(())
    }
}
