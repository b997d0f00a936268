//! Backbone, neck and head for images.

use occam_config::{Registry, Value};
use occam_graph::{DType, Dim, Fact};
use serde::Deserialize;

use super::{Architecture, TaskModel};
use crate::backbones::Backbone;
use crate::heads::Head;
use crate::init_cfg::{InitCfg, Rules};
use crate::necks::Neck;
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
    init_cfg: InitCfg,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainConfig {
    #[serde(default)]
    augments: Option<Value>,
    /// Chances of the single augments; read with them.
    #[serde(default, rename = "probs")]
    _probs: Option<Value>,
}

/// `backbone`, an optional `neck` and a `head`, one after the other, under these names.
///
/// | key | default | |
/// |---|---|---|
/// | `backbone`, `neck`, `head` | | its parts; `neck` may be None |
/// | `init_cfg` | None | first values of layers that the parts' own rules leave as they are; a checkpoint for all |
/// | `pretrained` | None | the same as `init_cfg=dict(type='Pretrained', checkpoint=..)` |
/// | `data_preprocessor` | the run's | how images are prepared |
/// | `train_cfg` | None | `dict(augments=..)`: how the images of a training batch are mixed; the preprocessor's `batch_augments` |
///
/// Input `input`: `f32 [N, C, H, W]`, normalized. Output `output`: the head's scores.
pub struct ImageClassifier {
    backbone: Box<dyn Backbone>,
    neck: Option<Box<dyn Neck>>,
    head: Box<dyn Head>,
    rules: Rules,
    data_preprocessor: Option<Value>,
    batch_augments: Option<Value>,
}

/// A `train_cfg`, where it says how images are mixed.
pub(super) fn batch_augments(train_cfg: Option<Value>) -> Result<Option<Value>, occam_config::Error> {
    let Some(value) = train_cfg else { return Ok(None) };
    let train: TrainConfig = value.parse()?;
    Ok(train.augments.map(|_| value))
}

pub(super) fn build(
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn Architecture>, occam_config::Error> {
    let config: Config = value.parse()?;
    let rules = match &config.pretrained {
        Some(path) => Rules::none().and_checkpoint(path),
        None => config.init_cfg.rules(Rules::none)?,
    };
    let batch_augments = batch_augments(config.train_cfg)?;
    Ok(Box::new(ImageClassifier {
        backbone: registry.build::<dyn Backbone>(&config.backbone)?,
        neck: config.neck.as_ref().map(|n| registry.build::<dyn Neck>(n)).transpose()?,
        head: registry.build::<dyn Head>(&config.head)?,
        rules,
        data_preprocessor: config.data_preprocessor,
        batch_augments,
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
        net.apply(&self.rules)?;
        for (name, v) in &outputs {
            net.output(name, *v)?;
        }
        let (builder, inits) = net.into_parts();
        Ok(TaskModel {
            graph: builder.finish()?,
            inits,
            task: self.head.into_task(),
            data_preprocessor: self.data_preprocessor,
            batch_augments: self.batch_augments,
            file: None,
        })
    }
}
