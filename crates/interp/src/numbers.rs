//! Numbers of all element types.

use half::{bf16, f16};
use occam_graph::{Array, DType, Data, Narrow};

use crate::Result;
use crate::error::refuse;

/// An element type that arithmetic is done in.
pub(crate) trait Element: Copy + Send + Sync + PartialEq + PartialOrd + 'static {
    /// Its name at run time.
    const DTYPE: DType;
    /// The vector as an array's elements.
    fn wrap(data: Vec<Self>) -> Data;
    /// The elements, where they are of this type.
    fn slice(data: &Data) -> Option<&[Self]>;
    /// The nearest `f64`.
    fn to_f64(self) -> f64;
    /// From an `f64`: floats round, integers truncate and saturate, truth is what is not 0.
    fn from_f64(x: f64) -> Self;
    /// As an integer: floats truncate and saturate.
    fn to_i64(self) -> i64;
    /// From an integer: floats round, integers wrap, truth is what is not 0.
    fn from_i64(n: i64) -> Self;
}

macro_rules! elements {
    ($($t:ty, $v:ident, $dtype:ident, |$x:ident| $to:expr, |$y:ident| $from:expr, |$z:ident| $int:expr, |$w:ident| $of:expr;)*) => {
        $(impl Element for $t {
            const DTYPE: DType = DType::$dtype;

            fn wrap(data: Vec<Self>) -> Data {
                Data::$v(data)
            }

            fn slice(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$v(v) => Some(v),
                    _ => None,
                }
            }

            fn to_f64(self) -> f64 {
                let $x = self;
                $to
            }

            fn from_f64($y: f64) -> Self {
                $from
            }

            fn to_i64(self) -> i64 {
                let $z = self;
                $int
            }

            fn from_i64($w: i64) -> Self {
                $of
            }
        })*
    };
}

elements! {
    f32, F32, F32, |x| x.into(), |y| y as f32, |z| z as i64, |w| w as f32;
    f64, F64, F64, |x| x, |y| y, |z| z as i64, |w| w as f64;
    f16, F16, F16, |x| x.to_f64(), |y| f16::from_f64(y), |z| z.to_f64() as i64, |w| f16::from_f64(w as f64);
    bf16, BF16, BF16, |x| x.to_f64(), |y| bf16::from_f64(y), |z| z.to_f64() as i64, |w| bf16::from_f64(w as f64);
    i8, I8, I8, |x| x.into(), |y| y as i8, |z| z.into(), |w| w as i8;
    u8, U8, U8, |x| x.into(), |y| y as u8, |z| z.into(), |w| w as u8;
    i16, I16, I16, |x| x.into(), |y| y as i16, |z| z.into(), |w| w as i16;
    u16, U16, U16, |x| x.into(), |y| y as u16, |z| z.into(), |w| w as u16;
    i32, I32, I32, |x| x.into(), |y| y as i32, |z| z.into(), |w| w as i32;
    u32, U32, U32, |x| x.into(), |y| y as u32, |z| z.into(), |w| w as u32;
    i64, I64, I64, |x| x as f64, |y| y as i64, |z| z, |w| w;
    u64, U64, U64, |x| x as f64, |y| y as u64, |z| z as i64, |w| w as u64;
    bool, Bool, Bool, |x| f64::from(u8::from(x)), |y| y != 0.0, |z| z.into(), |w| w != 0;
}

/// Runs `$body` with `$v` bound to the elements' slice, whatever numbers they are; truth values too, and the codes of
/// narrow types.
macro_rules! each_type {
    ($array:expr, $v:ident => $body:expr) => {
        match $array.data() {
            occam_graph::Data::F32($v) => $body,
            occam_graph::Data::F64($v) => $body,
            occam_graph::Data::F16($v) => $body,
            occam_graph::Data::BF16($v) => $body,
            occam_graph::Data::I8($v) => $body,
            occam_graph::Data::U8($v) => $body,
            occam_graph::Data::I16($v) => $body,
            occam_graph::Data::U16($v) => $body,
            occam_graph::Data::I32($v) => $body,
            occam_graph::Data::U32($v) => $body,
            occam_graph::Data::I64($v) => $body,
            occam_graph::Data::U64($v) => $body,
            occam_graph::Data::Bool($v) => $body,
            occam_graph::Data::Narrow(_, $v) => $body,
        }
    };
}
pub(crate) use each_type;

/// The elements as `f64`.
pub(crate) fn to_f64(array: &Array) -> Vec<f64> {
    if let Data::Narrow(of, codes) = array.data() {
        return codes.iter().map(|&c| of.decode(c).into()).collect();
    }
    each_type!(array, v => v.iter().map(|&x| Element::to_f64(x)).collect())
}

/// The elements as `i64`.
///
/// # Errors
/// They are no integers.
pub(crate) fn to_i64(array: &Array) -> Result<Vec<i64>> {
    match array.data() {
        Data::Narrow(of, codes) if !of.is_float() => {
            return Ok(codes.iter().map(|&c| of.decode(c) as i64).collect());
        }
        data if data.dtype().is_float() || data.dtype().narrow().is_some() => {
            return refuse(format!("integers wanted, found {array:?}"));
        }
        _ => {}
    }
    Ok(each_type!(array, v => v.iter().map(|&x| Element::to_i64(x)).collect()))
}

/// The elements of type `T`.
///
/// # Errors
/// They are of another type.
pub(crate) fn elements<T: Element>(array: &Array) -> Result<&[T]> {
    match T::slice(array.data()) {
        Some(v) => Ok(v),
        None => refuse(format!("{} elements wanted, found {array:?}", T::DTYPE)),
    }
}

/// An array of `shape`.
pub(crate) fn array<T: Element>(shape: &[usize], data: Vec<T>) -> Result<Array> {
    Ok(Array::new(shape, T::wrap(data))?)
}

/// An array of a narrow type, one code an element.
pub(crate) fn coded(of: Narrow, shape: &[usize], codes: Vec<u8>) -> Result<Array> {
    Ok(Array::new(shape, Data::Narrow(of, codes))?)
}

/// `f64` numbers as elements of `dtype`, see [`Element::from_f64`]; those of narrow types saturate.
pub(crate) fn from_f64(dtype: DType, shape: &[usize], data: &[f64]) -> Result<Array> {
    fn to<T: Element>(shape: &[usize], data: &[f64]) -> Result<Array> {
        array(shape, data.iter().map(|&x| T::from_f64(x)).collect())
    }
    match dtype {
        DType::F32 => to::<f32>(shape, data),
        DType::F64 => to::<f64>(shape, data),
        DType::F16 => to::<f16>(shape, data),
        DType::BF16 => to::<bf16>(shape, data),
        DType::I8 => to::<i8>(shape, data),
        DType::U8 => to::<u8>(shape, data),
        DType::I16 => to::<i16>(shape, data),
        DType::U16 => to::<u16>(shape, data),
        DType::I32 => to::<i32>(shape, data),
        DType::U32 => to::<u32>(shape, data),
        DType::I64 => to::<i64>(shape, data),
        DType::U64 => to::<u64>(shape, data),
        DType::Bool => to::<bool>(shape, data),
        DType::Narrow(of) => coded(of, shape, data.iter().map(|&x| of.encode(x, true)).collect()),
    }
}
