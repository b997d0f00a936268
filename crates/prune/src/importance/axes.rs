//! Sums over the weights of channels, each tensor read once an axis.

use std::collections::HashMap;

use occam_graph::{DType, Graph, Node, Op, Source, ValueId};
use occam_space::Unit;
use rayon::prelude::*;

use super::{Scores, Subject};
use crate::{Error, Result};

/// What a learned operand is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The weight of a convolution or a linear layer, with the axis of its outputs.
    Weight { output: usize },
    /// What a normalization multiplies by.
    Scale,
}

/// What the learned operands are to their layers; biases and statistics are not in it.
pub(crate) fn parts(graph: &Graph) -> HashMap<ValueId, Part> {
    let mut parts = HashMap::new();
    for (_, node) in graph.nodes() {
        for (i, &v) in node.inputs.iter().enumerate() {
            let learned = graph.value(v).is_ok_and(|v| matches!(v.source, Source::Param(_)));
            if let Some(part) = part(node, i).filter(|_| learned) {
                parts.entry(v).or_insert(part);
            }
        }
    }
    parts
}

/// What the operand at `input` is to its layer, if that is a parameter.
pub(crate) fn part(node: &Node, input: usize) -> Option<Part> {
    match &node.op {
        Op::Conv(_) | Op::Linear(_) if input == 1 => Some(Part::Weight { output: 0 }),
        Op::MatMul(m) if input == 1 => Some(Part::Weight { output: usize::from(!m.transpose_b) }),
        Op::BatchNorm(_) | Op::LayerNorm(_) if input == 1 => Some(Part::Scale),
        Op::Onnx(op) => {
            let slot = (0..op.inputs.len()).find(|&s| op.position(s) == Some(input))?;
            match (op.op_type.as_str(), slot) {
                ("Conv" | "DeformConv", 1) => Some(Part::Weight { output: 0 }),
                ("ConvTranspose" | "MatMul", 1) => Some(Part::Weight { output: 1 }),
                ("MatMul", 0) => Some(Part::Weight { output: 0 }),
                ("Gemm", 1) => Some(Part::Weight { output: usize::from(!op.flag("transB").ok()?) }),
                (
                    "BatchNormalization"
                    | "InstanceNormalization"
                    | "GroupNormalization"
                    | "LayerNormalization"
                    | "RMSNormalization",
                    1,
                ) => Some(Part::Scale),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What is summed of each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    /// `|w|`
    Abs,
    /// `w²`
    Square,
    /// `w`
    Sum,
}

/// By parameter and axis the sums over all elements at a position.
type Sums = HashMap<(ValueId, usize), Vec<f64>>;

/// Along each axis asked for, sorted by value, the sums of `norm`; every parameter is read once.
fn sums(subject: &Subject<'_>, axes: &[(ValueId, usize)], norm: Norm) -> Result<Sums> {
    let chunks: Vec<&[(ValueId, usize)]> = axes.chunk_by(|a, b| a.0 == b.0).collect();
    let found = chunks.par_iter().map(|chunk| {
        let Some(&(value, _)) = chunk.first() else { return Ok(Vec::new()) };
        let wanted: Vec<usize> = chunk.iter().map(|&(_, axis)| axis).collect();
        let sums = of_tensor(subject, value, &wanted, norm)?;
        Ok(wanted.into_iter().map(|axis| (value, axis)).zip(sums).collect())
    });
    let found: Vec<Vec<_>> = found.collect::<Result<_>>()?;
    Ok(found.into_iter().flatten().collect())
}

fn of_tensor(subject: &Subject<'_>, value: ValueId, axes: &[usize], norm: Norm) -> Result<Vec<Vec<f64>>> {
    let name = &subject.graph.value(value)?.name;
    let wrong = |message: &str| Error::Weights { name: name.clone(), message: message.into() };
    let array = subject.weights.get(name).ok_or_else(|| wrong("is not among the weights"))?;
    let floats;
    // Elements of a mapped file are read where they are.
    let bytes: &[u8] = match array.raw_bytes().filter(|_| array.dtype() == DType::F32) {
        Some(raw) => raw,
        None => {
            floats = array.to_f32()?;
            bytemuck::cast_slice(floats.as_f32()?)
        }
    };
    let data = bytes.as_chunks::<4>().0;
    let rank = array.shape().len();
    if axes.iter().any(|&a| a >= rank) {
        return Err(wrong("has fewer axes than the graph says"));
    }
    let sums = match norm {
        Norm::Abs => by_axis(data, array.shape(), axes, f32::abs),
        Norm::Square => by_axis(data, array.shape(), axes, |x| x * x),
        Norm::Sum => by_axis(data, array.shape(), axes, |x| x),
    };
    if sums.iter().flatten().any(|x| !x.is_finite()) {
        return Err(wrong("has elements that are no finite numbers"));
    }
    Ok(sums)
}

/// Runs of this many elements are summed in `f32`, in as many lanes as registers take, the runs in `f64`.
const RUN: usize = 256;
const LANES: usize = 16;

fn sum_of(run: &[[u8; 4]], f: impl Fn(f32) -> f32 + Copy) -> f64 {
    run.chunks(RUN)
        .map(|part| {
            let (blocks, rest) = part.as_chunks::<LANES>();
            let mut lanes = [0f32; LANES];
            for block in blocks {
                for (lane, &x) in lanes.iter_mut().zip(block) {
                    *lane += f(f32::from_le_bytes(x));
                }
            }
            let tail: f32 = rest.iter().map(|&x| f(f32::from_le_bytes(x))).sum();
            f64::from(lanes.iter().sum::<f32>() + tail)
        })
        .sum()
}

/// As [`sum_of`], and adds `f` of each element to `into`: the row comes from memory once.
fn sum_and_add(run: &[[u8; 4]], into: &mut [f32], f: impl Fn(f32) -> f32 + Copy) -> f64 {
    run.chunks(RUN)
        .zip(into.chunks_mut(RUN))
        .map(|(part, into)| {
            let ((blocks, rest), (into, into_rest)) =
                (part.as_chunks::<LANES>(), into.as_chunks_mut::<LANES>());
            let mut lanes = [0f32; LANES];
            for (block, into) in blocks.iter().zip(into) {
                for ((lane, &x), into) in lanes.iter_mut().zip(block).zip(into) {
                    let x = f(f32::from_le_bytes(x));
                    *lane += x;
                    *into += x;
                }
            }
            let mut tail = 0f32;
            for (&x, into) in rest.iter().zip(into_rest) {
                let x = f(f32::from_le_bytes(x));
                tail += x;
                *into += x;
            }
            f64::from(lanes.iter().sum::<f32>() + tail)
        })
        .sum()
}

/// Elements that one thread takes at a time: a number that does not depend on the threads, so that no sum does.
const PIECE: usize = 1 << 20;
/// Rows that are added to each other in `f32`.
const ROWS: usize = 32;

/// Sums of `f` along each of `axes`. Of axes 0 and 1 both are summed while a row is in the cache.
fn by_axis(
    data: &[[u8; 4]],
    shape: &[usize],
    axes: &[usize],
    f: impl Fn(f32) -> f32 + Copy + Sync,
) -> Vec<Vec<f64>> {
    let along = |axis: usize| {
        let size = shape.get(axis).copied().unwrap_or(0);
        let inner: usize = shape.iter().skip(axis + 1).product();
        let mut all = vec![0f64; size];
        if size > 0 && inner > 0 {
            for block in data.chunks_exact(inner * size) {
                all.iter_mut().zip(block.chunks_exact(inner)).for_each(|(a, run)| *a += sum_of(run, f));
            }
        }
        all
    };
    let width: usize = shape.iter().skip(1).product();
    if width == 0 || axes.iter().any(|&a| a > 1) {
        return axes.iter().map(|&axis| along(axis)).collect();
    }
    let wants_columns = axes.contains(&1);
    let piece = |rows: &[[u8; 4]]| {
        let mut by_row = Vec::with_capacity(rows.len() / width);
        let mut by_column = vec![0f64; if wants_columns { width } else { 0 }];
        let mut partial = vec![0f32; by_column.len()];
        for some in rows.chunks(ROWS * width) {
            for row in some.chunks_exact(width) {
                by_row.push(if wants_columns { sum_and_add(row, &mut partial, f) } else { sum_of(row, f) });
            }
            let added = by_column.iter_mut().zip(&mut partial);
            added.for_each(|(all, part)| *all += f64::from(std::mem::take(part)));
        }
        (by_row, by_column)
    };
    let rows = (PIECE / width).max(1);
    let pieces: Vec<(Vec<f64>, Vec<f64>)> = data.par_chunks(rows * width).map(piece).collect();
    let mut columns = vec![0f64; if wants_columns { width } else { 0 }];
    for (_, part) in &pieces {
        columns.iter_mut().zip(part).for_each(|(all, x)| *all += x);
    }
    let inner = shape.iter().skip(2).product::<usize>().max(1);
    let pick = |&axis: &usize| match axis {
        0 => pieces.iter().flat_map(|(rows, _)| rows).copied().collect(),
        _ => columns.chunks(inner).map(|c| c.iter().sum()).collect(),
    };
    axes.iter().map(pick).collect()
}

/// The elements of a parameter, with its shape.
pub(crate) fn elements(subject: &Subject<'_>, value: ValueId) -> Result<(Vec<usize>, Vec<f32>)> {
    let name = subject.graph.value(value)?.name.clone();
    let wrong = |message: &str| Error::Weights { name: name.clone(), message: message.into() };
    let array = subject.weights.get(&name).ok_or_else(|| wrong("is not among the weights"))?;
    let floats = array.to_f32()?;
    let data = floats.as_f32()?.to_vec();
    if data.iter().any(|x| !x.is_finite()) {
        return Err(wrong("has elements that are no finite numbers"));
    }
    Ok((array.shape().to_vec(), data))
}

/// Of each unit the sums by channel over all that `looks_at` says, and how many axes these are of; with `mean`, those of
/// means.
pub(super) fn summed(
    subject: &Subject<'_>,
    name: (&'static str, &'static str),
    norm: Norm,
    looks_at: impl Fn(Part, usize) -> bool,
    mean: bool,
) -> Result<Vec<(Vec<f64>, usize)>> {
    let parts = parts(subject.graph);
    let looked = |unit: &Unit| -> Vec<(ValueId, usize)> {
        let member = |m: &occam_space::Member| {
            parts.get(&m.value).filter(|&&p| looks_at(p, m.axis)).map(|_| (m.value, m.axis))
        };
        unit.members.iter().filter_map(member).collect()
    };
    let units = &subject.trace.units;
    let free: Vec<&Unit> = units.iter().filter(|u| u.kept_by.is_none()).collect();
    let mut axes: Vec<(ValueId, usize)> = free.iter().flat_map(|u| looked(u)).collect();
    axes.sort_unstable_by_key(|(v, a)| (v.index(), *a));
    axes.dedup();
    let sums = sums(subject, &axes, norm)?;
    let mut all = Vec::with_capacity(units.len());
    for unit in units {
        let mut scores = vec![0f64; unit.channels];
        if unit.kept_by.is_some() {
            all.push((Vec::new(), 0));
            continue;
        }
        let mut count = 0usize;
        for member in &unit.members {
            let Some(sums) = sums.get(&(member.value, member.axis)) else { continue };
            if !looks_at(*parts.get(&member.value).unwrap_or(&Part::Scale), member.axis) {
                continue;
            }
            count += 1;
            let elements = if mean {
                let fact = &subject.graph.value(member.value)?.fact;
                let total = fact.known_shape().map_or(1, |s| s.iter().product::<usize>());
                (total / sums.len().max(1) * member.per_channel).max(1) as f64
            } else {
                1.0
            };
            for (c, score) in scores.iter_mut().enumerate() {
                let own = member.of(c).iter().filter_map(|&e| sums.get(e as usize)).sum::<f64>();
                *score += own / elements;
            }
        }
        if count == 0 {
            let (importance, needs) = name;
            return Err(Error::Needs { importance, needs, unit: unit.name.clone() });
        }
        all.push((scores, count));
    }
    Ok(all)
}

/// As [`summed`], divided by the number of axes.
pub(super) fn scored(
    subject: &Subject<'_>,
    name: (&'static str, &'static str),
    norm: Norm,
    looks_at: impl Fn(Part, usize) -> bool,
    mean: bool,
) -> Result<Scores> {
    let all = summed(subject, name, norm, looks_at, mean)?.into_iter();
    Ok(all.map(|(scores, count)| scores.into_iter().map(|s| s / count as f64).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_plain_loops() {
        // The last has rows for several pieces.
        for (shape, axes) in [
            (vec![5usize, 67, 3, 2], &[0, 1, 2, 3][..]),
            (vec![40, 7, 3, 3], &[0, 1]),
            (vec![3, 400_000, 1], &[0, 1]),
        ] {
            let count = shape.iter().product::<usize>();
            let data: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
            let bytes = bytemuck::cast_slice::<f32, [u8; 4]>(&data);
            let all = by_axis(bytes, &shape, axes, f32::abs);
            for (&axis, sums) in axes.iter().zip(&all) {
                let inner: usize = shape[axis + 1..].iter().product();
                let mut wanted = vec![0f64; shape[axis]];
                for (i, x) in data.iter().enumerate() {
                    wanted[i / inner % shape[axis]] += f64::from(x.abs());
                }
                assert_eq!(sums.len(), wanted.len());
                for (a, b) in sums.iter().zip(wanted) {
                    assert!((a - b).abs() < 1e-5 * b, "{shape:?} axis {axis}: {a} and {b}");
                }
            }
        }
    }
}
