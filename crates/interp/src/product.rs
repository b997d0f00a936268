//! Products of matrices on slices.

use gemm::Parallelism;
use half::{bf16, f16};
use occam_graph::{Array, DType};
use rayon::prelude::*;

use crate::Result;
use crate::error::refuse;
use crate::numbers::{Element, array, from_f64, to_i64};
use crate::view;

/// Sizes of a product: `[m, k]` with `[k, n]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// Where a matrix lies in a slice: distance of rows and of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub row: usize,
    pub column: usize,
}

impl Layout {
    /// A row-major matrix of `columns`, or its transpose.
    pub fn of(columns: usize, transposed: bool) -> Self {
        if transposed { Self { row: 1, column: columns } } else { Self { row: columns, column: 1 } }
    }

    /// Whether a matrix of these sizes lies in `len` elements.
    fn fits(self, rows: usize, columns: usize, len: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < len
    }
}

/// Numbers that matrices are multiplied in.
pub(crate) trait Multiply: Element + Default {
    /// `out = a · b`, row-major; `parallel` says whether other threads may help. Slices are large enough.
    fn product(s: Sizes, a: (&[Self], Layout), b: (&[Self], Layout), out: &mut [Self], parallel: bool);
    /// `a + b`
    fn plus(self, other: Self) -> Self;
    /// `a · b`
    fn times(self, other: Self) -> Self;
}

macro_rules! floats {
    ($($t:ty)*) => {
        $(impl Multiply for $t {
            fn product(s: Sizes, a: (&[Self], Layout), b: (&[Self], Layout), out: &mut [Self], parallel: bool) {
                let parallelism = if parallel { Parallelism::Rayon(0) } else { Parallelism::None };
                let step = |n: usize| n as isize;
                // SAFETY: `multiply` checked that both operands and the result lie in their slices.
                unsafe {
                    gemm::gemm(
                        s.m,
                        s.n,
                        s.k,
                        out.as_mut_ptr(),
                        1,
                        step(s.n),
                        false,
                        a.0.as_ptr(),
                        step(a.1.column),
                        step(a.1.row),
                        b.0.as_ptr(),
                        step(b.1.column),
                        step(b.1.row),
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        parallelism,
                    );
                }
            }

            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn times(self, other: Self) -> Self {
                self * other
            }
        })*
    };
}

floats!(f32 f64);

impl Multiply for i64 {
    fn product(s: Sizes, a: (&[Self], Layout), b: (&[Self], Layout), out: &mut [Self], parallel: bool) {
        let row = |(i, out): (usize, &mut [i64])| {
            out.fill(0);
            for p in 0..s.k {
                let x = a.0.get(i * a.1.row + p * a.1.column).copied().unwrap_or(0);
                let line = b.0.iter().skip(p * b.1.row).step_by(b.1.column.max(1));
                for (y, &w) in out.iter_mut().zip(line) {
                    *y = y.wrapping_add(x.wrapping_mul(w));
                }
            }
        };
        if parallel {
            out.par_chunks_mut(s.n.max(1)).enumerate().for_each(row);
        } else {
            out.chunks_mut(s.n.max(1)).enumerate().for_each(row);
        }
    }

    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
}

/// `out = a · b`, row-major.
///
/// # Errors
/// A matrix does not lie in its slice.
pub(crate) fn multiply<T: Multiply>(
    s: Sizes,
    a: (&[T], Layout),
    b: (&[T], Layout),
    out: &mut [T],
    parallel: bool,
) -> Result<()> {
    let fits = a.1.fits(s.m, s.k, a.0.len()) && b.1.fits(s.k, s.n, b.0.len());
    if !fits || view::count(&[s.m, s.n])? != out.len() {
        return refuse(format!("matrices of {s:?} do not lie in their operands"));
    }
    if s.k == 0 {
        out.fill(T::default());
    } else if !out.is_empty() {
        T::product(s, a, b, out, parallel);
    }
    Ok(())
}

