//! Pasting a whole image, made small, into another.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::cutmix::{Rectangle, check_minmax, rectangle, yes};
use super::{BatchAugment, Mixture, check_alpha, partners};
use crate::resize::coefficients;
use crate::streams::Draw;
use crate::{Error, Result};

/// Replaces a rectangle of each image by another image, resized to it (Qin et al., 2020, arXiv:2012.11101).
///
/// The rectangle is that of CutMix for `λ = lam_min + (lam_max - lam_min) · Beta(alpha, alpha)`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeMix {
    /// See Mixup.
    pub alpha: f64,
    /// 0.1 by default.
    #[serde(default = "lam_min")]
    pub lam_min: f64,
    /// 0.8 by default.
    #[serde(default = "lam_max")]
    pub lam_max: f64,
    /// How images are resized, as PyTorch's `interpolate` does. Bilinear by default.
    #[serde(default)]
    pub interpolation: Mode,
    /// See CutMix.
    #[serde(default)]
    pub cutmix_minmax: Option<(f64, f64)>,
    /// See CutMix. True by default.
    #[serde(default = "yes")]
    pub correct_lam: bool,
}

/// The modes of PyTorch's `interpolate` that go with two dimensions and `align_corners=False`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Two neighbours along each side.
    #[default]
    Bilinear,
    /// Four neighbours, a cubic with `a = -0.75`.
    Bicubic,
}

const NAME: &str = "ResizeMix";

fn lam_min() -> f64 {
    0.1
}

fn lam_max() -> f64 {
    0.8
}

/// For each of `to` positions, the positions it is summed from and their weights.
fn neighbours(len: usize, to: usize, mode: Mode) -> Vec<Vec<(usize, f32)>> {
    let scale = len as f32 / to as f32;
    let last = len as isize - 1;
    let at = |first: isize, weights: &[f32]| {
        let places = weights.iter().zip(first..);
        places.map(|(&weight, at)| (at.clamp(0, last) as usize, weight)).collect()
    };
    (0..to)
        .map(|position| {
            let place = (position as f32 + 0.5) * scale - 0.5;
            match mode {
                Mode::Bilinear => {
                    let place = place.max(0.0);
                    at(place.floor() as isize, &coefficients::linear(place - place.floor()))
                }
                Mode::Bicubic => at(place.floor() as isize - 1, &coefficients::cubic(place - place.floor())),
            }
        })
        .collect()
}

impl ResizeMix {
    fn paste(&self, mut mixture: Mixture<'_>, area: Rectangle, lam: f64, partners: &[usize]) {
        let [top, bottom, left, right] = area;
        let [_, _, height, width] = mixture.shape;
        let plane = height * width;
        let channels = mixture.shape[1];
        let rows = neighbours(height, bottom - top, self.interpolation);
        let columns = neighbours(width, right - left, self.interpolation);
        let before = mixture.inputs.to_vec();
        for (at, target) in mixture.inputs.chunks_exact_mut(plane).enumerate() {
            let (image, channel) = (at / channels, at % channels);
            let partner = partners.get(image).copied().unwrap_or(image);
            let source = before.chunks_exact(plane).nth(partner * channels + channel).unwrap_or_default();
            for (y, rows) in rows.iter().enumerate() {
                for (x, columns) in columns.iter().enumerate() {
                    let along = |y: usize| -> f32 {
                        let samples = columns.iter().map(|&(x, weight)| {
                            source.get(y * width + x).copied().unwrap_or_default() * weight
                        });
                        samples.sum()
                    };
                    let sum = rows.iter().map(|&(y, weight)| along(y) * weight).sum();
                    if let Some(target) = target.get_mut((top + y) * width + left + x) {
                        *target = sum;
                    }
                }
            }
        }
        mixture.mix_scores(lam, partners);
    }
}

impl BatchAugment for ResizeMix {
    fn mix(&self, mixture: Mixture<'_>, rng: &mut ChaCha8Rng) {
        let lam = rng.beta(self.alpha) * (self.lam_max - self.lam_min) + self.lam_min;
        let partners = partners(mixture.scores.len(), rng);
        let [_, _, height, width] = mixture.shape;
        let (area, lam) = rectangle([height, width], lam, self.cutmix_minmax, self.correct_lam, rng);
        self.paste(mixture, area, lam, &partners);
    }

    fn check(&self) -> Result<()> {
        check_alpha(NAME, self.alpha)?;
        check_minmax(NAME, self.cutmix_minmax)?;
        if !(0.0 <= self.lam_min && self.lam_min <= self.lam_max && self.lam_max <= 1.0) {
            let detail = format!(
                "`lam_min` is {} and `lam_max` {}; they must be a range from 0 to 1",
                self.lam_min, self.lam_max
            );
            return Err(Error::argument(NAME, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::formula;

    /// `torch.nn.functional.interpolate` of `tools/golden/data_batches.py`.
    #[test]
    fn agrees_with_pytorch() {
        #[derive(Deserialize)]
        struct Case {
            mode: Mode,
            area: Rectangle,
            result: Vec<f32>,
        }
        let path = crate::golden::folder().join("resizemix.json");
        let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in cases {
            let mut inputs: Vec<f32> =
                formula("resizemix", 2 * 2 * 7 * 9).iter().map(|&u| u as f32).collect();
            let mut scores = [vec![1.0, 0.0], vec![0.0, 1.0]];
            let mix: ResizeMix = serde_json::from_str(r#"{"alpha": 1.0}"#).unwrap();
            let mix = ResizeMix { interpolation: case.mode, ..mix };
            mix.check().unwrap();
            let mixture = Mixture { inputs: &mut inputs, shape: [2, 2, 7, 9], scores: &mut scores };
            mix.paste(mixture, case.area, 0.6, &[1, 0]);
            for (found, expected) in inputs.iter().zip(&case.result) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{:?} {:?}: {found} {expected}",
                    case.mode,
                    case.area
                );
            }
            assert_eq!(scores[0], [0.6, 0.4]);
        }
    }
}
