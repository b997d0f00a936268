//! Pasting a part of one image into another.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{BatchAugment, Mixture, check_alpha, partners};
use crate::streams::Draw;
use crate::{Error, Result};

/// Replaces a rectangle of each image by the same rectangle of another (Yun et al., 2019, arXiv:1905.04899).
///
/// With `λ` of `Beta(alpha, alpha)`, the rectangle has `√(1 - λ)` of each side and its middle anywhere in the image;
/// labels are mixed as in Mixup. Draws `λ`, the permutation, then the rectangle.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutMix {
    /// See Mixup.
    pub alpha: f64,
    /// Least and largest share of each side; the rectangle then lies inside the image and `alpha` is without effect.
    #[serde(default)]
    pub cutmix_minmax: Option<(f64, f64)>,
    /// Whether `λ` becomes the share that was not replaced, which borders make larger. True by default.
    #[serde(default = "yes")]
    pub correct_lam: bool,
}

pub(super) fn yes() -> bool {
    true
}

/// First and last row and column of a rectangle, the last ones excluded.
pub(super) type Rectangle = [usize; 4];

/// A rectangle for `lam`, and the `lam` that labels are mixed with.
pub(super) fn rectangle(
    [height, width]: [usize; 2],
    lam: f64,
    minmax: Option<(f64, f64)>,
    correct: bool,
    rng: &mut ChaCha8Rng,
) -> (Rectangle, f64) {
    let [top, bottom, left, right] = match minmax {
        Some((least, most)) => {
            let mut side = |len: usize| {
                let (least, most) = ((len as f64 * least) as usize, (len as f64 * most) as usize);
                (least + rng.below(most.saturating_sub(least))).min(len)
            };
            let (high, wide) = (side(height), side(width));
            let (top, left) = (rng.below(height - high), rng.below(width - wide));
            [top, top + high, left, left + wide]
        }
        None => {
            let share = (1.0 - lam).sqrt();
            let mut span = |len: usize| {
                let half = (len as f64 * share) as usize / 2;
                let middle = rng.below(len);
                (middle.saturating_sub(half), (middle + half).min(len))
            };
            let ((top, bottom), (left, right)) = (span(height), span(width));
            [top, bottom, left, right]
        }
    };
    let lam = if correct || minmax.is_some() {
        1.0 - ((bottom - top) * (right - left)) as f64 / (height * width) as f64
    } else {
        lam
    };
    ([top, bottom, left, right], lam)
}

/// Refuses what is no pair of shares.
pub(super) fn check_minmax(component: &'static str, minmax: Option<(f64, f64)>) -> Result<()> {
    match minmax {
        Some((least, most)) if !(0.0 <= least && least <= most && most <= 1.0) => {
            let detail = format!("`cutmix_minmax` is ({least}, {most}), it must be (min, max) from 0 to 1");
            Err(Error::argument(component, detail))
        }
        _ => Ok(()),
    }
}

impl CutMix {
    fn paste(mut mixture: Mixture<'_>, [top, bottom, left, right]: Rectangle, lam: f64, partners: &[usize]) {
        let [_, _, height, width] = mixture.shape;
        let stride = mixture.stride();
        let before = mixture.inputs.to_vec();
        for (image, &partner) in mixture.inputs.chunks_exact_mut(stride).zip(partners) {
            let other = before.chunks_exact(stride).nth(partner).unwrap_or_default();
            let rows = image.chunks_exact_mut(width).zip(other.chunks_exact(width)).enumerate();
            for (_, (row, other)) in rows.filter(|(at, _)| (top..bottom).contains(&(at % height))) {
                if let (Some(row), Some(other)) = (row.get_mut(left..right), other.get(left..right)) {
                    row.copy_from_slice(other);
                }
            }
        }
        mixture.mix_scores(lam, partners);
    }
}

impl BatchAugment for CutMix {
    fn mix(&self, mixture: Mixture<'_>, rng: &mut ChaCha8Rng) {
        let lam = rng.beta(self.alpha);
        let partners = partners(mixture.scores.len(), rng);
        let [_, _, height, width] = mixture.shape;
        let (area, lam) = rectangle([height, width], lam, self.cutmix_minmax, self.correct_lam, rng);
        Self::paste(mixture, area, lam, &partners);
    }

    fn check(&self) -> Result<()> {
        check_alpha("CutMix", self.alpha)?;
        check_minmax("CutMix", self.cutmix_minmax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn pastes_the_rectangle() {
        let mut inputs = [vec![1.0; 12], vec![2.0; 12]].concat();
        let mut scores = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let mixture = Mixture { inputs: &mut inputs, shape: [2, 2, 2, 3], scores: &mut scores };
        CutMix::paste(mixture, [1, 2, 0, 2], 0.75, &[1, 0]);
        let first = [1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0];
        assert_eq!(inputs[..12], first);
        assert_eq!(inputs[12..], first.map(|x| 3.0 - x));
        assert_eq!(scores[0], [0.75, 0.25]);
    }

    #[test]
    fn rectangles_have_the_area_asked_for() {
        let mut rng = Seed(0).stream("test", &[]);
        for _ in 0..200 {
            let ([top, bottom, left, right], lam) = rectangle([32, 40], 0.36, None, true, &mut rng);
            assert!(bottom - top <= 25 && right - left <= 32 && bottom <= 32 && right <= 40);
            let area = (bottom - top) * (right - left);
            assert_eq!(lam, 1.0 - area as f64 / 1280.0);
            assert!(rectangle([32, 40], 0.36, None, false, &mut rng).1 == 0.36);
            let ([top, bottom, left, right], _) =
                rectangle([32, 40], 0.1, Some((0.25, 0.5)), false, &mut rng);
            assert!((8..16).contains(&(bottom - top)) && (10..20).contains(&(right - left)));
        }
        for (lam, size) in [(0.0, [1, 1]), (1.0, [1, 1]), (0.5, [1, 9])] {
            rectangle(size, lam, None, true, &mut rng);
            rectangle(size, lam, Some((1.0, 1.0)), true, &mut rng);
        }
        let wrong = CutMix { alpha: 1.0, cutmix_minmax: Some((0.5, 0.2)), correct_lam: true };
        assert!(wrong.check().is_err());
    }
}
