//! Operators on integers for those on floats between pairs of `DequantizeLinear` and `QuantizeLinear`, by the rules of ONNX
//! Runtime's `QDQSelectorActionTransformer` (version 1.32, processors of the x86 family).

use occam_graph::onnx::{Attribute, MICROSOFT, Onnx};
use occam_graph::{Array, DType, Data, Graph, Node, NodeId, Op, Patch, ValueId, Weights, Wire};

use super::prepare::{self, free};
use super::view::{Pair, View, own};
use crate::Result;

/// A graph in which integers are computed with.
#[derive(Debug, Clone)]
pub struct Fused {
    /// The graph, all of whose nodes are ONNX's or ONNX Runtime's operators.
    pub graph: Graph,
    /// Its parameters.
    pub weights: Weights,
    /// Names of nodes that read rounded values and compute with floats all the same.
    pub left: Vec<String>,
}

/// Rewrites a graph in which values are rounded as ONNX Runtime does when it loads the file.
///
/// # Errors
/// The graph breaks a rule, or a weight does not fit its scale.
pub fn fuse(graph: &Graph, weights: &Weights) -> Result<Fused> {
    let mut graph = graph.clone();
    prepare::fold(&mut graph, weights)?;
    prepare::drop_clips(&mut graph, weights)?;
    prepare::propagate(&mut graph, weights)?;
    let mut left = Vec::new();
    let (patch, mut graph) = {
        let view = View::new(&graph, weights);
        let mut fuse = Fuse { view: &view, patch: Patch::new("integers"), base: graph.clone() };
        for id in graph.order()? {
            let node = graph.node(id)?;
            let Some(op) = own(node) else { continue };
            if view.quantize(id).is_some() || view.dequantize(id).is_some() {
                continue;
            }
            let rounded = node.inputs.iter().any(|&v| view.dequantized(v).is_some());
            if rounded && fuse.node(id, node, op)?.is_none() {
                left.push(node.name.clone());
            }
        }
        (fuse.patch, fuse.base)
    };
    if !patch.is_empty() {
        patch.apply(&mut graph)?;
    }
    prepare::sweep(&mut graph)?;
    let kept = graph.params().filter_map(|(_, v)| Some((v.name.clone(), weights.get(&v.name)?.clone())));
    let kept = kept.collect();
    Ok(Fused { graph, weights: kept, left })
}

struct Fuse<'a> {
    view: &'a View<'a>,
    patch: Patch,
    /// The graph with the constants that were added.
    base: Graph,
}

/// Where what an operator gives goes.
enum Goes {
    /// To one `QuantizeLinear`.
    Quantized(Pair),
    /// To others.
    Floats,
    /// To a `QuantizeLinear` and others.
    Both,
}

/// An operator of ONNX Runtime's own set.
fn microsoft(name: &str, inputs: Vec<bool>, from: &Onnx, attributes: &[&str]) -> Onnx {
    let mut op = Onnx { domain: MICROSOFT.into(), inputs, ..Onnx::new(name, 1, 0) };
    let own = from.attributes.iter().filter(|(k, _)| attributes.contains(&k.as_str()));
    op.attributes = own.map(|(k, v)| (k.clone(), v.clone())).collect();
    op
}

