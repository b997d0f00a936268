//! Functions of one value, element by element, activations among them.

use occam_graph::DType;

use super::{Call, Run, one};
use crate::executor::held;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("Abs", |c| one(c.tensor(0)?.abs()?)),
    ("Acos", |c| one(c.tensor(0)?.acos()?)),
    ("Acosh", |c| one(c.tensor(0)?.acosh()?)),
    ("Asin", |c| one(c.tensor(0)?.asin()?)),
    ("Asinh", |c| one(c.tensor(0)?.asinh()?)),
    ("Atan", |c| one(c.tensor(0)?.atan()?)),
    ("Atanh", |c| one(c.tensor(0)?.atanh()?)),
    ("Cast", cast),
    ("CastLike", cast),
    ("Celu", |c| celu(&c.tensor(0)?, c.float("alpha", 1.0)?)),
    ("Clip", clip),
    ("Cos", |c| one(c.tensor(0)?.cos()?)),
    ("Cosh", |c| one(c.tensor(0)?.cosh()?)),
    ("Dropout", dropout),
    ("Elu", |c| one(c.tensor(0)?.elu(c.float("alpha", 1.0)?)?)),
    ("Erf", |c| one(c.tensor(0)?.erf()?)),
    ("Exp", |c| one(c.tensor(0)?.exp()?)),
    ("Gelu", gelu),
    ("HardSigmoid", |c| {
        let (alpha, beta) = (c.float("alpha", 0.2)?, c.float("beta", 0.5)?);
        one(c.tensor(0)?.scale(alpha)?.shift(beta)?.clamp(0.0, 1.0)?)
    }),
    ("HardSwish", |c| one(c.tensor(0)?.hard_swish()?)),
    ("Identity", |c| one(c.tensor(0)?)),
    ("LeakyRelu", |c| one(c.tensor(0)?.leaky_relu(c.float("alpha", 0.01)?)?)),
    ("Log", |c| one(c.tensor(0)?.log()?)),
    ("Mish", |c| {
        let x = c.tensor(0)?;
        one(x.mul(&softplus(&x)?.tanh()?)?)
    }),
    ("Neg", |c| one(c.tensor(0)?.neg()?)),
    ("Reciprocal", |c| one(c.tensor(0)?.recip()?)),
    ("Relu", |c| one(c.tensor(0)?.relu()?)),
    ("Selu", |c| {
        let (alpha, gamma) = (c.float("alpha", 1.673_263_2)?, c.float("gamma", 1.050_701)?);
        one(c.tensor(0)?.elu(alpha)?.scale(gamma)?)
    }),
    ("Shrink", shrink),
    ("Sigmoid", |c| one(c.tensor(0)?.sigmoid()?)),
    ("Sin", |c| one(c.tensor(0)?.sin()?)),
    ("Sinh", |c| one(c.tensor(0)?.sinh()?)),
    ("Softplus", |c| one(softplus(&c.tensor(0)?)?)),
    ("Softsign", |c| {
        let x = c.tensor(0)?;
        one(x.div(&x.abs()?.shift(1.0)?)?)
    }),
    ("Sqrt", |c| one(c.tensor(0)?.sqrt()?)),
    ("Swish", |c| {
        let x = c.tensor(0)?;
        one(x.mul(&x.scale(c.float("alpha", 1.0)?)?.sigmoid()?)?)
    }),
    ("Tan", |c| one(c.tensor(0)?.tan()?)),
    ("Tanh", |c| one(c.tensor(0)?.tanh()?)),
    ("ThresholdedRelu", |c| {
        let (x, alpha) = (c.tensor(0)?, c.float("alpha", 1.0)?);
        one(x.mul(&above(&x, alpha)?)?)
    }),
];

/// `log(1 + eˣ)`
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.neg()?.log_sigmoid()?.neg()
}

/// 1 where `x > threshold`, else 0, without a tape.
fn above(x: &Tensor, threshold: f64) -> Result<Tensor> {
    let x = x.detach();
    let limit = x.scale(0.0)?.shift(threshold)?;
    limit.at_least(&x)?.neg()?.shift(1.0)
}

/// `x` above 0, else `alpha · (e^(x / alpha) − 1)`.
fn celu(x: &Tensor, alpha: f64) -> Result<Option<Vec<Operand>>> {
    let above = x.relu()?;
    let below = x.sub(&above)?.scale(1.0 / alpha)?.exp()?.shift(-1.0)?.scale(alpha)?;
    one(above.add(&below)?)
}

fn gelu(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    match c.op.text("approximate")?.unwrap_or("none") {
        "none" => one(x.gelu()?),
        "tanh" => one(x.gelu_tanh()?),
        _ => Ok(None),
    }
}

/// `x + bias` below `−lambd`, `x − bias` above `lambd`, else 0.
fn shrink(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, lambd, bias) = (c.tensor(0)?, c.float("lambd", 0.5)?, c.float("bias", 0.0)?);
    let (high, low) = (above(&x, lambd)?, above(&x.neg()?, lambd)?);
    one(x.shift(-bias)?.mul(&high)?.add(&x.shift(bias)?.mul(&low)?)?)
}

/// The gradient at both bounds and beyond is 0.
fn clip(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let bound = |name: &str, index: usize| -> Result<Option<f64>> {
        if let Some(v) = c.op.float(name)? {
            return Ok(Some(v.into()));
        }
        Ok(c.floats(index)?.and_then(|v| v.first().copied()))
    };
    if c.operand(1).is_some_and(Operand::is_tracked) || c.operand(2).is_some_and(Operand::is_tracked) {
        return Ok(None);
    }
    let (low, high) = (bound("min", 1)?, bound("max", 2)?);
    // Bounds that cross, or are no numbers, are the interpreter's.
    if low.unwrap_or(f64::NEG_INFINITY).partial_cmp(&high.unwrap_or(f64::INFINITY)).is_none_or(|o| o.is_gt())
    {
        return Ok(None);
    }
    match (low, high) {
        (None, None) => one(x),
        (Some(0.0), None) => one(x.relu()?),
        (Some(0.0), Some(6.0)) => one(x.relu6()?),
        _ => one(x.clamp(low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY))?),
    }
}

/// Among floats that tensors hold.
fn cast(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let to = match c.operand(1) {
        Some(like) => Some(like.dtype()?),
        None => c.op.dtype("to")?,
    };
    match (c.operand(0).map(Operand::dtype).transpose()?, to) {
        (Some(DType::F32 | DType::F64), Some(to)) if held(to) => one(c.tensor(0)?.cast(to)?),
        _ => Ok(None),
    }
}

/// Leaves nothing out: files say how a model is used after its training.
fn dropout(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let learns = match c.array(2)?.as_ref().map(occam_graph::Array::data) {
        Some(occam_graph::Data::Bool(v)) => v.contains(&true),
        _ => false,
    };
    if learns { Ok(None) } else { one(c.tensor(0)?) }
}
