//! One pass over a loader's batches.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::Recipe;
use crate::{Batch, Error, Result};

/// The batches of one epoch, in order.
///
/// Of `n` lanes, lane `i` makes the batches `i, i + n, ..` and keeps them in a bounded queue of its own; reading the
/// lanes in turn gives the batches in order, whatever the threads' timing.
pub struct Epoch {
    plan: Arc<Plan>,
    lanes: Vec<Lane>,
    /// Position of the next batch.
    next: usize,
    first: usize,
}

/// What the lanes share.
struct Plan {
    recipe: Arc<Recipe>,
    epoch: u64,
    order: Vec<usize>,
    batches: usize,
}

/// Most threads of one epoch, whatever `num_workers` says.
const MAX_WORKERS: usize = 256;

enum Lane {
    /// A thread makes the batches.
    Worker { queue: Receiver<Result<Batch>>, thread: JoinHandle<()> },
    /// The reader makes them: there are no workers, or the system has no thread to spare.
    Inline,
}

impl Plan {
    fn batch(&self, position: usize) -> Result<Batch> {
        let size = self.recipe.options.batch_size;
        let indices = self.order.chunks(size).nth(position).unwrap_or_default();
        self.recipe.batch(self.epoch, indices)
    }
}

impl Epoch {
    pub(super) fn new(recipe: Arc<Recipe>, epoch: u64, skip: usize) -> Self {
        let options = &recipe.options;
        let order = recipe.sampler.order(recipe.dataset.len(), options.seed, epoch);
        let batches = recipe.batches(order.len());
        let first = skip.min(batches);
        let lanes = options.num_workers.min(batches - first).clamp(1, MAX_WORKERS);
        let ahead = options.prefetch_factor.clamp(1, batches.max(1));
        let threads = options.num_workers > 0;

        let plan = Arc::new(Plan { recipe, epoch, order, batches });
        let lane = |at| {
            if threads && first < batches {
                worker(plan.clone(), first + at, lanes, ahead)
            } else {
                Lane::Inline
            }
        };
        let lanes = (0..lanes).map(lane).collect();
        Self { plan, lanes, next: first, first }
    }
}

