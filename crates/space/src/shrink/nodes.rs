//! How nodes follow axes of other sizes: attributes and operands that name sizes and positions.

use occam_graph::onnx::{Attribute, Onnx, axes_of, axis_of, pad_axes};
use occam_graph::ops::Slice;
use occam_graph::{Array, DType, Dim, Graph, Node, NodeId, Op, Patch, ValueId, Wire};

use super::cuts::{Cuts, sum};
use super::is_depthwise;
use crate::{Error, Result};

/// A node that is looked at.
struct Site<'a> {
    graph: &'a Graph,
    node: &'a Node,
    cuts: &'a Cuts,
}

/// Adds to `patch` what the node needs to compute the values of other sizes; most need nothing.
pub(super) fn follow(
    graph: &Graph,
    small: &mut Graph,
    id: NodeId,
    cuts: &Cuts,
    patch: &mut Patch,
) -> Result<()> {
    let node = graph.node(id)?;
    let site = Site { graph, node, cuts };
    match &node.op {
        Op::Conv(conv) if site.depthwise(1)? => {
            patch.set_op(id, occam_graph::ops::Conv { groups: site.size(0, 1)?, ..*conv });
        }
        Op::Slice(slice) => {
            let Some(&x) = node.inputs.first() else { return Ok(()) };
            let at = |end| cuts.count(x, slice.axis, end);
            patch.set_op(id, Slice { axis: slice.axis, start: at(slice.start), end: at(slice.end) });
        }
        Op::Unflatten(op) => {
            let sizes = (0..op.sizes.len()).map(|i| site.output_size(op.axis + i)).collect::<Result<_>>()?;
            patch.set_op(id, occam_graph::ops::Unflatten { axis: op.axis, sizes });
        }
        Op::Onnx(op) => {
            if let Some(edit) = site.onnx(op)? {
                edit.apply(small, node, id, patch)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Another operator, and operands that are replaced: by input, a suffix for the name, and the elements; those that are not
/// known stay what they are when the model runs.
struct Edit {
    op: Onnx,
    operands: Vec<(usize, &'static str, Vec<Option<i64>>)>,
}

impl Edit {
    fn apply(self, small: &mut Graph, node: &Node, id: NodeId, patch: &mut Patch) -> Result<()> {
        let inputs = node.inputs.iter().map(|&v| Wire::from(v));
        let mut by_slot: Vec<Option<Wire>> = self.op.slots(inputs);
        let mut op = self.op;
        for (slot, suffix, elements) in self.operands {
            let base = format!("{}.{suffix}", node.name);
            let mut name = base.clone();
            for n in 1.. {
                if small.find(&name).is_none() {
                    break;
                }
                name = format!("{base}_{n}");
            }
            let count = elements.len();
            let known: Vec<i64> = elements.iter().map(|e| e.unwrap_or(0)).collect();
            let mut value = Wire::from(small.add_const(&name, Array::from_i64([count], known)?)?);
            if elements.iter().any(Option::is_none) {
                let old = by_slot.get(slot).copied().flatten().filter(|_| op.version >= 9);
                let Some(old) = old else {
                    let message =
                        "sizes are computed as the model runs, which needs version 9 of ONNX's operators";
                    return Err(Error::Shrink { node: node.name.clone(), message: message.into() });
                };
                let flags: Vec<u8> = elements.iter().map(|e| u8::from(e.is_some())).collect();
                let flags = Array::from_le_bytes(DType::Bool, [count], &flags)?;
                let flags = small.add_const(&format!("{name}.known"), flags)?;
                let choose = Onnx::new("Where", op.version, 3);
                value = patch.node(&format!("{name}.choose"), choose, [Wire::from(flags), value, old]);
            }
            if by_slot.len() <= slot {
                by_slot.resize(slot + 1, None);
            }
            if let Some(s) = by_slot.get_mut(slot) {
                *s = Some(value);
            }
        }
        op.inputs = by_slot.iter().map(Option::is_some).collect();
        patch.set_node(id, op, by_slot.into_iter().flatten());
        Ok(())
    }
}

fn all_known(ints: Vec<i64>) -> Vec<Option<i64>> {
    ints.into_iter().map(Some).collect()
}

impl Site<'_> {
    fn misfit(&self, message: impl Into<String>) -> Error {
        Error::Shrink { node: self.node.name.clone(), message: message.into() }
    }

    fn depthwise(&self, weight: usize) -> Result<bool> {
        let fact = match self.node.inputs.get(weight) {
            Some(&w) => Some(&self.graph.value(w)?.fact),
            None => None,
        };
        Ok(is_depthwise(&self.node.op, fact))
    }

    /// The size that axis `axis` of input `index` will have.
    fn size(&self, index: usize, axis: usize) -> Result<usize> {
        let value = self.node.inputs.get(index).ok_or_else(|| self.misfit("an input is missing"))?;
        let fact = self.cuts.fact(self.graph, *value)?;
        let known = fact.shape.get(axis).and_then(Dim::known);
        known.ok_or_else(|| self.misfit(format!("the size of axis {axis} of input {index} is not known")))
    }

    /// The size that axis `axis` of output 0 will have.
    fn output_size(&self, axis: usize) -> Result<usize> {
        let value = self.node.outputs.first().ok_or_else(|| self.misfit("it has no output"))?;
        let known = self.cuts.fact(self.graph, *value)?.shape.get(axis).and_then(Dim::known);
        known.ok_or_else(|| self.misfit(format!("the size of axis {axis} of its output is not known")))
    }

    /// The operand at an ONNX input.
    fn operand(&self, op: &Onnx, slot: usize) -> Option<ValueId> {
        self.node.inputs.get(op.position(slot)?).copied()
    }

    /// Integers of an attribute, or of the operand that newer versions have in its place.
    fn ints(&self, op: &Onnx, name: &str, slot: usize) -> Result<Option<Vec<i64>>> {
        if let Some(ints) = op.ints(name)? {
            return Ok(Some(ints.to_vec()));
        }
        let Some(v) = self.operand(op, slot) else { return Ok(None) };
        Ok(self.graph.value(v)?.content.as_ref().and_then(occam_graph::Content::to_ints))
    }

    /// `ints` in the attribute or in the operand, where the version has them.
    fn put(&self, op: &Onnx, name: &'static str, slot: usize, since: i64, ints: Vec<i64>) -> Edit {
        let mut op = op.clone();
        let mut operands = Vec::new();
        if op.version < since {
            op.attributes.insert(name.into(), Attribute::Ints(ints));
        } else {
            operands.push((slot, name, all_known(ints)));
        }
        Edit { op, operands }
    }

    fn onnx(&self, op: &Onnx) -> Result<Option<Edit>> {
        match op.op_type.as_str() {
            "Conv" | "ConvInteger" | "DeformConv" => self.groups(op, 1),
            "QLinearConv" => self.groups(op, 3),
            "ConvTranspose" => self.groups(op, 1),
            "Split" => self.split(op),
            "Slice" => self.slice(op),
            "Reshape" => self.reshape(op),
            "Expand" => self.sized(op, "shape", 1, None),
            "ConstantOfShape" => self.sized(op, "shape", 0, None),
            "Resize" => self.sized(op, "sizes", 3, op.ints("axes")?),
            "Pad" => self.pad(op),
            _ => Ok(None),
        }
    }

    fn groups(&self, op: &Onnx, weight: usize) -> Result<Option<Edit>> {
        if !self.depthwise(op.position(weight).unwrap_or(weight))? {
            return Ok(None);
        }
        let groups = i64::try_from(self.size(0, 1)?).unwrap_or(i64::MAX);
        Ok(Some(Edit { op: op.clone().with("group", Attribute::Int(groups)), operands: Vec::new() }))
    }

    fn split(&self, op: &Onnx) -> Result<Option<Edit>> {
        let Some(&x) = self.node.inputs.first() else { return Ok(None) };
        let rank = self.graph.value(x)?.fact.rank();
        let axis = axis_of(op.int("axis")?.unwrap_or(0), rank)?;
        if self.cuts.counts(x, axis).is_none() {
            return Ok(None);
        }
        if op.outputs.iter().any(|&w| !w) {
            return Err(self.misfit("it has parts that nothing reads"));
        }
        let size = |v: &ValueId| -> Result<i64> {
            let known = self.cuts.fact(self.graph, *v)?.shape.get(axis).and_then(Dim::known);
            let known = known.and_then(|n| i64::try_from(n).ok());
            known.ok_or_else(|| self.misfit("the size of a part is not known"))
        };
        let sizes = self.node.outputs.iter().map(size).collect::<Result<Vec<_>>>()?;
        let mut edit = self.put(op, "split", 1, 13, sizes);
        edit.op.attributes.shift_remove("num_outputs");
        Ok(Some(edit))
    }

    fn slice(&self, op: &Onnx) -> Result<Option<Edit>> {
        let Some(&x) = self.node.inputs.first() else { return Ok(None) };
        let fact = &self.graph.value(x)?.fact;
        let (Some(mut starts), Some(mut ends)) = (self.ints(op, "starts", 1)?, self.ints(op, "ends", 2)?)
        else {
            return Ok(None);
        };
        let axes = match self.ints(op, "axes", 3)? {
            Some(axes) => axes.iter().map(|&a| axis_of(a, fact.rank())).collect::<Result<Vec<_>, _>>()?,
            None => (0..fact.rank()).collect(),
        };
        let mut changed = false;
        for ((start, end), &axis) in starts.iter_mut().zip(&mut ends).zip(&axes) {
            let Some(mask) = self.cuts.counts(x, axis) else { continue };
            let n = i64::try_from(mask.len()).unwrap_or(i64::MAX);
            for at in [start, end] {
                let place = if *at < 0 { at.saturating_add(n).max(0) } else { (*at).min(n) };
                let place = usize::try_from(place).unwrap_or(0);
                *at = i64::try_from(self.cuts.count(x, axis, place)).unwrap_or(i64::MAX);
            }
            changed = true;
        }
        if !changed {
            return Ok(None);
        }
        let mut edit = self.put(op, "starts", 1, 10, starts);
        let ends = self.put(&edit.op, "ends", 2, 10, ends);
        edit.operands.extend(ends.operands);
        edit.op = ends.op;
        Ok(Some(edit))
    }

    /// The sizes of the result: numbers where they are known, and for those that are not what the operand says, or else
    /// `same` where the axis is one of the input's, or -1 where there is only one more.
    fn sizes(&self, old: Option<&[i64]>, same: impl Fn(usize) -> Option<i64>) -> Result<Vec<i64>> {
        let Some(&y) = self.node.outputs.first() else { return Ok(Vec::new()) };
        let fact = self.cuts.fact(self.graph, y)?;
        let mut open = old.is_some_and(|o| o.contains(&-1));
        let mut sizes = Vec::with_capacity(fact.rank());
        for (i, d) in fact.shape.iter().enumerate() {
            let before = old.and_then(|o| o.get(i)).copied();
            sizes.push(match (before, d.known(), same(i)) {
                (Some(-1), ..) => -1,
                (_, Some(n), _) => i64::try_from(n).unwrap_or(i64::MAX),
                (_, None, Some(size)) => size,
                (_, None, None) if !open => {
                    open = true;
                    -1
                }
                _ => return Err(self.misfit(format!("its result {fact} has more than one open size"))),
            });
        }
        Ok(sizes)
    }

    fn reshape(&self, op: &Onnx) -> Result<Option<Edit>> {
        let (Some(&x), Some(shape)) = (self.node.inputs.first(), self.operand(op, 1)) else {
            return Ok(None);
        };
        let old =
            self.graph.value(shape)?.constant().map(|_| self.ints(op, "shape", 1)).transpose()?.flatten();
        let Some(&y) = self.node.outputs.first() else { return Ok(None) };
        if !self.cuts.touches(y) && !self.cuts.touches(x) {
            return Ok(None);
        }
        let from = self.cuts.fact(self.graph, x)?;
        let to = self.cuts.fact(self.graph, y)?;
        let zero = !op.flag("allowzero")?;
        let sizes =
            self.sizes(old.as_deref(), |i| (zero && from.shape.get(i) == to.shape.get(i)).then_some(0))?;
        if old.as_deref() == Some(&sizes) {
            return Ok(None);
        }
        Ok(Some(Edit { op: op.clone(), operands: vec![(1, "shape", all_known(sizes))] }))
    }

    /// An operand that lists sizes of the result: of `axes`, else of the last ones. A size of 1 leaves the axis as it is.
    fn sized(
        &self,
        op: &Onnx,
        name: &'static str,
        slot: usize,
        axes: Option<&[i64]>,
    ) -> Result<Option<Edit>> {
        let (Some(operand), Some(&y)) = (self.operand(op, slot), self.node.outputs.first()) else {
            return Ok(None);
        };
        let operand = self.graph.value(operand)?;
        let Some(count) = operand.fact.shape.first().and_then(Dim::known) else { return Ok(None) };
        let sizes = operand.content.as_ref().and_then(occam_graph::Content::to_sizes);
        let old: Vec<Option<i64>> = match sizes {
            Some(sizes) => sizes.iter().map(occam_graph::Size::known).collect(),
            None => vec![None; count],
        };
        let rank = self.graph.value(y)?.fact.rank();
        let axes: Vec<usize> = match axes {
            Some(axes) => {
                axes_of(axes, rank)?;
                axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?
            }
            None => (rank.saturating_sub(count)..rank).collect(),
        };
        let mut sizes = old.clone();
        for (size, &axis) in sizes.iter_mut().zip(&axes) {
            if self.cuts.counts(y, axis).is_some() && *size != Some(1) {
                *size = i64::try_from(self.output_size(axis)?).ok();
            }
        }
        Ok((sizes != old).then(|| Edit { op: op.clone(), operands: vec![(slot, name, sizes)] }))
    }

    fn pad(&self, op: &Onnx) -> Result<Option<Edit>> {
        let (Some(&x), Some(&y)) = (self.node.inputs.first(), self.node.outputs.first()) else {
            return Ok(None);
        };
        let rank = self.graph.value(x)?.fact.rank();
        let Some(old) = self.ints(op, "pads", 1)? else { return Ok(None) };
        let named = match self.operand(op, 3) {
            Some(_) => self.ints(op, "axes", 3)?,
            None => None,
        };
        let all = pad_axes(&old, named.as_deref(), rank)?;
        let order: Vec<usize> = match &named {
            Some(axes) => axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?,
            None => (0..rank).collect(),
        };
        let mut pads = old.clone();
        for (i, &axis) in order.iter().enumerate() {
            let Some(mask) = self.cuts.counts(y, axis) else { continue };
            let Some(pad) = all.get(axis).filter(|p| p.before >= 0 && p.after >= 0) else {
                return Err(self.misfit("it cuts an axis that loses channels"));
            };
            let before = usize::try_from(pad.before).unwrap_or(0);
            let after = usize::try_from(pad.after).unwrap_or(0);
            let stay = |range: &[u32]| i64::try_from(sum(range)).unwrap_or(i64::MAX);
            let end = mask.len().saturating_sub(after);
            let sides = [(i, mask.get(..before)), (i + order.len(), mask.get(end..))];
            for (at, range) in sides {
                if let Some(p) = pads.get_mut(at) {
                    *p = stay(range.unwrap_or_default());
                }
            }
        }
        Ok((pads != old).then(|| self.put(op, "pads", 1, 11, pads)))
    }
}
