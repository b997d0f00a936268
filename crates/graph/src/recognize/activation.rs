//! Activations.

use super::Edit;
use super::norm::tidy;
use super::view::{Found, View, near};
use crate::Result;
use crate::ops::{Activation, Binary};

/// The hard sigmoid of MobileNetV3: `min(max((x + 3) / 6, 0), 1)`.
const HARD_SIGMOID: Activation = Activation::HardSigmoid { bias: 3.0, divisor: 6.0, min: 0.0, max: 1.0 };

/// `Clip(x + 3, 0, 6) / 6` is a hard sigmoid, and `x` times it hard-swish, in any order of the product and the quotient.
pub(super) fn written_out(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["Div", "Mul"]) {
        if let Some(x) = hard_swish(view, &found) {
            if edit.replace_with(view, &found, Activation::HardSwish, &[x])? {
                edit.report.written_out.push(("HardSwish", found.node.name.clone()));
            }
        } else if let Some(x) = sixth_of_clip(view, &found)
            && !swished(view, &found, x)
            && edit.replace_with(view, &found, HARD_SIGMOID, &[x])?
        {
            edit.report.written_out.push(("HardSigmoid", found.node.name.clone()));
        }
    }
    Ok(())
}

/// Whether the only reader multiplies by `x`, which makes hard-swish of both.
fn swished(view: &View<'_>, found: &Found<'_>, x: crate::ValueId) -> bool {
    let product = found.output().and_then(|v| Some((v, view.only_reader(v, "Mul")?)));
    product.is_some_and(|(v, mul)| view.other(&mul, v) == Some(x))
}

/// `x` of `Clip(x + 3, 0, 6)`.
fn clip_of_sum(view: &View<'_>, v: crate::ValueId) -> Option<crate::ValueId> {
    let clip = view.from(v, "Clip")?;
    if bounds(view, &clip)? != (Some(0.0), Some(6.0)) {
        return None;
    }
    let sum = view.from(clip.input(0)?, "Add")?;
    view.with_scalar(&sum).filter(|(x, three)| near(*three, 3.0) && view.is_f32(*x)).map(|(x, _)| x)
}

/// `x` of `Clip(x + 3, 0, 6) / 6`, or times a sixth.
fn sixth_of_clip(view: &View<'_>, found: &Found<'_>) -> Option<crate::ValueId> {
    let (clip, factor) = view.with_scalar(found)?;
    let right = match found.op.op_type.as_str() {
        "Div" => near(factor, 6.0) && found.input(0) == Some(clip),
        _ => near(factor, 1.0 / 6.0),
    };
    if right { clip_of_sum(view, clip) } else { None }
}

/// `x` of hard-swish: `x · Clip(x + 3, 0, 6) / 6`.
fn hard_swish(view: &View<'_>, found: &Found<'_>) -> Option<crate::ValueId> {
    // The product first, then the sixth.
    if let Some((product, factor)) = view.with_scalar(found) {
        let right = match found.op.op_type.as_str() {
            "Div" => near(factor, 6.0) && found.input(0) == Some(product),
            _ => near(factor, 1.0 / 6.0),
        };
        let mul = view.from(product, "Mul").filter(|_| right)?;
        let (a, b) = (mul.input(0)?, mul.input(1)?);
        return [(a, b), (b, a)].into_iter().find(|&(x, c)| clip_of_sum(view, c) == Some(x)).map(|(x, _)| x);
    }
    if found.op.op_type != "Mul" {
        return None;
    }
    let (a, b) = (found.input(0)?, found.input(1)?);
    let gate = |x, g| {
        let clipped = ["Div", "Mul"].iter().find_map(|name| sixth_of_clip(view, &view.from(g, name)?));
        let hard = || {
            let hard = view.from(g, "HardSigmoid")?;
            let (alpha, beta) = slope(&hard)?;
            (near(alpha, 1.0 / 6.0) && near(beta, 0.5)).then(|| hard.input(0))?
        };
        clipped.or_else(hard) == Some(x)
    };
    [(a, b), (b, a)].into_iter().find(|&(x, g)| view.is_f32(x) && gate(x, g)).map(|(x, _)| x)
}

