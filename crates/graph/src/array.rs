//! Arrays in host memory: what files, data sets and passes exchange.

use std::fmt;
use std::sync::{Arc, OnceLock};

use half::{bf16, f16};

use crate::{DType, Error, Narrow, Result};

/// The elements of an [`Array`], one variant an element type.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    Bool(Vec<bool>),
    /// One code a byte, see [`Narrow`].
    Narrow(Narrow, Vec<u8>),
}

/// Runs `$body` with `$v` bound to the vector of whichever variant `$data` is.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            Data::F32($v) => $body,
            Data::F64($v) => $body,
            Data::F16($v) => $body,
            Data::BF16($v) => $body,
            Data::I8($v) => $body,
            Data::U8($v) => $body,
            Data::I16($v) => $body,
            Data::U16($v) => $body,
            Data::I32($v) => $body,
            Data::U32($v) => $body,
            Data::I64($v) => $body,
            Data::U64($v) => $body,
            Data::Bool($v) => $body,
            Data::Narrow(_, $v) => $body,
        }
    };
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::F16(_) => DType::F16,
            Data::BF16(_) => DType::BF16,
            Data::I8(_) => DType::I8,
            Data::U8(_) => DType::U8,
            Data::I16(_) => DType::I16,
            Data::U16(_) => DType::U16,
            Data::I32(_) => DType::I32,
            Data::U32(_) => DType::U32,
            Data::I64(_) => DType::I64,
            Data::U64(_) => DType::U64,
            Data::Bool(_) => DType::Bool,
            Data::Narrow(of, _) => DType::Narrow(*of),
        }
    }
}

/// Elements in memory, or little-endian bytes of someone else that become elements when first asked for.
struct Elements {
    dtype: DType,
    len: usize,
    data: OnceLock<Data>,
    bytes: Option<Box<dyn AsRef<[u8]> + Send + Sync>>,
}

/// A dense row-major array of any rank; clones share the elements.
#[derive(Clone)]
pub struct Array {
    shape: Vec<usize>,
    elements: Arc<Elements>,
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.dtype() == other.dtype()
            && match (self.raw_bytes(), other.raw_bytes()) {
                (Some(a), Some(b)) if !self.dtype().is_float() => a == b,
                _ => self.data() == other.data(),
            }
    }
}

/// Number of elements of `shape`.
fn count(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or_else(|| Error::Array(format!("shape {shape:?} has too many elements")))
}

