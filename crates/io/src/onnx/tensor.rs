//! Arrays as ONNX's tensors.

use occam_graph::{Array, DType};

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
    }
}

/// `array` under `name`; the elements are shared with it.
pub(super) fn tensor(name: &str, array: &Array) -> Result<TensorProto> {
    Ok(TensorProto {
        name: Some(name.into()),
        dims: array.shape().iter().map(|&d| to_i64(d)).collect::<Result<_>>()?,
        data_type: Some(data_type(array.dtype()).into()),
        raw_data: Some(shared_le_bytes(array)),
        ..Default::default()
    })
}
