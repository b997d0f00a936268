//! From a graph that rounds to one that holds integers: pairs of `QuantizeLinear` and `DequantizeLinear`.
//!
//! Weights become integers in the file, with a `DequantizeLinear` that says of which scale they are; runtimes recognize the
//! pairs around an operator and compute it with integers.

use std::collections::HashMap;

use occam_graph::onnx::{Attribute, MICROSOFT, Onnx};
use occam_graph::ops::FakeQuant;
use occam_graph::{Array, Data, Graph, Narrow, NodeId, Op, Patch, Source, ValueId, Weights, Wire};
use rayon::prelude::*;

use crate::placement::quants;
use crate::{Error, QParams, Quant, Result};

/// How the pairs are written.
#[derive(Debug, Clone, Copy)]
pub struct LowerOptions {
    /// The version of ONNX's operator set that the file has. Scales along an axis came with version 13, integers of 4 and 16
    /// bits with 21; before, the operators of ONNX Runtime's own set are written, which it and OpenVINO read.
    pub opset: i64,
    /// Whether biases of layers become integers of 32 bits, in steps of the scale of what the layer reads times that of its
    /// weight.
    pub integer_bias: bool,
    /// Whether integers of at most 4 bits are stored as such; else they lie in bytes.
    pub pack: bool,
}

/// An integer type of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    U4,
    I4,
    U8,
    I8,
    U16,
    I16,
}

impl Container {
    fn of(op: &FakeQuant, pack: bool) -> Self {
        match (op.low, op.high) {
            (0.., ..=15) if pack => Self::U4,
            (-8..0, ..=7) if pack => Self::I4,
            (0.., ..=255) => Self::U8,
            (-128..0, ..=127) => Self::I8,
            (0.., _) => Self::U16,
            _ => Self::I16,
        }
    }

    fn range(self) -> (i32, i32) {
        match self {
            Self::U4 => (0, 15),
            Self::I4 => (-8, 7),
            Self::U8 => (0, 255),
            Self::I8 => (-128, 127),
            Self::U16 => (0, 65535),
            Self::I16 => (-32768, 32767),
        }
    }

    /// Integers, which are within its range, as elements.
    fn data(self, q: impl Iterator<Item = i32>) -> Data {
        match self {
            Self::U4 => Data::Narrow(Narrow::U4, q.map(|q| (q & 0xf) as u8).collect()),
            Self::I4 => Data::Narrow(Narrow::I4, q.map(|q| (q & 0xf) as u8).collect()),
            Self::U8 => Data::U8(q.map(|q| q as u8).collect()),
            Self::I8 => Data::I8(q.map(|q| q as i8).collect()),
            Self::U16 => Data::U16(q.map(|q| q as u16).collect()),
            Self::I16 => Data::I16(q.map(|q| q as i16).collect()),
        }
    }

    /// The operator set that has it, where a file is of version `opset` and scales lie along an axis or not.
    fn domain(self, opset: i64, axis: bool) -> &'static str {
        let since = match self {
            Self::U8 | Self::I8 if axis => 13,
            Self::U8 | Self::I8 => 10,
            _ => 21,
        };
        if opset >= since { "" } else { MICROSOFT }
    }
}

/// A rounded value of the graph.
struct Rounded {
    op: FakeQuant,
    grid: QParams,
    /// Constants of the new graph: scale, zero point.
    scale: ValueId,
    zero: ValueId,
    container: Container,
}

/// What is being built.
struct Lower<'a> {
    graph: Graph,
    weights: &'a Weights,
    patch: Patch,
    options: LowerOptions,
}

