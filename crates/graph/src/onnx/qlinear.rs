//! Operators on quantized values that stand for one on floats: those that ONNX Runtime's quantizer writes beside ONNX's own.
//!
//! Every scaled input is followed by its scale and its zero point, and so is the result. What such an operator computes is
//! `quantize(f(dequantize(a), dequantize(b), ..))`.

use super::{Attribute, Def, Known, MICROSOFT, Onnx, Site, def};
use crate::axes::Port;
use crate::{AxisMap, Bindings, DType, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    quantized("QLinearAdd"),
    quantized("QLinearMul"),
    quantized("QLinearSigmoid"),
    quantized("QLinearLeakyRelu"),
    quantized("QLinearSoftmax"),
    quantized("QLinearGlobalAveragePool"),
    quantized("QLinearAveragePool"),
    quantized("QLinearConcat"),
    quantized("QLinearWhere"),
    quantized("QGemm"),
];

const fn quantized(name: &'static str) -> Def {
    Def::new(name, infer).of(MICROSOFT).axes(axes).macs(macs)
}

/// An operand of the operator on floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// An input as it is.
    Plain(usize),
    /// An input with its scale and its zero point, which follow it.
    Scaled(usize),
}

impl Term {
    /// The input.
    pub fn slot(self) -> usize {
        match self {
            Term::Plain(slot) | Term::Scaled(slot) => slot,
        }
    }
}

/// What an operator on quantized values stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// The operator on floats, with one output.
    pub op: Onnx,
    /// Its operands.
    pub terms: Vec<Term>,
    /// The input with the scale of the result; the zero point follows.
    pub scale: usize,
}

/// The form of an operator in `TABLE`; none for others.
///
/// # Errors
/// Images whose channels are the last axis (`channels_last`) are not supported.
pub fn form(op: &Onnx) -> Result<Option<Form>> {
    use Term::{Plain, Scaled};
    if op.domain != MICROSOFT {
        return Ok(None);
    }
    let (name, version, terms, scale) = match op.op_type.as_str() {
        "QLinearAdd" => ("Add", 14, vec![Scaled(0), Scaled(3)], 6),
        "QLinearMul" => ("Mul", 14, vec![Scaled(0), Scaled(3)], 6),
        "QLinearSigmoid" => ("Sigmoid", 13, vec![Scaled(0)], 3),
        "QLinearLeakyRelu" => ("LeakyRelu", 16, vec![Scaled(0)], 3),
        "QLinearSoftmax" => ("Softmax", op.int("opset")?.unwrap_or(13), vec![Scaled(0)], 3),
        "QLinearGlobalAveragePool" => ("GlobalAveragePool", 1, vec![Scaled(0)], 3),
        "QLinearAveragePool" => ("AveragePool", 19, vec![Scaled(0)], 3),
        "QLinearConcat" => ("Concat", 13, (2..op.inputs.len()).step_by(3).map(Scaled).collect(), 0),
        "QLinearWhere" => ("Where", 16, vec![Plain(0), Scaled(1), Scaled(4)], 7),
        "QGemm" if op.inputs.get(6) == Some(&true) => ("Gemm", 13, vec![Scaled(0), Scaled(3), Plain(6)], 7),
        "QGemm" => ("Gemm", 13, vec![Scaled(0), Scaled(3)], 7),
        _ => return Ok(None),
    };
    if op.flag("channels_last")? {
        return Err(Error::Op("channels in the last axis (`channels_last`) are not supported".into()));
    }
    let mut inner = Onnx::new(name, version, terms.len());
    let own = op.attributes.iter().filter(|(name, _)| !matches!(name.as_str(), "channels_last" | "opset"));
    inner.attributes =
        own.map(|(name, value): (&String, &Attribute)| (name.clone(), value.clone())).collect();
    Ok(Some(Form { op: inner, terms, scale }))
}

/// `f` of the operator on floats, its operands but truth values of that type.
fn on_floats<T>(site: &Site<'_>, f: impl FnOnce(&Form, &Def, &Site<'_>) -> Result<T>) -> Result<T> {
    let form = form(site.op)?.ok_or_else(|| Error::Op("stands for no operator on floats".into()))?;
    let def = def("", &form.op.op_type).ok_or_else(|| Error::Op("stands for an unknown operator".into()))?;
    let facts = form
        .terms
        .iter()
        .map(|&term| {
            let fact = site.fact(term.slot())?;
            let dtype = if fact.dtype == DType::Bool { DType::Bool } else { DType::F32 };
            Ok(Fact { dtype, shape: fact.shape.clone() })
        })
        .collect::<Result<Vec<Fact>>>()?;
    let inputs = facts.iter().map(|fact| Some(Known { fact, content: None })).collect();
    f(&form, def, &Site { op: &form.op, node: site.node, inputs })
}

