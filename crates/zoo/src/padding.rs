//! What convolutions do at the border of an image.

use occam_graph::ValueId;
use occam_graph::ops::{AdaptivePad, Conv};
use serde::Deserialize;

use crate::{Net, Result};

/// Zeros around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// As the convolution says.
    Own,
    /// As many as give `ceil(size / stride)` places, whatever the convolution says: mmcv's `Conv2dAdaptivePadding`.
    Adaptive,
}

/// `conv_cfg` of families that know both: `Conv2d` or `Conv2dAdaptivePadding`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvCfg {
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    Conv2d,
    Conv2dAdaptivePadding,
}

impl ConvCfg {
    /// `dict(type='Conv2dAdaptivePadding')`
    pub fn adaptive() -> Option<Self> {
        Some(Self { kind: Kind::Conv2dAdaptivePadding })
    }

    /// The padding that it stands for.
    pub fn padding(&self) -> Padding {
        match self.kind {
            Kind::Conv2d => Padding::Own,
            Kind::Conv2dAdaptivePadding => Padding::Adaptive,
        }
    }
}

impl Padding {
    /// The input and the attributes of a convolution with `kernel` times `kernel` taps. Zeros whose number depends on the
    /// size of the image are a node of their own, `pad`.
    ///
    /// # Errors
    /// The input is no image.
    pub fn apply(self, net: &mut Net, x: ValueId, kernel: usize, conv: Conv) -> Result<(ValueId, Conv)> {
        if self == Padding::Own {
            return Ok((x, conv));
        }
        let zeros = |axis: usize| {
            let total =
                conv.dilation.get(axis).copied().unwrap_or(1).saturating_mul(kernel.saturating_sub(1));
            (total / 2, total - total / 2)
        };
        if conv.stride == [1, 1] || kernel == 1 {
            return Ok((x, Conv { padding: [zeros(0), zeros(1)], ..conv }));
        }
        let (stride, dilation) = (conv.stride, conv.dilation);
        let pad = AdaptivePad { kernel: [kernel; 2], stride, dilation, corner: false };
        Ok((net.op("pad", pad, &[x])?, Conv { padding: [(0, 0); 2], ..conv }))
    }
}
