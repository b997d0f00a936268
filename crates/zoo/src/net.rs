//! Building networks from PyTorch's layers.

use std::ops::{Deref, DerefMut};

use occam_config::Value as Config;
use occam_graph::ops::{Activation, BatchNorm, Conv, Linear};
use occam_graph::{Builder, Role, ValueId};
use serde::Deserialize;

use crate::error::refuse;
use crate::init::{Init, Inits};
use crate::{Error, Result};

/// A graph builder that also notes how parameters are first filled.
#[derive(Debug, Default)]
pub struct Net {
    builder: Builder,
    inits: Inits,
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
        self.inits.entry(path).or_insert(init);
        Ok(self.builder.param(name, shape, role)?)
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
        let mut inits = std::mem::take(&mut self.inits);
        let returned = self.builder.call::<Error>(name, inputs, |builder| {
            let mut net = Net { builder: std::mem::take(builder), inits: std::mem::take(&mut inits) };
            let result = body(&mut net);
            *builder = net.builder;
            inits = net.inits;
            result
        });
        self.inits = inits;
        Ok(returned?.values().to_vec())
    }

    /// `nn.Conv2d` without bias, filled by Kaiming's rule.
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

    /// `nn.Conv2d` with `out` channels of `kernel` times `kernel` taps, its weight filled by `init` and its bias, if it
    /// has one, with 0.
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
        let channels = self.channels(x)?;
        if conv.groups == 0 || !channels.is_multiple_of(conv.groups) {
            return refuse(format!("{channels} channels cannot be split into {} groups", conv.groups));
        }
        self.layer(name, &[x], |net| {
            let shape = [out, channels / conv.groups, kernel, kernel];
            let mut inputs = vec![x, net.parameter("weight", &shape, Role::Weight, init)?];
            if bias {
                inputs.push(net.parameter("bias", &[out], Role::Weight, Init::Constant(0.0))?);
            }
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
        self.layer(name, &[x], |net| {
            let inputs = [
                x,
                net.parameter("weight", &channels, Role::Weight, Init::Constant(first_weight))?,
                net.parameter("bias", &channels, Role::Weight, Init::Constant(first_bias))?,
                net.parameter("running_mean", &channels, Role::Buffer, Init::Constant(0.0))?,
                net.parameter("running_var", &channels, Role::Buffer, Init::Constant(1.0))?,
            ];
            Ok(net.this(BatchNorm { eps: norm.eps, momentum: norm.momentum }, &inputs)?)
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
            Ok(net.this(Linear, &[x, w, b])?)
        })
    }
}

pub use occam_graph::Returned;

/// `norm_cfg`: which norm layer follows convolutions.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormCfg {
    /// `BN` or `BN2d`; `SyncBN` is the same in one process.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether its weight and bias learn; only true so far.
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
    /// The type is another, or it should not learn.
    pub fn check(&self) -> Result<()> {
        if !["BN", "BN2d", "SyncBN"].contains(&self.kind.as_str()) {
            return refuse(format!("norm_cfg: there is no norm `{}`; known are BN, BN2d, SyncBN", self.kind));
        }
        if !self.requires_grad {
            return refuse("norm_cfg: `requires_grad=False` is not supported");
        }
        Ok(())
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
