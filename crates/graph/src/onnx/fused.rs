//! Operators of ONNX Runtime that are several of ONNX's in one: what its optimizer writes.
//!
//! Each is said once, as the steps that it stands for; shapes and numbers are those of the steps.

use super::{Attribute, Def, Known, MICROSOFT, Onnx, Site, def};
use crate::{Array, Bindings, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    fused("Gelu").axes(super::elementwise),
    fused("BiasGelu").axes(super::elementwise),
    fused("FastGelu").axes(super::elementwise),
    fused("QuickGelu").axes(super::elementwise),
    fused("FusedConv"),
    fused("FusedGemm"),
    fused("FusedMatMul"),
    fused("SkipLayerNormalization").axes(super::elementwise),
];

const fn fused(name: &'static str) -> Def {
    Def::new(name, infer).of(MICROSOFT).macs(macs)
}

/// Where an operand of a step comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// An input of the operator.
    Input(usize),
    /// The first result of an earlier step.
    Step(usize),
    /// A constant.
    Constant(Array),
}

/// One of ONNX's operators.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The operator; all of its inputs are given.
    pub op: Onnx,
    /// Its operands.
    pub operands: Vec<Operand>,
}

/// What an operator stands for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steps {
    /// The steps, each after those that it reads.
    pub steps: Vec<Step>,
    /// By output of the operator: the step, and which of its results.
    pub outputs: Vec<(usize, usize)>,
}

impl Steps {
    fn push(&mut self, op: Onnx, operands: impl Into<Vec<Operand>>) -> Operand {
        self.steps.push(Step { op, operands: operands.into() });
        self.outputs = vec![(self.steps.len() - 1, 0)];
        Operand::Step(self.steps.len() - 1)
    }

    /// `of · factor`, in its own type.
    fn scaled(&mut self, of: Operand, factor: f32) -> Result<Operand> {
        let factor = Operand::Constant(Array::from_f32([], vec![factor])?);
        let factor = self.push(Onnx::new("CastLike", 15, 2), [factor, of.clone()]);
        Ok(self.push(Onnx::new("Mul", 14, 2), [of, factor]))
    }

    /// `of` with its last two axes swapped.
    fn turned(&mut self, of: Operand, rank: usize) -> Operand {
        let mut order: Vec<i64> = (0..).take(rank).collect();
        if let [.., a, b] = order.as_mut_slice() {
            std::mem::swap(a, b);
        }
        self.push(Onnx::new("Transpose", 13, 1).with("perm", Attribute::Ints(order)), [of])
    }

    /// `of` through an activation that is named by an attribute, with these parameters.
    fn activated(&mut self, of: Operand, name: &str, params: &[f32]) -> Result<Operand> {
        let names: &[&str] = match name {
            "" => return Ok(of),
            "Relu" | "Sigmoid" | "Tanh" => &[],
            "LeakyRelu" => &["alpha"],
            "Clip" => &["min", "max"],
            "HardSigmoid" => &["alpha", "beta"],
            other => return Err(Error::Op(format!("activation `{other}` is not supported"))),
        };
        // Limits are attributes up to version 6.
        let op = Onnx::new(name, if name == "Clip" { 6 } else { 13 }, 1);
        let op = names.iter().zip(params).fold(op, |op, (n, &x)| op.with(n, Attribute::Float(x)));
        Ok(self.push(op, [of]))
    }
}

/// The same attributes under another name.
fn renamed(op: &Onnx, name: &str, version: i64, inputs: usize, without: &[&str]) -> Onnx {
    let mut inner = Onnx::new(name, version, inputs);
    let own = op.attributes.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    inner.attributes = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    inner
}

