//! Batches, made ahead of time on worker threads.

mod config;
mod epoch;

use std::sync::Arc;

pub use config::LoaderConfig;
pub use epoch::Epoch;

use crate::{Batch, Collate, DataPreprocessor, Dataset, Error, Result, Sampler, Seed};

/// How a [`Loader`] batches; the defaults are PyTorch's and MMEngine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Samples a batch. 1 by default.
    pub batch_size: usize,
    /// Threads that make batches, at most 256 of them; with 0, the thread that asks for a batch makes it. 0 by
    /// default.
    pub num_workers: usize,
    /// Batches that each worker makes ahead. 2 by default.
    pub prefetch_factor: usize,
    /// Whether to leave out the last batch where it is smaller. False by default.
    pub drop_last: bool,
    /// What happens to images of different sizes in one batch. They are padded by default.
    pub collate: Collate,
    /// Seed of order and augmentation. 0 by default.
    pub seed: Seed,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 1,
            num_workers: 0,
            prefetch_factor: 2,
            drop_last: false,
            collate: Collate::default(),
            seed: Seed(0),
        }
    }
}

/// The batches of a data set, epoch by epoch.
///
/// A batch is a pure function of the data set, the components, the seed, the epoch and its position in it: bit for
/// bit the same with any number of workers and after skipping.
#[derive(Clone)]
pub struct Loader {
    recipe: Arc<Recipe>,
}

/// What it takes to make any batch.
struct Recipe {
    dataset: Arc<dyn Dataset>,
    preprocessor: Arc<dyn DataPreprocessor>,
    sampler: Arc<dyn Sampler>,
    options: LoaderOptions,
}

impl Loader {
    /// A loader of `dataset`, whose samples go through its pipeline and, in the order of `sampler`, through
    /// `preprocessor`.
    ///
    /// # Errors
    /// `batch_size` is 0.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        preprocessor: Arc<dyn DataPreprocessor>,
        sampler: Arc<dyn Sampler>,
        options: LoaderOptions,
    ) -> Result<Self> {
        if options.batch_size == 0 {
            return Err(Error::argument("dataloader", "`batch_size` must be above 0"));
        }
        Ok(Self { recipe: Arc::new(Recipe { dataset, preprocessor, sampler, options }) })
    }

    /// Number of batches an epoch.
    pub fn len(&self) -> usize {
        self.recipe.batches(self.recipe.dataset.len())
    }

    /// Whether an epoch has no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples a batch.
    pub fn batch_size(&self) -> usize {
        self.recipe.options.batch_size
    }

    /// How this loader batches.
    pub fn options(&self) -> &LoaderOptions {
        &self.recipe.options
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.recipe.dataset
    }

    /// The batches of `epoch` from `skip_batches` on, which is where an interrupted epoch is taken up again.
    ///
    /// Workers start at once and stop when the iterator is dropped. A batch that cannot be made is an error at its
    /// position; those after it still come.
    pub fn epoch(&self, epoch: u64, skip_batches: usize) -> Epoch {
        Epoch::new(self.recipe.clone(), epoch, skip_batches)
    }
}

impl Recipe {
    /// Number of batches of `samples` samples.
    fn batches(&self, samples: usize) -> usize {
        match self.options.drop_last {
            true => samples / self.options.batch_size,
            false => samples.div_ceil(self.options.batch_size),
        }
    }

    /// The batch of the samples at `indices`.
    fn batch(&self, epoch: u64, indices: &[usize]) -> Result<Batch> {
        let samples = indices
            .iter()
            .map(|&index| {
                let mut rng = self.options.seed.stream("augment", &[epoch, index as u64]);
                self.dataset.prepare(index, &mut rng)
            })
            .collect::<Result<Vec<_>>>()?;
        self.preprocessor.process(&samples, self.options.collate)
    }
}
