//! Building networks from PyTorch's layers.

use std::ops::{Deref, DerefMut};

use occam_config::Value as Config;
use occam_graph::ops::{Activation, BatchNorm, Conv, DropUnit, Dropout, Linear};
use occam_graph::{Builder, Role, ValueId};
use serde::Deserialize;

use crate::error::refuse;
use crate::init::{Init, Inits};
use crate::init_cfg::{Layer, Rules, is_inside, joined};
use crate::{Error, Result};

/// A graph builder that also notes how parameters are first filled, and which layers do not learn.
#[derive(Debug, Default)]
pub struct Net {
    builder: Builder,
    inits: Inits,
    /// Layers that rules of an `init_cfg` may still fill.
    open: Vec<Layer>,
    manner: Manner,
}

/// How layers are that are built.
#[derive(Debug, Clone, Copy, Default)]
struct Manner {
    /// Whether parameters never learn.
    fixed: bool,
    /// Whether norm layers use running statistics in training too.
    norm_eval: bool,
    /// Whether dropout leaves nothing out in training either.
    keeps_all: bool,
    /// Whether first values follow the rules of an `init_cfg`.
    ruled: bool,
}

impl Deref for Net {
    type Target = Builder;

    fn deref(&self) -> &Builder {
        &self.builder
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Net {
    /// A network without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The graph's builder and the first values.
    pub fn into_parts(self) -> (Builder, Inits) {
        (self.builder, self.inits)
    }

    /// A parameter of the open module.
    ///
    /// # Errors
    /// The name stands for something else.
    pub fn parameter(&mut self, name: &str, shape: &[usize], role: Role, init: Init) -> Result<ValueId> {
        let path = self.builder.path_of(name);
        self.inits.fills.entry(path).or_insert(init);
        let param = self.builder.param(name, shape, role)?;
        if self.manner.fixed && role == Role::Weight {
            self.builder.freeze(param)?;
        }
        Ok(param)
    }

    /// Runs `body` with another manner of building.
    fn with<T>(&mut self, manner: Manner, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.manner, manner);
        let result = body(self);
        self.manner = before;
        result
    }

    /// Runs `body`; where `on`, the parameters that it adds never learn: `requires_grad = False`.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn fixed<T>(&mut self, on: bool, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.with(Manner { fixed: self.manner.fixed || on, ..self.manner }, body)
    }

