//! What ONNX Runtime's kernels for processors with AVX2 compute on 8-bit integers, to the last bit.
//!
//! They join the scales before anything is rounded, so that where a sum lies next to the middle of two steps, they may take
//! another one than floats would. The formulas are those of MLAS (`qladd_avx2.cpp`, `qlmul.cpp`, `qlgavgpool.cpp`) and of
//! `qlinear_softmax.cc`, with the fused multiplications that its compiler makes of them; tests compare with what it gives.

use occam_graph::{Array, DType, Data};
use rayon::prelude::*;

use crate::Result;
use crate::error::refuse;
use crate::map::{Lanes, zip};
use crate::numbers::{Element, array};
use crate::ops::Operands;

/// Scale and zero point of a whole array.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    scale: f32,
    zero: i32,
}

/// Integers of 8 bits with one scale.
pub(super) struct Steps<'a> {
    x: &'a Array,
    of: Step,
}

impl Step {
    /// Input `slot` and the zero point that follows it; none where they are not one number of 8 bits.
    fn of(c: &Operands<'_>, slot: usize) -> Result<Option<Self>> {
        let scale = c.array(slot)?;
        let zero = match c.get(slot + 1).map(Array::data) {
            None => 0,
            Some(Data::U8(v)) if v.len() == 1 => i32::from(v[0]),
            Some(Data::I8(v)) if v.len() == 1 => i32::from(v[0]),
            Some(_) => return Ok(None),
        };
        Ok(match scale.data() {
            Data::F32(v) if v.len() == 1 => Some(Self { scale: v[0], zero }),
            _ => None,
        })
    }
}

/// Runs `$body` with the elements of arrays of one type of 8 bits; gives none for other types.
macro_rules! bytes {
    ([$x:ident = $of:expr] => $body:expr) => {
        match $of.data() {
            Data::U8($x) => Some($body?),
            Data::I8($x) => Some($body?),
            _ => None,
        }
    };
    ([$x:ident = $of:expr, $y:ident = $and:expr] => $body:expr) => {
        match ($of.data(), $and.data()) {
            (Data::U8($x), Data::U8($y)) => Some($body?),
            (Data::I8($x), Data::I8($y)) => Some($body?),
            _ => None,
        }
    };
}

/// The nearest integer of the type, halves to even.
fn saturated<T: Element>(x: f32) -> T {
    let (low, high) = if T::DTYPE == DType::I8 { (-128.0, 127.0) } else { (0.0, 255.0) };
    T::from_i64(x.round_ties_even().max(low).min(high) as i64)
}