/// What an operator in `TABLE` stands for, given the ranks of its inputs; none for others.
///
/// # Errors
/// An attribute asks for what is not supported.
pub fn steps(op: &Onnx, rank: impl Fn(usize) -> usize) -> Result<Option<Steps>> {
    if op.domain != MICROSOFT {
        return Ok(None);
    }
    let mut s = Steps::default();
    let given = |slot: usize| op.inputs.get(slot) == Some(&true);
    let gelu = |kind: &str| Onnx::new("Gelu", 20, 1).with("approximate", Attribute::String(kind.into()));
    let add = || Onnx::new("Add", 14, 2);
    match op.op_type.as_str() {
        "Gelu" => {
            s.push(gelu("none"), [Operand::Input(0)]);
        }
        "BiasGelu" | "FastGelu" => {
            let x = if given(1) {
                s.push(add(), [Operand::Input(0), Operand::Input(1)])
            } else {
                Operand::Input(0)
            };
            s.push(gelu(if op.op_type == "BiasGelu" { "none" } else { "tanh" }), [x]);
        }
        "QuickGelu" => {
            let scaled = s.scaled(Operand::Input(0), op.float("alpha")?.unwrap_or(1.702))?;
            let gate = s.push(Onnx::new("Sigmoid", 13, 1), [scaled]);
            s.push(Onnx::new("Mul", 14, 2), [Operand::Input(0), gate]);
        }
        "FusedConv" => {
            let operands: Vec<Operand> = (0..3).filter(|&i| given(i)).map(Operand::Input).collect();
            let conv = renamed(op, "Conv", 11, operands.len(), &["activation", "activation_params"]);
            let mut y = s.push(conv, operands);
            if given(3) {
                y = s.push(add(), [y, Operand::Input(3)]);
            }
            let name = op.text("activation")?.unwrap_or_default();
            s.activated(y, name, op.floats("activation_params")?.unwrap_or_default())?;
        }
        "FusedGemm" => {
            let operands: Vec<Operand> = (0..3).filter(|&i| given(i)).map(Operand::Input).collect();
            let params = ["activation_alpha", "activation_beta", "activation_gamma"];
            let without = [&["activation"], &params[..]].concat();
            let y = s.push(renamed(op, "Gemm", 13, operands.len(), &without), operands);
            let found = params.iter().map(|p| op.float(p)).collect::<Result<Vec<_>>>()?;
            let found: Vec<f32> = found.into_iter().flatten().collect();
            s.activated(y, op.text("activation")?.unwrap_or_default(), &found)?;
        }
        "FusedMatMul" => {
            if op.flag("transBatchA")? || op.flag("transBatchB")? {
                return Err(Error::Op("`transBatchA` and `transBatchB` are not supported".into()));
            }
            let mut operand = |i: usize, flag: &str| -> Result<Operand> {
                // A vector stays as it is.
                let turn = op.flag(flag)? && rank(i) > 1;
                Ok(if turn { s.turned(Operand::Input(i), rank(i)) } else { Operand::Input(i) })
            };
            let operands = [operand(0, "transA")?, operand(1, "transB")?];
            let y = s.push(Onnx::new("MatMul", 13, 2), operands);
            match op.float("alpha")? {
                None | Some(1.0) => {}
                Some(alpha) => {
                    s.scaled(y, alpha)?;
                }
            }
        }
        "SkipLayerNormalization" => {
            let mut sum = s.push(add(), [Operand::Input(0), Operand::Input(1)]);
            if given(4) {
                sum = s.push(add(), [sum, Operand::Input(4)]);
            }
            let at = s.steps.len();
            let mut operands = vec![sum, Operand::Input(2)];
            operands.extend(given(3).then_some(Operand::Input(3)));
            let epsilon = Attribute::Float(op.float("epsilon")?.unwrap_or(1e-12));
            let mut norm = Onnx::new("LayerNormalization", 17, operands.len()).with("epsilon", epsilon);
            norm.outputs = vec![true; 3];
            s.push(norm, operands);
            s.outputs = vec![(at, 0), (at, 1), (at, 2), (at - 1, 0)];
        }
        _ => return Ok(None),
    }
    Ok(Some(s))
}

/// The steps of an operator, what they give, and the facts of each one's operands.
type Walked = (Steps, Vec<Vec<Inferred>>, Vec<Vec<Fact>>);

