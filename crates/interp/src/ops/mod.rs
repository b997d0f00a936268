//! Evaluation of operators, one group a file, as in `occam_graph::onnx`.

mod activation;
mod arg;
mod attention;
mod binary;
mod cast;
mod control;
mod conv;
mod cumulative;
mod det;
mod detection;
mod dropout;
mod einsum;
mod fused;
mod gather;
mod generate;
mod grid;
mod layout;
mod local_norm;
mod loss;
mod matmul;
mod norm;
mod openvino;
mod pad;
mod pool;
mod qlinear;
mod quantize;
mod rearrange;
mod recurrent;
mod reduce;
mod resize;
mod rotary;
mod scatter;
mod select;
mod shape;
mod softmax;
mod taper;
mod top;
mod unary;
mod variadic;

use occam_graph::onnx::{NarrowUse, Onnx, refusal};
use occam_graph::{Array, DType, Data, Fact, Narrow};

use crate::error::refuse;
use crate::numbers::coded;
use crate::{Error, Result, check_room, content};

/// Evaluates one operator.
pub(crate) struct Eval {
    /// Name of the operator.
    pub name: &'static str,
    /// Its operator set; empty for ONNX's own.
    pub domain: &'static str,
    /// Results by ONNX output; those that are not wanted may be left out at the end.
    pub run: fn(&Operands<'_>) -> Result<Vec<Array>>,
}

impl Eval {
    pub const fn new(name: &'static str, run: fn(&Operands<'_>) -> Result<Vec<Array>>) -> Self {
        Self { name, domain: "", run }
    }

    /// The same of another operator set.
    pub const fn of(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }
}

/// All groups of operators.
const TABLES: &[&[Eval]] = &[
    activation::TABLE,
    arg::TABLE,
    attention::TABLE,
    binary::TABLE,
    cast::TABLE,
    control::TABLE,
    conv::TABLE,
    cumulative::TABLE,
    det::TABLE,
    detection::TABLE,
    dropout::TABLE,
    einsum::TABLE,
    fused::TABLE,
    gather::TABLE,
    generate::TABLE,
    grid::TABLE,
    layout::TABLE,
    local_norm::TABLE,
    loss::TABLE,
    matmul::TABLE,
    norm::TABLE,
    openvino::TABLE,
    pad::TABLE,
    pool::TABLE,
    qlinear::TABLE,
    quantize::TABLE,
    rearrange::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    resize::TABLE,
    rotary::TABLE,
    scatter::TABLE,
    select::TABLE,
    shape::TABLE,
    softmax::TABLE,
    taper::TABLE,
    top::TABLE,
    unary::TABLE,
    variadic::TABLE,
];

/// An operator with its operands.
pub(crate) struct Operands<'a> {
    pub op: &'a Onnx,
    /// By ONNX input.
    pub inputs: Vec<Option<Array>>,
}

impl Operands<'_> {
    /// An optional operand.
    pub fn get(&self, index: usize) -> Option<&Array> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// An operand.
    pub fn array(&self, index: usize) -> Result<&Array> {
        self.get(index).ok_or_else(|| Error::Op(format!("input {index} is missing")))
    }

    /// An operand's elements as integers, whatever integer type they are of.
    pub fn ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        self.get(index).map(crate::numbers::to_i64).transpose()
    }

    /// Integers that are attribute `name` in older operator sets and operand `index` in newer ones.
    pub fn ints_of(&self, name: &str, index: usize) -> Result<Option<Vec<i64>>> {
        match self.op.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.ints(index),
        }
    }

    /// An operand's only element as an integer.
    pub fn int(&self, index: usize) -> Result<Option<i64>> {
        match self.ints(index)?.as_deref() {
            None => Ok(None),
            Some([n]) => Ok(Some(*n)),
            Some(v) => refuse(format!("input {index} must have one element, found {}", v.len())),
        }
    }

    /// An operand's element type.
    pub fn dtype(&self, index: usize) -> Result<DType> {
        Ok(self.array(index)?.dtype())
    }
}

fn find(op: &Onnx) -> Option<&'static Eval> {
    let domain = if op.domain == "ai.onnx" { "" } else { &op.domain };
    TABLES.iter().flat_map(|t| t.iter()).find(|e| e.name == op.op_type && e.domain == domain)
}

