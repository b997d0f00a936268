//! In which order samples are used.

mod default;
mod infinite;
mod repeat_aug;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use serde::de::DeserializeOwned;

pub use default::DefaultSampler;
pub use infinite::InfiniteSampler;
pub use repeat_aug::RepeatAugSampler;

use crate::Seed;
use crate::streams::Draw;

/// The order of samples in each epoch, a pure function of seed and epoch.
pub trait Sampler: std::fmt::Debug + Send + Sync {
    /// `len` positions in a data set of `len` samples, in the order in which epoch `epoch` uses them.
    fn order(&self, len: usize, seed: Seed, epoch: u64) -> Vec<usize>;
}

/// All samples once: shuffled with the epoch's stream of `order`, or as they are.
fn pass(len: usize, shuffle: bool, seed: Seed, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    if shuffle {
        seed.stream("order", &[epoch]).shuffle(&mut order);
    }
    order
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Sampler>); 3] = [
        ("DefaultSampler", build::<DefaultSampler>),
        ("InfiniteSampler", build::<InfiniteSampler>),
        ("RepeatAugSampler", build::<RepeatAugSampler>),
    ];
    registry.register_all("sampler", &table);
}

fn build<T: Sampler + DeserializeOwned + 'static>(
    value: &Value,
    _: &Registry,
) -> Result<Box<dyn Sampler>, ConfigError> {
    Ok(Box::new(value.parse::<T>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_depend_on_seed_and_epoch_only() {
        let samplers: [Box<dyn Sampler>; 2] =
            [Box::new(DefaultSampler::default()), Box::new(InfiniteSampler::default())];
        for sampler in samplers {
            let order = |seed, epoch| sampler.order(50, Seed(seed), epoch);
            assert_eq!(order(1, 4), order(1, 4));
            assert_ne!(order(1, 4), order(1, 5));
            assert_ne!(order(1, 4), order(2, 4));
            let mut sorted = order(1, 4);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
            assert!(sampler.order(0, Seed(1), 0).is_empty());
        }
    }

    #[test]
    fn unshuffled_orders_are_ascending() {
        let sampler = DefaultSampler { shuffle: false, ..Default::default() };
        assert_eq!(sampler.order(3, Seed(1), 7), [0, 1, 2]);
        let sampler = InfiniteSampler { shuffle: false, ..Default::default() };
        assert_eq!(sampler.order(3, Seed(1), 7), [0, 1, 2]);
    }

    #[test]
    fn repeats_come_in_a_row() {
        let sampler = RepeatAugSampler { shuffle: false, ..Default::default() };
        assert_eq!(sampler.order(7, Seed(1), 0), [0, 0, 0, 1, 1, 1, 2]);
        let order = RepeatAugSampler::default().order(60, Seed(1), 0);
        assert!(order.chunks(3).all(|three| three.iter().all(|index| *index == three[0])));
        assert_eq!(RepeatAugSampler { num_repeats: 0, ..Default::default() }.order(3, Seed(1), 0).len(), 3);
    }

    #[test]
    fn own_seed_replaces_that_of_the_run() {
        let sampler = DefaultSampler { seed: Some(9), ..Default::default() };
        assert_eq!(sampler.order(50, Seed(1), 0), sampler.order(50, Seed(2), 0));
        assert_eq!(sampler.order(50, Seed(1), 0), DefaultSampler::default().order(50, Seed(9), 0));
    }
}
