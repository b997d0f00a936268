//! Changing the light of an image at random.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::streams::Draw;
use crate::{Error, Image, Result, Sample, Transform};

/// Adds a random combination of principal components to every pixel (Krizhevsky et al., 2012).
///
/// `x_c + Σ_i eigvec[c][i] · α_i · eigval[i]` with `α_i` normal of deviation `alphastd`. Clipped to 0..=255 and rounded
/// down; the original wraps around instead of clipping.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lighting {
    /// Eigenvalues of the covariance of colors.
    pub eigval: Vec<f64>,
    /// Eigenvectors: for each of three channels, a number for each eigenvalue.
    pub eigvec: Vec<Vec<f64>>,
    /// Deviation of the factors. 0.1 by default.
    #[serde(default = "alphastd")]
    pub alphastd: f64,
    /// Whether to exchange blue and red first, which the result keeps. False by default.
    #[serde(default)]
    pub to_rgb: bool,
}

const NAME: &str = "Lighting";

fn alphastd() -> f64 {
    0.1
}

impl Lighting {
    fn lit(&self, image: &mut Image, factors: &[f64]) {
        let shifts: Vec<f64> = self
            .eigvec
            .iter()
            .map(|vector| vector.iter().zip(factors).zip(&self.eigval).map(|((v, a), e)| v * a * e).sum())
            .collect();
        let channels = image.channels();
        for pixel in image.pixels_mut().chunks_exact_mut(channels) {
            if self.to_rgb {
                pixel.swap(0, 2);
            }
            for (sample, shift) in pixel.iter_mut().zip(&shifts) {
                *sample = (f64::from(*sample) + shift).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

impl Transform for Lighting {
    fn apply(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        if sample.image.channels() != 3 {
            let detail = format!("an {:?} has not three channels", sample.image);
            return Err(Error::argument(NAME, detail));
        }
        let factors: Vec<f64> = self.eigval.iter().map(|_| f64::from(rng.normal()) * self.alphastd).collect();
        self.lit(&mut sample.image, &factors);
        Ok(sample)
    }

    fn check(&self) -> Result<()> {
        let wrong = |detail: &str| Err(Error::argument(NAME, detail));
        if self.eigvec.len() != 3 || self.eigvec.iter().any(|row| row.len() != self.eigval.len()) {
            return wrong("`eigvec` must have three rows, each as long as `eigval`");
        }
        let numbers = self.eigvec.iter().flatten().chain(&self.eigval).chain([&self.alphastd]);
        if numbers.into_iter().any(|x| !x.is_finite()) || self.alphastd < 0.0 {
            return wrong("all numbers must be finite, and `alphastd` not below 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 + (0.5 · 0.1 · 40 + 0.25 · -0.2 · 10), 101 + .., clipped above and below.
    #[test]
    fn adds_the_components() {
        let lighting: Lighting = serde_json::from_str(
            r#"{"eigval": [40, 10], "eigvec": [[0.5, 0.25], [-0.5, 1], [1000, 0]], "to_rgb": true}"#,
        )
        .unwrap();
        lighting.check().unwrap();
        let mut image = Image::new(1, 1, 3, vec![200, 101, 100]).unwrap();
        lighting.lit(&mut image, &[0.1, -0.2]);
        assert_eq!(image.pixels(), [101, 97, 255]);
        let short: Lighting = serde_json::from_str(r#"{"eigval": [1], "eigvec": [[1], [1]]}"#).unwrap();
        assert!(short.check().is_err());
    }
}
