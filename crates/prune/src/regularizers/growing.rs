//! Penalties that grow (Wang et al., Neural Pruning via Growing Regularization, 2021, arXiv:2012.09243).

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_graph::{Array, Weights};
use serde::Deserialize;

use super::group_norm::unimportance;
use super::{Moment, Penalty, Regularizer, on_weights};
use crate::importance::Subject;
use crate::{Error, Importance, Result};

/// Which channels are penalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// Those that will go, all the same: GReg-1.
    Leaving,
    /// All, the more the less important they are, as Torch-Pruning does.
    Relative,
}

/// `GrowingRegularizer(reg=0.0, delta_reg=1e-4, interval=10, ceiling=1.0, growth='leaving', ratio=None, importance='l1')`:
/// a weight decay that grows until channels have faded.
///
/// `½ · Σ_k λ_k ‖w_k‖²` over the weights that compute, scale or read channel `k`: `λ_k · w_k` is added to their gradients. Every
/// `interval` steps, the first one included,
///
/// | `growth` | |
/// |---|---|
/// | `'leaving'` | `λ_k += delta_reg` for the channels that will go, up to `ceiling`; others have no penalty (the paper's GReg-1) |
/// | `'relative'` | `λ_k += delta_reg · (I_max − I_k) / (I_max − I_min + 1e-8)`, up to `ceiling`, from `reg` on, by the importances `I` of that moment (Torch-Pruning's `GrowingRegPruner`) |
///
/// The channels that will go are chosen once, before the first step: by the target of the algorithm, or, where `ratio` is
/// given, that part of each unit by `importance`, as in the paper. Afterwards the penalty does not choose anew; the
/// importance by which they are removed finds them, since they are small. Scales of normalizations are penalized, too;
/// Torch-Pruning means to and changes a copy.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrowingRegularizer {
    /// `λ` in the beginning, of all channels; for `'relative'` alone.
    pub reg: f64,
    /// What `λ` grows by; above 0.
    pub delta_reg: f64,
    /// Steps from one growth to the next.
    pub interval: u64,
    /// The largest `λ`.
    pub ceiling: f64,
    /// Which channels are penalized.
    pub growth: Growth,
    /// The part of each unit that will go, where no target says so.
    pub ratio: Option<f64>,
    /// What says which channels matter.
    pub importance: String,
    /// `λ` by unit and channel.
    #[serde(skip)]
    factors: IndexMap<String, Vec<f32>>,
    /// By unit which channels will go.
    #[serde(skip)]
    leaving: IndexMap<String, Vec<bool>>,
}

