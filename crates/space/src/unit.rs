//! Channels that can only be removed together.

use occam_graph::ValueId;

use crate::trace::Reason;

/// A run of channels of a layer's input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The layer.
    pub name: String,
    /// First channel.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Whether the layer computes them, not reads them.
    pub is_output_channel: bool,
}

/// Elements of one axis of one value that belong to a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The value.
    pub value: ValueId,
    /// Its axis.
    pub axis: usize,
    /// How many elements each channel of the unit has here.
    pub per_channel: usize,
    /// The elements, channel after channel.
    pub elements: Vec<u32>,
}

impl Member {
    /// The elements of channel `index`.
    pub fn of(&self, index: usize) -> &[u32] {
        self.elements.get(index * self.per_channel..(index + 1) * self.per_channel).unwrap_or_default()
    }
}

/// Channels, each of which can be removed without the others, that occupy the same places of the model.
///
/// A residual stream is one unit: every convolution that adds to it, every normalization on it and every layer that reads
/// it. The name is that of the first layer that computes it with its channels and the number of them, as MMRazor writes
/// it: `backbone.layer1.0.conv1_(0, 64)_64`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Unique name.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Every axis that they are on: of activations, weights and constants.
    pub members: Vec<Member>,
    /// Where layers compute them, in order.
    pub output_related: Vec<Channel>,
    /// Where layers read them, in order.
    pub input_related: Vec<Channel>,
    /// Why they must stay; none where they can be pruned.
    pub kept_by: Option<Reason>,
    /// Whether removing channels that are 0 leaves the rest as it was; not so where a layer takes mean and variance over
    /// them.
    pub exact: bool,
}
