//! `Expand` to the batch that a run finds.

use occam_graph::Array;
use occam_graph::ops::ExpandBatch;

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::Site;

impl OnnxForm for ExpandBatch {
    /// `Expand` broadcasts: ones keep the other axes.
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let (x, fact) = at.input(0)?;
        let (x, others) = (x.to_owned(), fact.rank().saturating_sub(1));
        let like = at.input(1)?.0.to_owned();
        let first = at.constant("first", &Array::from_i64([1], vec![0])?)?;
        let behind = at.constant("behind", &Array::from_i64([1], vec![1])?)?;
        let ones = at.constant("ones", &Array::from_i64([others], vec![1; others])?)?;
        let shape = at.before("shape", "Shape", &[&like], []);
        let batch = at.before("batch", "Slice", &[&shape, &first, &behind], []);
        let wanted = at.before("wanted", "Concat", &[&batch, &ones], [AttributeProto::int("axis", 0)]);
        at.last("Expand", &[&x, &wanted], []);
        Ok(())
    }
}
