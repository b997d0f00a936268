//! Images in files of their own.

use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;

use crate::{Compose, Dataset, Error, Indices, Result, Sample, Transform};

/// A data set of image files. Its samples are not decoded yet: the pipeline begins with
/// [`LoadImageFromFile`](crate::LoadImageFromFile).
#[derive(Debug)]
pub struct ImageFiles {
    folder: PathBuf,
    entries: Vec<Entry>,
    classes: Vec<String>,
    pipeline: Compose,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path, relative to the data set's folder.
    pub(super) path: Box<str>,
    /// Its classes.
    pub(super) labels: Labels,
}

/// The classes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Labels {
    /// They are not known.
    Unknown,
    /// There is one.
    One(i64),
    /// There is any number: those easy to see, then those that are not.
    Many(Box<(Vec<i64>, Vec<i64>)>),
}

impl Labels {
    fn easy(&self) -> Vec<i64> {
        match self {
            Self::Unknown => vec![],
            Self::One(label) => vec![*label],
            Self::Many(many) => many.0.clone(),
        }
    }

    fn difficult(&self) -> Vec<i64> {
        match self {
            Self::Many(many) => many.1.clone(),
            Self::Unknown | Self::One(_) => vec![],
        }
    }
}

impl ImageFiles {
    pub(super) fn new(folder: PathBuf, entries: Vec<Entry>, classes: Vec<String>) -> Self {
        Self { folder, entries, classes, pipeline: Compose::default() }
    }

    /// The same images with another pipeline.
    #[must_use]
    pub fn with_pipeline(self, pipeline: Compose) -> Self {
        Self { pipeline, ..self }
    }

    /// The samples that `indices` names, in its order; all of them for `None`.
    ///
    /// # Errors
    /// `indices` names a sample that is not there.
    pub fn subset(self, indices: Option<&Indices>) -> Result<Self> {
        let Some(indices) = indices else { return Ok(self) };
        let positions = indices.positions(self.entries.len())?;
        let entries = positions.iter().filter_map(|&at| self.entries.get(at)).cloned().collect();
        Ok(Self { entries, ..self })
    }

    fn entry(&self, index: usize) -> Result<&Entry> {
        self.entries.get(index).ok_or(Error::OutOfRange { index, len: self.entries.len() })
    }
}

impl Dataset for ImageFiles {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let entry = self.entry(index)?;
        let path = self.folder.join(&*entry.path);
        let sample = Sample::unloaded(path, entry.labels.easy(), index);
        Ok(Sample { gt_label_difficult: entry.labels.difficult(), ..sample })
    }

    fn labels(&self, index: usize) -> Result<Vec<i64>> {
        Ok(self.entry(index)?.labels.easy())
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
        self.pipeline.apply(self.get(index)?, rng)
    }
}