impl Default for GrowingRegularizer {
    fn default() -> Self {
        Self {
            reg: 0.0,
            delta_reg: 1e-4,
            interval: 10,
            ceiling: 1.0,
            growth: Growth::Leaving,
            ratio: None,
            importance: "l1".into(),
            factors: IndexMap::new(),
            leaving: IndexMap::new(),
        }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Regularizer>, ConfigError> {
    let own: GrowingRegularizer = value.parse()?;
    let at = |key: &str, message: &str| Err(ConfigError::new(message).at(value.get(key).unwrap_or(value)));
    crate::keys::positive(value, "delta_reg", own.delta_reg)?;
    crate::keys::positive(value, "ceiling", own.ceiling)?;
    if own.interval == 0 {
        return at("interval", "`interval` must be at least 1");
    }
    if !(own.reg >= 0.0 && own.reg <= own.ceiling) {
        return at("reg", "`reg` must be at least 0 and at most `ceiling`");
    }
    if own.growth == Growth::Leaving && own.reg > 0.0 {
        return at("reg", "`reg` is of growth='relative': channels that stay are not penalized");
    }
    if own.growth == Growth::Relative && own.ratio.is_some() {
        return at("ratio", "`ratio` is of growth='leaving': all channels are penalized");
    }
    if own.ratio.is_some_and(|r| !(r > 0.0 && r < 1.0)) {
        return at("ratio", "`ratio` must be a part above 0 and below 1");
    }
    crate::keys::importance(value, &own.importance)?;
    Ok(Box::new(own))
}

impl GrowingRegularizer {
    fn choose(&mut self, subject: &Subject<'_>, moment: &Moment<'_>) -> Result<()> {
        let units = subject.trace.units.iter();
        self.leaving = match (self.ratio, moment.leaving) {
            (Some(ratio), _) => {
                let scores = score(&self.importance, subject)?;
                units.zip(scores).map(|(u, own)| (u.name.clone(), least(&own, ratio))).collect()
            }
            (None, Some(leaving)) => {
                units.zip(leaving).map(|(u, own)| (u.name.clone(), own.clone())).collect()
            }
            (None, None) => {
                return Err(Error::Nothing(
                    "GrowingRegularizer does not know which channels will go: give it `ratio`".into(),
                ));
            }
        };
        Ok(())
    }

    fn grow(&mut self, subject: &Subject<'_>) -> Result<()> {
        let scores = match self.growth {
            Growth::Leaving => None,
            Growth::Relative => Some(score(&self.importance, subject)?),
        };
        for (i, unit) in subject.trace.units.iter().enumerate() {
            let factors =
                self.factors.entry(unit.name.clone()).or_insert_with(|| vec![self.reg as f32; unit.channels]);
            let share: Vec<f64> = match &scores {
                None => {
                    let own = self.leaving.get(&unit.name).map(Vec::as_slice).unwrap_or_default();
                    own.iter().map(|&goes| f64::from(u8::from(goes))).collect()
                }
                Some(all) => all.get(i).map(|own| unimportance(own, 1e-8)).unwrap_or_default(),
            };
            for (f, share) in factors.iter_mut().zip(share) {
                *f = (f64::from(*f) + self.delta_reg * share).min(self.ceiling) as f32;
            }
        }
        Ok(())
    }
}

fn score(importance: &str, subject: &Subject<'_>) -> Result<crate::Scores> {
    Ok(Importance::find(importance).map(|i| i.score(subject)).transpose()?.unwrap_or_default())
}

/// Which channels are among the `ratio` of least importance; one stays at least.
fn least(scores: &[f64], ratio: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let at = |i: usize| scores.get(i).copied().unwrap_or(f64::INFINITY);
    order.sort_by(|&a, &b| at(a).total_cmp(&at(b)).then(b.cmp(&a)));
    let count = ((scores.len() as f64 * ratio).round() as usize).min(scores.len().saturating_sub(1));
    let mut goes = vec![false; scores.len()];
    for i in order.into_iter().take(count) {
        if let Some(g) = goes.get_mut(i) {
            *g = true;
        }
    }
    goes
}

impl Regularizer for GrowingRegularizer {
    fn name(&self) -> &'static str {
        "GrowingRegularizer"
    }

    fn needs_target(&self) -> bool {
        self.growth == Growth::Leaving && self.ratio.is_none()
    }

    fn penalties(&mut self, subject: &Subject<'_>, moment: &Moment<'_>) -> Result<Vec<Penalty>> {
        if self.growth == Growth::Leaving && self.leaving.is_empty() {
            self.choose(subject, moment)?;
        }
        if moment.step.is_multiple_of(self.interval) || self.factors.is_empty() {
            self.grow(subject)?;
        }
        let factors: Vec<Option<&Vec<f32>>> =
            subject.trace.units.iter().map(|u| self.factors.get(&u.name)).collect();
        on_weights(subject, |unit, c| {
            factors.get(unit).copied().flatten().and_then(|f| f.get(c)).copied().unwrap_or(0.0)
        })
    }

    fn narrowed(&mut self) {
        self.factors.clear();
        self.leaving.clear();
    }

    fn state(&self) -> Weights {
        let leaving = self.leaving.iter().map(|(name, own)| {
            let data = own.iter().map(|&g| f32::from(u8::from(g))).collect();
            (format!("leaving.{name}"), Array::from_f32([own.len()], data))
        });
        let factors = self
            .factors
            .iter()
            .map(|(name, own)| (format!("factors.{name}"), Array::from_f32([own.len()], own.clone())));
        leaving.chain(factors).filter_map(|(name, array)| Some((name, array.ok()?))).collect()
    }

    fn load_state(&mut self, state: &Weights) -> Result<(), String> {
        self.narrowed();
        for (name, array) in state {
            let own = array.as_f32().map_err(|e| e.to_string())?;
            if let Some(unit) = name.strip_prefix("leaving.") {
                self.leaving.insert(unit.to_owned(), own.iter().map(|&x| x != 0.0).collect());
            } else if let Some(unit) = name.strip_prefix("factors.") {
                self.factors.insert(unit.to_owned(), own.to_vec());
            } else {
                return Err(format!("GrowingRegularizer keeps no `{name}`"));
            }
        }
        Ok(())
    }
}
