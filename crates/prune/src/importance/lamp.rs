//! Layer-adaptive magnitudes (Lee et al., 2021, arXiv:2010.07611).

use super::{Scores, Subject, group_norm};
use crate::Result;

pub(super) const ABOUT: &str =
    "group-l2, divided by the sum over all channels of the unit that are not smaller";

/// `s_c / Σ_{k: s_k ≥ s_c} s_k` of the squared group norms `s` of a unit; the largest channel of each unit has 1.
pub(super) fn score(subject: &Subject<'_>) -> Result<Scores> {
    let mut all = group_norm::l2(subject)?;
    all.iter_mut().for_each(|scores| adapt(scores));
    Ok(all)
}

fn adapt(scores: &mut [f64]) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let at = |scores: &[f64], i: usize| scores.get(i).copied().unwrap_or(0.0);
    order.sort_by(|&a, &b| at(scores, b).total_cmp(&at(scores, a)));
    let mut sum = 0.0;
    for i in order {
        if let Some(s) = scores.get_mut(i) {
            sum += *s;
            *s = if sum > 0.0 { *s / sum } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_largest_is_1() {
        let mut scores = [1.0, 3.0, 4.0];
        super::adapt(&mut scores);
        assert_eq!(scores, [1.0 / 8.0, 3.0 / 7.0, 1.0]);
    }
}
