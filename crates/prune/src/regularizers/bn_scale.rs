//! Scales of normalizations (Liu et al., network slimming, 2017, arXiv:1708.06519).

use occam_config::{Error as ConfigError, Registry, Value};
use serde::Deserialize;

use super::{Moment, Of, Penalty, Regularizer, along, size_of};
use crate::importance::Subject;
use crate::importance::axes::{Part, elements, parts};
use crate::{Error, Result};

/// `BNScaleRegularizer(reg=1e-5, group_lasso=False)`: the scales γ of the normalizations of prunable units become sparse.
///
/// | `group_lasso` | penalty | added to the gradient of γ |
/// |---|---|---|
/// | False | `reg · Σ ‖γ‖₁` | `reg · sign γ` |
/// | True | `reg · Σ √(mean γ²)`, the mean over the normalizations of a channel, as Torch-Pruning has it | `reg · γ / √(mean γ² + 1e-9)` |
///
/// Scales of channels that must stay are left alone: nothing would be won. The paper uses `reg` from 1e-5 to 1e-4.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BNScaleRegularizer {
    /// Strength; above 0.
    pub reg: f32,
    /// Whether the scales of a channel shrink together.
    pub group_lasso: bool,
}

impl Default for BNScaleRegularizer {
    fn default() -> Self {
        Self { reg: 1e-5, group_lasso: false }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Regularizer>, ConfigError> {
    let own: BNScaleRegularizer = value.parse()?;
    crate::keys::positive(value, "reg", f64::from(own.reg))?;
    Ok(Box::new(own))
}

impl Regularizer for BNScaleRegularizer {
    fn name(&self) -> &'static str {
        "BNScaleRegularizer"
    }

    fn penalties(&mut self, subject: &Subject<'_>, _: &Moment<'_>) -> Result<Vec<Penalty>> {
        let parts = parts(subject.graph);
        let mut penalties = Vec::new();
        for unit in subject.trace.prunable() {
            let scales: Vec<_> = (unit.members.iter().enumerate())
                .filter(|(_, m)| parts.get(&m.value) == Some(&Part::Scale))
                .collect();
            let mut squares = vec![0f64; unit.channels];
            for (_, member) in scales.iter().filter(|_| self.group_lasso) {
                let (_, data) = elements(subject, member.value)?;
                for (c, sum) in squares.iter_mut().enumerate() {
                    let own = member.of(c).iter().filter_map(|&e| data.get(e as usize));
                    *sum += own.map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / scales.len() as f64;
                }
            }
            for (m, member) in &scales {
                let size = size_of(subject, member)?;
                let factor = |c: usize| match self.group_lasso {
                    false => self.reg,
                    true => (f64::from(self.reg) / (squares.get(c).unwrap_or(&0.0) + 1e-9).sqrt()) as f32,
                };
                let of = if self.group_lasso { Of::Value } else { Of::Sign };
                let factors = along(unit, *m, size, factor);
                penalties.push(Penalty { value: member.value, axis: member.axis, factors, of });
            }
        }
        match subject.trace.prunable().next() {
            Some(unit) if penalties.is_empty() => Err(Error::Needs {
                importance: "BNScaleRegularizer",
                needs: "scales of normalizations",
                unit: unit.name.clone(),
            }),
            _ => Ok(penalties),
        }
    }
}
