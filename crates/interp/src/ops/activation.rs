//! Activations: functions of one value, element by element, with attributes.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::unary::{float, number, numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::error::refuse;
use crate::map::{map, zip};
use crate::numbers::{array, elements};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Relu", |c| {
        let x = c.array(0)?;
        one(each_number!(x, v => array(x.shape(), map(v, relu)), else => numbers(x)))
    }),
    Eval::new("LeakyRelu", |c| {
        let slope = attribute(c, "alpha", 0.01)?;
        float(c, |x| if x < 0.0 { slope * x } else { x })
    }),
    Eval::new("PRelu", |c| {
        let (x, slope) = (c.array(0)?, c.array(1)?);
        one(each_number!(x, v => {
            let (shape, y) = zip((v, x.shape()), (elements(slope)?, slope.shape()), prelu)?;
            if shape == x.shape() { array(&shape, y) } else { refuse(format!("slope {slope:?} does not broadcast to {x:?}")) }
        }, else => numbers(x)))
    }),
    Eval::new("Elu", |c| {
        let alpha = attribute(c, "alpha", 1.0)?;
        float(c, |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
    }),
    Eval::new("Selu", |c| {
        let alpha = attribute(c, "alpha", 1.673_263_2)?;
        let gamma = attribute(c, "gamma", 1.050_701)?;
        float(c, |x| gamma * if x <= 0.0 { alpha * x.exp_m1() } else { x })
    }),
    Eval::new("Celu", |c| {
        let alpha = attribute(c, "alpha", 1.0)?;
        float(c, |x| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x })
    }),
    Eval::new("ThresholdedRelu", |c| {
        let alpha = attribute(c, "alpha", 1.0)?;
        float(c, |x| if x > alpha || x.is_nan() { x } else { 0.0 })
    }),
    Eval::new("Sigmoid", |c| float(c, sigmoid)),
    Eval::new("HardSigmoid", |c| {
        let alpha = attribute(c, "alpha", 0.2)?;
        let beta = attribute(c, "beta", 0.5)?;
        float(c, |x| (alpha * x + beta).clamp(0.0, 1.0))
    }),
    Eval::new("HardSwish", |c| float(c, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
    Eval::new("Swish", |c| {
        let alpha = attribute(c, "alpha", 1.0)?;
        float(c, |x| x * sigmoid(alpha * x))
    }),
    Eval::new("Mish", |c| float(c, |x| x * softplus(x).tanh())),
    Eval::new("Gelu", |c| match c.op.text("approximate")? {
        None | Some("none") => float(c, |x| 0.5 * x * (1.0 + libm::erf(x * FRAC_1_SQRT_2))),
        Some("tanh") => {
            float(c, |x| 0.5 * x * (1.0 + (FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x)).tanh()))
        }
        Some(other) => refuse(format!("`approximate` must be `none` or `tanh`, found `{other}`")),
    }),
    Eval::new("Softplus", |c| float(c, softplus)),
    Eval::new("Softsign", |c| float(c, |x| x / (1.0 + x.abs()))),
    Eval::new("Shrink", |c| {
        let lambda = attribute(c, "lambd", 0.5)?;
        let bias = attribute(c, "bias", 0.0)?;
        number(c, |x| {
            if x < -lambda {
                x + bias
            } else if x > lambda {
                x - bias
            } else {
                0.0
            }
        })
    }),
];

fn attribute(c: &Operands<'_>, name: &str, default: f32) -> Result<f64> {
    Ok(c.op.float(name)?.unwrap_or(default).into())
}

/// NaN stays.
fn relu<T: Number>(x: T) -> T {
    if x < T::default() { T::default() } else { x }
}

fn prelu<T: Number>(x: T, slope: T) -> T {
    if x < T::default() { x.mul(slope) } else { x }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + exp(x))`, which does not overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
