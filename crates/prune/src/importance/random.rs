//! Chance: what every other criterion must beat.

use super::{Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str = "a number by chance, from the seed: the baseline for all others";

/// Numbers in `0..1` that follow from the seed.
pub(super) fn score(subject: &Subject<'_>) -> Result<Scores> {
    let mut state = subject.seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let units = subject.trace.units.iter();
    Ok(units
        .map(|u| if u.kept_by.is_none() { (0..u.channels).map(|_| next()).collect() } else { Vec::new() })
        .collect())
}
