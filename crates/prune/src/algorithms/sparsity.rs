//! Single weights become 0 while the model is trained, and stay it.

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::Tensor;
use occam_engine::schedule::Length;
use occam_graph::{Array, DType, Weights};
use occam_train::{
    Algorithm, AlgorithmConfig, Cuts, Env, Error, Model, Result, Step, StepContext, supervised,
};
use serde::Deserialize;

use crate::keys::Time;
use crate::sparsity::{Layer, Pattern, layers, masks};
use crate::{Scope, matches};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`begin`, `end` and `step_freq` are read by a function of their own")]
struct Keys {
    architecture: Value,
    sparsity: Value,
    #[serde(default)]
    initial: f64,
    #[serde(default)]
    uniform: bool,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    begin: Option<Value>,
    #[serde(default)]
    end: Option<Value>,
    #[serde(default)]
    step_freq: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

struct Config {
    keys: Keys,
    pattern: Pattern,
    begin: Time,
    end: Time,
    step_freq: Time,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let at = |key: &str, message: String| ConfigError::new(message).at(value.get(key).unwrap_or(value));
    let text = match (keys.sparsity.as_str(), keys.sparsity.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(part)) => part.to_string(),
        (None, None) => {
            return Err(at(
                "sparsity",
                "`sparsity` must be a part such as 0.8, or a pattern such as '2:4'".into(),
            ));
        }
    };
    let pattern: Pattern = text.parse().map_err(|message| at("sparsity", message))?;
    match pattern {
        Pattern::Part(part) if !(keys.initial >= 0.0 && keys.initial <= part) => {
            return Err(at("initial", "`initial` must be at least 0 and at most `sparsity`".into()));
        }
        Pattern::Runs { .. } => {
            // What would be ignored is refused.
            let gradual = ["initial", "end", "step_freq", "uniform"];
            if let Some(key) = gradual.into_iter().find(|k| value.get(k).is_some_and(|v| !v.is_none())) {
                return Err(at(
                    key,
                    format!("`{key}` is of a part: the pattern {pattern} is made at `begin`, at once"),
                ));
            }
        }
        Pattern::Part(_) => {}
    }
    Ok(Box::new(Config {
        pattern,
        begin: Time::from_config(value, "begin", Time::Steps(0))?,
        end: Time::from_config(value, "end", Time::Part(0.5))?,
        step_freq: Time::from_config(value, "step_freq", Time::Part(0.01))?,
        keys,
        value: value.clone(),
    }))
}

