//! Integers for floats and back.

use occam_graph::onnx::MICROSOFT;
use occam_graph::onnx::quantize::{dequantized_type, quantized_axis, quantized_type};
use occam_graph::{Array, DType, Data, Narrow};
use rayon::prelude::*;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{Element, array, coded, each_type, from_f64, to_f64};
use crate::view::{broadcast, broadcast_strides, strides, walk};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("QuantizeLinear", quantize),
    Eval::new("DequantizeLinear", dequantize),
    Eval::new("QuantizeLinear", quantize).of(MICROSOFT),
    Eval::new("DequantizeLinear", dequantize).of(MICROSOFT),
    Eval::new("DynamicQuantizeLinear", dynamic),
];

/// Elements between the parameters of neighbours of an array of `shape` along each axis, where `of` is the shape of the
/// parameters: one for all, a vector along `axis`, or what broadcasts.
pub(super) fn along(shape: &[usize], of: &[usize], axis: usize) -> Result<Vec<usize>> {
    let all: usize = of.iter().product();
    if all == 1 {
        return Ok(vec![0; shape.len()]);
    }
    match of {
        [n] if shape.get(axis) == Some(n) => Ok((0..shape.len()).map(|i| usize::from(i == axis)).collect()),
        [_, _, ..] if broadcast(shape, of)? == shape => Ok(broadcast_strides(of, shape)),
        _ => refuse(format!("scales or zero points of shape {of:?} do not fit {shape:?}")),
    }
}

/// Sums of products of integers as integers of the type of `zero`: `round(sum · a · b / scale) + zero`, halves to even; the
/// scales of the factors with the axes that they run along.
pub(super) fn requantize(
    sums: Vec<f64>,
    shape: &[usize],
    [(a, a_axis), (b, b_axis)]: [(&Array, usize); 2],
    scale: &Array,
    zero: &Array,
) -> Result<Array> {
    let steps = [
        strides(shape),
        along(shape, a.shape(), a_axis)?,
        along(shape, b.shape(), b_axis)?,
        along(shape, scale.shape(), a_axis)?,
        along(shape, zero.shape(), a_axis)?,
    ];
    let (a, b, scale, zeros) = (a.to_f32()?, b.to_f32()?, scale.to_f32()?, to_f64(zero));
    let (a, b, scale) = (a.as_f32()?, b.as_f32()?, scale.as_f32()?);
    let mut y = sums;
    walk(shape, [&steps[0], &steps[1], &steps[2], &steps[3], &steps[4]], |[i, ia, ib, is, iz]| {
        if let (Some(y), Some(a), Some(b), Some(s), Some(z)) =
            (y.get_mut(i), a.get(ia), b.get(ib), scale.get(is), zeros.get(iz))
        {
            *y = f64::from((*y as f32 * (a * b / s)).round_ties_even()) + z;
        }
    });
    from_f64(zero.dtype(), shape, &y)
}

/// Which scale an element has: `outer · blocks · inner + block · inner`, see [`Grid::of`].
struct Grid {
    /// Elements of the axis.
    size: usize,
    /// Elements of the axes behind it.
    inner: usize,
    /// Elements along the axis that share a scale.
    block: usize,
    /// Scales along the axis.
    blocks: usize,
    /// Whether every place on the other axes has scales of its own.
    own: bool,
}

impl Grid {
    fn of(c: &Operands<'_>, x: &Array, scale: &Array) -> Result<Self> {
        let shape = x.shape();
        if scale.len() == 1 && c.op.size("block_size")?.unwrap_or(0) == 0 {
            return Ok(Self { size: x.len().max(1), inner: 1, block: x.len().max(1), blocks: 1, own: false });
        }
        let axis = quantized_axis(c.op, shape.len())?;
        let size = shape.get(axis).copied().unwrap_or(1);
        let inner: usize = shape.iter().skip(axis + 1).product();
        let misfit = || refuse(format!("scale {scale:?} does not fit {x:?} along axis {axis}"));
        match c.op.size("block_size")?.unwrap_or(0) {
            0 if scale.shape() == [size] => Ok(Self { size, inner, block: 1, blocks: size, own: false }),
            0 => misfit(),
            block => {
                let blocks = size.div_ceil(block);
                let mut wanted = shape.to_vec();
                if let Some(n) = wanted.get_mut(axis) {
                    *n = blocks;
                }
                if scale.shape() == wanted {
                    Ok(Self { size, inner, block, blocks, own: true })
                } else {
                    misfit()
                }
            }
        }
    }

    /// `f` of every element and the place of its scale.
    fn map<T: Element, U: Element>(&self, x: &[T], f: impl Fn(T, usize) -> U + Sync) -> Vec<U> {
        let (inner, size) = (self.inner.max(1), self.size.max(1));
        let mut y = vec![U::from_i64(0); x.len()];
        y.par_chunks_mut(inner)
            .zip(x.par_chunks(inner))
            .with_min_len((1usize << 14).div_ceil(inner))
            .enumerate()
            .for_each(|(row, (y, x))| {
                let block = row % size / self.block.max(1);
                if self.own {
                    let first = (row / size * self.blocks + block) * inner;
                    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                        *y = f(x, first + i);
                    }
                } else {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = f(x, block);
                    }
                }
            });
        y
    }
}