impl Array {
    /// An array of `shape` over `data` in row-major order.
    ///
    /// # Errors
    /// The number of elements is not the product of `shape`, or an element has bits that its type does not.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Self> {
        let shape = shape.into();
        let wanted = count(&shape)?;
        if wanted != data.len() {
            return Err(Error::Array(format!(
                "shape {shape:?} needs {wanted} elements, {} given",
                data.len()
            )));
        }
        if let Data::Narrow(of, codes) = &data
            && let Some(code) = codes.iter().find(|&&c| c > of.last_code())
        {
            return Err(Error::Array(format!("{code:#x} is no element of type {of}")));
        }
        Ok(Self::owned(shape, data))
    }

    fn owned(shape: Vec<usize>, data: Data) -> Self {
        let (dtype, len) = (data.dtype(), data.len());
        Self { shape, elements: Arc::new(Elements { dtype, len, data: data.into(), bytes: None }) }
    }

    /// An array over little-endian bytes that stay where they are, such as those of a mapped file; they are read when
    /// elements are first asked for.
    ///
    /// # Errors
    /// The length is not the size of `shape` in that type.
    pub fn mapped(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let shape = shape.into();
        let len = count(&shape)?;
        let found = bytes.as_ref().len();
        if len.checked_mul(dtype.size()) != Some(found) {
            let message = format!("{found} bytes do not hold {len} elements of type {dtype}");
            return Err(Error::Array(message));
        }
        let elements = Elements { dtype, len, data: OnceLock::new(), bytes: Some(Box::new(bytes)) };
        Ok(Self { shape, elements: Arc::new(elements) })
    }

    /// The little-endian bytes that the array was made over, where it was (see [`Array::mapped`]).
    pub fn raw_bytes(&self) -> Option<&[u8]> {
        self.elements.bytes.as_deref().map(AsRef::as_ref)
    }

    /// `f32` elements; see [`Array::new`].
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        Self::new(shape, Data::F32(data))
    }

    /// `i64` elements; see [`Array::new`].
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_i64(shape: impl Into<Vec<usize>>, data: Vec<i64>) -> Result<Self> {
        Self::new(shape, Data::I64(data))
    }

    /// `f32` array with every element equal to `value`.
    pub fn full(shape: impl Into<Vec<usize>>, value: f32) -> Self {
        let shape = shape.into();
        let n = shape.iter().product();
        Self::owned(shape, Data::F32(vec![value; n]))
    }

    /// Sizes, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.elements.len == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.elements.dtype
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        let elements = &*self.elements;
        elements.data.get_or_init(|| read(elements.dtype, self.raw_bytes().unwrap_or_default()))
    }

    /// The elements, without a copy where this is their only owner.
    pub fn into_data(self) -> Data {
        self.data();
        match Arc::try_unwrap(self.elements) {
            Ok(Elements { dtype, data, .. }) => data.into_inner().unwrap_or_else(|| read(dtype, &[])),
            Err(shared) => shared.data.get().cloned().unwrap_or_else(|| read(shared.dtype, &[])),
        }
    }

    /// The elements as `f32`.
    ///
    /// # Errors
    /// The element type is another one.
    pub fn as_f32(&self) -> Result<&[f32]> {
        match self.data() {
            Data::F32(v) => Ok(v),
            other => Err(Error::Array(format!("f32 elements wanted, found {}", other.dtype()))),
        }
    }

    /// The same numbers as `f32`, rounded where they come from a wider type.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn to_f32(&self) -> Result<Self> {
        let data = match self.data() {
            Data::F32(_) => return Ok(self.clone()),
            Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::BF16(v) => v.iter().map(|x| x.to_f32()).collect(),
            other => return Err(Error::Array(format!("floats wanted, found {}", other.dtype()))),
        };
        Self::from_f32(self.shape.clone(), data)
    }

    /// The elements as `i64`.
    ///
    /// # Errors
    /// The element type is another one.
    pub fn as_i64(&self) -> Result<&[i64]> {
        match self.data() {
            Data::I64(v) => Ok(v),
            other => Err(Error::Array(format!("i64 elements wanted, found {}", other.dtype()))),
        }
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// The element counts differ.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        if shape.iter().product::<usize>() != self.len() {
            return Err(Error::Array(format!("{:?} cannot be viewed as {shape:?}", self.shape)));
        }
        Ok(Self { shape, elements: self.elements.clone() })
    }

    /// The elements in memory order as little-endian bytes (bool and the types of 4 bits: one byte each).
    pub fn to_le_bytes(&self) -> Vec<u8> {
        fn bytes<T: Copy, const N: usize>(v: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            v.iter().flat_map(|&x| f(x)).collect()
        }
        match self.data() {
            Data::F32(v) => bytes(v, f32::to_le_bytes),
            Data::F64(v) => bytes(v, f64::to_le_bytes),
            Data::F16(v) => bytes(v, f16::to_le_bytes),
            Data::BF16(v) => bytes(v, bf16::to_le_bytes),
            Data::I8(v) => bytes(v, i8::to_le_bytes),
            Data::U8(v) => v.clone(),
            Data::I16(v) => bytes(v, i16::to_le_bytes),
            Data::U16(v) => bytes(v, u16::to_le_bytes),
            Data::I32(v) => bytes(v, i32::to_le_bytes),
            Data::U32(v) => bytes(v, u32::to_le_bytes),
            Data::I64(v) => bytes(v, i64::to_le_bytes),
            Data::U64(v) => bytes(v, u64::to_le_bytes),
            Data::Bool(v) => v.iter().map(|&b| u8::from(b)).collect(),
            Data::Narrow(_, v) => v.clone(),
        }
    }

    /// Reads little-endian elements of `dtype`, as [`Array::to_le_bytes`] writes them.
    ///
    /// # Errors
    /// The length is not the size of `shape` in that type.
    pub fn from_le_bytes(dtype: DType, shape: impl Into<Vec<usize>>, bytes: &[u8]) -> Result<Self> {
        if !bytes.len().is_multiple_of(dtype.size()) {
            return Err(Error::Array(format!(
                "{} bytes are no whole number of {dtype} elements",
                bytes.len()
            )));
        }
        Self::new(shape, read(dtype, bytes))
    }
}

