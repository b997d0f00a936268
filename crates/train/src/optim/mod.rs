//! The optimizer of a run: `optim_wrapper`.

mod amp;

use indexmap::IndexMap;
use occam_config::{Build, Registry, Value};
use occam_engine::optim::{AdamW, Optimizer, Sgd, State};
use occam_engine::{Autocast, Tensor};
use serde::Deserialize;

use crate::{Algorithm, GradientMap, Result};

const TABLE: &[(&str, Build<dyn Optimizer>)] = &[("SGD", sgd), ("AdamW", adamw)];

fn sgd(value: &Value, _: &Registry) -> Result<Box<dyn Optimizer>, occam_config::Error> {
    let sgd: Sgd = value.parse()?;
    if sgd.nesterov && (sgd.momentum <= 0.0 || sgd.dampening != 0.0) {
        return Err(occam_config::Error::new("SGD: nesterov needs a momentum and no dampening").at(value));
    }
    let names = [("lr", sgd.lr), ("momentum", sgd.momentum), ("weight_decay", sgd.weight_decay)];
    not_negative(value, &names)?;
    Ok(Box::new(sgd))
}

fn adamw(value: &Value, _: &Registry) -> Result<Box<dyn Optimizer>, occam_config::Error> {
    let adamw: AdamW = value.parse()?;
    not_negative(value, &[("lr", adamw.lr), ("eps", adamw.eps), ("weight_decay", adamw.weight_decay)])?;
    if !(0.0..1.0).contains(&adamw.betas.0) || !(0.0..1.0).contains(&adamw.betas.1) {
        return Err(occam_config::Error::new("`betas` must be at least 0 and below 1").at(value));
    }
    Ok(Box::new(adamw))
}

