//! Backbone, neck and head for images.

use occam_config::{Registry, Value};
use occam_graph::{DType, Dim, Fact};
use serde::Deserialize;

use super::{Architecture, TaskModel};
use crate::backbones::Backbone;
use crate::heads::Head;
use crate::necks::Neck;
use crate::net::unsupported;
use crate::{Net, Result, Returned};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    backbone: Value,
    #[serde(default)]
    neck: Option<Value>,
    head: Value,
    #[serde(default)]
    pretrained: Option<Value>,
    #[serde(default)]
    train_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

/// `backbone`, an optional `neck` and a `head`, one after the other, under these names.
///
/// Input `input`: `f32 [N, C, H, W]`, normalized. Output `output`: the head's scores.
pub struct ImageClassifier {
    backbone: Box<dyn Backbone>,
    neck: Option<Box<dyn Neck>>,
    head: Box<dyn Head>,
    data_preprocessor: Option<Value>,
}

pub(super) fn build(
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn Architecture>, occam_config::Error> {
    let config: Config = value.parse()?;
    unsupported("pretrained", &config.pretrained)?;
    unsupported("train_cfg", &config.train_cfg)?;
    unsupported("init_cfg", &config.init_cfg)?;
    Ok(Box::new(ImageClassifier {
        backbone: registry.build::<dyn Backbone>(&config.backbone)?,
        neck: config.neck.as_ref().map(|n| registry.build::<dyn Neck>(n)).transpose()?,
        head: registry.build::<dyn Head>(&config.head)?,
        data_preprocessor: config.data_preprocessor,
    }))
}

impl Architecture for ImageClassifier {
    fn build(self: Box<Self>) -> Result<TaskModel> {
        let mut net = Net::new();
        let [height, width] = match self.backbone.image_size() {
            Some(size) => size.map(Dim::Known),
            None => [Dim::symbol("H"), Dim::symbol("W")],
        };
        let shape = [Dim::symbol("N"), Dim::Known(self.backbone.in_channels()), height, width];
        let x = net.input("input", Fact::new(DType::F32, shape))?;
        let mut features =
            net.tuple("backbone", &[x], |net| Ok(Returned::Tuple(self.backbone.build(net, x)?)))?;
        if let Some(neck) = &self.neck {
            let inputs = features.clone();
            features = net.tuple("neck", &inputs, |net| Ok(Returned::Tuple(neck.build(net, &inputs)?)))?;
        }
        let mut outputs = Vec::new();
        net.tuple("head", &features, |net| {
            outputs = self.head.build(net, &features)?;
            Ok(match outputs.as_slice() {
                [(_, one)] => Returned::Single(*one),
                many => Returned::Tuple(many.iter().map(|(_, v)| *v).collect()),
            })
        })?;
        for (name, v) in &outputs {
            net.output(name, *v)?;
        }
        let (builder, inits) = net.into_parts();
        Ok(TaskModel {
            graph: builder.finish()?,
            inits,
            task: self.head.into_task(),
            data_preprocessor: self.data_preprocessor,
        })
    }
}