    /// Runs `body`; where `on`, the norm layers that it adds use and keep their running statistics in training.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn norm_eval<T>(&mut self, on: bool, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.with(Manner { norm_eval: self.manner.norm_eval || on, ..self.manner }, body)
    }

    /// Runs `body`; where `on`, what it adds neither learns nor behaves otherwise in training than in evaluation.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn frozen<T>(&mut self, on: bool, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Manner { fixed, norm_eval, keeps_all, ruled } = self.manner;
        let manner =
            Manner { fixed: fixed || on, norm_eval: norm_eval || on, keeps_all: keeps_all || on, ruled };
        self.with(manner, body)
    }

    /// Runs `body` of the open module, whose layers get their first values from `rules`, and where these do not match
    /// from those of outer modules. Rules of inner modules come first.
    ///
    /// # Errors
    /// Those of `body`; or a rule does not fit the layers.
    pub(crate) fn ruled<T>(&mut self, rules: &Rules, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = self.with(Manner { ruled: true, ..self.manner }, body)?;
        self.apply(rules)?;
        Ok(result)
    }

    /// Runs `body`, whose layers keep the first values with which they are built, whatever rules say; checkpoints still
    /// replace them.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn settled<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.with(Manner { ruled: false, ..self.manner }, body)
    }

    /// Fills those layers of the open module by `rules` that no inner module's rules have filled.
    ///
    /// # Errors
    /// A rule does not suit a layer's weight, or names a part that does not exist.
    pub(crate) fn apply(&mut self, rules: &Rules) -> Result<()> {
        let module = self.builder.path_of("");
        for part in rules.parts() {
            let path = joined(&module, part);
            if !self.inits.fills.keys().any(|name| is_inside(name, &path)) {
                return refuse(format!("init_cfg: `override` names `{part}`, but there is no `{path}`"));
            }
        }
        let mut open = Vec::new();
        for layer in std::mem::take(&mut self.open) {
            let inside = is_inside(&layer.path, &module);
            match if inside { rules.fill(&module, &layer)? } else { None } {
                Some(inits) => self.fill(&layer, inits),
                None => open.push(layer),
            }
        }
        self.open = open;
        self.inits.pretrained.extend(rules.pretrained(&module));
        Ok(())
    }

    fn fill(&mut self, layer: &Layer, [weight, bias]: [Init; 2]) {
        self.inits.fills.insert(format!("{}.weight", layer.path), weight);
        if layer.biased {
            self.inits.fills.insert(format!("{}.bias", layer.path), bias);
        }
    }

    /// Notes the open module as a layer of PyTorch's with a weight, so that rules can fill it.
    pub(crate) fn note_layer(&mut self, classes: &'static [&'static str], shape: &[usize], biased: bool) {
        let path = self.builder.path_of("");
        if !self.manner.ruled || self.open.iter().any(|l| l.path == path) {
            return;
        }
        let layer = Layer { path, classes, shape: shape.to_vec(), biased };
        self.fill(&layer, layer.torch_default());
        self.open.push(layer);
    }

    /// Dropout as the module `name`; the value itself where nothing is ever left out.
    ///
    /// # Errors
    /// The rate is no probability.
    pub fn dropout(&mut self, name: &str, x: ValueId, rate: f64, unit: DropUnit) -> Result<ValueId> {
        let keeps_all = self.manner.keeps_all || rate == 0.0;
        self.layer(
            name,
            &[x],
            |net| if keeps_all { Ok(x) } else { Ok(net.this(Dropout { rate, unit }, &[x])?) },
        )
    }

    /// Runs `body` inside the module `name` and notes the call.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn layer(
        &mut self,
        name: &str,
        inputs: &[ValueId],
        body: impl FnOnce(&mut Self) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let all = self.tuple(name, inputs, |net| Ok(Returned::Single(body(net)?)))?;
        match all.as_slice() {
            [one] => Ok(*one),
            _ => refuse(format!("module `{name}` returned {} values", all.len())),
        }
    }

    /// Runs `body` inside the module `name` and notes the call with whatever it returns.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn tuple(
        &mut self,
        name: &str,
        inputs: &[ValueId],
        body: impl FnOnce(&mut Self) -> Result<Returned>,
    ) -> Result<Vec<ValueId>> {
        let manner = self.manner;
        let (mut inits, mut open) = (std::mem::take(&mut self.inits), std::mem::take(&mut self.open));
        let returned = self.builder.call::<Error>(name, inputs, |builder| {
            let (builder_in, inits_in) = (std::mem::take(builder), std::mem::take(&mut inits));
            let mut net =
                Net { builder: builder_in, inits: inits_in, open: std::mem::take(&mut open), manner };
            let result = body(&mut net);
            *builder = net.builder;
            (inits, open) = (net.inits, net.open);
            result
        });
        (self.inits, self.open) = (inits, open);
        Ok(returned?.values().to_vec())
    }

    /// `nn.Conv2d` without bias, filled by Kaiming's rule where no `init_cfg` rules.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        conv: Conv,
    ) -> Result<ValueId> {
        self.conv2d_with(name, x, [out, kernel], conv, false, Init::KaimingNormalFanOut)
    }

    /// `nn.Conv2d` with `out` channels of `kernel` times `kernel` taps. Where no `init_cfg` rules, its weight is filled by
    /// `init` and its bias, if it has one, with 0.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn conv2d_with(
        &mut self,
        name: &str,
        x: ValueId,
        [out, kernel]: [usize; 2],
        conv: Conv,
        bias: bool,
        init: Init,
    ) -> Result<ValueId> {
        self.conv2d_sides(name, x, (out, [kernel; 2]), conv, bias, init)
    }

    /// [`Net::conv2d_with`] with `height` times `width` taps.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn conv2d_sides(
        &mut self,
        name: &str,
        x: ValueId,
        (out, [height, width]): (usize, [usize; 2]),
        conv: Conv,
        bias: bool,
        init: Init,
    ) -> Result<ValueId> {
        let channels = self.channels(x)?;
        if conv.groups == 0 || !channels.is_multiple_of(conv.groups) {
            return refuse(format!("{channels} channels cannot be split into {} groups", conv.groups));
        }
        self.layer(name, &[x], |net| {
            let shape = [out, channels / conv.groups, height, width];
            let mut inputs = vec![x, net.parameter("weight", &shape, Role::Weight, init)?];
            if bias {
                inputs.push(net.parameter("bias", &[out], Role::Weight, Init::Constant(0.0))?);
            }
            net.note_layer(&["Conv2d", "_ConvNd"], &shape, bias);
            Ok(net.this(conv, &inputs)?)
        })
    }

    /// The norm layer of a `norm_cfg`.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn norm(&mut self, name: &str, x: ValueId, norm: &NormCfg, first_weight: f32) -> Result<ValueId> {
        self.norm_with(name, x, norm, [first_weight, 0.0])
    }

    /// The norm layer of a `norm_cfg`, whose weight and bias are first these two values.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn norm_with(
        &mut self,
        name: &str,
        x: ValueId,
        norm: &NormCfg,
        [first_weight, first_bias]: [f32; 2],
    ) -> Result<ValueId> {
        let channels = [self.channels(x)?];
        let frozen = self.manner.norm_eval;
        self.layer(name, &[x], |net| {
            let [weight, bias] = net.fixed(!norm.requires_grad, |net| {
                Ok([
                    net.parameter("weight", &channels, Role::Weight, Init::Constant(first_weight))?,
                    net.parameter("bias", &channels, Role::Weight, Init::Constant(first_bias))?,
                ])
            })?;
            let mean = net.parameter("running_mean", &channels, Role::Buffer, Init::Constant(0.0))?;
            let var = net.parameter("running_var", &channels, Role::Buffer, Init::Constant(1.0))?;
            net.note_layer(norm.classes(), &channels, true);
            let op = BatchNorm { eps: norm.eps, momentum: norm.momentum, frozen };
            Ok(net.this(op, &[x, weight, bias, mean, var])?)
        })
    }

    /// `nn.ReLU`.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn relu(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        self.layer(name, &[x], |net| Ok(net.this(Activation::Relu, &[x])?))
    }

    /// `nn.Linear` with bias, whose weight is first normal with deviation `std`.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn linear(&mut self, name: &str, x: ValueId, [from, to]: [usize; 2], std: f64) -> Result<ValueId> {
        self.layer(name, &[x], |net| {
            let w = net.parameter("weight", &[to, from], Role::Weight, Init::Normal { std })?;
            let b = net.parameter("bias", &[to], Role::Weight, Init::Constant(0.0))?;
            net.note_layer(&["Linear", "Module"], &[to, from], true);
            Ok(net.this(Linear, &[x, w, b])?)
        })
    }
}

