//! Clipping of gradients.

use occam_config::{Error, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use crate::{GradientMap, Result};

/// `clip_grad` of an `optim_wrapper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clip {
    /// `dict(max_norm=.., norm_type=2)`: all gradients are scaled by `max_norm / (norm + 1e-6)` where that is below 1, with
    /// the joint norm of that type, as `torch.nn.utils.clip_grad_norm_`.
    Norm { max_norm: f64, norm_type: f64 },
    /// `dict(type='value', clip_value=..)`: every element is kept in `[-clip_value, clip_value]`.
    Value { clip_value: f64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormKeys {
    max_norm: f64,
    #[serde(default)]
    norm_type: Option<Value>,
    /// A gradient that is no number always ends the training.
    #[serde(default, rename = "error_if_nonfinite")]
    _error_if_nonfinite: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueKeys {
    clip_value: f64,
}

impl Clip {
    pub fn from_config(value: &Value) -> Result<Self, Error> {
        let refuse = |key: &str, message: &str| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
        match value.type_name() {
            None | Some("norm") => {
                let keys: NormKeys = value.parse()?;
                if keys.max_norm.is_nan() || keys.max_norm <= 0.0 {
                    return refuse("max_norm", "clip_grad: `max_norm` must be above 0");
                }
                let norm_type = match &keys.norm_type {
                    None => 2.0,
                    Some(v) if v.as_str() == Some("inf") => f64::INFINITY,
                    Some(v) => v.as_f64().unwrap_or(f64::NAN),
                };
                if norm_type.is_nan() || norm_type <= 0.0 {
                    return refuse("norm_type", "clip_grad: `norm_type` must be above 0, or 'inf'");
                }
                Ok(Clip::Norm { max_norm: keys.max_norm, norm_type })
            }
            Some("value") => {
                let ValueKeys { clip_value } = value.parse()?;
                if clip_value.is_nan() || clip_value <= 0.0 {
                    return refuse("clip_value", "clip_grad: `clip_value` must be above 0");
                }
                Ok(Clip::Value { clip_value })
            }
            Some(other) => {
                refuse("type", &format!("clip_grad: `type` must be 'norm' or 'value', not {other:?}"))
            }
        }
    }

    /// Clips gradients whose joint 2-norm is `norm`. Returns their joint norm of this type before, where there is one,
    /// and their 2-norm after.
    pub fn apply(self, gradients: &mut GradientMap, norm: f64) -> Result<(Option<f64>, f64)> {
        match self {
            Clip::Norm { max_norm, norm_type } => {
                let own = if norm_type == 2.0 { norm } else { joint_norm(gradients.values(), norm_type)? };
                let factor = max_norm / (own + 1e-6);
                if factor >= 1.0 {
                    return Ok((Some(own), norm));
                }
                for g in gradients.values_mut() {
                    *g = g.scale(factor)?;
                }
                Ok((Some(own), norm * factor))
            }
            Clip::Value { clip_value } => {
                for g in gradients.values_mut() {
                    *g = g.clamp(-clip_value, clip_value)?;
                }
                Ok((None, two_norm(gradients.values())?))
            }
        }
    }
}

/// The joint 2-norm.
pub(super) fn two_norm<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    let mut square = 0.0;
    for g in gradients {
        square += g.sum_of_squares()?;
    }
    Ok(f64::sqrt(square))
}

/// `(Σ |g|ᵖ)^(1/p)`, the largest `|g|` for `p = ∞`.
fn joint_norm<'a>(gradients: impl Iterator<Item = &'a Tensor>, p: f64) -> Result<f64> {
    let (mut sum, mut largest) = (0.0, 0f64);
    for g in gradients {
        for x in g.to_f32()? {
            let x = f64::from(x).abs();
            largest = largest.max(x);
            sum += x.powf(p);
        }
    }
    Ok(if p.is_infinite() { largest } else { sum.powf(1.0 / p) })
}
