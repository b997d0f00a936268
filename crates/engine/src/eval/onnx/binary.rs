//! Functions of two and more values with broadcasting.

use occam_graph::{Array, Data};

use super::{Call, Run, one, raised, together};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("Add", |c| fold(c, Tensor::add)),
    ("Div", |c| fold(c, Tensor::div)),
    ("Max", |c| ordered(c, |a, b| Tensor::choose(&a.at_least(b)?, a, b))),
    ("Mean", |c| match fold(c, Tensor::add)?.as_deref() {
        Some([Operand::Tensor(sum)]) => one(sum.scale(1.0 / c.len() as f64)?),
        _ => Ok(None),
    }),
    ("Min", |c| ordered(c, |a, b| Tensor::choose(&b.at_least(a)?, a, b))),
    ("Mul", |c| fold(c, Tensor::mul)),
    ("PRelu", prelu),
    ("Pow", pow),
    ("Sub", |c| fold(c, Tensor::sub)),
    ("Sum", |c| fold(c, Tensor::add)),
    ("Where", choose),
];

/// All operands, one after the other.
fn fold(c: &Call<'_>, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Option<Vec<Operand>>> {
    // Before version 7 operands were broadcast by attributes.
    if c.op.version < 7 {
        return Ok(None);
    }
    let mut result = c.tensor(0)?;
    for i in 1..c.len() {
        let (a, b) = together(&result, &c.tensor(i)?)?;
        result = f(&a, &b)?;
    }
    one(result)
}

/// Comparisons do not pass on what is no number; the interpreter does.
fn ordered(c: &Call<'_>, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Option<Vec<Operand>>> {
    let tracked = (0..c.len()).filter_map(|i| c.operand(i)).any(Operand::is_tracked);
    if tracked { fold(c, f) } else { Ok(None) }
}

/// Parts above and below 0 apart, so that the slope has a gradient.
fn prelu(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, slope) = together(&c.tensor(0)?, &c.tensor(1)?)?;
    let above = x.relu()?;
    one(above.add(&x.sub(&above)?.mul(&slope)?)?)
}

fn pow(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let learned = c.operand(1).is_some_and(Operand::is_tracked);
    let exponents = match c.array(1)?.as_ref().map(Array::data) {
        Some(Data::F32(v)) => v.iter().map(|&e| f64::from(e)).collect::<Vec<_>>(),
        Some(Data::F64(v)) => v.clone(),
        Some(Data::I64(v)) => v.iter().map(|&e| e as f64).collect(),
        Some(Data::I32(v)) => v.iter().map(|&e| f64::from(e)).collect(),
        _ => return Ok(None),
    };
    // Powers of integers are computed with exponents of 32 bits.
    if exponents.iter().any(|e| e.is_nan() || e.abs() > f64::from(i32::MAX)) {
        return Ok(None);
    }
    if let (&[exponent], false) = (exponents.as_slice(), learned) {
        let rank = x.rank().max(c.operand(1).map_or(0, |o| o.shape().len()));
        let x = raised(&x, rank)?;
        return one(match exponent {
            1.0 => x,
            0.5 => x.sqrt()?,
            -1.0 => x.recip()?,
            3.0 => x.mul(&x)?.mul(&x)?,
            e => x.powf(e)?,
        });
    }
    let (x, e) = together(&x, &c.tensor(1)?)?;
    one(x.pow(&e)?)
}

fn choose(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let Some(Operand::Array(mask)) = c.operand(0) else { return Ok(None) };
    let Data::Bool(flags) = mask.data() else { return Ok(None) };
    let (a, b) = together(&c.tensor(1)?, &c.tensor(2)?)?;
    let flags = flags.iter().map(|&b| f32::from(u8::from(b))).collect();
    let mask = Tensor::from_f32(mask.shape(), flags, c.device)?;
    let (mask, a) = together(&mask, &a)?;
    one(Tensor::choose(&mask, &a, &raised(&b, a.rank())?)?)
}