/// What the operator on floats gives, in the type of the zero point; where there is none, in that of the first operand, and
/// in floats where there is no scale either.
fn infer(site: &Site<'_>) -> Result<Vec<Inferred>> {
    on_floats(site, |form, def, inner| {
        let dtype = match (site.get(form.scale + 1), site.get(form.scale)) {
            (Some(zero), _) => zero.fact.dtype,
            (None, Some(_)) => match form.terms.iter().find(|t| matches!(t, Term::Scaled(_))) {
                Some(first) => site.fact(first.slot())?.dtype,
                None => DType::U8,
            },
            (None, None) => DType::F32,
        };
        let results = (def.infer)(inner)?.into_iter().take(1);
        Ok(results.map(|i| Fact { dtype, shape: i.fact.shape }.into()).collect())
    })
}

/// Those of the operator on floats.
fn axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let found = on_floats(site, |form, def, inner| {
        let mut map = (def.axes)(inner, outputs);
        let place = |port: Port| match port {
            Port::Input(i) => form.terms.get(i).and_then(|t| site.op.position(t.slot())).map(Port::Input),
            output => Some(output),
        };
        map.links.retain_mut(|link| match (place(link.a.port), place(link.b.port)) {
            (Some(a), Some(b)) => {
                (link.a.port, link.b.port) = (a, b);
                true
            }
            _ => false,
        });
        Ok(map)
    });
    found.unwrap_or_default()
}

fn macs(site: &Site<'_>, outputs: &[&Fact], bindings: &Bindings) -> Result<u64> {
    on_floats(site, |_, def, inner| (def.macs)(inner, outputs, bindings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::{input, output};
    use crate::ops::OpFamily;

    fn microsoft(name: &str, inputs: usize) -> Onnx {
        Onnx { domain: MICROSOFT.into(), ..Onnx::new(name, 1, inputs) }
    }

    fn one(dtype: DType) -> Fact {
        Fact::new(dtype, [0usize; 0])
    }

    #[test]
    fn shapes_are_those_of_the_operator_on_floats() {
        let (s, z) = (one(DType::F32), one(DType::U8));
        let (x, y) = (Fact::new(DType::U8, [2usize, 3, 4, 4]), Fact::new(DType::U8, [1usize, 3, 1, 1]));
        let add = microsoft("QLinearAdd", 8);
        let operands = [&x, &s, &z, &y, &s, &z, &s, &z];
        let out = add.infer(&operands).unwrap();
        assert_eq!(out[0], x);
        let links = add.axes(&operands, &[&out[0]]).links;
        assert!(links.iter().any(|l| (l.a, l.b) == (input(3, 1), output(0, 1))), "{links:?}");
        let pool = microsoft("QLinearGlobalAveragePool", 5).infer(&[&x, &s, &z, &s, &z]).unwrap();
        assert_eq!(pool[0].to_string(), "u8[2, 3, 1, 1]");
        let concat = microsoft("QLinearConcat", 8).with("axis", Attribute::Int(1));
        assert_eq!(concat.infer(&[&s, &z, &x, &s, &z, &x, &s, &z]).unwrap()[0].to_string(), "u8[2, 6, 4, 4]");
        let last = microsoft("QLinearGlobalAveragePool", 5).with("channels_last", Attribute::Int(1));
        assert!(last.infer(&[&x, &s, &z, &s, &z]).unwrap_err().to_string().contains("channels_last"));
    }

    #[test]
    fn a_product_without_scale_gives_floats() {
        let (s, z) = (one(DType::F32), one(DType::I8));
        let (a, b) = (Fact::new(DType::I8, [2usize, 3]), Fact::new(DType::I8, [4usize, 3]));
        let gemm = microsoft("QGemm", 6).with("transB", Attribute::Int(1));
        let operands = [&a, &s, &z, &b, &s, &z];
        let out = gemm.infer(&operands).unwrap();
        assert_eq!(out[0].to_string(), "f32[2, 4]");
        assert_eq!(gemm.cost(&operands, &[&out[0]], &Bindings::new()).unwrap().macs, 24);
    }
}
