//! Images of one size, held in memory.

use rand_chacha::ChaCha8Rng;

use crate::{Compose, Dataset, Error, Image, Indices, Result, Sample, Transform};

/// A data set of 8-bit images of one size, all in memory.
#[derive(Debug)]
pub struct InMemory {
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<i64>,
    classes: Vec<String>,
    pipeline: Compose,
}

impl InMemory {
    /// A data set of `labels.len()` images of `shape` (height, width, channels), one after the other in `pixels`.
    ///
    /// # Errors
    /// A size is 0, `pixels` is not as long as the images, or a label is not the position of a class.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<i64>, classes: Vec<String>) -> Result<Self> {
        let size = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n > 0);
        if size.and_then(|size| size.checked_mul(labels.len())) != Some(pixels.len()) {
            return Err(Error::Image(format!(
                "{} images of {shape:?} over {} bytes",
                labels.len(),
                pixels.len()
            )));
        }
        let unknown = |&&label: &&i64| usize::try_from(label).map_or(true, |label| label >= classes.len());
        if let Some(label) = labels.iter().find(unknown) {
            return Err(Error::Image(format!("label {label} with {} classes", classes.len())));
        }
        Ok(Self { shape, pixels, labels, classes, pipeline: Compose::default() })
    }

    /// The same images with another pipeline.
    #[must_use]
    pub fn with_pipeline(self, pipeline: Compose) -> Self {
        Self { pipeline, ..self }
    }

    /// The samples that `indices` names, in its order.
    ///
    /// # Errors
    /// `indices` names a sample that is not there.
    pub fn subset(self, indices: &Indices) -> Result<Self> {
        let kept = indices.positions(self.len())?;
        let mut pixels = Vec::with_capacity(kept.len() * self.size());
        let mut labels = Vec::with_capacity(kept.len());
        for index in kept {
            let (image, label) = self.item(index)?;
            pixels.extend_from_slice(image);
            labels.push(label);
        }
        Ok(Self { pixels, labels, ..self })
    }

    /// Bytes an image.
    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn item(&self, index: usize) -> Result<(&[u8], i64)> {
        let size = self.size();
        let label = self.labels.get(index);
        let pixels =
            index.checked_mul(size).and_then(|start| self.pixels.get(start..start.checked_add(size)?));
        match (pixels, label) {
            (Some(pixels), Some(&label)) => Ok((pixels, label)),
            _ => Err(Error::OutOfRange { index, len: self.len() }),
        }
    }
}

impl Dataset for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let [height, width, channels] = self.shape;
        let (pixels, label) = self.item(index)?;
        let image = Image::new(height, width, channels, pixels.to_vec())?;
        Ok(Sample::new(image, label, index))
    }

    fn labels(&self, index: usize) -> Result<Vec<i64>> {
        Ok(vec![self.item(index)?.1])
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
        self.pipeline.apply(self.get(index)?, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(len: u8) -> InMemory {
        let classes = (0..10).map(|class| class.to_string()).collect();
        InMemory::new([1, 2, 1], (0..2 * len).collect(), (0..len).map(i64::from).collect(), classes).unwrap()
    }

    fn labels(indices: Indices) -> Result<Vec<i64>> {
        let subset = numbered(5).subset(&indices)?;
        (0..subset.len()).map(|index| Ok(subset.get(index)?.gt_label[0])).collect()
    }

    #[test]
    fn gives_samples_by_position() {
        let sample = numbered(5).get(3).unwrap();
        assert_eq!((sample.image.pixels(), sample.gt_label[0], sample.index), ([6, 7].as_slice(), 3, 3));
        assert!(matches!(numbered(5).get(5), Err(Error::OutOfRange { index: 5, len: 5 })));
        assert!(numbered(5).get(usize::MAX).is_err());
    }

    #[test]
    fn subsets_as_mmengine_does() {
        assert_eq!(labels(Indices::Count(2)).unwrap(), [0, 1]);
        assert_eq!(labels(Indices::Count(5)).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(labels(Indices::Count(-2)).unwrap(), [3, 4]);
        assert_eq!(labels(Indices::Count(0)).unwrap(), Vec::<i64>::new());
        assert_eq!(labels(Indices::List(vec![4, 0, -1])).unwrap(), [4, 0, 4]);
        for outside in [6, -6, i64::MIN, i64::MAX] {
            assert!(labels(Indices::Count(outside)).is_err());
            assert!(labels(Indices::List(vec![outside])).is_err());
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let classes = || vec!["a".to_owned()];
        assert!(InMemory::new([1, 2, 1], vec![0; 3], vec![0], classes()).is_err());
        assert!(InMemory::new([0, 2, 1], vec![], vec![0], classes()).is_err());
        for label in [1, -1] {
            assert!(InMemory::new([1, 2, 1], vec![0; 2], vec![label], classes()).is_err());
        }
    }
}
