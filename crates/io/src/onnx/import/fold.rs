//! What is computed when a file is read.
//!
//! Exporters leave arithmetic on constants in files, most of it about shapes; it is done once, at reading. A file of some
//! kilobytes can ask for hours of it and for any memory, so that what it may take is bounded by the file's own size; nodes
//! that would take more stay nodes.

use std::cell::Cell;

use occam_graph::onnx::Onnx;
use occam_graph::ops::OpFamily;
use occam_graph::{Array, Bindings, Fact, Inferred};

use crate::onnx::proto::GraphProto;

/// Results are at most this large, unless an operand is larger.
const LARGEST: usize = 1 << 16;

/// Bytes that all results may take beside a multiple of the file's.
const BYTES: u64 = 1 << 26;

/// Steps that all nodes may take beside a multiple of the file's bytes.
const STEPS: u64 = 1 << 28;

/// What is stored quantized stays so; what is drawn is drawn anew in every run. How long the others take is not told by
/// the sizes of their operands and results.
const KEPT: &[&str] = &[
    "QuantizeLinear",
    "DequantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
    "Loop",
    "Scan",
    "If",
    "LSTM",
    "GRU",
    "RNN",
    "Attention",
    "NonMaxSuppression",
    "RoiAlign",
    "MaxRoiPool",
    "MaxPool",
    "AveragePool",
    "LpPool",
    "MaxUnpool",
    "LRN",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DeformConv",
    "QLinearConv",
];

/// Whether a node with constant operands is computed at all.
pub(super) fn folds(op: &Onnx) -> bool {
    op.domain.is_empty() && !KEPT.contains(&op.op_type.as_str()) && occam_interp::knows(op)
}

/// What may still be taken.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes: Cell<u64>,
    steps: Cell<u64>,
}

impl Allowance {
    /// What reading `graph` may take.
    pub fn of(graph: &GraphProto) -> Self {
        let held: u64 = graph.initializer.iter().map(|t| prost::Message::encoded_len(t) as u64).sum();
        Self {
            bytes: Cell::new(BYTES.saturating_add(held.saturating_mul(4))),
            steps: Cell::new(STEPS.saturating_add(held.saturating_mul(16))),
        }
    }

    /// Takes what computing a node needs; false, with nothing taken, where that is too much.
    pub fn take(&self, op: &Onnx, operands: &[Array], results: &[Inferred]) -> bool {
        let Some(cost) = Cost::of(op, operands, results) else { return false };
        let largest = operands.iter().map(Array::len).max().unwrap_or(0).max(LARGEST);
        let left = (self.bytes.get().checked_sub(cost.bytes), self.steps.get().checked_sub(cost.steps));
        let (Some(bytes), Some(steps)) = left else { return false };
        if cost.largest > largest {
            return false;
        }
        self.bytes.set(bytes);
        self.steps.set(steps);
        true
    }
}

/// What computing a node takes, at most.
struct Cost {
    /// Elements of the largest result.
    largest: usize,
    bytes: u64,
    steps: u64,
}

impl Cost {
    /// None where that is not told ahead, or overflows.
    fn of(op: &Onnx, operands: &[Array], results: &[Inferred]) -> Option<Self> {
        let mut cost = Self { largest: 0, bytes: 0, steps: 0 };
        for fact in results.iter().map(|r| &r.fact) {
            let count = match fact.known_shape() {
                Some(shape) => shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?,
                None => most(op, operands)?,
            };
            cost.largest = cost.largest.max(count);
            cost.bytes = cost.bytes.checked_add((count as u64).checked_mul(fact.dtype.size() as u64)?)?;
            cost.steps = cost.steps.checked_add(count as u64)?;
        }
        for operand in operands {
            cost.steps = cost.steps.checked_add(operand.len() as u64)?;
        }
        let more = match op.op_type.as_str() {
            "MatMul" | "Gemm" | "Einsum" | "MatMulInteger" | "QLinearMatMul" => {
                let facts: Vec<Fact> =
                    operands.iter().map(|a| Fact::new(a.dtype(), a.shape().iter().copied())).collect();
                let facts: Vec<&Fact> = facts.iter().collect();
                let outputs: Vec<&Fact> = results.iter().map(|r| &r.fact).collect();
                op.cost(&facts, &outputs, &Bindings::new()).ok()?.macs
            }
            // One axis after the other: between them, both sizes may be the larger one.
            "Resize" | "Upsample" => {
                let before = operands.first()?.shape();
                let after = results.first()?.fact.known_shape()?;
                let between =
                    before.iter().zip(&after).try_fold(8u64, |n, (&a, &b)| n.checked_mul(a.max(b) as u64));
                between?.checked_mul(before.len() as u64)?
            }
            "Det" => {
                let side = operands.first()?.shape().last().copied()?;
                cost.steps.checked_mul(side as u64)?
            }
            _ => 0,
        };
        cost.steps = cost.steps.checked_add(more)?;
        Some(cost)
    }
}

/// Elements of a result whose shape follows from elements; none where that is not known of the operator.
fn most(op: &Onnx, operands: &[Array]) -> Option<usize> {
    let first = operands.first()?;
    match op.op_type.as_str() {
        "NonZero" => first.len().checked_mul(first.shape().len()),
        "Compress" | "Unique" => Some(first.len()),
        "Range" => {
            let number =
                |i: usize| -> Option<f32> { operands.get(i)?.to_f32().ok()?.as_f32().ok()?.first().copied() };
            let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
            let count = ((limit - start) / delta).ceil();
            // What is less than 0 or no number is refused or empty.
            (count.is_nan() || count < LARGEST as f32).then_some(count.max(0.0) as usize + 1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(op: &str, operands: &[Array]) -> Option<Cost> {
        let op = Onnx::new(op, 17, operands.len());
        let known: Vec<Inferred> = operands.iter().cloned().map(Inferred::from).collect();
        let known: Vec<_> =
            known.iter().map(|i| occam_graph::Known { fact: &i.fact, content: i.content.as_ref() }).collect();
        let results = op.infer_known("n", &known).unwrap();
        Cost::of(&op, operands, &results)
    }

    #[test]
    fn what_a_node_takes_is_known_before() {
        let numbers =
            |v: &[f32]| v.iter().map(|&x| Array::from_f32([], vec![x]).unwrap()).collect::<Vec<_>>();
        assert_eq!(cost("Range", &numbers(&[0.0, 10.0, 3.0])).unwrap().largest, 5);
        assert!(cost("Range", &numbers(&[0.0, 1e9, 1e-3])).is_none());
        let matrix = Array::full([30, 40], 1.0);
        assert_eq!(cost("NonZero", std::slice::from_ref(&matrix)).unwrap().largest, 2400);
        let product = cost("MatMul", &[matrix.clone(), Array::full([40, 50], 1.0)]).unwrap();
        assert_eq!((product.largest, product.bytes), (1500, 6000));
        assert_eq!(product.steps, 1500 + 1200 + 2000 + 30 * 40 * 50);
        assert_eq!(cost("Transpose", &[matrix]).unwrap().steps, 2400);
    }

    #[test]
    fn the_allowance_ends() {
        let graph = GraphProto::default();
        let allowance = Allowance::of(&graph);
        let op = Onnx::new("Abs", 13, 1);
        let x = Array::full([1 << 16], 1.0);
        let results = [Inferred::from(x.clone())];
        let taken = (0..1000).take_while(|_| allowance.take(&op, std::slice::from_ref(&x), &results)).count();
        assert_eq!(taken as u64, BYTES / (4 << 16));
    }
}
