//! Where channels whose weights are 0 are 0 themselves.

use occam_graph::{Axis, AxisMap, DType, Graph, Node, Port, Source, ValueId};

use super::channel_axis;
use crate::Result;

/// What makes something else of 0.
const CHANGES: &[&str] = &[
    "Sigmoid",
    "HardSigmoid",
    "Softplus",
    "Exp",
    "Cos",
    "Cosh",
    "Acos",
    "Acosh",
    "Log",
    "Reciprocal",
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "ConstantOfShape",
];

/// By value, whether what is 0 in all weights of a channel leaves 0 there, too: layers compute it then, `sigmoid` and `x + 1`
/// do not.
pub(super) struct Zeros(Vec<bool>);

impl Zeros {
    /// Follows the zeros through `graph`.
    pub fn of(graph: &Graph) -> Result<Self> {
        let mut zeros = Self(vec![false; graph.value_count() + 1]);
        for (id, value) in graph.values() {
            // A single number is not one for each channel: nothing makes it 0.
            let many = value.fact.shape.iter().any(|d| d.known() != Some(1));
            zeros.set(id, many && matches!(value.source, Source::Param(_) | Source::Const));
        }
        for id in graph.order()? {
            let node = graph.node(id)?;
            let zero = zeros.through(graph, node)?;
            node.outputs.iter().for_each(|&v| zeros.set(v, zero));
        }
        Ok(zeros)
    }

    /// The axes of `node` that products are summed over of which no factor is sure to be 0.
    pub fn summed(&self, node: &Node, map: &AxisMap) -> Vec<Axis> {
        let written = |axis: Axis| {
            let of = |l: &&occam_graph::Link| l.a == axis || l.b == axis;
            let mut ends = map.links.iter().filter(of).flat_map(|l| [l.a, l.b]);
            ends.any(|end| matches!(end.port, Port::Output(_)))
        };
        let zero = |port: Port| match port {
            Port::Input(i) => node.inputs.get(i).is_some_and(|&v| self.get(v)),
            Port::Output(_) => true,
        };
        let links = map.links.iter().filter(|l| l.a.port != l.b.port && !zero(l.a.port) && !zero(l.b.port));
        links.filter(|l| !written(l.a) && !written(l.b)).flat_map(|l| [l.a, l.b]).collect()
    }

    fn get(&self, value: ValueId) -> bool {
        self.0.get(value.index()).copied().unwrap_or(false)
    }

    fn set(&mut self, value: ValueId, zero: bool) {
        if let Some(z) = self.0.get_mut(value.index()) {
            *z = zero;
        }
    }

    fn through(&self, graph: &Graph, node: &Node) -> Result<bool> {
        let name = node.op.family().name();
        let Some(&first) = node.inputs.first() else { return Ok(false) };
        if CHANGES.contains(&name) {
            return Ok(false);
        }
        let rank = graph.value(first)?.fact.rank();
        let filters = node
            .inputs
            .iter()
            .skip(1)
            .any(|&v| graph.value(v).is_ok_and(|v| matches!(v.source, Source::Param(_) | Source::Const)));
        if filters && name != "PRelu" && channel_axis(graph, node, rank).is_some() {
            return Ok(true);
        }
        Ok(match name {
            "Mul" => node.inputs.iter().any(|&v| self.get(v)),
            "Div" | "Pow" | "PRelu" | "DequantizeLinear" | "Pad" => self.get(first),
            "Clip" => self.get(first) && !self.lifts(graph, node.inputs.get(1))?,
            "Add" | "Sub" | "Sum" | "Mean" | "Max" | "Min" | "Where" => {
                let mut all = true;
                for &v in &node.inputs {
                    all &= graph.value(v)?.fact.dtype == DType::Bool || self.get(v) || is_zero(graph, v)?;
                }
                all
            }
            _ => {
                let float = |v: &&ValueId| graph.value(**v).is_ok_and(|v| v.fact.dtype.is_float());
                let mut own = node.inputs.iter().filter(float).peekable();
                let constant = |v: ValueId| graph.value(v).is_ok_and(|v| v.constant().is_some());
                own.peek().is_some() && own.all(|&v| self.get(v) || constant(v))
            }
        })
    }

    /// Whether a lower bound is above 0, or not known.
    fn lifts(&self, graph: &Graph, bound: Option<&ValueId>) -> Result<bool> {
        let Some(&bound) = bound else { return Ok(false) };
        let Some(array) = graph.value(bound)?.constant() else { return Ok(true) };
        Ok(match array.to_f32() {
            Ok(floats) => floats.as_f32()?.first().is_none_or(|&x| x > 0.0),
            // Bounds of whole numbers are of sizes and indices, which no channel is.
            Err(_) => !is_zero(graph, bound)?,
        })
    }
}

