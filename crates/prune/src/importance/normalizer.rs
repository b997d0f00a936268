//! Scores of different units on one scale.

use super::Scores;

/// How scores of a unit are made comparable to those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalizer {
    /// They are divided by their mean.
    #[default]
    Mean,
    /// They are divided by their sum.
    Sum,
    /// They are divided by the largest.
    Max,
    /// They lose their mean and are divided by their standard deviation.
    Gaussian,
    /// They stay as they are.
    None,
}

impl Normalizer {
    /// All, by their names.
    pub const ALL: &'static [(&'static str, Normalizer)] = &[
        ("mean", Normalizer::Mean),
        ("sum", Normalizer::Sum),
        ("max", Normalizer::Max),
        ("gaussian", Normalizer::Gaussian),
        ("none", Normalizer::None),
    ];

    /// Normalizes the scores of each unit.
    pub fn apply(self, scores: &mut Scores) {
        for unit in scores.iter_mut().filter(|u| !u.is_empty()) {
            let count = unit.len() as f64;
            let sum: f64 = unit.iter().sum();
            let mean = sum / count;
            let by = match self {
                Self::Mean => mean,
                Self::Sum => sum,
                Self::Max => unit.iter().copied().fold(0.0, f64::max),
                Self::Gaussian => (unit.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt(),
                Self::None => 1.0,
            };
            let from = if self == Self::Gaussian { mean } else { 0.0 };
            let by = if by > 0.0 { by } else { 1.0 };
            unit.iter_mut().for_each(|x| *x = (*x - from) / by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_comparable() {
        for (kind, wanted) in [
            (Normalizer::Mean, [0.5, 1.5]),
            (Normalizer::Sum, [0.25, 0.75]),
            (Normalizer::Max, [1.0 / 3.0, 1.0]),
            (Normalizer::Gaussian, [-1.0, 1.0]),
            (Normalizer::None, [1.0, 3.0]),
        ] {
            let mut scores = vec![Vec::new(), vec![1.0, 3.0]];
            kind.apply(&mut scores);
            assert_eq!(scores[1], wanted, "{kind:?}");
        }
    }
}
