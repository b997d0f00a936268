//! Arrays as ONNX's tensors.

use occam_graph::{Array, DType, Data, Narrow};
use prost::bytes::Bytes;

use super::proto::{DataType, TensorProto};
use super::to_i64;
use crate::Result;
use crate::bytes::shared_le_bytes;

/// ONNX's name of an element type.
pub(super) fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
        DType::F16 => DataType::Float16,
        DType::BF16 => DataType::Bfloat16,
        DType::I8 => DataType::Int8,
        DType::U8 => DataType::Uint8,
        DType::I16 => DataType::Int16,
        DType::U16 => DataType::Uint16,
        DType::I32 => DataType::Int32,
        DType::U32 => DataType::Uint32,
        DType::I64 => DataType::Int64,
        DType::U64 => DataType::Uint64,
        DType::Bool => DataType::Bool,
        DType::Narrow(Narrow::I4) => DataType::Int4,
        DType::Narrow(Narrow::U4) => DataType::Uint4,
        DType::Narrow(Narrow::F4E2M1) => DataType::Float4e2m1,
        DType::Narrow(Narrow::F8E4M3FN) => DataType::Float8e4m3fn,
        DType::Narrow(Narrow::F8E4M3FNUZ) => DataType::Float8e4m3fnuz,
        DType::Narrow(Narrow::F8E5M2) => DataType::Float8e5m2,
        DType::Narrow(Narrow::F8E5M2FNUZ) => DataType::Float8e5m2fnuz,
    }
}

/// Elements of 4 bits two a byte, the first in the low half.
fn packed(codes: &[u8]) -> Vec<u8> {
    let pair = |pair: &[u8]| pair.iter().rev().fold(0, |byte, code| byte << 4 | code & 0x0f);
    codes.chunks(2).map(pair).collect()
}

/// `count` elements of 4 bits that [`packed`] wrote; none where there are not as many bytes.
pub(super) fn unpacked(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    if bytes.len() != count.div_ceil(2) {
        return None;
    }
    Some(bytes.iter().flat_map(|b| [b & 0x0f, b >> 4]).take(count).collect())
}

fn raw(array: &Array) -> Bytes {
    if array.dtype().narrow().is_some_and(|of| of.bits() == 4)
        && let Data::Narrow(_, codes) = array.data()
    {
        return packed(codes).into();
    }
    shared_le_bytes(array)
}

/// `array` under `name`; the elements are shared with it, but for those of 4 bits.
pub(super) fn tensor(name: &str, array: &Array) -> Result<TensorProto> {
    Ok(TensorProto {
        name: Some(name.into()),
        dims: array.shape().iter().map(|&d| to_i64(d)).collect::<Result<_>>()?,
        data_type: Some(data_type(array.dtype()).into()),
        raw_data: Some(raw(array)),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::array;

    #[test]
    fn four_bits_lie_low_half_first() {
        let x = Array::new([5], Data::Narrow(Narrow::I4, vec![1, 15, 8, 0, 7])).unwrap();
        let mut written = tensor("x", &x).unwrap();
        assert_eq!(written.raw_data.as_deref(), Some(&[0xf1, 0x08, 0x07][..]));
        assert_eq!(array(&written).unwrap(), x);
        written.int32_data = vec![0xf1, 0x08, 0x07];
        written.raw_data = None;
        assert_eq!(array(&written).unwrap(), x);
        written.int32_data.pop();
        assert!(array(&written).is_err());
        written.raw_data = Some(vec![0; 5].into());
        assert!(array(&written).is_err());
        let x = Array::new([2], Data::Narrow(Narrow::F8E5M2, vec![0x7c, 0xff])).unwrap();
        assert_eq!(array(&tensor("x", &x).unwrap()).unwrap(), x);
    }
}