/// Infers step by step.
fn walk(site: &Site<'_>) -> Result<Walked> {
    let rank = |i: usize| site.get(i).map_or(0, |k| k.fact.rank());
    let written = steps(site.op, rank)?.ok_or_else(|| Error::Op("stands for no other operators".into()))?;
    let mut results: Vec<Vec<Inferred>> = Vec::new();
    let mut operands: Vec<Vec<Fact>> = Vec::new();
    for step in &written.steps {
        let facts = step
            .operands
            .iter()
            .map(|from| match from {
                Operand::Input(i) => site.fact(*i).cloned(),
                Operand::Constant(array) => Ok(Inferred::from(array.clone()).fact),
                Operand::Step(i) => match results.get(*i).and_then(|r| r.first()) {
                    Some(result) => Ok(result.fact.clone()),
                    None => Err(Error::Op(format!("step {i} gives nothing"))),
                },
            })
            .collect::<Result<Vec<Fact>>>()?;
        let inferred = (known(&step.op)?.infer)(&inner(step, site.node, &facts))?;
        results.push(inferred);
        operands.push(facts);
    }
    Ok((written, results, operands))
}

fn known(op: &Onnx) -> Result<&'static Def> {
    def("", &op.op_type).ok_or_else(|| Error::Op(format!("{} is not known", op.op_type)))
}

fn inner<'a>(step: &'a Step, node: &'a str, facts: &'a [Fact]) -> Site<'a> {
    let inputs = facts.iter().map(|fact| Some(Known { fact, content: None })).collect();
    Site { op: &step.op, node, inputs }
}

fn infer(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (written, results, _) = walk(site)?;
    let outputs = written.outputs.iter().map(|&(step, i)| results.get(step)?.get(i).cloned());
    outputs.collect::<Option<Vec<_>>>().ok_or_else(|| Error::Op("an output is not computed".into()))
}

fn macs(site: &Site<'_>, _: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let (written, results, operands) = walk(site)?;
    let mut total = 0u64;
    for ((step, results), facts) in written.steps.iter().zip(&results).zip(&operands) {
        let outputs: Vec<&Fact> = results.iter().map(|r| &r.fact).collect();
        let own = (known(&step.op)?.macs)(&inner(step, site.node, facts), &outputs, bindings)?;
        total = total.saturating_add(own);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::OpFamily;

    fn microsoft(name: &str, inputs: usize) -> Onnx {
        Onnx { domain: MICROSOFT.into(), ..Onnx::new(name, 1, inputs) }
    }

    #[test]
    fn shapes_and_costs_are_those_of_the_steps() {
        let text = |s: &str| Attribute::String(s.into());
        let (x, w) = (Fact::f32([2usize, 3, 8, 8]), Fact::f32([4usize, 3, 3, 3]));
        let conv = microsoft("FusedConv", 2).with("activation", text("Relu"));
        let y = conv.infer(&[&x, &w]).unwrap();
        assert_eq!(y[0].to_string(), "f32[2, 4, 6, 6]");
        let macs = conv.cost(&[&x, &w], &[&y[0]], &Bindings::new()).unwrap().macs;
        assert_eq!(macs, 2 * 4 * 36 * 27);
        let (a, b) = (Fact::f32([2usize, 5, 3]), Fact::f32([7usize, 3]));
        let product = microsoft("FusedMatMul", 2).with("transB", Attribute::Int(1));
        assert_eq!(product.infer(&[&a, &b]).unwrap()[0].to_string(), "f32[2, 5, 7]");
        let v = Fact::f32([3usize]);
        let mut norm = microsoft("SkipLayerNormalization", 3);
        norm.outputs = vec![true, false, false, true];
        let out = norm.infer(&[&a, &a, &v]).unwrap();
        assert_eq!(out, [a.clone(), a]);
    }

    #[test]
    fn unknown_activations_are_named() {
        let (x, w) = (Fact::f32([2usize, 3, 8, 8]), Fact::f32([4usize, 3, 3, 3]));
        let conv = microsoft("FusedConv", 2).with("activation", Attribute::String("Odd".into()));
        assert!(conv.infer(&[&x, &w]).unwrap_err().to_string().contains("`Odd`"));
    }
}