impl Fuse<'_> {
    /// Fuses a node, where there is a rule for it.
    fn node(&mut self, id: NodeId, node: &Node, op: &Onnx) -> Result<Option<()>> {
        match op.op_type.as_str() {
            "Conv" => self.conv(node, op),
            "MatMul" => self.matmul(id, node),
            "Gemm" => self.gemm(id, node, op),
            "Add" => self.binary(node, "QLinearAdd"),
            "Mul" => self.binary(node, "QLinearMul"),
            "AveragePool" | "LeakyRelu" | "GlobalAveragePool" | "Sigmoid" | "Softmax" => self.unary(node, op),
            "Concat" => self.concat(node, op),
            "Where" => self.choice(node),
            "MaxPool" | "ReduceMax" | "ReduceMin" | "Expand" | "Flatten" | "Gather" | "GatherElements"
            | "Reshape" | "Slice" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" => self.moved(node, op),
            "Resize" if op.text("mode")?.is_none_or(|m| m == "nearest") => self.moved(node, op),
            "ArgMax" => Ok(self.arg(id, node, op)),
            _ => Ok(None),
        }
    }

    fn goes(&self, node: &Node) -> Option<Goes> {
        let &[y] = node.outputs.as_slice() else { return None };
        Some(match self.view.quantized(y) {
            Some(q) => Goes::Quantized(q),
            None if self.view.some_quantized(y) => Goes::Both,
            None => Goes::Floats,
        })
    }

    /// The `QuantizeLinear` that alone reads a node's only result.
    fn rounded(&self, node: &Node) -> Option<Pair> {
        match self.goes(node)? {
            Goes::Quantized(q) => Some(q),
            _ => None,
        }
    }

    /// All inputs, where each is dequantized.
    fn all(&self, node: &Node) -> Option<Vec<Pair>> {
        node.inputs.iter().map(|&v| self.view.dequantized(v)).collect()
    }

    /// The type that integers have when operators are chosen: signed ones that are rounded for one reader are made unsigned
    /// before, with the zero point moved by 128; sums stay as they are.
    fn dtype(&self, v: ValueId) -> Option<DType> {
        let dtype = self.view.dtype(v)?;
        let made = self.view.maker(v).and_then(|(id, _)| self.view.quantize(id));
        if dtype == DType::I8
            && made.is_some_and(|q| q.zero.is_some())
            && self.view.only_reader(v).is_some_and(|id| self.view.dequantize(id).is_some())
        {
            return Some(DType::U8);
        }
        Some(dtype)
    }

    fn bytes(&self, v: ValueId) -> Option<DType> {
        self.dtype(v).filter(|t| matches!(t, DType::U8 | DType::I8))
    }

    fn constant(&mut self, name: &str, array: Array) -> Result<ValueId> {
        let name = free(&self.base, name);
        Ok(self.base.add_const(&name, array)?)
    }

    /// The zero point of a pair; zeros where it has none.
    fn zero(&mut self, pair: &Pair, integers: ValueId) -> Result<ValueId> {
        if let Some(zero) = pair.zero {
            return Ok(zero);
        }
        let fact = &self.view.graph.value(pair.scale)?.fact;
        let shape: Option<Vec<usize>> = fact.shape.iter().map(occam_graph::Dim::known).collect();
        let shape = shape.unwrap_or_default();
        let count: usize = shape.iter().product();
        let data = match self.view.dtype(integers) {
            Some(DType::I8) => Data::I8(vec![0; count]),
            Some(DType::I32) => Data::I32(vec![0; count]),
            _ => Data::U8(vec![0; count]),
        };
        let name = format!("{}_zero", self.view.graph.value(integers)?.name);
        self.constant(&name, Array::new(shape, data)?)
    }

    /// Integers, scale and zero point of what a `DequantizeLinear` reads.
    fn triple(&mut self, dq: &Pair) -> Result<[Wire; 3]> {
        Ok([dq.x.into(), dq.scale.into(), self.zero(dq, dq.x)?.into()])
    }

    /// Scale and zero point of what a `QuantizeLinear` gives.
    fn result(&mut self, q: &Pair) -> Result<[Wire; 2]> {
        Ok([q.scale.into(), self.zero(q, q.y)?.into()])
    }

    /// The bias of a layer as integers: those of a `DequantizeLinear`, or, where the result is rounded, those that floats are
    /// in steps of the scales of input and weight.
    fn bias(&mut self, node: &Node, x: &Pair, w: &Pair) -> Result<Option<Option<ValueId>>> {
        let Some(&b) = node.inputs.get(2) else { return Ok(Some(None)) };
        if let Some(dq) = self.view.dequantized(b) {
            return Ok((self.view.dtype(dq.x) == Some(DType::I32)).then_some(Some(dq.x)));
        }
        let (Some(bias), Some(sx), Some(sw)) =
            (self.view.known(b), self.view.scale(x), self.view.known(w.scale))
        else {
            return Ok(None);
        };
        let (bias, sw) = (bias.as_f32()?.to_vec(), sw.as_f32()?);
        if sw.len() != 1 && sw.len() != bias.len() {
            return Ok(None);
        }
        let steps = sw.iter().cycle().map(|s| sx * s);
        let q = bias.iter().zip(steps).map(|(b, s)| (b / s).round_ties_even() as i32).collect();
        let name = format!("{}_int32", self.view.graph.value(b)?.name);
        let array = Array::new([bias.len()], Data::I32(q))?;
        self.constant(&name, array).map(|v| Some(Some(v)))
    }

    /// Whether integers of these types are multiplied: unsigned by any; signed ones are left to floats.
    fn multiplies(&self, x: &Pair, w: &Pair) -> bool {
        self.bytes(x.x) == Some(DType::U8) && self.bytes(w.x).is_some()
    }

    fn conv(&mut self, node: &Node, op: &Onnx) -> Result<Option<()>> {
        let Some(q) = self.rounded(node) else { return Ok(None) };
        let [x, w] = [0, 1].map(|i| node.inputs.get(i).and_then(|&v| self.view.dequantized(v)));
        let (Some(x), Some(w)) = (x, w) else { return Ok(None) };
        if !self.multiplies(&x, &w) || self.bytes(q.y) != Some(DType::U8) {
            return Ok(None);
        }
        let Some(bias) = self.bias(node, &x, &w)? else { return Ok(None) };
        let inputs = [&self.triple(&x)?[..], &self.triple(&w)?, &self.result(&q)?].concat();
        let inputs: Vec<Wire> = inputs.into_iter().chain(bias.map(Wire::from)).collect();
        let fused = Onnx { attributes: op.attributes.clone(), ..Onnx::new("QLinearConv", 10, inputs.len()) };
        self.patch.set_node(q.node, fused, inputs);
        Ok(Some(()))
    }

    fn matmul(&mut self, id: NodeId, node: &Node) -> Result<Option<()>> {
        let Some(pairs) = self.all(node) else { return Ok(None) };
        let [a, b] = pairs.as_slice() else { return Ok(None) };
        if !self.multiplies(a, b) {
            return Ok(None);
        }
        match self.goes(node) {
            Some(Goes::Quantized(q)) if self.bytes(q.y) == Some(DType::U8) => {
                let inputs = [&self.triple(a)?[..], &self.triple(b)?, &self.result(&q)?].concat();
                self.patch.set_node(q.node, Onnx::new("QLinearMatMul", 10, inputs.len()), inputs);
                Ok(Some(()))
            }
            Some(Goes::Floats) => self.product(id, node, a, b),
            _ => Ok(None),
        }
    }

    /// ONNX Runtime's `MatMulIntegerToFloat`: a sum of integers times the product of the scales.
    fn product(&mut self, id: NodeId, node: &Node, a: &Pair, b: &Pair) -> Result<Option<()>> {
        let (Some(sa), Some(sb)) = (self.view.scale(a), self.view.known(b.scale)) else { return Ok(None) };
        let scales: Vec<f32> = sb.as_f32()?.iter().map(|s| sa * s).collect();
        let scale = Array::from_f32(sb.shape(), scales)?;
        let scale = self.constant(&format!("{}_scale", node.name), scale)?;
        let ([x, _, zx], [w, _, zw]) = (self.triple(a)?, self.triple(b)?);
        let sum = self.patch.node(
            &format!("{}.integers", node.name),
            Onnx::new("MatMulInteger", 10, 4),
            [x, w, zx, zw],
        );
        let cast = Onnx::new("Cast", 13, 1).with("to", Attribute::Int(1));
        let float = self.patch.node(&format!("{}.floats", node.name), cast, [sum]);
        self.patch.set_node(id, Onnx::new("Mul", 14, 2), [float, scale.into()]);
        Ok(Some(()))
    }

    fn gemm(&mut self, id: NodeId, node: &Node, op: &Onnx) -> Result<Option<()>> {
        let [a, b] = [0, 1].map(|i| node.inputs.get(i).and_then(|&v| self.view.dequantized(v)));
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let types = (self.bytes(a.x), self.bytes(b.x));
        if !matches!(types, (Some(DType::U8), Some(_)) | (Some(DType::I8), Some(DType::I8))) {
            return Ok(None);
        }
        let q = match self.goes(node) {
            Some(Goes::Quantized(q)) if self.bytes(q.y) == types.0 => Some(q),
            Some(Goes::Floats) => None,
            _ => return Ok(None),
        };
        let float_bias = node.inputs.get(2).is_some_and(|&v| self.view.dequantized(v).is_none());
        if (node.inputs.len() > 2 && op.float("beta")?.unwrap_or(1.0) != 1.0) || (float_bias && q.is_none()) {
            return Ok(None);
        }
        let Some(bias) = self.bias(node, &a, &b)? else { return Ok(None) };
        let mut inputs = [self.triple(&a)?, self.triple(&b)?].concat();
        inputs.extend(bias.map(Wire::from));
        if let Some(q) = &q {
            inputs.extend(self.result(q)?);
        }
        let given = [vec![true; 6], vec![bias.is_some()], vec![q.is_some(); 2]].concat();
        let fused = microsoft("QGemm", given, op, &["alpha", "transA", "transB"]);
        self.patch.set_node(q.map_or(id, |q| q.node), fused, inputs);
        Ok(Some(()))
    }

    /// Whether all values have the same type of 8 bits.
    fn alike(&self, values: impl IntoIterator<Item = ValueId>) -> bool {
        let mut types = values.into_iter().map(|v| self.bytes(v));
        let first = types.next().flatten();
        first.is_some() && types.all(|t| t == first)
    }

    fn binary(&mut self, node: &Node, name: &str) -> Result<Option<()>> {
        let (Some(pairs), Some(q)) = (self.all(node), self.rounded(node)) else { return Ok(None) };
        let [a, b] = pairs.as_slice() else { return Ok(None) };
        if !self.alike([a.x, b.x, q.y]) {
            return Ok(None);
        }
        let inputs = [&self.triple(a)?[..], &self.triple(b)?, &self.result(&q)?].concat();
        let fused = microsoft(name, vec![true; 8], &Onnx::new(name, 1, 0), &[]);
        self.patch.set_node(q.node, fused, inputs);
        Ok(Some(()))
    }

    fn unary(&mut self, node: &Node, op: &Onnx) -> Result<Option<()>> {
        let (Some(pairs), Some(q)) = (self.all(node), self.rounded(node)) else { return Ok(None) };
        let [x] = pairs.as_slice() else { return Ok(None) };
        if !self.alike([x.x, q.y]) {
            return Ok(None);
        }
        let inputs = [&self.triple(x)?[..], &self.result(&q)?].concat();
        let attributes: Vec<&str> = op.attributes.keys().map(String::as_str).collect();
        let mut fused = microsoft(&format!("QLinear{}", op.op_type), vec![true; 5], op, &attributes);
        if op.op_type == "Softmax" {
            fused = fused.with("opset", Attribute::Int(op.version));
        }
        self.patch.set_node(q.node, fused, inputs);
        Ok(Some(()))
    }

    fn concat(&mut self, node: &Node, op: &Onnx) -> Result<Option<()>> {
        let (Some(pairs), Some(q)) = (self.all(node), self.rounded(node)) else { return Ok(None) };
        if !self.alike(pairs.iter().map(|p| p.x).chain([q.y])) {
            return Ok(None);
        }
        let mut inputs = self.result(&q)?.to_vec();
        for pair in &pairs {
            inputs.extend(self.triple(pair)?);
        }
        let fused = microsoft("QLinearConcat", vec![true; inputs.len()], op, &["axis"]);
        self.patch.set_node(q.node, fused, inputs);
        Ok(Some(()))
    }

    fn choice(&mut self, node: &Node) -> Result<Option<()>> {
        let &[flags, a, b] = node.inputs.as_slice() else { return Ok(None) };
        let [a, b] = [a, b].map(|v| self.view.dequantized(v));
        let (Some(a), Some(b), Some(q)) = (a, b, self.rounded(node)) else { return Ok(None) };
        if !self.alike([a.x, b.x, q.y]) {
            return Ok(None);
        }
        let inputs = [&[flags.into()][..], &self.triple(&a)?, &self.triple(&b)?, &self.result(&q)?].concat();
        let fused = microsoft("QLinearWhere", vec![true; 9], &Onnx::new("Where", 1, 0), &[]);
        self.patch.set_node(q.node, fused, inputs);
        Ok(Some(()))
    }

    /// An operator that moves or picks elements does so with integers, where they mean the same after it.
    fn moved(&mut self, node: &Node, op: &Onnx) -> Result<Option<()>> {
        let x = node.inputs.first().and_then(|&v| self.view.dequantized(v));
        let (Some(x), Some(q)) = (x, self.rounded(node)) else { return Ok(None) };
        let others = node.inputs.iter().skip(1).any(|&v| self.view.dequantized(v).is_some());
        let positive = self.view.scale(&x).is_some_and(|s| s > 0.0);
        if others || !positive || !self.view.same(&x, &q, [x.x, q.y]) || self.bytes(x.x).is_none() {
            return Ok(None);
        }
        let inputs: Vec<Wire> =
            [x.x].into_iter().chain(node.inputs.iter().skip(1).copied()).map(Wire::from).collect();
        self.patch.set_node(q.node, Op::Onnx(op.clone()), inputs);
        Ok(Some(()))
    }

    fn arg(&mut self, id: NodeId, node: &Node, op: &Onnx) -> Option<()> {
        let x = node.inputs.first().and_then(|&v| self.view.dequantized(v))?;
        self.view.scale(&x).filter(|&s| s > 0.0)?;
        self.bytes(x.x)?;
        self.patch.set_node(id, Op::Onnx(op.clone()), [Wire::from(x.x)]);
        Some(())
    }
}
