//! Resizing by one edge.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::sizes::{positive, resized};
use crate::resize::{Interpolation, ResizeBackend};
use crate::{Result, Sample, Transform};

/// Resizes so that one edge becomes `scale` long and the ratio of the sides stays; the other edge is rounded down, and
/// at least 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeEdge {
    /// The length of the edge.
    pub scale: usize,
    /// Which edge. The shorter by default.
    #[serde(default)]
    pub edge: Edge,
    /// Whose arithmetic. OpenCV's by default.
    #[serde(default)]
    pub backend: ResizeBackend,
    /// Bilinear by default.
    #[serde(default)]
    pub interpolation: Interpolation,
}

/// An edge of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The shorter one.
    #[default]
    Short,
    /// The longer one.
    Long,
    /// The upper one.
    Width,
    /// The left one.
    Height,
}

const NAME: &str = "ResizeEdge";

impl ResizeEdge {
    /// Height and width of the result.
    fn size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let by_width = match self.edge {
            Edge::Short => width < height,
            Edge::Long => width > height,
            Edge::Width => true,
            Edge::Height => false,
        };
        // In floats, as the original: multiplied first, then divided.
        let other = |a: usize, b: usize| (((self.scale as f64 * a as f64) / b as f64) as usize).max(1);
        if by_width { [other(height, width), self.scale] } else { [self.scale, other(width, height)] }
    }
}

impl Transform for ResizeEdge {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        let size = self.size(sample.image.shape());
        let image = resized(NAME, &sample.image, size, self.interpolation, self.backend)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        self.backend.check(NAME, self.interpolation)?;
        positive(NAME, "scale", &[self.scale])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MMClassification's `ResizeEdge` gives these shapes.
    #[test]
    fn sizes_are_those_of_mmcls() {
        let size = |edge: &str, shape| {
            let json = format!(r#"{{"scale": 256, "edge": "{edge}"}}"#);
            serde_json::from_str::<ResizeEdge>(&json).unwrap().size(shape)
        };
        assert_eq!(size("short", [375, 500]), [256, 341]);
        assert_eq!(size("short", [500, 333]), [384, 256]);
        assert_eq!(size("long", [375, 500]), [192, 256]);
        assert_eq!(size("width", [375, 500]), [192, 256]);
        assert_eq!(size("height", [375, 500]), [256, 341]);
        assert_eq!(size("short", [300, 300]), [256, 256]);
        assert_eq!(size("long", [1, 1000]), [1, 256]);
    }
}
