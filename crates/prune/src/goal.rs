//! Targets of trainings: what a config says of them, and the widths that follow.

use occam_config::{Error as ConfigError, Value};
use occam_data::Batch;
use occam_graph::{Bindings, Dim, Graph};
use occam_space::Trace;
use occam_train::Result;

use crate::importance::{Normalizer, Scores};
use crate::shaped;
use crate::solve::{Limits, Outcome, Scope, Solver, Target, TargetKind};

/// Reads `target` of an algorithm: `dict(macs=0.5)`, or `params` or `activations`.
///
/// # Errors
/// It is no dict with one of these keys, or no part above 0 and up to 1.
pub(crate) fn target(config: &Value) -> Result<Target, ConfigError> {
    let Some(value) = config.get("target").filter(|v| !v.is_none()) else {
        let error = ConfigError::new("`target` is missing: how small the model is to be");
        return Err(error.with_help("such as target=dict(macs=0.5)").at(config));
    };
    let kinds = [
        ("macs", TargetKind::Macs),
        ("params", TargetKind::Params),
        ("activations", TargetKind::Activations),
    ];
    let wrong = |message: &str, at: &Value| {
        ConfigError::new(message).with_help("such as target=dict(macs=0.5); or params, activations").at(at)
    };
    let entries: Vec<_> = value.as_dict().into_iter().flat_map(|d| d.iter()).collect();
    let [(key, part)] = entries.as_slice() else {
        return Err(wrong("`target` must be a dict with one key: of what a part is to be left", value));
    };
    let name = key.as_str().unwrap_or_default();
    let Some((_, kind)) = kinds.into_iter().find(|(n, _)| *n == name) else {
        return Err(wrong(&format!("there is no target `{name}`"), value));
    };
    match part.as_f64().filter(|p| *p > 0.0 && *p <= 1.0) {
        Some(part) => Ok(Target { kind, part }),
        None => Err(wrong("a target must be a part above 0 and at most 1", part)),
    }
}

/// What the config of an algorithm says of how widths are found.
pub(crate) struct Rules {
    pub normalizer: Normalizer,
    pub round_to: usize,
    pub max_ratio: f64,
    pub uniform: bool,
    /// Patterns with the part of what they name that may go at most.
    pub ratios: Vec<(String, f64)>,
}

impl Rules {
    /// Reads the keys of `value` that need more than a type: `max_ratio`, `round_to`, `keep` and `ratio`.
    ///
    /// # Errors
    /// A key has a value that makes no sense.
    pub(crate) fn check(&self, value: &Value) -> Result<(), ConfigError> {
        let at =
            |key: &str, message: &str| Err(ConfigError::new(message).at(value.get(key).unwrap_or(value)));
        if self.round_to == 0 {
            return at("round_to", "`round_to` must be at least 1");
        }
        if !(0.0..=1.0).contains(&self.max_ratio) {
            return at("max_ratio", "`max_ratio` must be a part from 0 to 1");
        }
        if self.ratios.iter().any(|(_, part)| !(0.0..1.0).contains(part)) {
            return at("ratio", "a part of `ratio` must be at least 0 and below 1");
        }
        Ok(())
    }

    /// As the solver has them, for units of which some channels may be gone.
    ///
    /// # Errors
    /// A pattern names no unit and no layer.
    pub(crate) fn limits(&self, units: &Trace, widths: &[usize]) -> Result<Limits, crate::Error> {
        let scope = if self.uniform { Scope::Uniform } else { Scope::Global };
        let left = widths.iter().map(|&w| Some(w)).collect();
        let (round_to, max_ratio) = (self.round_to, self.max_ratio);
        let mut limits = Limits { round_to, max_ratio, left, scope, ..Limits::default() };
        for (pattern, part) in &self.ratios {
            limits.at_most(units, pattern, *part)?;
        }
        Ok(limits)
    }

    /// What stays of units of `widths` channels, by the `scores` of these.
    ///
    /// # Errors
    /// The target cannot be reached.
    pub(crate) fn solve(
        &self,
        graph: &Graph,
        units: &Trace,
        widths: &[usize],
        mut scores: Scores,
        target: Target,
        sizes: &Bindings,
    ) -> Result<Outcome> {
        self.normalizer.apply(&mut scores);
        for ((own, unit), &width) in scores.iter_mut().zip(&units.units).zip(widths) {
            if !own.is_empty() && width < unit.channels {
                own.resize(unit.channels, f64::NEG_INFINITY);
            }
        }
        let limits = self.limits(units, widths).map_err(shaped::failed)?;
        let solver = Solver::new(graph, units, scores, &limits, sizes).map_err(shaped::failed)?;
        solver.solve(target).map_err(shaped::failed)
    }
}

/// The sizes that `graph` leaves open, as a batch has them, of one image.
pub(crate) fn sizes(graph: &Graph, batch: &Batch) -> Bindings {
    let mut bindings = Bindings::new();
    let fact = graph.inputs().first().and_then(|&v| graph.value(v).ok()).map(|v| &v.fact);
    for (axis, dim) in fact.iter().flat_map(|f| f.shape.iter()).enumerate() {
        if let Dim::Symbol(name) = dim {
            let size = if axis == 0 { 1 } else { batch.inputs.shape().get(axis).copied().unwrap_or(1) };
            bindings.insert(name.to_string(), size);
        }
    }
    bindings
}