/// Refuses numbers below 0 and such that are none.
fn not_negative(value: &Value, numbers: &[(&str, f64)]) -> Result<(), occam_config::Error> {
    match numbers.iter().find(|(_, x)| !(*x >= 0.0 && x.is_finite())) {
        None => Ok(()),
        Some((name, x)) => {
            let error = occam_config::Error::new(format!("`{name}` must be at least 0, found {x}"));
            Err(error.at(value.get(name).unwrap_or(value)))
        }
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Optimizer>("optimizer", TABLE);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    optimizer: Value,
    #[serde(default)]
    clip_grad: Option<ClipGrad>,
    #[serde(default)]
    paramwise_cfg: Option<Value>,
    #[serde(default = "one")]
    accumulative_counts: u64,
}

fn one() -> u64 {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClipGrad {
    max_norm: f64,
    #[serde(default = "two")]
    norm_type: f64,
}

fn two() -> f64 {
    2.0
}

/// Steps an algorithm's parameters.
///
/// | key of `optim_wrapper` | |
/// |---|---|
/// | `optimizer` | `SGD` or `AdamW` |
/// | `clip_grad` | `dict(max_norm=..)`: gradients are scaled down where their joint 2-norm is larger |
/// | `dtype`, `loss_scale`, `use_fsdp` | of `AmpOptimWrapper`: mixed precision |
pub struct OptimWrapper {
    optimizer: Box<dyn Optimizer>,
    kind: String,
    clip_grad: Option<ClipGrad>,
    lr: f64,
    amp: Option<amp::Amp>,
}

impl OptimWrapper {
    /// Reads `optim_wrapper`.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type.
    pub fn from_config(value: &Value, registry: &Registry) -> Result<Self> {
        let (amp, value) = amp::Amp::split(value)?;
        let value = &value;
        if let Some(name) = value.type_name()
            && name != "OptimWrapper"
        {
            return Err(occam_config::Error::new(format!("there is no optim_wrapper `{name}`"))
                .at(value)
                .into());
        }
        let config: Config = value.parse()?;
        if let Some(v) = &config.paramwise_cfg {
            return Err(occam_config::Error::new("`paramwise_cfg` is not supported").at(v).into());
        }
        if config.accumulative_counts != 1 {
            let error = occam_config::Error::new("`accumulative_counts` is not supported");
            return Err(error.at(value.get("accumulative_counts").unwrap_or(value)).into());
        }
        if let Some(clip) = &config.clip_grad
            && (clip.norm_type != 2.0 || clip.max_norm.is_nan() || clip.max_norm <= 0.0)
        {
            let error = occam_config::Error::new("clip_grad: `max_norm` must be above 0 and `norm_type` 2");
            return Err(error.at(value.get("clip_grad").unwrap_or(value)).into());
        }
        let optimizer = registry.build::<dyn Optimizer>(&config.optimizer)?;
        let lr = optimizer.lr();
        let kind = config.optimizer.type_name().unwrap_or_default().to_owned();
        Ok(Self { optimizer, kind, clip_grad: config.clip_grad, lr, amp })
    }

    /// Name of the optimizer.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether gradients are clipped.
    pub fn clips(&self) -> bool {
        self.clip_grad.is_some()
    }

    /// The learning rate of the next step.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The learning rate that the config asks for.
    pub fn base_lr(&self) -> f64 {
        self.optimizer.lr()
    }

    /// Sets the learning rate of the next step.
    pub fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// How the next step is to be computed.
    pub fn autocast(&self) -> Autocast {
        self.amp.as_ref().map(amp::Amp::autocast).unwrap_or_default()
    }

    /// Tells an algorithm's models how the next step is to be computed.
    pub fn prepare(&self, algorithm: &mut dyn Algorithm) {
        let autocast = self.autocast();
        for (_, model) in algorithm.models_mut() {
            model.set_autocast(autocast);
        }
    }

    /// Whether the last step moved nothing because the loss scale was too large for `f16`; training goes on with a smaller
    /// one.
    pub fn skipped(&self) -> bool {
        self.amp.as_ref().is_some_and(amp::Amp::skipped)
    }

    /// Moves the parameters that have a gradient, and returns the gradients' joint 2-norm before clipping. Where that is
    /// not finite, nothing is moved.
    ///
    /// # Errors
    /// A gradient does not fit its parameter.
    pub fn step(&mut self, algorithm: &mut dyn Algorithm, mut gradients: GradientMap) -> Result<f64> {
        let norm = f64::sqrt(Tensor::sum_of_squares_of(gradients.values())?);
        if let Some(amp) = &mut self.amp {
            amp.update(norm.is_finite());
        }
        if !norm.is_finite() {
            return Ok(norm);
        }
        if let Some(clip) = &self.clip_grad {
            let factor = clip.max_norm / (norm + 1e-6);
            if factor < 1.0 {
                for g in gradients.values_mut() {
                    *g = g.scale(factor)?;
                }
            }
        }
        for (prefix, model) in algorithm.models_mut() {
            let names: Vec<String> =
                model.params.iter().filter(|(_, p)| p.trainable).map(|(n, _)| n.to_owned()).collect();
            for name in names {
                let full = format!("{prefix}{name}");
                if let Some(grad) = gradients.swap_remove(&full) {
                    let (optimizer, lr) = (&mut self.optimizer, self.lr);
                    model.params.update(&name, |param| optimizer.step(&full, param, &grad, lr))?;
                }
            }
        }
        Ok(norm)
    }

    /// The optimizer's own tensors, and the loss scale's state.
    pub fn state(&self) -> State {
        let mut state = self.optimizer.state();
        if let Some(amp) = &self.amp {
            amp.save(&mut state);
        }
        state
    }

    /// Continues from a state.
    ///
    /// # Errors
    /// It is of another optimizer.
    pub fn load_state(&mut self, mut state: IndexMap<String, Tensor>) -> Result<()> {
        amp::load(self.amp.as_mut(), &mut state)?;
        Ok(self.optimizer.load_state(state)?)
    }
}
