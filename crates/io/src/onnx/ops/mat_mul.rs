//! `MatMul`, after a `Transpose` where the second operand lies transposed.

use occam_graph::ops::MatMul;

use super::OnnxForm;
use crate::Result;
use crate::onnx::site::{Site, ints};

impl OnnxForm for MatMul {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        if !self.transpose_b {
            at.whole("MatMul", []);
            return Ok(());
        }
        let a = at.input(0)?.0.to_owned();
        let (b, fact) = at.input(1)?;
        let (b, mut perm) = (b.to_owned(), (0..fact.rank()).collect::<Vec<_>>());
        let last = perm.len().saturating_sub(2);
        if let Some([before, after]) = perm.get_mut(last..) {
            std::mem::swap(before, after);
        }
        let b = at.before("transpose", "Transpose", &[&b], [ints("perm", &perm)?]);
        at.last("MatMul", &[&a, &b], []);
        Ok(())
    }
}
