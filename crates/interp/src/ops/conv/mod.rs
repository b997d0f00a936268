//! Convolutions.

mod columns;
mod deform;
mod integer;
mod transpose;

use occam_graph::onnx::window::{Positions, Window, sizes};
use occam_graph::{Array, DType};
use occam_kernels::conv::{Dims, Epilogue, Geometry, forward};

use super::{Eval, Operands};
use crate::error::refuse;
use crate::numbers::{elements, to_f64};
use crate::product::{Multiply, narrow};
use crate::view::count;
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Conv", conv),
    Eval::new("ConvTranspose", transpose::run),
    Eval::new("DeformConv", deform::run),
    Eval::new("ConvInteger", integer::run),
    Eval::new("QLinearConv", integer::quantized),
];

/// Sizes of a convolution over any number of spatial axes.
#[derive(Debug, Clone)]
struct Plan {
    n: usize,
    c: usize,
    o: usize,
    groups: usize,
    /// Spatial sizes of the input.
    spatial: Vec<usize>,
    window: Window,
    /// Where the window lies, by spatial axis.
    at: Vec<Positions>,
    /// Shape of the result.
    shape: Vec<usize>,
}

/// The window of an operator with these weights.
fn window(c: &Operands<'_>, weight: &[usize]) -> Result<Window> {
    let kernel = weight.get(2..).unwrap_or_default().to_vec();
    if c.op.ints("kernel_shape")?.is_some() && sizes(c.op, "kernel_shape", kernel.len(), 1, 1)? != kernel {
        return refuse(format!("attribute `kernel_shape` differs from the weight's {kernel:?}"));
    }
    Ok(Window::of(c.op, kernel)?)
}

/// Groups of channels.
fn groups(c: &Operands<'_>) -> Result<usize> {
    match c.op.size("group")?.unwrap_or(1) {
        0 => refuse("attribute `group` must be at least 1"),
        n => Ok(n),
    }
}

impl Plan {
    fn of(c: &Operands<'_>, x: &[usize], weight: &[usize]) -> Result<Self> {
        let misfit = || Error::Op(format!("weight {weight:?} does not fit input {x:?}"));
        let (&[n, channels, ref spatial @ ..], &[o, per_group, ..]) = (x, weight) else {
            return Err(misfit());
        };
        let groups = groups(c)?;
        let fits = x.len() == weight.len()
            && !spatial.is_empty()
            && per_group.checked_mul(groups) == Some(channels)
            && o.is_multiple_of(groups);
        if !fits {
            return Err(misfit());
        }
        let window = window(c, weight)?;
        let at: Vec<Positions> = spatial
            .iter()
            .enumerate()
            .map(|(i, &size)| window.positions(i, size))
            .collect::<Result<_, _>>()?;
        let shape: Vec<usize> = [n, o].into_iter().chain(at.iter().map(|p| p.count)).collect();
        count(&shape)?;
        Ok(Self { n, c: channels, o, groups, spatial: spatial.to_vec(), window, at, shape })
    }

    /// Elements of an output plane.
    fn pixels(&self) -> usize {
        self.at.iter().map(|p| p.count).product()
    }
}

/// A bias with an element for each of `channels`.
fn bias<'a>(c: &'a Operands<'_>, index: usize, channels: usize) -> Result<Option<&'a Array>> {
    match c.get(index) {
        Some(b) if b.shape() != [channels] => refuse(format!("bias {b:?} must have {channels} elements")),
        b => Ok(b),
    }
}

fn conv(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, w) = (c.array(0)?, c.array(1)?);
    let plan = Plan::of(c, x.shape(), w.shape())?;
    let bias = bias(c, 2, plan.o)?;
    if x.dtype() != w.dtype() || !x.dtype().is_float() {
        return refuse(format!("{x:?} and {w:?} must be floats of one type"));
    }
    if x.dtype() == DType::F64 {
        let mut y = columns::conv(&plan, elements::<f64>(x)?, elements::<f64>(w)?)?;
        if let Some(bias) = bias {
            add_bias(&mut y, &to_f64(bias), plan.pixels());
        }
        return Ok(vec![narrow(DType::F64, &plan.shape, y)?]);
    }
    let (x32, w32, b32) = (x.to_f32()?, w.to_f32()?, bias.map(Array::to_f32).transpose()?);
    let bias = b32.as_ref().map(Array::as_f32).transpose()?;
    let y = fast(&plan, x32.as_f32()?, w32.as_f32()?, bias)?;
    Ok(vec![narrow(x.dtype(), &plan.shape, y)?])
}

/// Adds a term to every plane of each channel.
fn add_bias<T: Multiply>(y: &mut [T], bias: &[T], pixels: usize) {
    for (plane, &b) in y.chunks_mut(pixels.max(1)).zip(bias.iter().cycle()) {
        for y in plane {
            *y = y.plus(b);
        }
    }
}

