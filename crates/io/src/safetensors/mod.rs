//! Weights in [safetensors](https://github.com/huggingface/safetensors) files.
//!
//! A file is the length of a header, the header (JSON: name to element type, shape and place) and the elements. The
//! header's order is the weights' order. The elements lie by falling alignment, and in the weights' order within one
//! alignment, so that every array can be read where it lies; this is what other writers do, too.

mod header;
mod read;
mod write;

pub use read::{load, load_bytes};
pub use write::save;

use occam_graph::{DType, Narrow};
use safetensors::Dtype;

/// Types that arrays and files both have, as the format calls them.
const KNOWN: &str = "F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, BOOL, F8_E4M3, F8_E4M3FNUZ, \
                     F8_E5M2, F8_E5M2FNUZ";

/// What the format calls a type; none for those of 4 bits.
fn to_file(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::I16 => Dtype::I16,
        DType::U16 => Dtype::U16,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::I64 => Dtype::I64,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
        DType::Narrow(Narrow::F8E4M3FN) => Dtype::F8_E4M3,
        DType::Narrow(Narrow::F8E4M3FNUZ) => Dtype::F8_E4M3FNUZ,
        DType::Narrow(Narrow::F8E5M2) => Dtype::F8_E5M2,
        DType::Narrow(Narrow::F8E5M2FNUZ) => Dtype::F8_E5M2FNUZ,
        DType::Narrow(_) => return None,
    })
}

fn from_file(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::I16 => DType::I16,
        Dtype::U16 => DType::U16,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::I64 => DType::I64,
        Dtype::U64 => DType::U64,
        Dtype::BOOL => DType::Bool,
        Dtype::F8_E4M3 => DType::Narrow(Narrow::F8E4M3FN),
        Dtype::F8_E4M3FNUZ => DType::Narrow(Narrow::F8E4M3FNUZ),
        Dtype::F8_E5M2 => DType::Narrow(Narrow::F8E5M2),
        Dtype::F8_E5M2FNUZ => DType::Narrow(Narrow::F8E5M2FNUZ),
        _ => return None,
    })
}