fn slope(found: &Found<'_>) -> Option<(f64, f64)> {
    let alpha = found.op.float("alpha").ok()?.unwrap_or(0.2);
    let beta = found.op.float("beta").ok()?.unwrap_or(0.5);
    Some((alpha.into(), beta.into()))
}

/// Bounds of a `Clip`: none where there is none, the whole none where one is not a constant.
fn bounds(view: &View<'_>, found: &Found<'_>) -> Option<(Option<f64>, Option<f64>)> {
    let bound = |name: &str, index: usize| -> Option<Option<f64>> {
        if let Some(x) = found.op.float(name).ok()? {
            return Some(Some(x.into()));
        }
        match found.input(index) {
            None => Some(None),
            Some(v) => view.scalar(v).map(Some),
        }
    };
    Some((bound("min", 1)?, bound("max", 2)?))
}

/// `x` of `Min(Relu(x), 6)`.
fn relu_below_6(view: &View<'_>, found: &Found<'_>) -> Option<crate::ValueId> {
    let (inner, _) = view.with_scalar(found).filter(|(_, six)| *six == 6.0)?;
    if found.node.inputs.len() == 2 { view.from(inner, "Relu")?.input(0) } else { None }
}

/// Activations that are one operator, and ReLU6 as `Min(Relu(x), 6)`.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    let names =
        &["Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "HardSigmoid", "Gelu", "Clip", "Min"];
    for found in view.all(names) {
        let Some(x) = found.input(0).filter(|&x| view.is_f32(x)) else { continue };
        let float = |name: &str, default: f32| -> Result<f64> {
            Ok(tidy(found.op.float(name)?.unwrap_or(default).into()))
        };
        let activation = match found.op.op_type.as_str() {
            "Relu" => Activation::Relu,
            "Sigmoid" => Activation::Sigmoid,
            "Tanh" => Activation::Tanh,
            "HardSwish" => Activation::HardSwish,
            "LeakyRelu" => Activation::LeakyRelu { slope: float("alpha", 0.01)? },
            "Elu" => Activation::Elu { alpha: float("alpha", 1.0)? },
            "Gelu" => Activation::Gelu { tanh: found.op.text("approximate")? == Some("tanh") },
            "HardSigmoid" => match slope(&found) {
                Some((alpha, beta)) if near(alpha, 1.0 / 6.0) && near(beta, 0.5) => HARD_SIGMOID,
                Some((alpha, beta)) if alpha != 0.0 => {
                    Activation::HardSigmoid { bias: beta / alpha, divisor: 1.0 / alpha, min: 0.0, max: 1.0 }
                }
                _ => continue,
            },
            "Clip" if bounds(view, &found) == Some((Some(0.0), Some(6.0))) => Activation::Relu6,
            "Min" => {
                let Some(x) = relu_below_6(view, &found) else { continue };
                if edit.replace_with(view, &found, Activation::Relu6, &[x])? {
                    edit.report.written_out.push(("ReLU6", found.node.name.clone()));
                }
                continue;
            }
            _ => continue,
        };
        edit.replace_with(view, &found, activation, &[x])?;
    }
    Ok(())
}

/// `x · sigmoid(x)` is SiLU; sums and products are the family's where both are floats.
pub(super) fn gates(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for found in view.all(&["Add", "Mul"]) {
        let (Some(a), Some(b)) = (found.input(0), found.input(1)) else { continue };
        if !view.is_f32(a) || !view.is_f32(b) {
            continue;
        }
        let sigmoid = |x: crate::ValueId, g: crate::ValueId| {
            let node = match view.graph.value(g).map(|v| v.source) {
                Ok(crate::Source::Node(id, 0)) => view.graph.node(id).ok(),
                _ => None,
            };
            node.is_some_and(|n| {
                n.op == crate::Op::Activation(Activation::Sigmoid) && n.inputs.first() == Some(&x)
            })
        };
        let product = found.op.op_type == "Mul";
        let silu = [(a, b), (b, a)].into_iter().find(|&(x, g)| product && sigmoid(x, g));
        if let Some((x, _)) = silu {
            if edit.replace_with(view, &found, Activation::Silu, &[x])? {
                edit.report.written_out.push(("SiLU", found.node.name.clone()));
            }
        } else {
            let op = if product { Binary::Mul } else { Binary::Add };
            edit.replace_with(view, &found, op, &[a, b])?;
        }
    }
    Ok(())
}
