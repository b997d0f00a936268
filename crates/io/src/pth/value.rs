//! What a pickle builds.

use std::rc::Rc;

use occam_graph::DType;

/// A value. Those that hold others are nodes of one list, so that sharing, cycles and depth cost nothing.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian.
    Long(Rc<[u8]>),
    Float,
    Str(Rc<str>),
    Bytes,
    Global(Rc<Global>),
    Node(usize),
}

/// Something that is imported: a class or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Global {
    pub module: String,
    pub name: String,
}

impl Global {
    pub fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }
}

#[derive(Debug)]
pub(super) enum Node {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(View),
    /// An object that is not built, of this class.
    Opaque(Rc<Global>),
}

/// Elements that tensors look at.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub key: Rc<str>,
    /// None where only the tensor knows.
    pub dtype: Option<Element>,
    /// First element that is meant, of those under the key.
    pub offset: u64,
}

/// A tensor: elements of a storage, by offset and strides in elements.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub storage: Storage,
    pub dtype: Element,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// An element type of PyTorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Known(DType),
    /// One that arrays do not have.
    Other(String),
}

impl Element {
    /// By the class of a storage, such as `FloatStorage`; none for untyped ones.
    pub fn of_storage(class: &str) -> Option<Self> {
        Some(Self::Known(match class {
            "FloatStorage" => DType::F32,
            "DoubleStorage" => DType::F64,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            "CharStorage" => DType::I8,
            "ByteStorage" => DType::U8,
            "ShortStorage" => DType::I16,
            "IntStorage" => DType::I32,
            "LongStorage" => DType::I64,
            "BoolStorage" => DType::Bool,
            "UntypedStorage" => return None,
            other => return Some(Self::Other(other.trim_end_matches("Storage").to_lowercase())),
        }))
    }

    /// By the name of a `torch.dtype`.
    pub fn of_dtype(name: &str) -> Self {
        Self::Known(match name {
            "float32" | "float" => DType::F32,
            "float64" | "double" => DType::F64,
            "float16" | "half" => DType::F16,
            "bfloat16" => DType::BF16,
            "int8" => DType::I8,
            "uint8" => DType::U8,
            "int16" | "short" => DType::I16,
            "uint16" => DType::U16,
            "uint32" => DType::U32,
            "uint64" => DType::U64,
            "int32" | "int" => DType::I32,
            "int64" | "long" => DType::I64,
            "bool" => DType::Bool,
            other => return Self::Other(other.into()),
        })
    }

    /// Bytes of one, where that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Known(dtype) => Some(dtype.size() as u64),
            Self::Other(name) => Some(match name.as_str() {
                "short" | "int16" | "uint16" => 2,
                "complexhalf" | "uint32" | "qint32" | "complex32" => 4,
                "complexfloat" | "complex64" | "uint64" => 8,
                "complexdouble" | "complex128" => 16,
                "qint8" | "quint8" | "float8_e4m3fn" | "float8_e5m2" => 1,
                _ => return None,
            }),
        }
    }
}