/// As many whole elements as `bytes` hold.
fn read(dtype: DType, bytes: &[u8]) -> Data {
    fn each<T, const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&c| f(c)).collect()
    }
    match dtype {
        DType::F32 => Data::F32(each(bytes, f32::from_le_bytes)),
        DType::F64 => Data::F64(each(bytes, f64::from_le_bytes)),
        DType::F16 => Data::F16(each(bytes, f16::from_le_bytes)),
        DType::BF16 => Data::BF16(each(bytes, bf16::from_le_bytes)),
        DType::I8 => Data::I8(each(bytes, i8::from_le_bytes)),
        DType::U8 => Data::U8(bytes.to_vec()),
        DType::I16 => Data::I16(each(bytes, i16::from_le_bytes)),
        DType::U16 => Data::U16(each(bytes, u16::from_le_bytes)),
        DType::I32 => Data::I32(each(bytes, i32::from_le_bytes)),
        DType::U32 => Data::U32(each(bytes, u32::from_le_bytes)),
        DType::I64 => Data::I64(each(bytes, i64::from_le_bytes)),
        DType::U64 => Data::U64(each(bytes, u64::from_le_bytes)),
        DType::Bool => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
        DType::Narrow(of) => Data::Narrow(of, bytes.iter().map(|&b| b & of.last_code()).collect()),
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype(), self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let arrays = [
            Array::from_f32([2, 2], vec![1.0, -2.5, f32::MAX, 0.0]).unwrap(),
            Array::from_i64([3], vec![i64::MIN, 0, 7]).unwrap(),
            Array::new([2], Data::Bool(vec![true, false])).unwrap(),
            Array::new([1], Data::F16(vec![f16::from_f32(0.5)])).unwrap(),
        ];
        for a in arrays {
            let b = Array::from_le_bytes(a.dtype(), a.shape(), &a.to_le_bytes()).unwrap();
            assert_eq!(a, b);
        }
    }

    #[test]
    fn mapped_bytes_are_elements() {
        let bytes = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mapped = Array::mapped(DType::F32, [2], bytes).unwrap();
        assert_eq!(mapped, Array::from_f32([2], vec![1.5, -2.0]).unwrap());
        assert!(mapped.clone().into_data() == Data::F32(vec![1.5, -2.0]));
        assert!(mapped.into_data() == Data::F32(vec![1.5, -2.0]));
        assert!(Array::mapped(DType::I64, [2], vec![0; 8]).is_err());
    }

    #[test]
    fn codes_have_the_bits_of_their_type() {
        let codes = |of, v: &[u8]| Array::new([v.len()], Data::Narrow(of, v.to_vec()));
        assert_eq!(codes(Narrow::U4, &[0, 15]).unwrap().dtype().to_string(), "u4");
        assert!(codes(Narrow::I4, &[16]).is_err());
        let x = codes(Narrow::F8E5M2, &[0x7c, 0xff]).unwrap();
        assert_eq!(Array::from_le_bytes(x.dtype(), [2], &x.to_le_bytes()).unwrap(), x);
    }

    #[test]
    fn refuses_wrong_sizes() {
        assert!(Array::from_f32([2, 3], vec![0.0; 5]).is_err());
        assert!(Array::from_f32([usize::MAX, 3], vec![]).is_err());
        assert!(Array::from_le_bytes(DType::F32, [1], &[0; 5]).is_err());
        assert!(Array::full([4], 0.0).reshape([3]).is_err());
    }
}
