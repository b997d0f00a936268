//! A number out of several.

use crate::subnet::Chosen;
use crate::{Error, Result};

/// One of several numbers (`OneShotMutableValue`, `MutableValue`).
#[derive(Debug, Clone, PartialEq)]
pub struct MutableValue {
    /// From the smallest.
    values: Vec<f64>,
    default: f64,
}

impl MutableValue {
    /// One of `values`, of which the largest is the default.
    ///
    /// # Errors
    /// There is none, or one is no finite number.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Result<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::Candidates("a value is no finite number".into()));
        }
        values.sort_by(f64::total_cmp);
        let default = *values.last().ok_or_else(|| Error::Candidates("there is no value".into()))?;
        Ok(Self { values, default })
    }

    /// With another default.
    ///
    /// # Errors
    /// It is none of the values.
    pub fn with_default(self, default: f64) -> Result<Self> {
        if self.values.contains(&default) {
            return Ok(Self { default, ..self });
        }
        Err(Error::Candidates(format!("the default {default} is none of {}", list(&self.values))))
    }

    /// What there is to choose from, from the smallest.
    pub fn choices(&self) -> &[f64] {
        &self.values
    }

    /// What is chosen where nothing is said.
    pub fn default_choice(&self) -> f64 {
        self.default
    }

    pub(super) fn max_choice(&self) -> Chosen {
        Chosen::from(self.values.last().copied().unwrap_or(self.default))
    }

    pub(super) fn min_choice(&self) -> Chosen {
        Chosen::from(self.values.first().copied().unwrap_or(self.default))
    }

    pub(super) fn sample_choice(&self, below: &mut dyn FnMut(usize) -> usize) -> Chosen {
        Chosen::from(self.values.get(below(self.values.len())).copied().unwrap_or(self.default))
    }

    /// The number that is chosen, or why it cannot be.
    pub(super) fn number(&self, chosen: &Chosen) -> Result<f64, String> {
        chosen
            .number()
            .filter(|n| self.values.contains(n))
            .ok_or_else(|| format!("{chosen} cannot be chosen, only {}", list(&self.values)))
    }
}

fn list(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_and_the_largest_is_the_default() {
        let value = MutableValue::new([2.0, 3.5, 1.0]).unwrap();
        assert_eq!(value.choices(), [1.0, 2.0, 3.5]);
        assert_eq!(value.default_choice(), 3.5);
        assert_eq!(value.clone().with_default(1.0).unwrap().default_choice(), 1.0);
        assert!(value.with_default(7.0).unwrap_err().to_string().contains("1, 2, 3.5"));
        assert!(MutableValue::new([]).is_err());
        assert!(MutableValue::new([f64::NAN]).is_err());
    }
}