/// The integers that a weight becomes: `clamp(round(w / scale) + zero_point, low, high)` in row-major order, ties to even.
///
/// # Errors
/// The axis is not one of the weight's.
pub fn integers(weight: &Array, op: &FakeQuant, grid: &QParams) -> Result<Vec<i32>> {
    let data = weight.as_f32()?;
    let shape = weight.shape();
    let missing = || Error::Shape(format!("a weight of shape {shape:?} has no such axis or groups"));
    let (channels, inner) = op.runs(shape).ok_or_else(missing)?;
    if grid.scale.len() != channels || grid.zero_point.len() != channels {
        return Err(Error::Shape(format!("{} scales for {channels} channels", grid.scale.len())));
    }
    let grids: Vec<(f32, f32)> =
        grid.scale.iter().zip(&grid.zero_point).map(|(&s, &z)| (1.0 / s, z as f32)).collect();
    let (low, high) = (op.low as f32, op.high as f32);
    let mut out = vec![0; data.len()];
    by_runs(&mut out, data, inner, |run, to, from| {
        let (inverse, zero) = grids.get(run % channels).copied().unwrap_or((1.0, 0.0));
        for (q, &w) in to.iter_mut().zip(from) {
            // As the executor's kernel rounds, so that the file has what was simulated.
            *q = (whole(w * inverse) + zero).max(low).min(high) as i32;
        }
    });
    Ok(out)
}

/// The floats that the integers of a weight stand for: `(q − zero_point) · scale`.
///
/// # Errors
/// As [`integers`].
pub fn rounded(weight: &Array, op: &FakeQuant, grid: &QParams) -> Result<Vec<f32>> {
    let q = integers(weight, op, grid)?;
    let inner = op.runs(weight.shape()).map_or(q.len(), |(_, run)| run);
    let mut out = vec![0.0; q.len()];
    let channels = grid.scale.len().max(1);
    by_runs(&mut out, &q, inner, |run, to, from| {
        let scale = grid.scale.get(run % channels).copied().unwrap_or(1.0);
        let zero = grid.zero_point.get(run % channels).copied().unwrap_or(0);
        to.iter_mut().zip(from).for_each(|(x, &q)| *x = (q - zero) as f32 * scale);
    });
    Ok(out)
}

/// The nearest whole number, ties to even. Beyond what any range of integers holds it is some number there.
fn whole(x: f32) -> f32 {
    // Adding it leaves no bits for what is behind the point.
    const LARGE: f32 = 12_582_912.0;
    x.clamp(-1e6, 1e6) + LARGE - LARGE
}

/// Elements that a thread takes at least.
const PART: usize = 1 << 14;

/// Calls `f` with the number, the results and the elements of each run of `inner` elements, on all cores.
fn by_runs<T: Sync, U: Send>(
    out: &mut [U],
    from: &[T],
    inner: usize,
    f: impl Fn(usize, &mut [U], &[T]) + Sync,
) {
    let inner = inner.max(1);
    let runs = PART.div_ceil(inner);
    out.par_chunks_mut(runs * inner).zip(from.par_chunks(runs * inner)).enumerate().for_each(
        |(part, (out, from))| {
            for (i, (out, from)) in out.chunks_mut(inner).zip(from.chunks(inner)).enumerate() {
                f(part * runs + i, out, from);
            }
        },
    );
}