pub use occam_graph::Returned;

/// `norm_cfg`: which norm layer follows convolutions.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormCfg {
    /// `BN`, `BN1d` or `BN2d`, one layer for all ranks here; `SyncBN` is the same in one process.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether its weight and bias learn.
    pub requires_grad: bool,
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the batch in the running statistics.
    pub momentum: f64,
}

impl Default for NormCfg {
    fn default() -> Self {
        Self { kind: "BN".into(), requires_grad: true, eps: 1e-5, momentum: 0.1 }
    }
}

impl NormCfg {
    /// Refuses norms that do not exist here.
    ///
    /// # Errors
    /// The type is another.
    pub fn check(&self) -> Result<()> {
        if !["BN", "BN1d", "BN2d", "SyncBN"].contains(&self.kind.as_str()) {
            let known = "BN, BN1d, BN2d, SyncBN";
            return refuse(format!("norm_cfg: there is no norm `{}`; known are {known}", self.kind));
        }
        Ok(())
    }

    /// The class of the original's layer, and the one that it derives from.
    fn classes(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "BN1d" => &["BatchNorm1d", "_BatchNorm"],
            "SyncBN" => &["SyncBatchNorm", "_BatchNorm"],
            _ => &["BatchNorm2d", "_BatchNorm"],
        }
    }
}

/// Refuses a config entry that exists in the original and not here, unless it is left out or `None`.
pub(crate) fn unsupported(name: &str, value: &Option<Config>) -> Result<()> {
    match value {
        None => Ok(()),
        Some(v) => Err(Error::Config(
            occam_config::Error::new(format!("`{name}` is not supported; leave it out or None")).at(v),
        )),
    }
}