impl Config {
    /// The weights that become sparse.
    fn layers(&self, model: &occam_zoo::TaskModel) -> Result<Vec<Layer>, ConfigError> {
        let all = layers(&model.graph);
        let named = |p: &str, l: &Layer| l.nodes.iter().chain([&l.name]).any(|n| matches(p, n));
        if let Some(strange) = self.keys.keep.iter().find(|p| !all.iter().any(|l| named(p, l))) {
            let place = self.value.get("keep").unwrap_or(&self.value);
            let error = ConfigError::new(format!("no layer with weights is called `{strange}`")).at(place);
            let names = all.iter().flat_map(|l| l.nodes.iter().map(String::as_str));
            return Err(match occam_config::suggest(strange, names) {
                Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
                None => error,
            });
        }
        let left: Vec<Layer> =
            all.into_iter().filter(|l| !self.keys.keep.iter().any(|p| named(p, l))).collect();
        if left.is_empty() {
            return Err(ConfigError::new("the model has no layer that may become sparse").at(&self.value));
        }
        if let Pattern::Runs { of, .. } = self.pattern
            && !left.iter().any(|l| l.shape.get(l.inputs).is_some_and(|n| n.is_multiple_of(of)))
        {
            let message = format!("no layer of the model has a number of inputs that is a multiple of {of}");
            return Err(ConfigError::new(message).at(&self.value));
        }
        Ok(left)
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let layers = self.layers(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        Ok(Box::new(SparsityAlgorithm {
            model: Model::new(task, env.seed, &env.device)?,
            layers,
            pattern: self.pattern,
            initial: self.keys.initial,
            scope: if self.keys.uniform { Scope::Uniform } else { Scope::Global },
            times: [self.begin, self.end, self.step_freq],
            plan: None,
            masks: IndexMap::new(),
            config: self.value,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.layers(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// When masks are made, in iterations.
#[derive(Debug, Clone, Copy)]
struct Plan {
    begin: u64,
    end: u64,
    every: u64,
}

impl Plan {
    /// How much of the way from the first sparsity to the last is gone after the masks that are made before iteration `iter`,
    /// where some are: `1 − (1 − t)³` of time `t` from 0 to 1.
    fn due(&self, iter: u64) -> Option<f64> {
        let since = iter.checked_sub(self.begin)?;
        if iter > self.end || !(since.is_multiple_of(self.every) || iter == self.end) {
            return None;
        }
        let time = if self.end > self.begin { since as f64 / (self.end - self.begin) as f64 } else { 1.0 };
        Some(1.0 - (1.0 - time).powi(3))
    }
}

/// Trains a model whose smallest weights become 0 on the way; shapes stay, and what is 0 stays 0.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `sparsity` | | the part of the weights that is 0 in the end, such as 0.8; or a pattern `'N:M'`: in each run of M weights along the inputs of a layer N are left |
/// | `uniform` | False | whether the part is that of each layer; else of all layers together |
/// | `keep` | `[]` | layers or weights that stay as they are; `*` stands for any letters |
/// | `initial` | 0.0 | the part at `begin` |
/// | `begin` | 0 | when weights first become 0: an int of epochs (iterations where the training counts these), a float as a part of the training |
/// | `end` | 0.5 | when the last ones do; the rest is fine-tuning |
/// | `step_freq` | 0.01 | time from one mask to the next |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// The part grows by the cubic of Zhu and Gupta (2017, arXiv:1710.01878): `s_t = s_f + (s_i − s_f) · (1 − (t − t₀) / (t₁ − t₀))³`. A
/// pattern is made once, at `begin`; layers whose inputs are no multiple of M stay as they are. Which weights go, and of which
/// layers, is as in [`sparsity::masks`](fn@crate::sparsity::masks).
///
/// Weights that went get no gradient, and the optimizer's tensors, waiting gradients and an `EMAHook`'s averages are 0 where
/// they are, so no momentum moves them: they are 0 after every step. Masks are part of checkpoints. Parameters are called
/// `architecture.*`.
pub struct SparsityAlgorithm {
    model: Model,
    layers: Vec<Layer>,
    pattern: Pattern,
    initial: f64,
    scope: Scope,
    /// `begin`, `end` and `step_freq`.
    times: [Time; 3],
    /// Once the training is known.
    plan: Option<Plan>,
    /// By parameter 1 where it stays, else 0.
    masks: IndexMap<String, Tensor>,
    config: Value,
    data_preprocessor: Option<Value>,
}

impl SparsityAlgorithm {
    /// Makes the masks of a moment, where `gone` of the way is gone, and clears what they say.
    fn sparsify(&mut self, gone: f64) -> Result<(Cuts, String)> {
        let pattern = match self.pattern {
            Pattern::Part(last) => Pattern::Part(self.initial + (last - self.initial) * gone),
            runs => runs,
        };
        let mut values = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            values.push(self.tensor(&layer.name)?.to_f32()?);
        }
        let pairs: Vec<(&Layer, &[f32])> = self.layers.iter().zip(values.iter().map(Vec::as_slice)).collect();
        let mut cuts = Cuts::default();
        let [mut zeros, mut all] = [0usize; 2];
        for (layer, mask) in self.layers.iter().zip(masks(pattern, self.scope, &pairs)) {
            all += layer.shape.iter().product::<usize>();
            let Ok(mask) = mask else { continue };
            zeros += mask.iter().filter(|stays| !**stays).count();
            let floats = mask.into_iter().map(|stays| f32::from(u8::from(stays))).collect();
            let mask = Tensor::from_f32(&layer.shape, floats, self.model.device())?;
            let left = cleared(&self.tensor(&layer.name)?, &mask)?;
            self.model.params.set(&layer.name, left)?;
            cuts.mask(&format!("{PREFIX}{}", layer.name), mask.clone());
            self.masks.insert(layer.name.clone(), mask);
        }
        let part = 100.0 * zeros as f64 / all.max(1) as f64;
        Ok((cuts, format!("{zeros} of {all} weights are 0, {part:.1} %")))
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let param = self.model.params.get(name);
        Ok(param.ok_or_else(|| Error::Other(format!("the model has no parameter `{name}`")))?.tensor.clone())
    }
}

/// `tensor` with 0 where `mask` is 0.
fn cleared(tensor: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let zeros = Tensor::full(&vec![1; tensor.rank()], 0.0, &tensor.device());
    Ok(Tensor::choose(mask, tensor, &zeros)?.detach())
}

impl Algorithm for SparsityAlgorithm {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let due = self.plan.and_then(|p| p.due(context.iter));
        let made = due.map(|gone| self.sparsify(gone)).transpose()?;
        let mut step = supervised(&mut self.model, PREFIX, batch, context)?;
        for (name, mask) in &self.masks {
            if let Some(gradient) = step.gradients.get_mut(&format!("{PREFIX}{name}")) {
                *gradient = cleared(gradient, mask)?;
            }
        }
        Ok(match made {
            Some((cuts, note)) => Step { cuts, notes: vec![note], ..step },
            None => step,
        })
    }

    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        let [begin, end, every] = self.times.map(|t| t.iterations(length, by_epoch));
        let end = if matches!(self.pattern, Pattern::Runs { .. }) { begin } else { end };
        let refuse = |key: &str, message: String| {
            Err(ConfigError::new(message).at(self.config.get(key).unwrap_or(&self.config)).into())
        };
        if end < begin {
            return refuse("end", format!("`end` is after {end} iterations, `begin` after {begin}"));
        }
        if end >= length.max_iters {
            let max = length.max_iters;
            return refuse(
                "end",
                format!(
                    "the last weights go after {end} iterations, the training has {max}: the target would not be reached"
                ),
            );
        }
        self.plan = Some(Plan { begin, end, every: every.max(1) });
        Ok(())
    }

    fn state(&self) -> Result<Weights> {
        let mut state = Weights::new();
        for (name, mask) in &self.masks {
            let bytes: Vec<u8> = mask.to_f32()?.into_iter().map(|x| u8::from(x != 0.0)).collect();
            state.insert(format!("mask.{name}"), Array::from_le_bytes(DType::U8, mask.shape(), &bytes)?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        self.masks.clear();
        for (name, array) in state {
            let layer = name.strip_prefix("mask.").and_then(|n| self.layers.iter().find(|l| l.name == n));
            let Some(layer) = layer.filter(|l| array.shape() == l.shape && array.dtype() == DType::U8) else {
                return Err(Error::Other(format!("`{name}` is no mask of this model")));
            };
            let floats = array.to_le_bytes().into_iter().map(f32::from).collect();
            let mask = Tensor::from_f32(&layer.shape, floats, self.model.device())?;
            self.masks.insert(layer.name.clone(), mask);
        }
        Ok(())
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zhu and Gupta's formula with `s_i = 0`, `s_f = 0.8`, `t₀ = 2`, ten steps to the end, masks every four.
    #[test]
    fn the_part_grows_by_the_cubic() {
        let plan = Plan { begin: 2, end: 12, every: 4 };
        let parts: Vec<(u64, f64)> = (0..20).filter_map(|i| Some((i, 0.8 * plan.due(i)?))).collect();
        let wanted = [(2, 0.0), (6, 0.6272), (10, 0.7936), (12, 0.8)];
        assert_eq!(parts.len(), wanted.len());
        for ((i, found), (j, wanted)) in parts.into_iter().zip(wanted) {
            assert!(i == j && (found - wanted).abs() < 1e-12, "{i}: {found}");
        }
        assert_eq!(Plan { begin: 3, end: 3, every: 1 }.due(3), Some(1.0));
    }
}
