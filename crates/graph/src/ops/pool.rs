//! Pooling with a sliding window.

use super::conv::window;
use super::{OpFamily, check_inputs, check_rank};
use crate::axes::{input, output};
use crate::{AxisMap, Fact, Result};

/// What a window becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Its largest element; padding never wins.
    Max,
    /// Its mean; padding counts as zeros where `count_include_pad`, else not at all.
    Average {
        /// Whether the padding counts.
        count_include_pad: bool,
    },
}

/// Pooling over two spatial axes, as `torch.nn.MaxPool2d` and `torch.nn.AvgPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What a window becomes.
    pub kind: PoolKind,
    /// Size of the window, by axis.
    pub kernel: [usize; 2],
    /// Step of the window, by axis.
    pub stride: [usize; 2],
    /// Padding on both sides, by axis.
    pub padding: [usize; 2],
    /// Whether the last window may reach beyond the padding.
    pub ceil_mode: bool,
}

impl OpFamily for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average { .. } => "AvgPool",
        }
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("kernel", format!("{}x{}", self.kernel[0], self.kernel[1])),
            ("stride", format!("{}x{}", self.stride[0], self.stride[1])),
            ("padding", format!("{},{}", self.padding[0], self.padding[1])),
        ];
        if self.ceil_mode {
            list.push(("ceil_mode", "true".into()));
        }
        if let PoolKind::Average { count_include_pad: false } = self.kind {
            list.push(("count_include_pad", "false".into()));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 1..=1)?;
        let Some(&x) = inputs.first() else { return Ok(Vec::new()) };
        check_rank(x, 4, "input")?;
        let mut out = x.clone();
        for (i, d) in out.shape.iter_mut().skip(2).enumerate() {
            let (k, s, p) = match i {
                0 => (self.kernel[0], self.stride[0], self.padding[0]),
                _ => (self.kernel[1], self.stride[1], self.padding[1]),
            };
            // A window that lies in the padding alone would have no element.
            if p > k / 2 {
                return Err(crate::Error::Op(format!("padding {p} is more than half of kernel {k}")));
            }
            *d = window(d, k, s, (p, p), 1, self.ceil_mode)?;
        }
        Ok(vec![out])
    }

    fn axes(&self, _: &[&Fact], _: &[&Fact]) -> AxisMap {
        AxisMap::default().same(input(0, 0), output(0, 0)).same(input(0, 1), output(0, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes from `torch.nn.MaxPool2d`.
    #[test]
    fn sizes_are_pytorchs() {
        let size = |n: usize, k, s, p, ceil_mode| {
            let op = Pool { kind: PoolKind::Max, kernel: [k; 2], stride: [s; 2], padding: [p; 2], ceil_mode };
            op.infer(&[&Fact::f32([1usize, 1, n, n])]).unwrap()[0].shape[2].known().unwrap()
        };
        assert_eq!(size(112, 3, 2, 1, false), 56);
        assert_eq!(size(7, 2, 2, 0, false), 3);
        assert_eq!(size(7, 2, 2, 0, true), 4);
        assert_eq!(size(6, 3, 2, 0, true), 3);
        assert_eq!(size(5, 1, 2, 0, true), 3);
        assert_eq!(size(4, 2, 3, 1, true), 2);
    }
}