/// Whether an operator can be evaluated.
pub fn knows(op: &Onnx) -> bool {
    find(op).is_some()
}

/// The wanted results of an operator, given its operands in a node's order (those that are absent left out).
///
/// # Errors
/// The operator is not known, or refuses its operands.
pub fn evaluate(op: &Onnx, inputs: &[Array]) -> Result<Vec<Array>> {
    let Some(eval) = find(op) else {
        return refuse(format!("operator {} is not supported", op.op_type));
    };
    let fact = |x: &Array| Fact::new(x.dtype(), x.shape().iter().copied());
    let known: Vec<_> = inputs.iter().map(|x| (fact(x), content(x))).collect();
    check_room(op, &known)?;
    let narrow = inputs.iter().find_map(|x| x.dtype().narrow());
    let run = |inputs: Vec<Array>| (eval.run)(&Operands { op, inputs: op.slots(inputs) });
    let results = match (narrow, op.def().map_or(NarrowUse::Refused, |d| d.narrow)) {
        (Some(of), NarrowUse::Refused) => return Err(refusal(DType::Narrow(of)).into()),
        (Some(of), NarrowUse::Moved) => moved(of, inputs, run)?,
        _ => run(inputs.to_vec())?,
    };
    Ok(op.wanted(results)?)
}

/// The results of an operator that moves elements of a narrow type: it moves their codes.
fn moved(of: Narrow, inputs: &[Array], run: impl Fn(Vec<Array>) -> Result<Vec<Array>>) -> Result<Vec<Array>> {
    let mut codes = Vec::with_capacity(inputs.len());
    for x in inputs {
        codes.push(match x.data() {
            Data::Narrow(own, codes) if *own == of => Array::new(x.shape(), Data::U8(codes.clone()))?,
            Data::Narrow(..) | Data::U8(_) => {
                return refuse(format!("elements of one type wanted, found {of} and {}", x.dtype()));
            }
            _ => x.clone(),
        });
    }
    let narrow = |y: Array| match y.data() {
        Data::U8(codes) => coded(of, y.shape(), codes.clone()),
        _ => Ok(y),
    };
    run(codes)?.into_iter().map(narrow).collect()
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::Attribute;

    use super::*;

    fn codes(of: Narrow, shape: &[usize], v: &[u8]) -> Array {
        coded(of, shape, v.to_vec()).unwrap()
    }

    #[test]
    fn narrow_types_are_moved() {
        let x = codes(Narrow::I4, &[2, 3], &[0, 1, 2, 3, 4, 15]);
        let y = evaluate(&Onnx::new("Transpose", 21, 1), std::slice::from_ref(&x)).unwrap();
        assert_eq!(y[0], codes(Narrow::I4, &[3, 2], &[0, 3, 1, 4, 2, 15]));
        let y = evaluate(&Onnx::new("Gather", 13, 2), &[x.clone(), Array::from_i64([1], vec![-1]).unwrap()]);
        assert_eq!(y.unwrap()[0], codes(Narrow::I4, &[1, 3], &[3, 4, 15]));
        let pads = Array::from_i64([4], vec![0, 1, 0, 0]).unwrap();
        let y = evaluate(&Onnx::new("Pad", 21, 2), &[x.clone(), pads]).unwrap();
        assert_eq!(y[0], codes(Narrow::I4, &[2, 4], &[0, 0, 1, 2, 0, 3, 4, 15]));
        let flat = Array::from_i64([1], vec![-1]).unwrap();
        let y = evaluate(&Onnx::new("Reshape", 21, 2), &[x.clone(), flat]).unwrap();
        assert_eq!(y[0].shape(), [6]);
        let join = Onnx::new("Concat", 13, 2).with("axis", Attribute::Int(0));
        let both = [x, codes(Narrow::U4, &[1, 3], &[0; 3])];
        assert!(evaluate(&join, &both).unwrap_err().to_string().contains("one type"));
    }

    #[test]
    fn narrow_types_are_not_computed_with() {
        let x = codes(Narrow::F8E5M2, &[1], &[0]);
        for op in [Onnx::new("Add", 14, 2), Onnx::new("MatMul", 13, 2), Onnx::new("Equal", 19, 2)] {
            let error = evaluate(&op, &[x.clone(), x.clone()]).unwrap_err().to_string();
            assert!(error.contains("f8e5m2"), "{error}");
        }
    }
}