/// A convolution by the kernels for two spatial axes: one axis is an image of one row, and of more than two the outer ones
/// become channels.
fn fast(plan: &Plan, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Result<Vec<f32>> {
    let rank = plan.spatial.len();
    let folded;
    let (images, channels, x) = match rank {
        0..=2 => (plan.n, plan.c, x),
        _ => {
            folded = columns::unfold(plan, x, rank - 2)?;
            let outer: usize = plan.at.iter().take(rank - 2).map(|p| p.count).product();
            let taps: usize = plan.window.kernel.iter().take(rank - 2).product();
            (plan.n * outer, plan.c * taps, folded.as_slice())
        }
    };
    let two = |v: &[usize], default: usize| match v {
        [.., a, b] => [*a, *b],
        [b] => [default, *b],
        [] => [default, default],
    };
    let [h, wide] = two(&plan.spatial, 1);
    let [kh, kw] = two(&plan.window.kernel, 1);
    let pads = match plan.at.as_slice() {
        [.., a, b] => [(a.before, a.after), (b.before, b.after)],
        [b] => [(0, 0), (b.before, b.after)],
        [] => [(0, 0); 2],
    };
    let geometry = Geometry {
        stride: two(&plan.window.stride, 1),
        padding: pads,
        dilation: two(&plan.window.dilation, 1),
        groups: plan.groups,
    };
    let d = Dims { n: images, c: channels, h, w: wide, o: plan.o, kh, kw, geometry, weight_row: None };
    d.check().map_err(|m| Error::Op(m.into()))?;
    let y = forward(x, w, &d, &Epilogue { bias, ..Epilogue::default() });
    Ok(if rank > 2 { columns::swap(&y, plan.n, images / plan.n.max(1), plan.o) } else { y })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::{Attribute, Onnx};

    fn filled(shape: &[usize], f: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..shape.iter().product()).map(f).collect()
    }

    fn f32s(shape: &[usize], v: &[f64]) -> Array {
        Array::from_f32(shape, v.iter().map(|&x| x as f32).collect()).unwrap()
    }

    fn f64s(shape: &[usize], v: &[f64]) -> Array {
        Array::new(shape, occam_graph::Data::F64(v.to_vec())).unwrap()
    }

    /// The kernels and the plain product of columns agree for one to three axes, groups, strides, dilations and uneven
    /// padding.
    #[test]
    fn kernels_agree_with_columns() {
        let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
        for (x, w, strides, pads, dilations, groups) in [
            (vec![2usize, 4, 9], vec![6usize, 2, 3], vec![2i64], vec![1i64, 2], vec![2i64], 2),
            (vec![1, 3, 7, 6], vec![4, 3, 3, 2], vec![1, 2], vec![1, 0, 2, 1], vec![2, 1], 1),
            (
                vec![2, 4, 5, 4, 6],
                vec![4, 2, 2, 3, 3],
                vec![2, 1, 1],
                vec![1, 1, 0, 0, 1, 2],
                vec![1, 1, 2],
                2,
            ),
        ] {
            let op = Onnx::new("Conv", 22, 3)
                .with("strides", ints(&strides))
                .with("pads", ints(&pads))
                .with("dilations", ints(&dilations))
                .with("group", Attribute::Int(groups));
            let (xs, ws) =
                (filled(&x, |i| (i * 7 % 11) as f64 - 5.0), filled(&w, |i| (i * 5 % 7) as f64 - 3.0));
            let bs = filled(&w[..1], |i| i as f64);
            let fast = evaluate(&op, &[f32s(&x, &xs), f32s(&w, &ws), f32s(&w[..1], &bs)]).unwrap();
            let plain = evaluate(&op, &[f64s(&x, &xs), f64s(&w, &ws), f64s(&w[..1], &bs)]).unwrap();
            assert_eq!(fast[0], plain[0].to_f32().unwrap());
        }
    }

    #[test]
    fn transposing_undoes_a_step() {
        let op = Onnx::new("ConvTranspose", 22, 2).with("strides", Attribute::Ints(vec![2, 2]));
        let (x, w) = (f32s(&[1, 1, 1, 2], &[1.0, 2.0]), f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]));
        let y = evaluate(&op, &[x, w]).unwrap();
        assert_eq!(y[0], f32s(&[1, 1, 2, 4], &[1.0, 2.0, 2.0, 4.0, 3.0, 4.0, 6.0, 8.0]));
    }

    #[test]
    fn misfits_are_refused() {
        let x = f32s(&[1, 3, 4, 4], &[0.0; 48]);
        for (op, w, b) in [
            (Onnx::new("Conv", 22, 3), vec![2usize, 2, 1, 1], 2usize),
            (Onnx::new("Conv", 22, 3), vec![2, 3, 5, 5], 2),
            (Onnx::new("Conv", 22, 3), vec![2, 3, 1, 1], 3),
            (Onnx::new("Conv", 22, 3).with("group", Attribute::Int(0)), vec![2, 3, 1, 1], 2),
            (
                Onnx::new("Conv", 22, 3).with("auto_pad", Attribute::String(b"ODD".to_vec())),
                vec![2, 3, 1, 1],
                2,
            ),
        ] {
            let w = f32s(&w, &filled(&w, |_| 0.0));
            assert!(evaluate(&op, &[x.clone(), w, f32s(&[b], &vec![0.0; b])]).is_err(), "{op:?}");
        }
    }
}
