//! Heads: from features to outputs, and from outputs to losses and predictions. One a file.

mod cls;
mod linear_cls;
mod multi_label_cls;
mod multi_label_linear_cls;
mod stacked_linear_cls;
mod vision_transformer_cls;

pub(crate) use cls::TopK;
pub use cls::{ClsHead, ClsTask};
pub use linear_cls::LinearClsHead;
pub use multi_label_cls::{MultiLabelClsHead, MultiLabelTask};
pub use multi_label_linear_cls::MultiLabelLinearClsHead;
pub use stacked_linear_cls::StackedLinearClsHead;
pub use vision_transformer_cls::VisionTransformerClsHead;

use occam_config::{Build, Registry};
use occam_graph::ValueId;

use crate::{Net, Result, Task};

/// The last part of a model.
pub trait Head: Send + Sync {
    /// Adds its layers to the open module and returns the raw outputs, by name.
    ///
    /// # Errors
    /// The features do not fit.
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<(String, ValueId)>>;

    /// What is done with the outputs.
    fn into_task(self: Box<Self>) -> Box<dyn Task>;
}

const TABLE: &[(&str, Build<dyn Head>)] = &[
    ("ClsHead", cls::build),
    ("DeiTClsHead", vision_transformer_cls::build_distilled),
    ("LinearClsHead", linear_cls::build),
    ("MultiLabelClsHead", multi_label_cls::build),
    ("MultiLabelLinearClsHead", multi_label_linear_cls::build),
    ("StackedLinearClsHead", stacked_linear_cls::build),
    ("VisionTransformerClsHead", vision_transformer_cls::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Head>("head", TABLE);
}