/// A thread that makes the batches `start, start + step, ..`, until they or its reader are gone.
fn worker(plan: Arc<Plan>, start: usize, step: usize, ahead: usize) -> Lane {
    let (sender, queue) = sync_channel(ahead);
    let run = move || {
        for position in (start..plan.batches).step_by(step) {
            if sender.send(plan.batch(position)).is_err() {
                return;
            }
        }
    };
    match Builder::new().name(format!("loader {start}")).spawn(run) {
        Ok(thread) => Lane::Worker { queue, thread },
        Err(_) => Lane::Inline,
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.next;
        if position >= self.plan.batches {
            return None;
        }
        self.next += 1;
        match self.lanes.get((position - self.first) % self.lanes.len()) {
            Some(Lane::Worker { queue, .. }) => {
                Some(queue.recv().unwrap_or(Err(Error::Worker { batch: position })))
            }
            Some(Lane::Inline) | None => Some(self.plan.batch(position)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.batches - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}
impl FusedIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        // All queues close before the first thread is waited for, so that all stop at once.
        let threads: Vec<_> = self
            .lanes
            .drain(..)
            .filter_map(|lane| match lane {
                Lane::Worker { queue, thread } => {
                    drop(queue);
                    Some(thread)
                }
                Lane::Inline => None,
            })
            .collect();
        for thread in threads {
            // A worker that panicked has been reported as an error at its batch.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;

    use crate::*;

    const LEN: usize = 23;

    fn images() -> InMemory {
        let pixels = (0..LEN * 20).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..LEN as i64).map(|i| i % 3).collect();
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        InMemory::new([5, 4, 1], pixels, labels, classes).unwrap().with_pipeline(Compose::new(vec![
            Box::new(RandomCrop::new(4, 2)),
            Box::new(RandomFlip::new(0.5)),
        ]))
    }

    fn loader(dataset: impl Dataset + 'static, options: LoaderOptions) -> Loader {
        let preprocessor = Arc::new(ClsDataPreprocessor::new([128.0], [60.0]));
        Loader::new(Arc::new(dataset), preprocessor, Arc::new(DefaultSampler::default()), options).unwrap()
    }

    use std::sync::Arc;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn batches_do_not_depend_on_workers_or_resuming(
            batch_size in 1usize..9,
            drop_last: bool,
            seed: u64,
            epoch in 0u64..3,
            skip in 0usize..30,
        ) {
            let run = |num_workers, skip| {
                let options = LoaderOptions {
                    batch_size, num_workers, drop_last, seed: Seed(seed), ..Default::default()
                };
                let loader = loader(images(), options);
                let batches: Vec<_> = loader.epoch(epoch, skip).map(Result::unwrap).collect();
                prop_assert_eq!(batches.len(), loader.len().saturating_sub(skip));
                Ok(batches)
            };
            let whole = run(0, 0)?;
            let seen = whole.iter().map(Batch::len).sum::<usize>();
            prop_assert_eq!(seen, if drop_last { LEN / batch_size * batch_size } else { LEN });
            for workers in [0, 1, 3] {
                prop_assert_eq!(&run(workers, 0)?, &whole);
                prop_assert_eq!(&run(workers, skip)?, &whole[skip.min(whole.len())..]);
            }
        }
    }

    #[test]
    fn epochs_differ_in_order_and_augmentation() {
        let loader = loader(images(), LoaderOptions { batch_size: LEN, ..Default::default() });
        let [a, b] = [0, 1].map(|epoch| loader.epoch(epoch, 0).next().unwrap().unwrap());
        assert_ne!(a.samples, b.samples);
        assert_eq!(a.inputs.shape(), [LEN, 1, 4, 4]);
    }

    /// A data set that counts what is read, and has one sample that fails and one that panics.
    struct Faulty {
        images: InMemory,
        read: Arc<AtomicUsize>,
        fails: Option<usize>,
        panics: Option<usize>,
    }

    impl Faulty {
        fn new(fails: Option<usize>, panics: Option<usize>) -> Self {
            Self { images: images(), read: Arc::default(), fails, panics }
        }
    }

    impl Dataset for Faulty {
        fn len(&self) -> usize {
            self.images.len()
        }

        fn get(&self, index: usize) -> Result<Sample> {
            self.read.fetch_add(1, Ordering::SeqCst);
            assert_ne!(Some(index), self.panics, "asked to");
            if Some(index) == self.fails {
                return Err(Error::OutOfRange { index, len: 0 });
            }
            self.images.get(index)
        }

        fn classes(&self) -> &[String] {
            self.images.classes()
        }

        fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
            self.get(index)?;
            self.images.prepare(index, rng)
        }
    }

    fn results(dataset: Faulty, num_workers: usize) -> Vec<Result<Batch>> {
        let options = LoaderOptions { batch_size: 1, num_workers, ..Default::default() };
        loader(dataset, options).epoch(0, 0).collect()
    }

    #[test]
    fn errors_arrive_at_their_position() {
        let order = DefaultSampler::default().order(LEN, Seed(0), 0);
        for workers in [0, 1, 3] {
            let results = results(Faulty::new(Some(order[4]), None), workers);
            assert_eq!(results.len(), LEN);
            for (position, result) in results.iter().enumerate() {
                assert_eq!(result.is_err(), position == 4, "{workers} workers, batch {position}");
            }
        }
    }

    #[test]
    fn a_dead_worker_is_an_error() {
        let order = DefaultSampler::default().order(LEN, Seed(0), 0);
        let results = results(Faulty::new(None, Some(order[5])), 2);
        assert!(matches!(results[5], Err(Error::Worker { batch: 5 })));
        assert!(results.iter().step_by(2).all(Result::is_ok));
    }

    #[test]
    fn dropping_stops_the_workers() {
        let dataset = Faulty::new(None, None);
        let read = dataset.read.clone();
        let options = LoaderOptions { batch_size: 1, num_workers: 2, ..Default::default() };
        let loader = loader(dataset, options);
        let mut epoch = loader.epoch(0, 0);
        assert_eq!(epoch.len(), LEN);
        epoch.next().unwrap().unwrap();
        drop(epoch);
        // One delivered, and for each worker two in the queue and one that it could not send.
        let after = read.load(Ordering::SeqCst);
        assert!(after <= 1 + 2 * 3, "{after}");
        // Nobody but this loader holds the data set any more.
        assert_eq!(Arc::strong_count(&loader.recipe), 1);
    }

    #[test]
    fn empty_epochs_are_empty() {
        for num_workers in [0, 4] {
            let options =
                LoaderOptions { batch_size: 100, num_workers, drop_last: true, ..Default::default() };
            let loader = loader(images(), options);
            assert!(loader.is_empty());
            assert!(loader.epoch(0, 0).next().is_none());
        }
        let none = images().subset(&Indices::Count(0)).unwrap();
        let options =
            LoaderOptions { num_workers: usize::MAX, prefetch_factor: usize::MAX, ..Default::default() };
        assert!(loader(none, options).epoch(0, usize::MAX).next().is_none());
    }
}
