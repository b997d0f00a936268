//! Element types.

use std::fmt;

use crate::Narrow;

/// Element type of a value or an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DType {
    F32,
    F64,
    F16,
    BF16,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
    /// One of the types below 8 bits and the floats of 8.
    Narrow(Narrow),
}

impl DType {
    /// Bytes an element takes in an array.
    pub fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::I8 | DType::U8 | DType::Bool | DType::Narrow(_) => 1,
        }
    }

    /// Whether it is an integer type that is computed in; `bool` is none.
    pub fn is_integer(self) -> bool {
        !self.is_float() && self != DType::Bool && self.narrow().is_none()
    }

    /// The type, where it is one that nothing is computed in.
    pub fn narrow(self) -> Option<Narrow> {
        match self {
            DType::Narrow(of) => Some(of),
            _ => None,
        }
    }

    /// Whether it is a floating-point type that is computed in.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::I16 => "i16",
            DType::U16 => "u16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I64 => "i64",
            DType::U64 => "u64",
            DType::Bool => "bool",
            DType::Narrow(of) => return of.fmt(f),
        })
    }
}