/// Whether all elements are known to be 0.
fn is_zero(graph: &Graph, value: ValueId) -> Result<bool> {
    let Some(array) = graph.value(value)?.constant() else { return Ok(false) };
    Ok(match array.to_f32() {
        Ok(floats) => floats.as_f32()?.iter().all(|&x| x == 0.0),
        Err(_) => array.to_le_bytes().iter().all(|&byte| byte == 0),
    })
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};
    use occam_graph::ops::{Activation, Binary, Linear, MatMul};
    use occam_graph::{Array, Builder, DType, Fact, Op, Role, ValueId};

    use crate::{TraceOptions, trace};

    /// Whether the channels of queries and keys, changed by `change`, are exact where the products of both are summed.
    fn exact(change: impl Fn(&mut Builder, &str, ValueId) -> ValueId) -> bool {
        let mut b = Builder::new();
        let x = b.input("x", Fact { dtype: DType::F32, shape: vec![2.into(), 5.into(), 6.into()] }).unwrap();
        let mut ends = Vec::new();
        for name in ["q", "k"] {
            let w = b.param(&format!("{name}.weight"), &[8, 6], Role::Weight).unwrap();
            let y = b.op(name, Linear, &[x, w]).unwrap();
            ends.push(change(&mut b, name, y));
        }
        let y = b.op("product", MatMul { transpose_b: true }, &ends).unwrap();
        b.output("y", y).unwrap();
        let units = trace(&b.finish().unwrap(), &TraceOptions::default()).unwrap();
        let unit = units.prunable().find(|u| u.channels == 8).unwrap();
        assert_eq!(unit.output_related.len(), 2, "queries and keys lose the same");
        unit.exact
    }

    fn of_onnx(b: &mut Builder, name: &str, op: Onnx, x: &[ValueId]) -> ValueId {
        b.op(&format!("{name}.{}", op.op_type), Op::Onnx(op), x).unwrap()
    }

    /// What a channel that is not 0 adds to others on its axis is not exact either.
    #[test]
    fn running_sums_and_norms_are_not_exact() {
        for axis in [-1, 2] {
            assert!(!exact(|b, name, y| {
                let axis = Array::from_i64([1], vec![axis]).unwrap();
                let axis = b.constant(&format!("{name}.axis"), axis).unwrap();
                of_onnx(b, name, Onnx::new("CumSum", 14, 2), &[y, axis])
            }));
            let norm = Onnx::new("LpNormalization", 1, 1).with("axis", Attribute::Int(axis));
            assert!(!exact(|b, name, y| of_onnx(b, name, norm.clone(), &[y])));
        }
        assert!(!exact(|b, name, y| of_onnx(b, name, Onnx::new("LpNormalization", 1, 1), &[y])));
        // Along rows each channel is by itself.
        let rows = Onnx::new("LpNormalization", 1, 1).with("axis", Attribute::Int(1));
        assert!(exact(|b, name, y| of_onnx(b, name, rows.clone(), &[y])));
    }

    /// Detectors compute with indices beside their layers.
    #[test]
    fn whole_numbers_are_read_too() {
        assert!(exact(|b, name, y| {
            let mut i =
                b.input(&format!("{name}.i"), Fact { dtype: DType::I64, shape: vec![4.into()] }).unwrap();
            for op in ["Add", "Clip"] {
                let two = Array::from_i64([], vec![2]).unwrap();
                let two = b.constant(&format!("{name}.{op}.two"), two).unwrap();
                i = of_onnx(b, name, Onnx::new(op, 13, 2), &[i, two]);
            }
            b.output(&format!("{name}.sum"), i).unwrap();
            y
        }));
    }

    fn act(b: &mut Builder, name: &str, op: impl Into<Op>, x: &[ValueId]) -> ValueId {
        b.op(&format!("{name}.act"), op, x).unwrap()
    }

    #[test]
    fn products_are_exact_where_a_factor_stays_0() {
        assert!(exact(|_, _, y| y));
        assert!(exact(|b, name, y| act(b, name, Activation::Elu { alpha: 1.0 }, &[y])));
        assert!(exact(|b, name, y| if name == "q" { act(b, name, Activation::Sigmoid, &[y]) } else { y }));
        assert!(!exact(|b, name, y| act(b, name, Activation::Sigmoid, &[y])));
        // Linear attention (Katharopoulos et al., 2020) has `elu(x) + 1`.
        assert!(!exact(|b, name, y| {
            let one = b.constant(&format!("{name}.one"), Array::from_f32([1], vec![1.0]).unwrap()).unwrap();
            act(b, name, Binary::Add, &[y, one])
        }));
    }
}
