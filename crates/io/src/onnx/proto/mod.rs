//! ONNX's messages, as `onnx.proto` of ONNX 1.23 (IR version 14) defines them.
//!
//! Every field has its tag and its presence: reading a model and writing it again loses no field that the schema
//! knows. `tests/data/every_field.onnx` has all of them; `tools/onnx_proto/every_field.py` makes it anew from the
//! schema of an installed `onnx` package. Raw tensor bytes are shared, so clones of a model are cheap.

mod attribute;
mod device;
mod graph;
mod model;
mod tensor;
mod types;

pub use attribute::{AttributeProto, AttributeType};
pub use device::{
    DeviceConfigurationProto, IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDimProto, simple_sharded_dim,
};
pub use graph::{GraphProto, NodeProto, TensorAnnotation, ValueInfoProto};
pub use model::{FunctionProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto};
pub use tensor::{DataLocation, DataType, Segment, SparseTensorProto, TensorProto};
pub use types::{TensorShapeProto, TypeProto, dimension, type_proto};