/// The graph and the weights that compute the same with integers in the file.
///
/// # Errors
/// A grid or a weight is missing among `weights`, or does not fit.
pub fn lower(graph: &Graph, weights: &Weights, options: LowerOptions) -> Result<(Graph, Weights)> {
    let all = quants(graph)?;
    let mut lower = Lower { graph: graph.clone(), weights, patch: Patch::new("integers"), options };
    let mut rounded: HashMap<ValueId, Rounded> = HashMap::new();
    let mut replaced: HashMap<ValueId, Wire> = HashMap::new();
    // The matrices of layers that are written as `MatMul` lie the other way round there.
    let flipped = lower.flipped(&all)?;
    for quant in &all {
        let node = graph.node(quant.node)?.clone();
        let (Op::FakeQuant(op), &[x, ..], &[y]) = (&node.op, node.inputs.as_slice(), node.outputs.as_slice())
        else {
            continue;
        };
        let grid = quant.get(graph, weights)?;
        let known = lower.known(x)?;
        let container = Container::of(op, options.pack && known.is_some());
        let flip = flipped.contains(&y);
        let (scale, zero) = lower.constants(quant, op, &grid, container, (known.as_ref(), flip))?;
        let one = Rounded { op: *op, grid, scale, zero, container };
        let wire = match known {
            Some(weight) => lower.weight(&quant.name, &weight, &one, flip)?,
            None => lower.activation(&quant.name, replaced.get(&x).copied().unwrap_or(x.into()), &one)?,
        };
        replaced.insert(y, wire);
        rounded.insert(y, one);
    }
    for id in graph.order()? {
        lower.layer(id, &rounded, &flipped, &replaced)?;
        lower.flatten(id, &replaced)?;
    }
    for (&y, &wire) in replaced.iter() {
        lower.patch.replace(y, wire);
    }
    for quant in all.iter().rev() {
        lower.patch.remove(quant.node);
    }
    let Lower { mut graph, patch, .. } = lower;
    patch.apply(&mut graph)?;
    let kept: Weights =
        graph.params().filter_map(|(_, v)| Some((v.name.clone(), weights.get(&v.name)?.clone()))).collect();
    Ok((graph, kept))
}

