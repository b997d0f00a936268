//! Random numbers that depend on what they are for, and on nothing else.
//!
//! A run has one [`Seed`]. Whoever needs random numbers asks it for the stream of a purpose and an index
//! (`seed.stream("augment", &[epoch, sample])`); streams are independent of each other and of the order in which
//! they are asked for. The draws of [`Draw`] are defined here, bit by bit, rather than taken from `rand`, whose
//! distributions may change their algorithm with any release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of a run, from which all its random streams derive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seed(pub u64);

impl Seed {
    /// The ChaCha8 stream of `purpose` and `index`.
    ///
    /// Its 256-bit key is a hash of the seed, the FNV-1a hash and length of `purpose`, and the length and words of
    /// `index`: four lanes, with different starts, each absorbing every word by exclusive-or followed by the
    /// finalizer of SplitMix64 (Steele, Lea and Flood, 2014). The finalizer is a bijection, so streams that differ in
    /// one index only never share a key. The hash is part of this crate's contract: the same arguments give the same
    /// stream in every release and on every machine.
    pub fn stream(&self, purpose: &str, index: &[u64]) -> ChaCha8Rng {
        let mut key = Key::new(self.0);
        key.absorb(fnv1a(purpose.as_bytes()));
        key.absorb(purpose.len() as u64);
        key.absorb(index.len() as u64);
        for &word in index {
            key.absorb(word);
        }
        ChaCha8Rng::from_seed(key.bytes())
    }
}

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

struct Key([u64; 4]);

impl Key {
    fn new(seed: u64) -> Self {
        let mut key = Self([1, 2, 3, 4].map(|lane| GAMMA.wrapping_mul(lane)));
        key.absorb(seed);
        key
    }

    fn absorb(&mut self, word: u64) {
        for lane in &mut self.0 {
            *lane = finalize((*lane ^ word).wrapping_add(GAMMA));
        }
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }
}

/// The output function of SplitMix64, a bijection of 64-bit words.
fn finalize(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The 64-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Draws from a random stream whose results no release of `rand` changes.
pub trait Draw: Rng {
    /// Uniform in `[0, 1)`: the upper 24 bits of one 32-bit word, times 2^-24.
    fn uniform_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[0, 1)`: the upper 53 bits of one 64-bit word, times 2^-53.
    fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform from the lower to the upper bound, as `numpy.random.uniform` scales it.
    fn uniform_in(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * self.uniform_f64()
    }

    /// Uniform in `0..n`, without bias (Lemire, 2019, arXiv:1805.10941); 0 for `n` of 0.
    fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        // Words whose product's lower half is below 2^64 mod n would make some results likelier than others.
        let biased = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= biased {
                return (product >> 64) as usize;
            }
        }
    }

    /// Puts `items` into a uniformly random order (Fisher-Yates, from the end).
    fn shuffle<T>(&mut self, items: &mut [T])
    where
        Self: Sized,
    {
        for end in (2..=items.len()).rev() {
            items.swap(end - 1, self.below(end));
        }
    }

    /// Normal with mean 0 and variance 1 (Box-Muller, cosine branch; two 64-bit words a draw).
    ///
    /// Computed in `f64` with the platform's logarithm and cosine, so the last bit may differ between platforms.
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform_f64()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform_f64();
        (radius * angle.cos()) as f32
    }
}

impl<R: Rng + ?Sized> Draw for R {}

/// `n` numbers in `[0, 1)` by the formula of `tools/golden/README.md`, whose parts are those of stream keys.
#[cfg(test)]
pub(crate) fn formula(name: &str, n: usize) -> Vec<f64> {
    let seed = fnv1a(name.as_bytes());
    (1..=n as u64)
        .map(|i| (finalize(seed.wrapping_add(i.wrapping_mul(GAMMA))) >> 40) as f64 / f64::from(1u32 << 24))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(seed: u64, purpose: &str, index: &[u64]) -> [u64; 4] {
        let mut stream = Seed(seed).stream(purpose, index);
        std::array::from_fn(|_| stream.next_u64())
    }

    #[test]
    fn streams_differ_in_every_part_of_their_name() {
        let names: [(u64, &str, &[u64]); 9] = [
            (0, "order", &[]),
            (0, "order", &[0]),
            (0, "order", &[0, 0]),
            (0, "order", &[1, 0]),
            (0, "order", &[0, 1]),
            (1, "order", &[0, 1]),
            (0, "augment", &[0, 1]),
            (0, "", &[0, 1]),
            (u64::MAX, "order", &[]),
        ];
        let drawn: std::collections::BTreeSet<_> = names.map(|(s, p, i)| words(s, p, i)).into();
        assert_eq!(drawn.len(), names.len());
        assert_eq!(words(7, "order", &[3]), words(7, "order", &[3]));
    }

    /// The contract of [`Seed::stream`]: these numbers never change. The first two also come from ChaCha8 and the hash
    /// written out in Python.
    #[test]
    fn streams_are_stable_across_releases() {
        let mut stream = Seed(42).stream("augment", &[3, 1234]);
        let mut order: Vec<u32> = (0..8).collect();
        let drawn = (stream.next_u64(), stream.uniform_f32(), stream.below(1000), stream.normal());
        stream.shuffle(&mut order);
        assert_eq!(drawn, (15_241_791_708_274_815_091, 0.897_365_4, 406, 0.699_422_24));
        assert_eq!(order, [0, 1, 6, 2, 7, 3, 5, 4]);
    }

    /// The first outputs of SplitMix64 from state 0, as its reference implementation prints them.
    #[test]
    fn finalizer_is_that_of_splitmix64() {
        assert_eq!(finalize(GAMMA), 0xe220_a839_7b1d_cdaf);
        assert_eq!(finalize(GAMMA.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn draws_have_their_distribution() {
        let mut stream = Seed(1).stream("test", &[]);
        let n = 60_000;
        let mut counts = [0; 6];
        let (mut sum, mut normal, mut square) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            counts[stream.below(6)] += 1;
            sum += f64::from(stream.uniform_f32());
            let z = f64::from(stream.normal());
            normal += z;
            square += z * z;
        }
        let n = f64::from(n);
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
        assert!((sum / n - 0.5).abs() < 0.01);
        assert!((normal / n).abs() < 0.02 && (square / n - 1.0).abs() < 0.03);
    }

    #[test]
    fn shuffles_every_item_once() {
        let mut items: Vec<usize> = (0..100).collect();
        Seed(3).stream("order", &[0]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
        Seed(3).stream("order", &[0]).shuffle::<u8>(&mut []);
        assert_eq!(Seed(3).stream("order", &[0]).below(0), 0);
    }
}
