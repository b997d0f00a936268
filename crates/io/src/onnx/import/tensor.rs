//! ONNX's tensors as arrays.

use half::{bf16, f16};
use occam_graph::{Array, DType, Data};

use crate::onnx::proto::{DataLocation, DataType, TensorProto};
use crate::onnx::tensor::unpacked;

/// The elements of a tensor; those that are raw bytes stay where they are until they are asked for.
///
/// # Errors
/// Why it is not a tensor that arrays can hold, to be put behind its name.
pub fn array(tensor: &TensorProto) -> Result<Array, String> {
    let shape = tensor
        .dims
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| format!("size {d} is negative")))
        .collect::<Result<Vec<_>, _>>()?;
    if tensor.data_location() == DataLocation::External {
        return Err("its elements lie in a file that was not read".into());
    }
    if tensor.segment.is_some() {
        return Err("it is a part of a larger tensor, which is not supported".into());
    }
    let dtype = dtype(tensor.data_type.unwrap_or(0))?;
    let made = match (&tensor.raw_data, dtype) {
        (raw, DType::Narrow(of)) if of.bits() == 4 => {
            let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let codes = match raw {
                Some(bytes) => count.and_then(|n| unpacked(bytes, n)),
                None => count.and_then(|n| unpacked(&bytes(&tensor.int32_data), n)),
            };
            let codes = codes
                .ok_or_else(|| format!("its data do not hold elements of type {of} of shape {shape:?}"))?;
            Array::new(shape, Data::Narrow(of, codes))
        }
        (Some(bytes), _) => Array::mapped(dtype, shape, bytes.clone()),
        (None, _) => Array::new(shape, data(tensor, dtype)),
    };
    made.map_err(|e| e.to_string())
}

/// The element type with ONNX's number.
pub(super) fn dtype(number: i32) -> Result<DType, String> {
    occam_graph::onnx::attribute::dtype_of(number.into()).ok_or_else(|| {
        let name = DataType::try_from(number).map_or_else(|_| number.to_string(), |t| format!("{t:?}"));
        format!("element type {name} is not supported")
    })
}

/// Bytes that are written as integers each.
fn bytes(ints: &[i32]) -> Vec<u8> {
    ints.iter().map(|&n| n as u8).collect()
}

/// Elements in the field of their type.
fn data(tensor: &TensorProto, dtype: DType) -> Data {
    let ints = &tensor.int32_data;
    match dtype {
        DType::F32 => Data::F32(tensor.float_data.clone()),
        DType::F64 => Data::F64(tensor.double_data.clone()),
        DType::F16 => Data::F16(ints.iter().map(|&n| f16::from_bits(n as u16)).collect()),
        DType::BF16 => Data::BF16(ints.iter().map(|&n| bf16::from_bits(n as u16)).collect()),
        DType::I8 => Data::I8(ints.iter().map(|&n| n as i8).collect()),
        DType::U8 => Data::U8(ints.iter().map(|&n| n as u8).collect()),
        DType::I16 => Data::I16(ints.iter().map(|&n| n as i16).collect()),
        DType::U16 => Data::U16(ints.iter().map(|&n| n as u16).collect()),
        DType::I32 => Data::I32(ints.clone()),
        DType::U32 => Data::U32(tensor.uint64_data.iter().map(|&n| n as u32).collect()),
        DType::I64 => Data::I64(tensor.int64_data.clone()),
        DType::U64 => Data::U64(tensor.uint64_data.clone()),
        DType::Bool => Data::Bool(ints.iter().map(|&n| n != 0).collect()),
        DType::Narrow(of) => Data::Narrow(of, bytes(ints)),
    }
}