/// The zero points as `f64`; as many zeros where there are none.
fn zeros(c: &Operands<'_>, scale: &Array) -> Result<Vec<f64>> {
    match c.get(2) {
        None => Ok(vec![0.0; scale.len()]),
        Some(z) if z.len() == scale.len() => Ok(to_f64(z)),
        Some(z) => refuse(format!("zero point {z:?} does not fit scale {scale:?}")),
    }
}

/// The attribute `precision` of version 23, in which division is done: `f32` alone.
fn check_precision(c: &Operands<'_>) -> Result<()> {
    match c.op.int("precision")? {
        None | Some(0 | 1) => Ok(()),
        Some(other) => refuse(format!("division in element type {other} (`precision`) is not supported")),
    }
}

/// `f` of every `x / scale` with its zero point.
fn divided<U: Element>(
    grid: &Grid,
    x: &Array,
    scale: &[f32],
    zero: &[f64],
    f: impl Fn(f32, f64) -> U + Sync,
) -> Vec<U> {
    let one =
        |x: f32, i: usize| f(x / scale.get(i).copied().unwrap_or(1.0), zero.get(i).copied().unwrap_or(0.0));
    match x.data() {
        Data::F32(v) => grid.map(v, one),
        _ => each_type!(x, v => grid.map(v, |x, i| one(Element::to_f64(x) as f32, i))),
    }
}

/// `saturate(round(x / scale) + zero)`, halves to even; for floats of 8 bits the nearest one to `x / scale + zero`.
fn quantize(c: &Operands<'_>) -> Result<Vec<Array>> {
    fn to<T: Element>(grid: &Grid, x: &Array, scale: &[f32], zero: &[f64]) -> Result<Array> {
        let whole = |x: f32, zero: f64| T::from_f64(f64::from(x.round_ties_even()) + zero);
        array(x.shape(), divided(grid, x, scale, zero, whole))
    }
    fn codes(
        to: Narrow,
        saturate: bool,
        grid: &Grid,
        x: &Array,
        scale: &[f32],
        zero: &[f64],
    ) -> Result<Array> {
        let one = |x: f32, zero: f64| {
            let x = if to.is_float() { x } else { x.round_ties_even() };
            to.encode(f64::from(x) + zero, saturate)
        };
        coded(to, x.shape(), divided(grid, x, scale, zero, one))
    }
    check_precision(c)?;
    let (x, scale) = (c.array(0)?, c.array(1)?);
    let grid = Grid::of(c, x, scale)?;
    let zero = zeros(c, scale)?;
    let dtype = quantized_type(c.op, c.get(2).map(Array::dtype))?;
    let saturate = c.op.int("saturate")?.unwrap_or(1) != 0;
    let scale = scale.to_f32()?;
    let scale = scale.as_f32()?;
    Ok(vec![match dtype {
        DType::U8 => to::<u8>(&grid, x, scale, &zero)?,
        DType::I8 => to::<i8>(&grid, x, scale, &zero)?,
        DType::U16 => to::<u16>(&grid, x, scale, &zero)?,
        DType::I16 => to::<i16>(&grid, x, scale, &zero)?,
        DType::I32 => to::<i32>(&grid, x, scale, &zero)?,
        DType::Narrow(of) => codes(of, saturate, &grid, x, scale, &zero)?,
        other => return refuse(format!("quantization to {other} is not supported")),
    }])
}

/// `(x − zero) · scale`
fn dequantize(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, scale) = (c.array(0)?, c.array(1)?);
    let grid = Grid::of(c, x, scale)?;
    let zero = zeros(c, scale)?;
    let dtype = dequantized_type(c.op, scale.dtype())?;
    let scale = scale.to_f32()?;
    let scale = scale.as_f32()?;
    let one = |x: f64, i: usize| {
        (x - zero.get(i).copied().unwrap_or(0.0)) as f32 * scale.get(i).copied().unwrap_or(1.0)
    };
    let y: Vec<f32> = match x.data() {
        Data::Narrow(of, codes) => grid.map(codes, |code, i| one(of.decode(code).into(), i)),
        _ => each_type!(x, v => grid.map(v, |x, i| one(Element::to_f64(x), i))),
    };
    Ok(vec![crate::product::narrow(dtype, x.shape(), y)?])
}

