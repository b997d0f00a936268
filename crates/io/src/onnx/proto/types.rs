//! Types of values.

/// A type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// The type itself.
    #[prost(oneof = "type_proto::Value", tags = "1, 4, 5, 7, 8, 9")]
    pub value: Option<type_proto::Value>,
    /// What it stands for, such as an image.
    #[prost(string, optional, tag = "6")]
    pub denotation: Option<String>,
}

/// What a [`TypeProto`] is made of.
pub mod type_proto {
    use super::{TensorShapeProto, TypeProto};

    /// Kinds of types.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// Tensors.
        #[prost(message, tag = "1")]
        TensorType(Tensor),
        /// Sequences.
        #[prost(message, tag = "4")]
        SequenceType(Sequence),
        /// Maps.
        #[prost(message, tag = "5")]
        MapType(Map),
        /// Types of other domains.
        #[prost(message, tag = "7")]
        OpaqueType(Opaque),
        /// Sparse tensors.
        #[prost(message, tag = "8")]
        SparseTensorType(SparseTensor),
        /// Values that may be absent.
        #[prost(message, tag = "9")]
        OptionalType(Optional),
    }

    /// A dense tensor.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Tensor {
        /// Element type: a [`DataType`](crate::onnx::proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub elem_type: Option<i32>,
        /// The shape; its rank is not known where it is absent.
        #[prost(message, optional, tag = "2")]
        pub shape: Option<TensorShapeProto>,
    }

    /// A sequence of values of one type.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sequence {
        /// Type of the elements.
        #[prost(message, optional, boxed, tag = "1")]
        pub elem_type: Option<Box<TypeProto>>,
    }

    /// A map.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Map {
        /// Type of the keys: a [`DataType`](crate::onnx::proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub key_type: Option<i32>,
        /// Type of the values.
        #[prost(message, optional, boxed, tag = "2")]
        pub value_type: Option<Box<TypeProto>>,
    }

    /// A value that may be absent.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Optional {
        /// Its type where it is present.
        #[prost(message, optional, boxed, tag = "1")]
        pub elem_type: Option<Box<TypeProto>>,
    }

    /// A tensor that is mostly zero.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SparseTensor {
        /// Element type: a [`DataType`](crate::onnx::proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub elem_type: Option<i32>,
        /// The shape.
        #[prost(message, optional, tag = "2")]
        pub shape: Option<TensorShapeProto>,
    }

    /// A type that another domain defines.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Opaque {
        /// The domain.
        #[prost(string, optional, tag = "1")]
        pub domain: Option<String>,
        /// Name of the type.
        #[prost(string, optional, tag = "2")]
        pub name: Option<String>,
    }
}

/// A shape: sizes, outermost first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The sizes.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<dimension::Dimension>,
}

/// What a [`TensorShapeProto`] is made of.
pub mod dimension {
    /// A size; not known at all where `value` is absent.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Dimension {
        /// The size.
        #[prost(oneof = "Value", tags = "1, 2")]
        pub value: Option<Value>,
        /// What the axis stands for.
        #[prost(string, optional, tag = "3")]
        pub denotation: Option<String>,
    }

    /// A size.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum Value {
        /// A number.
        #[prost(int64, tag = "1")]
        DimValue(i64),
        /// A name: equal names are equal sizes.
        #[prost(string, tag = "2")]
        DimParam(String),
    }
}