/// The terms at `slots` and the step of the result; none where the kernels are not for them.
fn terms<'a, const N: usize>(
    c: &'a Operands<'_>,
    slots: [usize; N],
    result: usize,
) -> Result<Option<([Steps<'a>; N], Step)>> {
    let mut list = Vec::with_capacity(N);
    for slot in slots {
        let Some(of) = Step::of(c, slot + 1)? else { return Ok(None) };
        list.push(Steps { x: c.array(slot)?, of });
    }
    let Some(y) = Step::of(c, result)? else { return Ok(None) };
    Ok(list.try_into().ok().map(|list| (list, y)))
}

/// Whether an operand is the same along the innermost axis of `shape` that has more than one element.
fn repeats(own: &[usize], shape: &[usize]) -> bool {
    let last = shape.iter().rposition(|&d| d > 1);
    last.is_none_or(|i| (i + own.len()).checked_sub(shape.len()).is_none_or(|k| own.get(k) == Some(&1)))
}

/// `a · sa / sy + (b · sb / sy + f)` with `f = y0 − (sa / sy · a0 + sb / sy · b0)`; every multiplication is fused with the
/// addition that follows it. Where all of a run of the result has one element of `a`, that is the inner one.
pub(super) fn add(c: &Operands<'_>) -> Result<Option<Array>> {
    let Some(([a, b], y)) = terms(c, [0, 3], 6)? else { return Ok(None) };
    let (sa, sb) = (a.of.scale / y.scale, b.of.scale / y.scale);
    let fixed = y.zero as f32 - sa.mul_add(a.of.zero as f32, sb * b.of.zero as f32);
    fn run<T: Element + Default>(
        (a, sa): ((&[T], &[usize]), f32),
        (b, sb): ((&[T], &[usize]), f32),
        fixed: f32,
    ) -> Result<Array> {
        let number = |x: T| x.to_i64() as f32;
        let shape = crate::view::broadcast(a.1, b.1)?;
        let (shape, y) = if repeats(a.1, &shape) {
            zip(a, b, |a, b| saturated::<T>(number(b).mul_add(sb, number(a).mul_add(sa, fixed))))?
        } else {
            zip(a, b, |a, b| saturated::<T>(number(a).mul_add(sa, number(b).mul_add(sb, fixed))))?
        };
        array(&shape, y)
    }
    Ok(bytes!([u = a.x, v = b.x] => run(((u, a.x.shape()), sa), ((v, b.x.shape()), sb), fixed)))
}

/// `(a − a0) · (b − b0) · (sa · sb / sy) + y0`, rounded once.
pub(super) fn mul(c: &Operands<'_>) -> Result<Option<Array>> {
    let Some(([a, b], y)) = terms(c, [0, 3], 6)? else { return Ok(None) };
    let scale = a.of.scale * b.of.scale / y.scale;
    let zeros = [a.of.zero, b.of.zero].map(i64::from);
    fn run<T: Element + Default>(
        a: (&[T], &[usize]),
        b: (&[T], &[usize]),
        [za, zb]: [i64; 2],
        scale: f32,
        zero: i32,
    ) -> Result<Array> {
        let (shape, y) = zip(a, b, |a, b| {
            let product = (a.to_i64() - za) * (b.to_i64() - zb);
            saturated::<T>(product as f32 * scale + zero as f32)
        })?;
        array(&shape, y)
    }
    Ok(bytes!([u = a.x, v = b.x] => run((u, a.x.shape()), (v, b.x.shape()), zeros, scale, y.zero)))
}

/// `round(Σ (x − x0) · (sx / (sy · n))) + y0` over the `n` elements of a plane.
pub(super) fn global_average(c: &Operands<'_>) -> Result<Option<Array>> {
    let Some(([x], y)) = terms(c, [0], 3)? else { return Ok(None) };
    let Some((outer, spatial)) = x.x.shape().split_at_checked(2).filter(|(_, s)| !s.is_empty()) else {
        return refuse(format!("the input must have rank 3 or more, found {:?}", x.x));
    };
    let plane: usize = spatial.iter().product();
    if plane == 0 {
        return Ok(None);
    }
    let shape: Vec<usize> = outer.iter().copied().chain(spatial.iter().map(|_| 1)).collect();
    let scale = x.of.scale / (y.scale * plane as f32);
    let none = i64::from(x.of.zero) * plane as i64;
    fn run<T: Element>(v: &[T], plane: usize, shape: &[usize], f: impl Fn(i64) -> T + Sync) -> Result<Array> {
        let sums = v.par_chunks(plane).with_min_len((1usize << 14).div_ceil(plane));
        array(shape, sums.map(|p| f(p.iter().map(|x| x.to_i64()).sum())).collect())
    }
    fn mean<T: Element>(sum: i64, scale: f32, zero: i32) -> T {
        // Clamped before the zero point is added, which comes to the same.
        let steps = (sum as f32 * scale).round_ties_even().clamp(-1024.0, 1024.0) as i32;
        saturated((steps + zero) as f32)
    }
    Ok(bytes!([v = x.x] => run(v, plane, &shape, |sum| mean(sum - none, scale, y.zero))))
}

/// `round(e^(x − max) · ⌊1 / sy⌋ / Σ e^(x − max)) + y0` along the last axes, where the exponentials come from a table for all
/// 256 distances from the largest element.
pub(super) fn softmax(c: &Operands<'_>) -> Result<Option<Array>> {
    let Some(([x], y)) = terms(c, [0], 3)? else { return Ok(None) };
    let shape = x.x.shape();
    let old = c.op.int("opset")?.unwrap_or(13) < 13;
    let axis = c.op.int("axis")?.unwrap_or(if old { 1 } else { -1 });
    let axis = occam_graph::onnx::axis_of(axis, shape.len())?;
    let along: Vec<bool> = (0..shape.len()).map(|i| i == axis || (old && i > axis)).collect();
    let count: usize = shape.iter().zip(&along).filter(|(_, a)| **a).map(|(d, _)| d).product();
    if count == 0 {
        return Ok(None);
    }
    // The largest element is taken to stand so high that the sum is as large as floats allow.
    let step = f64::from(x.of.scale);
    let shift = (f64::from(f32::MAX / count as f32).ln() - 5.0).max(0.0) / step;
    let table: Vec<f32> = (0..256).map(|i| ((f64::from(i) - 255.0 + shift) * step).exp() as f32).collect();
    let whole = (1.0 / y.scale).floor();
    fn run<T: Element + Default>(
        v: &[T],
        lanes: &Lanes,
        shape: &[usize],
        table: &[f32],
        (whole, zero): (f32, i32),
    ) -> Result<Array> {
        let out = lanes.map(v, |start, out: &mut Vec<T>| {
            let run = || lanes.run(v, start).map(T::to_i64);
            let most = run().max().unwrap_or(0);
            let exp = |x: i64| table.get((255 - (most - x)) as usize).copied().unwrap_or(0.0);
            let sum: f32 = run().fold(0.0, |sum, x| sum + exp(x));
            let one =
                |x| T::from_i64(((exp(x) * whole / sum).round_ties_even() as i64 + i64::from(zero)).min(255));
            out.extend(run().map(one));
        });
        array(shape, out)
    }
    let lanes = Lanes::new(shape, &along)?;
    Ok(bytes!([v = x.x] => run(v, &lanes, shape, &table, (whole, y.zero))))
}

/// `round(x / sy + y0)`: pools add the zero point before they round.
pub(super) fn quantized_after(
    x: &Array,
    c: &Operands<'_>,
    scale: usize,
    dtype: DType,
) -> Result<Option<Array>> {
    let Some(y) = Step::of(c, scale)? else { return Ok(None) };
    let v = x.as_f32()?;
    let to = |x: f32| x / y.scale + y.zero as f32;
    Ok(match dtype {
        DType::U8 => Some(array::<u8>(x.shape(), v.iter().map(|&x| saturated(to(x))).collect())?),
        DType::I8 => Some(array::<i8>(x.shape(), v.iter().map(|&x| saturated(to(x))).collect())?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, MICROSOFT, Onnx};
    use occam_graph::{Array, Data};

    use crate::evaluate;

    fn u8s(shape: &[usize], v: &[u8]) -> Array {
        Array::new(shape, Data::U8(v.to_vec())).unwrap()
    }

    fn i8s(shape: &[usize], v: &[i8]) -> Array {
        Array::new(shape, Data::I8(v.to_vec())).unwrap()
    }

    fn f(x: f32) -> Array {
        Array::from_f32([], vec![x]).unwrap()
    }

    fn op(name: &str, inputs: usize) -> Onnx {
        Onnx { domain: MICROSOFT.into(), ..Onnx::new(name, 1, inputs) }
    }

    /// The elements as numbers.
    fn result(op: &Onnx, operands: &[Array]) -> Vec<i32> {
        match evaluate(op, operands).unwrap()[0].data() {
            Data::U8(v) => v.iter().map(|&x| x.into()).collect(),
            Data::I8(v) => v.iter().map(|&x| x.into()).collect(),
            _ => panic!("bytes wanted"),
        }
    }

    /// What ONNX Runtime 1.32 gives where floats that are rounded one by one would give another step.
    #[test]
    fn sums_and_products_join_their_scales() {
        let two = |name: &str, [a, b]: [&[u8]; 2], scales: [f32; 3], zeros: [u8; 3]| {
            let z = |i: usize| u8s(&[], &[zeros[i]]);
            let (x, y) = (u8s(&[a.len()], a), u8s(&[b.len()], b));
            let operands = [x, f(scales[0]), z(0), y, f(scales[1]), z(1), f(scales[2]), z(2)];
            result(&op(name, 8), &operands)
        };
        let sum = two(
            "QLinearAdd",
            [&[217, 157, 79, 151, 59, 183], &[218, 196, 221, 253, 227, 225]],
            [0.015_625, 0.031_25, 0.0625],
            [3, 250, 7],
        );
        assert_eq!(sum, vec![44, 18, 12, 46, 10, 40]);
        let product = two(
            "QLinearMul",
            [&[123, 153, 123, 53, 137, 121], &[115, 201, 35, 123, 145, 145]],
            [0.02, 0.03, 0.01],
            [128, 120, 100],
        );
        assert_eq!(product, vec![102, 222, 126, 86, 114, 90]);
        let product = two(
            "QLinearMul",
            [&[37, 49, 97, 75, 73, 115], &[5, 95, 5, 13, 75, 49]],
            [0.1, 0.3, 0.9],
            [10, 10, 20],
        );
        assert_eq!(product, vec![16, 130, 5, 26, 156, 156]);
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn means_are_rounded_once() {
        let x = [120, 57, 249, 87, 70, 33, 127, 8, 223, 246, 83, 160, 90, 45, 58, 136];
        let z = |n| u8s(&[], &[n]);
        let pool = op("QLinearAveragePool", 5).with("kernel_shape", Attribute::Ints(vec![2, 2]));
        let operands = [u8s(&[1, 1, 4, 4], &x), f(0.05), z(3), f(0.05), z(9)];
        assert_eq!(result(&pool, &operands), vec![76, 122, 124, 149, 128, 101, 157, 114, 115]);
        let x = [127, 114, 7, 99, 174, 20, 126, 157, 0, 201, 230, 57, 14, 200, 7, 243, 17, 209];
        let operands = [u8s(&[1, 2, 3, 3], &x), f(0.05), z(3), f(0.02), z(9)];
        assert_eq!(result(&op("QLinearGlobalAveragePool", 5), &operands), vec![230, 255]);
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn exponentials_come_from_a_table() {
        let softmax =
            op("QLinearSoftmax", 5).with("opset", Attribute::Int(13)).with("axis", Attribute::Int(-1));
        let x = u8s(&[2, 7], &[72, 70, 79, 89, 64, 80, 88, 74, 79, 75, 81, 61, 78, 63]);
        let operands = [x, f(0.1), u8s(&[], &[3]), f(1.0 / 256.0), u8s(&[], &[0])];
        let wanted = vec![15, 12, 30, 83, 7, 34, 75, 33, 54, 36, 66, 9, 49, 11];
        assert_eq!(result(&softmax, &operands), wanted);
        let x = i8s(&[2, 7], &[-71, -32, -57, -104, 126, 46, 104, 43, -70, -81, -112, -26, 75, 66]);
        let operands = [x, f(0.02), i8s(&[], &[3]), f(1.0 / 256.0), i8s(&[], &[-128])];
        let wanted = vec![-125, -122, -125, -127, 4, -101, -43, -76, -123, -124, -126, -115, -30, -46];
        assert_eq!(result(&softmax, &operands), wanted);
    }

    #[test]
    fn others_are_computed_in_floats() {
        let scales = Array::from_f32([2], vec![0.1, 0.2]).unwrap();
        let zeros = u8s(&[2], &[0, 0]);
        let x = u8s(&[1, 2], &[10, 10]);
        let operands = [x.clone(), scales, zeros, x, f(0.1), u8s(&[], &[0]), f(0.1), u8s(&[], &[0])];
        assert_eq!(result(&op("QLinearAdd", 8), &operands), vec![20, 30]);
    }
}
