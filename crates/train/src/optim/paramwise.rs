//! Settings for single parameters: `paramwise_cfg`.

use indexmap::IndexMap;
use occam_config::{Dict, Error, Value};
use occam_engine::optim::Settings;
use occam_graph::{Graph, Op, ValueId};
use serde::Deserialize;

use crate::Result;

/// `paramwise_cfg` of mmengine's `DefaultOptimWrapperConstructor`.
///
/// | key | |
/// |---|---|
/// | `custom_keys` | from a part of a name to `dict(lr_mult=1., decay_mult=1., ..)` and any argument of the optimizer; the longest part that a name contains counts, of equally long ones the first by alphabet, and then none of the keys below |
/// | `bias_lr_mult` | factor of the learning rate of biases, except of normalization |
/// | `norm_decay_mult` | factor of the decay of normalization's weights and biases |
/// | `bias_decay_mult` | factor of the decay of other biases |
/// | `dwconv_decay_mult` | factor of the decay of depthwise convolutions' weights |
/// | `flat_decay_mult` | factor of the decay of other parameters of one axis |
/// | `dcn_offset_lr_mult`, `bypass_duplicate` | accepted: there are no deformable convolutions, and every name is one parameter |
///
/// Factors apply to the optimizer's `lr` and `weight_decay`, its defaults where the config leaves them out; the original
/// refuses that.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Paramwise {
    custom_keys: IndexMap<String, Value>,
    bias_lr_mult: Option<f64>,
    bias_decay_mult: Option<f64>,
    norm_decay_mult: Option<f64>,
    dwconv_decay_mult: Option<f64>,
    flat_decay_mult: Option<f64>,
    #[serde(rename = "dcn_offset_lr_mult")]
    _dcn_offset_lr_mult: Option<f64>,
    #[serde(rename = "bypass_duplicate")]
    _bypass_duplicate: bool,
}

/// The module that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Norm,
    Depthwise,
    Other,
}

impl Paramwise {
    pub fn from_config(value: &Value) -> Result<Self, Error> {
        let parsed: Self = value.parse()?;
        for custom in parsed.custom_keys.values() {
            let Some(dict) = custom.as_dict() else {
                return Err(Error::new("a custom key must be a dict such as dict(lr_mult=0.1)").at(custom));
            };
            for key in ["lr_mult", "decay_mult"] {
                if let Some(v) = dict.get(key).filter(|v| v.as_f64().is_none()) {
                    return Err(Error::new(format!("`{key}` must be a number")).at(v));
                }
            }
        }
        Ok(parsed)
    }

    /// The arguments by which the optimizer of a parameter differs from that of `base`.
    pub fn overrides(&self, graph: &Graph, id: ValueId, full_name: &str, base: &Settings) -> Result<Dict> {
        let mut own = Dict::new();
        // A name always has a module before it in the original, be it empty.
        let dotted = if full_name.contains('.') { full_name.to_owned() } else { format!(".{full_name}") };
        let longest = self
            .custom_keys
            .iter()
            .filter(|(key, _)| dotted.contains(key.as_str()))
            .min_by_key(|(key, _)| (std::cmp::Reverse(key.chars().count()), key.as_str()));
        if let Some((_, custom)) = longest {
            let factor = |key: &str| custom.get(key).and_then(Value::as_f64).unwrap_or(1.0);
            own.insert("lr", Value::from(base.lr * factor("lr_mult")));
            own.insert("weight_decay", Value::from(base.weight_decay * factor("decay_mult")));
            let rest = custom.as_dict().into_iter().flat_map(Dict::iter);
            for (key, value) in rest.filter(|(k, _)| !matches!(k.as_str(), Some("lr_mult" | "decay_mult"))) {
                own.insert(key.clone(), value.clone());
            }
            return Ok(own);
        }
        let owner = owner(graph, id)?;
        let is_bias = full_name.rsplit('.').next() == Some("bias");
        let flat = graph.value(id)?.fact.rank() == 1;
        if let Some(mult) = self.bias_lr_mult.filter(|_| is_bias && owner != Owner::Norm) {
            own.insert("lr", Value::from(base.lr * mult));
        }
        let rules = [
            (owner == Owner::Norm, self.norm_decay_mult),
            (is_bias, self.bias_decay_mult),
            (owner == Owner::Depthwise, self.dwconv_decay_mult),
            (flat, self.flat_decay_mult),
        ];
        let decay = rules.into_iter().filter(|(meant, _)| *meant).find_map(|(_, mult)| mult);
        if let Some(mult) = decay {
            own.insert("weight_decay", Value::from(base.weight_decay * mult));
        }
        Ok(own)
    }
}

/// What kind of module reads a parameter first.
fn owner(graph: &Graph, id: ValueId) -> Result<Owner> {
    let Some((node, _)) = graph.readers(id).into_iter().next() else { return Ok(Owner::Other) };
    let node = graph.node(node)?;
    if matches!(node.op.family_name(), "BatchNorm" | "GroupNorm" | "InstanceNorm" | "LayerNorm") {
        return Ok(Owner::Norm);
    }
    if let (Op::Conv(conv), Some(&weight)) = (&node.op, node.inputs.get(1)) {
        // `[out, in / groups, ..]`: as many groups as inputs.
        let per_group = graph.value(weight)?.fact.shape.get(1).and_then(|d| d.known());
        if per_group == Some(1) && conv.groups >= 1 {
            return Ok(Owner::Depthwise);
        }
    }
    Ok(Owner::Other)
}
