//! `Relu`, `Clip`, `LeakyRelu`, `Elu`, `Sigmoid`, `Tanh`, `HardSigmoid`, `HardSwish`; what operator sets before 20 lack, in
//! their terms.

use std::f64::consts::{FRAC_2_PI, SQRT_2};

use occam_graph::ops::Activation;

use super::OnnxForm;
use crate::Result;
use crate::onnx::proto::AttributeProto;
use crate::onnx::site::Site;

impl OnnxForm for Activation {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        match *self {
            Activation::Relu => at.whole("Relu", []),
            Activation::Relu6 => clip(at, None, 0.0, 6.0)?,
            Activation::LeakyRelu { slope } => {
                at.whole("LeakyRelu", [AttributeProto::float("alpha", slope as f32)]);
            }
            Activation::Elu { alpha } => at.whole("Elu", [AttributeProto::float("alpha", alpha as f32)]),
            Activation::Sigmoid => at.whole("Sigmoid", []),
            Activation::Tanh => at.whole("Tanh", []),
            Activation::HardSigmoid { bias, divisor, min: 0.0, max: 1.0 } => {
                let attributes = [
                    AttributeProto::float("alpha", (1.0 / divisor) as f32),
                    AttributeProto::float("beta", (bias / divisor) as f32),
                ];
                at.whole("HardSigmoid", attributes);
            }
            Activation::HardSigmoid { bias, divisor, min, max } => {
                let x = at.input(0)?.0.to_owned();
                let (bias, divisor) = (at.number("bias", bias)?, at.number("divisor", divisor)?);
                let sum = at.before("sum", "Add", &[&x, &bias], []);
                let quotient = at.before("quotient", "Div", &[&sum, &divisor], []);
                clip(at, Some(&quotient), min, max)?;
            }
            Activation::HardSwish if at.opset() >= 14 => at.whole("HardSwish", []),
            Activation::HardSwish => {
                let x = at.input(0)?.0.to_owned();
                let alpha = AttributeProto::float("alpha", 1.0 / 6.0);
                let gate =
                    at.before("gate", "HardSigmoid", &[&x], [alpha, AttributeProto::float("beta", 0.5)]);
                at.last("Mul", &[&x, &gate], []);
            }
            Activation::Silu => {
                let x = at.input(0)?.0.to_owned();
                let gate = at.before("sigmoid", "Sigmoid", &[&x], []);
                at.last("Mul", &[&x, &gate], []);
            }
            Activation::Gelu { tanh } => {
                let x = at.input(0)?.0.to_owned();
                let y = if tanh { cubic_tanh(at, &x)? } else { erf(at, &x)? };
                let one = at.number("one", 1.0)?;
                let y = at.before("sum", "Add", &[&y, &one], []);
                let y = at.before("product", "Mul", &[&x, &y], []);
                let half = at.number("half", 0.5)?;
                at.last("Mul", &[&y, &half], []);
            }
        }
        Ok(())
    }
}

/// The node as a `Clip` of `x`, or of its input.
fn clip(at: &mut Site<'_>, x: Option<&str>, min: f64, max: f64) -> Result<()> {
    if at.opset() < 11 {
        let x = x.unwrap_or(at.input(0)?.0).to_owned();
        let bounds = [AttributeProto::float("min", min as f32), AttributeProto::float("max", max as f32)];
        at.last("Clip", &[&x], bounds);
        return Ok(());
    }
    let (min, max) = (at.number("min", min)?, at.number("max", max)?);
    let x = x.unwrap_or(at.input(0)?.0).to_owned();
    at.last("Clip", &[&x, &min, &max], []);
    Ok(())
}

/// `erf(x / √2)`
fn erf(at: &mut Site<'_>, x: &str) -> Result<String> {
    let root = at.number("root", SQRT_2)?;
    let y = at.before("quotient", "Div", &[x, &root], []);
    Ok(at.before("erf", "Erf", &[&y], []))
}

/// `tanh(√(2/π) · (x + 0.044715 · x³))`
fn cubic_tanh(at: &mut Site<'_>, x: &str) -> Result<String> {
    let (three, factor, root) =
        (at.number("three", 3.0)?, at.number("factor", 0.044_715)?, at.number("root", FRAC_2_PI.sqrt())?);
    let y = at.before("cube", "Pow", &[x, &three], []);
    let y = at.before("scaled", "Mul", &[&y, &factor], []);
    let y = at.before("shifted", "Add", &[x, &y], []);
    let y = at.before("inner", "Mul", &[&y, &root], []);
    Ok(at.before("tanh", "Tanh", &[&y], []))
}