/// Many products at once: result `i` is that of the matrices that begin at the `i`-th pair of offsets.
///
/// # Errors
/// A matrix does not lie in its slice.
pub(crate) fn multiply_all<T: Multiply>(
    s: Sizes,
    a: (&[T], Layout),
    b: (&[T], Layout),
    offsets: &[[usize; 2]],
) -> Result<Vec<T>> {
    let each = view::count(&[s.m, s.n])?;
    let mut out = vec![T::default(); view::count(&[offsets.len(), each])?];
    if each == 0 {
        return Ok(out);
    }
    let many = offsets.len() >= rayon::current_num_threads();
    let one = |(out, &[i, j]): (&mut [T], &[usize; 2])| {
        let rest = |v: &'_ [T], from: usize| v.len().min(from);
        let (x, y) = (&a.0[rest(a.0, i)..], &b.0[rest(b.0, j)..]);
        multiply(s, (x, a.1), (y, b.1), out, !many)
    };
    if many {
        out.par_chunks_mut(each).zip(offsets).try_for_each(one)?;
    } else {
        out.chunks_mut(each).zip(offsets).try_for_each(one)?;
    }
    Ok(out)
}

/// An array in one of the types that matrices are multiplied in: floats below 32 bits as `f32`, integers as `i64`.
pub(crate) enum Wide {
    F32(Array),
    F64(Array),
    I64(Vec<i64>),
}

impl Wide {
    /// The elements of an array.
    ///
    /// # Errors
    /// They are truth values, or of a narrow type.
    pub fn of(a: &Array) -> Result<Self> {
        Ok(match a.dtype() {
            DType::F64 => Wide::F64(a.clone()),
            DType::F32 | DType::F16 | DType::BF16 => Wide::F32(a.to_f32()?),
            DType::Bool | DType::Narrow(_) => return refuse(format!("numbers wanted, found {a:?}")),
            _ => Wide::I64(to_i64(a)?),
        })
    }
}

/// Runs `$body` with the elements of several arrays of one type as slices of the type that they are multiplied in, and
/// gives its elements as an array of the type of the arrays.
macro_rules! in_wide {
    ($dtype:expr, $shape:expr, [$($name:ident = $array:expr),*] => $body:expr) => {{
        use crate::product::Wide;
        let (dtype, shape): (occam_graph::DType, Vec<usize>) = ($dtype, $shape);
        match ($(Wide::of($array)?),*) {
            ($(Wide::F32($name)),*) => {
                $(let $name = $name.as_f32()?;)*
                crate::product::narrow(dtype, &shape, $body)
            }
            ($(Wide::F64($name)),*) => {
                $(let $name = crate::numbers::elements::<f64>(&$name)?;)*
                crate::product::narrow(dtype, &shape, $body)
            }
            ($(Wide::I64($name)),*) => {
                $(let $name = $name.as_slice();)*
                crate::product::narrow(dtype, &shape, $body)
            }
            _ => crate::error::refuse("operands must have the same type"),
        }
    }};
}
pub(crate) use in_wide;

/// Numbers as elements of `dtype`: floats round, integers wrap.
pub(crate) fn narrow<T: Multiply>(dtype: DType, shape: &[usize], data: Vec<T>) -> Result<Array> {
    fn to<T: Element, U: Element>(shape: &[usize], data: &[T]) -> Result<Array> {
        let int = !T::DTYPE.is_float();
        let cast = |&x: &T| if int { U::from_i64(x.to_i64()) } else { U::from_f64(x.to_f64()) };
        array(shape, data.iter().map(cast).collect())
    }
    if dtype == T::DTYPE {
        return array(shape, data);
    }
    match dtype {
        DType::F32 => to::<T, f32>(shape, &data),
        DType::F64 => to::<T, f64>(shape, &data),
        DType::F16 => to::<T, f16>(shape, &data),
        DType::BF16 => to::<T, bf16>(shape, &data),
        DType::I8 => to::<T, i8>(shape, &data),
        DType::U8 => to::<T, u8>(shape, &data),
        DType::I16 => to::<T, i16>(shape, &data),
        DType::U16 => to::<T, u16>(shape, &data),
        DType::I32 => to::<T, i32>(shape, &data),
        DType::U32 => to::<T, u32>(shape, &data),
        DType::I64 => to::<T, i64>(shape, &data),
        DType::U64 => to::<T, u64>(shape, &data),
        DType::Bool => to::<T, bool>(shape, &data),
        DType::Narrow(_) => from_f64(dtype, shape, &data.iter().map(|x| x.to_f64()).collect::<Vec<_>>()),
    }
}
