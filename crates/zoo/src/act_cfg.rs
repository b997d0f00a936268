//! `act_cfg`: which activation follows a layer.

use occam_graph::ops::Activation;
use serde::Deserialize;

/// An activation under the name that mmcv's registry has for it.
///
/// | `type` | keys, with defaults |
/// |---|---|
/// | `ReLU`, `ReLU6`, `Sigmoid`, `Tanh`, `HSwish`, `Swish`, `SiLU` | |
/// | `LeakyReLU` | `negative_slope` 0.01 |
/// | `ELU` | `alpha` 1.0 |
/// | `HSigmoid` | `bias` 3.0, `divisor` 6.0, `min_value` 0.0, `max_value` 1.0 |
/// | `GELU` | `approximate` `'none'`, or `'tanh'` |
///
/// `inplace` is accepted by all of them: no result depends on where the original writes it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub(crate) struct ActCfg(Activation);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, rename = "inplace")]
    _inplace: bool,
    #[serde(default)]
    negative_slope: Option<f64>,
    #[serde(default)]
    alpha: Option<f64>,
    #[serde(default)]
    bias: Option<f64>,
    #[serde(default)]
    divisor: Option<f64>,
    #[serde(default)]
    min_value: Option<f64>,
    #[serde(default)]
    max_value: Option<f64>,
    #[serde(default)]
    approximate: Option<Approximation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
enum Kind {
    #[serde(rename = "ReLU")]
    Relu,
    #[serde(rename = "ReLU6")]
    Relu6,
    #[serde(rename = "LeakyReLU")]
    LeakyRelu,
    #[serde(rename = "ELU")]
    Elu,
    Sigmoid,
    Tanh,
    #[serde(rename = "HSigmoid")]
    HardSigmoid,
    #[serde(rename = "HSwish")]
    HardSwish,
    Swish,
    #[serde(rename = "SiLU")]
    Silu,
    #[serde(rename = "GELU")]
    Gelu,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Approximation {
    None,
    Tanh,
}

impl TryFrom<Keys> for ActCfg {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let given = [
            ("negative_slope", keys.negative_slope.is_some(), Kind::LeakyRelu),
            ("alpha", keys.alpha.is_some(), Kind::Elu),
            ("bias", keys.bias.is_some(), Kind::HardSigmoid),
            ("divisor", keys.divisor.is_some(), Kind::HardSigmoid),
            ("min_value", keys.min_value.is_some(), Kind::HardSigmoid),
            ("max_value", keys.max_value.is_some(), Kind::HardSigmoid),
            ("approximate", keys.approximate.is_some(), Kind::Gelu),
        ];
        if let Some((name, ..)) = given.iter().find(|(_, given, owner)| *given && *owner != keys.kind) {
            return Err(format!("this activation has no `{name}`"));
        }
        Ok(Self(match keys.kind {
            Kind::Relu => Activation::Relu,
            Kind::Relu6 => Activation::Relu6,
            Kind::LeakyRelu => Activation::LeakyRelu { slope: keys.negative_slope.unwrap_or(0.01) },
            Kind::Elu => Activation::Elu { alpha: keys.alpha.unwrap_or(1.0) },
            Kind::Sigmoid => Activation::Sigmoid,
            Kind::Tanh => Activation::Tanh,
            Kind::HardSigmoid => {
                let (bias, divisor) = (keys.bias.unwrap_or(3.0), keys.divisor.unwrap_or(6.0));
                let (min, max) = (keys.min_value.unwrap_or(0.0), keys.max_value.unwrap_or(1.0));
                if divisor == 0.0 || min >= max {
                    return Err(format!(
                        "divisor={divisor} must not be 0, min_value={min} below max_value={max}"
                    ));
                }
                Activation::HardSigmoid { bias, divisor, min, max }
            }
            Kind::HardSwish => Activation::HardSwish,
            Kind::Swish | Kind::Silu => Activation::Silu,
            Kind::Gelu => Activation::Gelu { tanh: keys.approximate == Some(Approximation::Tanh) },
        }))
    }
}

impl From<Activation> for ActCfg {
    fn from(function: Activation) -> Self {
        Self(function)
    }
}

impl ActCfg {
    /// `dict(type='ReLU')`
    pub fn relu() -> Option<Self> {
        Some(Self(Activation::Relu))
    }

    /// `dict(type='ReLU6')`
    pub fn relu6() -> Option<Self> {
        Some(Self(Activation::Relu6))
    }

    /// The function.
    pub fn function(&self) -> Activation {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Activation, String> {
        let value = occam_config::Loader::new()
            .load_str("act.py", &format!("act = {text}"))
            .map_err(|e| e.to_string())?;
        let act: ActCfg = value.get("act").unwrap().parse().map_err(|e| e.to_string())?;
        Ok(act.function())
    }

    #[test]
    fn names_are_mmcvs() {
        let cases = [
            ("dict(type='ReLU', inplace=True)", Activation::Relu),
            ("dict(type='LeakyReLU')", Activation::LeakyRelu { slope: 0.01 }),
            ("dict(type='ELU', alpha=0.5)", Activation::Elu { alpha: 0.5 }),
            ("dict(type='Swish')", Activation::Silu),
            ("dict(type='GELU', approximate='tanh')", Activation::Gelu { tanh: true }),
            (
                "dict(type='HSigmoid', bias=1, divisor=2)",
                Activation::HardSigmoid { bias: 1.0, divisor: 2.0, min: 0.0, max: 1.0 },
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_an_activation_lacks_is_said() {
        let cases = [
            ("dict(type='ReLU', alpha=1.0)", "no `alpha`"),
            ("dict(type='HSigmoid', divisor=0)", "must not be 0"),
            ("dict(type='HSigmoid', min_value=2.0)", "below max_value=1"),
            ("dict(type='Mish')", "Mish"),
            ("dict(type='ELU', alfa=1.0)", "alfa"),
        ];
        for (text, wanted) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