impl Lower<'_> {
    /// A parameter's or a constant's elements.
    fn known(&self, v: ValueId) -> Result<Option<Array>> {
        let value = self.graph.value(v)?;
        Ok(match &value.source {
            Source::Param(_) => {
                let missing = || Error::Other(format!("`{}` is not among the weights", value.name));
                Some(self.weights.get(&value.name).ok_or_else(missing)?.clone())
            }
            _ => value.constant().cloned(),
        })
    }

    fn constant(&mut self, name: &str, array: Array) -> Result<ValueId> {
        let mut free = name.to_owned();
        let mut n = 1;
        while self.graph.find(&free).is_some() {
            n += 1;
            free = format!("{name}_{n}");
        }
        Ok(self.graph.add_const(&free, array)?)
    }

    /// Scale and zero point as constants.
    fn constants(
        &mut self,
        quant: &Quant,
        op: &FakeQuant,
        grid: &QParams,
        container: Container,
        (known, flip): (Option<&Array>, bool),
    ) -> Result<(ValueId, ValueId)> {
        let mut shape: Vec<usize> = if op.axis.is_some() { vec![grid.scale.len()] } else { vec![] };
        let mut grid = grid.clone();
        if let (Some(group), Some(weight)) = (op.group, known) {
            let &[rows, columns, ref rest @ ..] = weight.shape() else {
                return Err(self.no_groups(&quant.name));
            };
            if rest.iter().any(|&d| d != 1) || group == 0 || columns % group != 0 || self.options.opset < 21 {
                return Err(self.no_groups(&quant.name));
            }
            let groups = columns / group;
            shape = [rows, groups].into_iter().chain(rest.iter().copied()).collect();
            if flip {
                let turned = (0..groups).flat_map(|g| (0..rows).map(move |r| r * groups + g));
                let (scale, zero_point) =
                    turned.filter_map(|i| Some((*grid.scale.get(i)?, *grid.zero_point.get(i)?))).unzip();
                grid = QParams { scale, zero_point };
                shape = vec![groups, rows];
            }
        }
        let scale = Array::from_f32(shape.clone(), grid.scale.clone())?;
        let zero = Array::new(shape, container.data(grid.zero_point.iter().copied()))?;
        let base = quant.name.strip_suffix(".quant").unwrap_or(&quant.name).to_owned();
        Ok((
            self.constant(&format!("{base}_scale"), scale)?,
            self.constant(&format!("{base}_zero_point"), zero)?,
        ))
    }

    fn pair(&self, which: &str, one: &Rounded, axis: Option<usize>) -> Onnx {
        let domain = one.container.domain(self.options.opset, axis.is_some());
        let version = if domain.is_empty() { self.options.opset } else { 1 };
        let mut op = Onnx::new(which, version, 3);
        op.domain = domain.into();
        match axis {
            Some(axis) => op.with("axis", Attribute::Int(axis as i64)),
            None => op,
        }
    }

    /// Integers and what makes floats of them.
    fn weight(&mut self, name: &str, weight: &Array, one: &Rounded, flip: bool) -> Result<Wire> {
        let mut q = integers(weight, &one.op, &one.grid)?;
        let (mut shape, mut axis) = (weight.shape().to_vec(), one.op.axis);
        if let (true, &[rows, columns]) = (flip, weight.shape()) {
            q = (0..columns)
                .flat_map(|c| (0..rows).map(move |r| r * columns + c))
                .filter_map(|i| q.get(i).copied())
                .collect();
            shape = vec![columns, rows];
            axis = axis.map(|a| 1 - a.min(1));
        }
        let base = name.strip_suffix(".quant").unwrap_or(name).to_owned();
        let array = Array::new(shape, one.container.data(q.into_iter()))?;
        let q = self.constant(&format!("{base}_quantized"), array)?;
        let mut op = self.pair("DequantizeLinear", one, axis);
        if let Some(group) = one.op.group {
            // Groups lie along the inputs, not along the outputs.
            op = op
                .with("axis", Attribute::Int(i64::from(!flip)))
                .with("block_size", Attribute::Int(group as i64));
        }
        Ok(self.patch.node(&format!("{base}.dequantize"), op, [q, one.scale, one.zero]))
    }

    fn no_groups(&self, name: &str) -> Error {
        match self.options.opset {
            ..21 => Error::Other(format!(
                "`{name}` has scales of groups, which files have from operator set 21 on; this one has {}",
                self.options.opset
            )),
            _ => Error::Other(format!("`{name}` has scales of groups, which files have of matrices alone")),
        }
    }

    fn activation(&mut self, name: &str, x: Wire, one: &Rounded) -> Result<Wire> {
        let base = name.strip_suffix(".quant").unwrap_or(name).to_owned();
        let (low, high) = one.container.range();
        let mut x = x;
        if (one.op.low > low || one.op.high < high) && self.narrower(one) {
            // The operator keeps to the range of its type alone.
            let bound = |q: i32, i: usize| -> Array {
                let (s, z) = (one.grid.scale.get(i), one.grid.zero_point.get(i));
                let value = s.zip(z).map_or(0.0, |(s, z)| (q - z) as f32 * s);
                Array::full([], value)
            };
            let least = self.constant(&format!("{base}_least"), bound(one.op.low, 0))?;
            let most = self.constant(&format!("{base}_most"), bound(one.op.high, 0))?;
            let clip = Onnx::new("Clip", self.options.opset, 3);
            x = self.patch.node(&format!("{base}.clip"), clip, [x, least.into(), most.into()]);
        }
        let (scale, zero) = (Wire::from(one.scale), Wire::from(one.zero));
        let q = self.pair("QuantizeLinear", one, one.op.axis);
        let q = self.patch.node(&format!("{base}.quantize"), q, [x, scale, zero]);
        let dq = self.pair("DequantizeLinear", one, one.op.axis);
        Ok(self.patch.node(&format!("{base}.dequantize"), dq, [q, scale, zero]))
    }

    /// Whether the range is narrower by more than the least of signed integers, which symmetric ranges leave out and which
    /// nothing observed becomes.
    fn narrower(&self, one: &Rounded) -> bool {
        let (low, high) = one.container.range();
        one.op.high != high || one.op.low > low + 1
    }

    /// Rounded weights of linear layers that become `MatMul`: those whose input has not two axes.
    fn flipped(&self, all: &[Quant]) -> Result<Vec<ValueId>> {
        let mut list = Vec::new();
        for quant in all {
            let Some(&y) = self.graph.node(quant.node)?.outputs.first() else { continue };
            let readers = self.graph.readers(y);
            let mut turn = !readers.is_empty();
            for (reader, input) in readers {
                let node = self.graph.node(reader)?;
                let rank = match node.inputs.first() {
                    Some(&x) => self.graph.value(x)?.fact.rank(),
                    None => 0,
                };
                turn &= matches!(node.op, Op::Linear(_)) && input == 1 && rank != 2;
            }
            if turn {
                list.push(y);
            }
        }
        Ok(list)
    }

    /// Flattening of a rounded value as `Reshape`: ONNX Runtime hands integers through that alone.
    fn flatten(&mut self, id: NodeId, replaced: &HashMap<ValueId, Wire>) -> Result<()> {
        let node = self.graph.node(id)?.clone();
        let (Op::Flatten(op), &[x]) = (&node.op, node.inputs.as_slice()) else { return Ok(()) };
        if let Some(&wire) = replaced.get(&x).filter(|_| op.axis == 1) {
            let shape = Array::from_i64([2], vec![0, -1])?;
            let shape = self.constant(&format!("{}.shape", node.name), shape)?;
            let reshape = Onnx::new("Reshape", self.options.opset, 2);
            self.patch.set_node(id, reshape, [wire, shape.into()]);
        }
        Ok(())
    }

    /// The bias of a layer as integers, and a linear layer as the product and the sum that runtimes know.
    fn layer(
        &mut self,
        id: NodeId,
        rounded: &HashMap<ValueId, Rounded>,
        flipped: &[ValueId],
        replaced: &HashMap<ValueId, Wire>,
    ) -> Result<()> {
        let node = self.graph.node(id)?.clone();
        if !matches!(node.op, Op::Conv(_) | Op::Linear(_)) {
            return Ok(());
        }
        let (Some(&x), Some(&w)) = (node.inputs.first(), node.inputs.get(1)) else { return Ok(()) };
        let wire = |v: ValueId| replaced.get(&v).copied().unwrap_or(v.into());
        if flipped.contains(&w) {
            let version = self.options.opset;
            let product = Onnx::new("MatMul", version, 2);
            match node.inputs.get(2) {
                None => self.patch.set_node(id, product, [wire(x), wire(w)]),
                Some(&bias) => {
                    let name = format!("{}.product", node.name);
                    let product = self.patch.node(&name, product, [wire(x), wire(w)]);
                    self.patch.set_node(id, Onnx::new("Add", version, 2), [product, bias.into()]);
                }
            }
            return Ok(());
        }
        let (Some(input), Some(weight), Some(&bias)) = (rounded.get(&x), rounded.get(&w), node.inputs.get(2))
        else {
            return Ok(());
        };
        let integers = self.options.integer_bias && weight.op.group.is_none();
        let Some(array) = self.known(bias)?.filter(|_| integers) else { return Ok(()) };
        let Some(&step) = input.grid.scale.first() else { return Ok(()) };
        let bias = array.as_f32()?;
        let scales: Vec<f32> = weight.grid.scale.iter().cycle().take(bias.len()).map(|s| s * step).collect();
        let q: Vec<i32> = bias
            .iter()
            .zip(&scales)
            .map(|(&b, &s)| (f64::from(b) / f64::from(s)).round_ties_even() as i32)
            .collect();
        let count = bias.len();
        let per_channel = weight.op.axis.is_some();
        let (shape, scales) =
            if per_channel { (vec![count], scales) } else { (vec![], scales.into_iter().take(1).collect()) };
        let zero = Array::new(shape.clone(), Data::I32(vec![0; if per_channel { count } else { 1 }]))?;
        let scale = self.constant(&format!("{}.bias_scale", node.name), Array::from_f32(shape, scales)?)?;
        let zero = self.constant(&format!("{}.bias_zero_point", node.name), zero)?;
        let q = Array::new([count], Data::I32(q))?;
        let q = self.constant(&format!("{}.bias_quantized", node.name), q)?;
        let op = self.pair("DequantizeLinear", weight, per_channel.then_some(0));
        let bias = self.patch.node(&format!("{}.bias_dequantize", node.name), op, [q, scale, zero]);
        self.patch.rewire(id, 2, bias);
        Ok(())
    }
}
