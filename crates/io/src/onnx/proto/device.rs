//! How a model is spread over several devices.

/// A set of devices.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DeviceConfigurationProto {
    /// Name of the configuration.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Number of devices.
    #[prost(int32, optional, tag = "2")]
    pub num_devices: Option<i32>,
    /// Names of the devices.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// How a node is spread over the devices of one configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// Name of the configuration.
    #[prost(string, optional, tag = "1")]
    pub configuration_id: Option<String>,
    /// How each value is cut.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// Stage of the pipeline it runs in.
    #[prost(int32, optional, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How a value is cut.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// Devices, or groups of devices, that hold the pieces.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// The groups.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// The axes that are cut.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// Integers under a key.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct IntIntListEntryProto {
    /// The key.
    #[prost(int64, optional, tag = "1")]
    pub key: Option<i64>,
    /// The integers.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// An axis that is cut.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The axis.
    #[prost(int64, optional, tag = "1")]
    pub axis: Option<i64>,
    /// How it is cut.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// A size cut into equal pieces.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SimpleShardedDimProto {
    /// The size.
    #[prost(oneof = "simple_sharded_dim::Dim", tags = "1, 2")]
    pub dim: Option<simple_sharded_dim::Dim>,
    /// Number of pieces.
    #[prost(int64, optional, tag = "3")]
    pub num_shards: Option<i64>,
}

/// What a [`SimpleShardedDimProto`] is made of.
pub mod simple_sharded_dim {
    /// A size.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum Dim {
        /// A number.
        #[prost(int64, tag = "1")]
        DimValue(i64),
        /// A name.
        #[prost(string, tag = "2")]
        DimParam(String),
    }
}
