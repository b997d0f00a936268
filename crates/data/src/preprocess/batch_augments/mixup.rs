//! Blending images.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{BatchAugment, Mixture, check_alpha, partners};
use crate::Result;
use crate::streams::Draw;

/// `λ x_i + (1 - λ) x_j` for images and labels, with `λ` of `Beta(alpha, alpha)` and `j` a random permutation (Zhang et
/// al., 2017, arXiv:1710.09412).
///
/// Draws `λ`, then the permutation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// Small for nearly pure images, large for halves.
    pub alpha: f64,
}

impl Mixup {
    fn mix_by(mut mixture: Mixture<'_>, lam: f64, partners: &[usize]) {
        let stride = mixture.stride();
        let (share, rest) = (lam as f32, (1.0 - lam) as f32);
        let before = mixture.inputs.to_vec();
        for (image, &partner) in mixture.inputs.chunks_exact_mut(stride).zip(partners) {
            let other = before.chunks_exact(stride).nth(partner).unwrap_or_default();
            image.iter_mut().zip(other).for_each(|(x, other)| *x = share * *x + rest * other);
        }
        mixture.mix_scores(lam, partners);
    }
}

impl BatchAugment for Mixup {
    fn mix(&self, mixture: Mixture<'_>, rng: &mut ChaCha8Rng) {
        let lam = rng.beta(self.alpha);
        let partners = partners(mixture.scores.len(), rng);
        Self::mix_by(mixture, lam, &partners);
    }

    fn check(&self) -> Result<()> {
        check_alpha("Mixup", self.alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blends_images_and_labels() {
        let mut inputs = [0.0, 4.0, 8.0, 12.0];
        let mut scores = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let mixture = Mixture { inputs: &mut inputs, shape: [2, 1, 1, 2], scores: &mut scores };
        Mixup::mix_by(mixture, 0.75, &[1, 0]);
        assert_eq!(inputs, [2.0, 6.0, 6.0, 10.0]);
        assert_eq!(scores, [[0.75, 0.25], [0.25, 0.75]]);
        assert!(Mixup { alpha: 0.0 }.check().is_err());
    }
}