/// To `u8` over the range of the elements, 0 among them: `scale = (max − min) / 255`.
fn dynamic(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let v = x.as_f32()?;
    let high = v.iter().fold(0.0f32, |m, &x| m.max(x));
    let low = v.iter().fold(0.0f32, |m, &x| m.min(x));
    // Zeros alone have no range.
    let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
    let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
    let y = v.iter().map(|&x| ((x / scale).round_ties_even() + zero) as u8).collect();
    Ok(vec![array(x.shape(), y)?, array(&[], vec![scale])?, array(&[], vec![zero as u8])?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::{Attribute, Onnx};

    #[test]
    fn halves_go_to_even_and_ends_saturate() {
        let x = Array::from_f32([5], vec![1.0, 3.0, 5.0, -1000.0, 1000.0]).unwrap();
        let scale = Array::from_f32([], vec![2.0]).unwrap();
        let zero = Array::new([], Data::I8(vec![1])).unwrap();
        let y = evaluate(&Onnx::new("QuantizeLinear", 13, 3), &[x, scale, zero]).unwrap();
        assert_eq!(y[0], Array::new([5], Data::I8(vec![1, 3, 3, -128, 127])).unwrap());
    }

    #[test]
    fn blocks_have_scales_of_their_own() {
        let x = Array::new([1, 4, 2], Data::U8(vec![1; 8])).unwrap();
        let scale = Array::from_f32([1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let op = Onnx::new("DequantizeLinear", 21, 2).with("block_size", Attribute::Int(2));
        let y = evaluate(&op, &[x.clone(), scale.clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
        let op = op.with("block_size", Attribute::Int(3)).with("axis", Attribute::Int(0));
        assert!(evaluate(&op, &[x, scale]).is_err());
    }

    #[test]
    fn four_bits_saturate_by_block() {
        let x = Array::from_f32([1, 4], vec![-9.0, 2.5, 30.0, 3.0]).unwrap();
        let scale = Array::from_f32([1, 2], vec![1.0, 2.0]).unwrap();
        let codes = |v: &[u8]| Array::new([1, v.len()], Data::Narrow(Narrow::I4, v.to_vec())).unwrap();
        let op = |name| Onnx::new(name, 21, 3).with("block_size", Attribute::Int(2));
        let y = evaluate(&op("QuantizeLinear"), &[x, scale.clone(), codes(&[0, 1])]).unwrap();
        assert_eq!(y[0], codes(&[8, 2, 7, 3]));
        let x = evaluate(&op("DequantizeLinear"), &[y[0].clone(), scale, codes(&[0, 1])]).unwrap();
        assert_eq!(x[0].as_f32().unwrap(), [-8.0, 2.0, 12.0, 4.0]);
    }

    #[test]
    fn floats_of_eight_bits_are_quantized() {
        let x = Array::from_f32([4], vec![0.0, 1.0, 1000.0, -3000.0]).unwrap();
        let scale = Array::from_f32([], vec![2.0]).unwrap();
        let op = Onnx::new("QuantizeLinear", 19, 3);
        let zero = Array::new([], Data::Narrow(Narrow::F8E4M3FN, vec![0])).unwrap();
        let y = evaluate(&op, &[x.clone(), scale.clone(), zero.clone()]).unwrap();
        let x2 = evaluate(&Onnx::new("DequantizeLinear", 19, 2), &[y[0].clone(), scale.clone()]).unwrap();
        assert_eq!(x2[0].as_f32().unwrap(), [0.0, 1.0, 896.0, -896.0]);
        let open =
            evaluate(&op.with("saturate", Attribute::Int(0)), &[x.clone(), scale.clone(), zero]).unwrap();
        assert_eq!(
            open[0],
            Array::new([4], Data::Narrow(Narrow::F8E4M3FN, vec![0, 0x30, 0x7f, 0xff])).unwrap()
        );
        let op = Onnx::new("QuantizeLinear", 23, 2).with("precision", Attribute::Int(10));
        assert!(evaluate(&op, &[x, scale]).unwrap_err().to_string().contains("precision"));
    }

    #[test]
    fn axes_have_scales() {
        let x = Array::new([2, 2], Data::I8(vec![2, 4, 6, 8])).unwrap();
        let scale = Array::from_f32([2], vec![1.0, 0.5]).unwrap();
        let op = |axis| Onnx::new("DequantizeLinear", 13, 2).with("axis", Attribute::Int(axis));
        let y = evaluate(&op(0), &[x.clone(), scale.clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [2.0, 4.0, 3.0, 4.0]);
        let y = evaluate(&op(-1), &[x.clone(), scale.clone()]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [2.0, 2.0, 6.0, 4.0]);
        assert!(evaluate(&op(2), &[x, scale]).is_err());
    }

    #[test]
    fn zeros_have_a_scale() {
        let x = Array::from_f32([2], vec![0.0; 2]).unwrap();
        let mut op = Onnx::new("DynamicQuantizeLinear", 11, 1);
        op.outputs = vec![true; 3];
        let y = evaluate(&op, &[x]).unwrap();
        assert_eq!(y[0], Array::new([2], Data::U8(vec![0; 2])).unwrap());
    }
}
