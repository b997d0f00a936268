//! `init_cfg`: mmengine's rules for first values, by the class of a layer.

use occam_config::{Error as ConfigError, Value};
use occam_data::OneOrMany;
use occam_io::weights::KeyRules;
use serde::{Deserialize, Deserializer};

use crate::error::refuse;
use crate::names::{self, Source};
use crate::pretrained::{Checkpoint, Pretrained};
use crate::{Init, Result};

/// What a component's `init_cfg` says; left out, the component's own rules hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct InitCfg {
    given: Option<Value>,
}

impl<'de> Deserialize<'de> for InitCfg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { given: Some(Value::deserialize(deserializer)?) })
    }
}

/// The rules of one module, in order: of two that match a layer the later one counts.
///
/// | type | weight |
/// |---|---|
/// | `Constant` | `val` |
/// | `Normal` | `N(mean, std²)`; 0 and 1 by default |
/// | `TruncNormal` | the same, between `a` and `b`; −2 and 2 by default |
/// | `Uniform` | `U(a, b)`; 0 and 1 by default |
/// | `Xavier` | deviation `gain · √(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010) |
/// | `Kaiming` | deviation `gain / √fan` (He et al., 2015, arXiv:1502.01852), `gain` by `nonlinearity` and `a`, `fan` by `mode` |
/// | `Caffe2Xavier` | `U(−√(3 / fan_in), √(3 / fan_in))` |
/// | `Pretrained` | from `checkpoint`, below `prefix`, its names renamed by `revise_keys`, pairs of a regular expression and a replacement; after all other rules, those of inner modules too. With `names='torchvision'`, `'timm'` or `'efficientnet-pytorch'` the file has that library's names of its architecture `arch`, such as `'resnet18'` |
///
/// `Xavier` and `Kaiming` are normal, or uniform with `distribution='uniform'`. The bias becomes `bias` (0 by default),
/// or `−ln((1 − bias_prob) / bias_prob)`. `layer` names classes of layers, or the classes that these derive from;
/// `override` names a part of the module, all of whose layers it fills, by its own rule or by this one. A rule without
/// both fills nothing. Layers that no rule fills start as PyTorch makes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    fills: Vec<Rule>,
    pretrained: Vec<Checkpoint>,
}

#[derive(Debug, Clone)]
struct Rule {
    fill: Fill,
    layers: Vec<String>,
    overrides: Vec<(String, Fill)>,
}

/// How one layer is filled.
#[derive(Debug, Clone)]
struct Fill {
    weight: Weight,
    bias: f32,
}

#[derive(Debug, Clone)]
enum Weight {
    Constant(f32),
    Normal { mean: f64, std: f64 },
    TruncNormal { mean: f64, std: f64, bounds: [f64; 2] },
    Uniform([f64; 2]),
    Xavier { gain: f64, distribution: Distribution },
    Kaiming { gain: f64, mode: Mode, distribution: Distribution },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Distribution {
    Uniform,
    #[default]
    Normal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    FanIn,
    #[default]
    FanOut,
}

/// The function after a layer, whose gain keeps the variance.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Nonlinearity {
    Linear,
    Conv1d,
    Conv2d,
    Conv3d,
    Sigmoid,
    Tanh,
    #[default]
    Relu,
    LeakyRelu,
    Selu,
}

impl Nonlinearity {
    /// As `torch.nn.init.calculate_gain`.
    fn gain(self, slope: f64) -> f64 {
        match self {
            Self::Linear | Self::Conv1d | Self::Conv2d | Self::Conv3d | Self::Sigmoid => 1.0,
            Self::Tanh => 5.0 / 3.0,
            Self::Relu => 2f64.sqrt(),
            Self::LeakyRelu => (2.0 / (1.0 + slope * slope)).sqrt(),
            Self::Selu => 0.75,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    Constant,
    Xavier,
    Normal,
    TruncNormal,
    Uniform,
    Kaiming,
    Caffe2Xavier,
    Pretrained,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantKeys {
    val: f64,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct XavierKeys {
    gain: f64,
    distribution: Distribution,
}

impl Default for XavierKeys {
    fn default() -> Self {
        Self { gain: 1.0, distribution: Distribution::Normal }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NormalKeys {
    mean: f64,
    std: f64,
}

impl Default for NormalKeys {
    fn default() -> Self {
        Self { mean: 0.0, std: 1.0 }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TruncNormalKeys {
    mean: f64,
    std: f64,
    a: f64,
    b: f64,
}

impl Default for TruncNormalKeys {
    fn default() -> Self {
        Self { mean: 0.0, std: 1.0, a: -2.0, b: 2.0 }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UniformKeys {
    a: f64,
    b: f64,
}

impl Default for UniformKeys {
    fn default() -> Self {
        Self { a: 0.0, b: 1.0 }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KaimingKeys {
    a: f64,
    mode: Mode,
    nonlinearity: Nonlinearity,
    distribution: Distribution,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PretrainedKeys {
    checkpoint: Value,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    revise_keys: Vec<(String, String)>,
    /// Whose names the file has.
    #[serde(default)]
    names: Option<Source>,
    /// Of which architecture these are.
    #[serde(default)]
    arch: Option<String>,
    /// Where PyTorch puts the tensors first; no result depends on it.
    #[serde(default, rename = "map_location")]
    _map_location: Option<Value>,
}

/// Keys that every rule but `Pretrained` takes.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CommonKeys {
    bias: f64,
    bias_prob: Option<f64>,
    layer: Option<OneOrMany<String>>,
    #[serde(rename = "override")]
    overrides: Option<Value>,
}

/// A dict in two: the `keys` alone, and all others.
fn split(value: &Value, keys: &[&str]) -> (Value, Value) {
    let (mut named, mut rest) = (value.clone(), value.clone());
    if let (Some(named), Some(rest)) = (named.as_dict_mut(), rest.as_dict_mut()) {
        named.retain(|key, _| key.as_str().is_some_and(|k| keys.contains(&k)));
        rest.retain(|key, _| !key.as_str().is_some_and(|k| keys.contains(&k)));
    }
    (named, rest)
}

fn kind(value: &Value) -> Result<Kind, ConfigError> {
    match value.type_name() {
        Some(name) => Value::from(name).parse().map_err(|e: ConfigError| e.at(value)),
        None => Err(ConfigError::new("`init_cfg` must be a dict with a `type`, or a list of such").at(value)),
    }
}

/// How a dict of `kind` fills, from its keys beside the common ones.
fn fill(kind: Kind, keys: &Value, common: &CommonKeys, value: &Value) -> Result<Fill, ConfigError> {
    let wrong = |message: &str| Err(ConfigError::new(message).at(value));
    let deviation = |std: f64| std.is_finite() && std >= 0.0;
    let weight = match kind {
        Kind::Constant => Weight::Constant(keys.parse::<ConstantKeys>()?.val as f32),
        Kind::Xavier => {
            let XavierKeys { gain, distribution } = keys.parse()?;
            if !deviation(gain) {
                return wrong("`gain` must be at least 0");
            }
            Weight::Xavier { gain, distribution }
        }
        Kind::Normal => {
            let NormalKeys { mean, std } = keys.parse()?;
            if !deviation(std) || !mean.is_finite() {
                return wrong("`mean` must be a number and `std` at least 0");
            }
            Weight::Normal { mean, std }
        }
        Kind::TruncNormal => {
            let TruncNormalKeys { mean, std, a, b } = keys.parse()?;
            if !deviation(std)
                || std == 0.0
                || !mean.is_finite()
                || a.partial_cmp(&b) != Some(std::cmp::Ordering::Less)
            {
                return wrong("`std` must be above 0 and `a` below `b`");
            }
            Weight::TruncNormal { mean, std, bounds: [a, b] }
        }
        Kind::Uniform => {
            let UniformKeys { a, b } = keys.parse()?;
            if !(a.is_finite() && b.is_finite() && a <= b) {
                return wrong("`a` must not be above `b`");
            }
            Weight::Uniform([a, b])
        }
        Kind::Kaiming => {
            let KaimingKeys { a, mode, nonlinearity, distribution } = keys.parse()?;
            Weight::Kaiming { gain: nonlinearity.gain(a), mode, distribution }
        }
        Kind::Caffe2Xavier => {
            let NoKeys {} = keys.parse()?;
            let gain = Nonlinearity::LeakyRelu.gain(1.0);
            Weight::Kaiming { gain, mode: Mode::FanIn, distribution: Distribution::Uniform }
        }
        Kind::Pretrained => {
            return wrong("an override takes no checkpoint; give the part its own `init_cfg`");
        }
    };
    let bias = match common.bias_prob {
        None => common.bias,
        Some(p) if p > 0.0 && p < 1.0 => -((1.0 - p) / p).ln(),
        Some(_) => return wrong("`bias_prob` must be between 0 and 1"),
    };
    Ok(Fill { weight, bias: bias as f32 })
}

/// A `Pretrained` rule.
fn checkpoint(value: &Value) -> Result<Checkpoint, ConfigError> {
    let PretrainedKeys { checkpoint, prefix, revise_keys, names, arch, .. } = value.parse()?;
    let rules = KeyRules::new(revise_keys).map_err(|e| ConfigError::new(e.to_string()).at(value))?;
    let names = match (names, arch) {
        (Some(Source::Mmcls), _) | (None, None) => None,
        (Some(source), Some(arch)) => {
            names::backbone_of(source, &arch).map_err(|e| e.at(value))?;
            Some((source, arch))
        }
        (Some(_), None) => {
            let error = ConfigError::new("`names` does not say of which architecture the names are");
            return Err(error.at(value).with_help("add `arch`, such as `arch='resnet18'`"));
        }
        (None, Some(_)) => {
            let error = ConfigError::new("`arch` is of no use without `names`");
            return Err(error.at(value).with_help("add `names='torchvision'` or `names='timm'`"));
        }
    };
    Ok(Checkpoint { path: checkpoint, prefix, rules, names })
}

impl Rule {
    fn parse(kind: Kind, value: &Value) -> Result<Self, ConfigError> {
        let (common, keys) = split(value, &["bias", "bias_prob", "layer", "override"]);
        let common: CommonKeys = common.parse()?;
        let own = fill(kind, &keys, &common, value)?;
        let mut overrides = Vec::new();
        let list = match &common.overrides {
            None => &[],
            Some(one) => one.as_list().unwrap_or(std::slice::from_ref(one)),
        };
        for other in list {
            let (name, rest) = split(other, &["name"]);
            let Some(name) = name.get("name").and_then(Value::as_str) else {
                return Err(ConfigError::new("`override` must have a `name`").at(other));
            };
            let replaced = if rest.as_dict().is_some_and(|d| d.is_empty()) {
                own.clone()
            } else {
                let (common, keys) = split(&rest, &["bias", "bias_prob", "layer"]);
                fill(self::kind(other)?, &keys, &common.parse()?, other)?
            };
            overrides.push((name.to_owned(), replaced));
        }
        let layers = common.layer.map(|l| l.as_slice().to_vec()).unwrap_or_default();
        Ok(Self { fill: own, layers, overrides })
    }
}

/// A layer that rules can fill.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Its module path.
    pub path: String,
    /// Its class and those that it derives from.
    pub classes: &'static [&'static str],
    /// Shape of its weight.
    pub shape: Vec<usize>,
    pub biased: bool,
}

impl Layer {
    /// How PyTorch makes it: convolutions and linear layers uniform within `1 / √fan_in`, norm layers neutral.
    pub fn torch_default(&self) -> [Init; 2] {
        match fans(&self.shape) {
            Some([fan_in, _]) => {
                let bound = 1.0 / fan_in.max(1.0).sqrt();
                [Init::Uniform { bounds: [-bound, bound] }; 2]
            }
            None => [Init::Constant(1.0), Init::Constant(0.0)],
        }
    }
}

/// Inputs and outputs of one element, counted over the kernel's area; none for vectors.
fn fans(shape: &[usize]) -> Option<[f64; 2]> {
    let [out, input, area @ ..] = shape else { return None };
    let area: f64 = area.iter().map(|&d| d as f64).product();
    Some([*input as f64 * area, *out as f64 * area])
}

impl Fill {
    fn inits(&self, layer: &Layer) -> Result<[Init; 2]> {
        let spread = |std: f64, distribution: Distribution| match distribution {
            Distribution::Normal => Init::Normal { std },
            Distribution::Uniform => {
                let bound = 3f64.sqrt() * std;
                Init::Uniform { bounds: [-bound, bound] }
            }
        };
        let fans = || match fans(&layer.shape) {
            Some(fans) => Ok(fans.map(|fan| fan.max(1.0))),
            None => refuse(format!(
                "init_cfg: `{}` has a weight of one axis, which Xavier's and Kaiming's rules do not fill",
                layer.path
            )),
        };
        let weight = match self.weight {
            Weight::Constant(value) => Init::Constant(value),
            Weight::Normal { mean: 0.0, std } => Init::Normal { std },
            Weight::Normal { mean, std } => Init::NormalAround { mean, std },
            Weight::TruncNormal { mean, std, bounds } => Init::TruncNormal { mean, std, bounds },
            Weight::Uniform(bounds) => Init::Uniform { bounds },
            Weight::Xavier { gain, distribution } => {
                let [fan_in, fan_out] = fans()?;
                spread(gain * (2.0 / (fan_in + fan_out)).sqrt(), distribution)
            }
            Weight::Kaiming { gain, mode, distribution } => {
                let [fan_in, fan_out] = fans()?;
                let fan = if mode == Mode::FanIn { fan_in } else { fan_out };
                spread(gain / fan.sqrt(), distribution)
            }
        };
        Ok([weight, Init::Constant(self.bias)])
    }
}

impl InitCfg {
    /// The rules, or `own` where the config leaves the key out.
    ///
    /// # Errors
    /// A rule is none of mmengine's.
    pub fn rules(&self, own: impl FnOnce() -> Rules) -> Result<Rules> {
        let Some(value) = &self.given else { return Ok(own()) };
        if value.is_none() {
            return Ok(Rules::default());
        }
        let mut rules = Rules::default();
        for item in value.as_list().unwrap_or(std::slice::from_ref(value)) {
            match kind(item)? {
                Kind::Pretrained => {
                    rules.pretrained.push(checkpoint(item)?);
                }
                kind => rules.fills.push(Rule::parse(kind, item)?),
            }
        }
        Ok(rules)
    }
}

impl Rules {
    /// No rules.
    pub fn none() -> Self {
        Self::default()
    }

    /// `Kaiming` for convolutions and `Constant` 1 for norm layers: the default of most backbones.
    pub fn backbone() -> Self {
        let gain = Nonlinearity::Relu.gain(0.0);
        let kaiming = Weight::Kaiming { gain, mode: Mode::FanOut, distribution: Distribution::Normal };
        Self::none().then(kaiming, &["Conv2d"]).then(Weight::Constant(1.0), &["_BatchNorm", "GroupNorm"])
    }

    /// These, then `Normal` with deviation `std` for linear layers.
    pub fn and_linear(self, std: f64) -> Self {
        self.then(Weight::Normal { mean: 0.0, std }, &["Linear"])
    }

    /// These, then `Constant` for linear layers.
    pub fn and_constant_linear(self, value: f32) -> Self {
        self.then(Weight::Constant(value), &["Linear"])
    }

    /// These, then `TruncNormal` between −2 and 2 for the `layers`, and `Constant` 1 for batch norms.
    pub fn and_trunc_normal(self, std: f64, layers: &[&str]) -> Self {
        self.then(Weight::TruncNormal { mean: 0.0, std, bounds: [-2.0, 2.0] }, layers)
            .then(Weight::Constant(1.0), &["BatchNorm2d"])
    }

    /// These, then `TruncNormal` between −2 and 2 for the `layers`, and `Constant` 1 for layer norms.
    pub fn and_layer_norms(self, std: f64, layers: &[&str]) -> Self {
        self.then(Weight::TruncNormal { mean: 0.0, std, bounds: [-2.0, 2.0] }, layers)
            .then(Weight::Constant(1.0), &["LayerNorm"])
    }

    /// These, then `Kaiming`, uniform by `fan_in`, for the `layers`.
    pub fn and_kaiming_uniform(self, layers: &[&str]) -> Self {
        let (gain, distribution) = (Nonlinearity::Relu.gain(0.0), Distribution::Uniform);
        self.then(Weight::Kaiming { gain, mode: Mode::FanIn, distribution }, layers)
    }

    /// These, then `Kaiming` with gain 1, uniform by `fan_out`, for the `layers`.
    pub fn and_uniform_fan_out(self, layers: &[&str]) -> Self {
        let (gain, distribution) = (Nonlinearity::Sigmoid.gain(0.0), Distribution::Uniform);
        self.then(Weight::Kaiming { gain, mode: Mode::FanOut, distribution }, layers)
    }

    fn then(mut self, weight: Weight, layers: &[&str]) -> Self {
        let layers = layers.iter().map(|&l| l.to_owned()).collect();
        self.fills.push(Rule { fill: Fill { weight, bias: 0.0 }, layers, overrides: Vec::new() });
        self
    }

    /// These, then a checkpoint.
    pub fn and_checkpoint(mut self, path: &Value) -> Self {
        let checkpoint =
            Checkpoint { path: path.clone(), prefix: None, rules: KeyRules::default(), names: None };
        self.pretrained.push(checkpoint);
        self
    }

    /// How the rules of the module `module` fill one of its layers; none where none of them matches.
    ///
    /// # Errors
    /// A rule does not suit the layer's weight.
    pub fn fill(&self, module: &str, layer: &Layer) -> Result<Option<[Init; 2]>> {
        let mut found = None;
        for rule in &self.fills {
            if rule.layers.iter().any(|l| layer.classes.contains(&l.as_str())) {
                found = Some(&rule.fill);
            }
            for (part, fill) in &rule.overrides {
                if is_inside(&layer.path, &joined(module, part)) {
                    found = Some(fill);
                }
            }
        }
        found.map(|fill| fill.inits(layer)).transpose()
    }

    /// Names of parts that overrides ask for.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.fills.iter().flat_map(|rule| rule.overrides.iter().map(|(part, _)| part.as_str()))
    }

    /// The checkpoints, for the module `module`.
    pub fn pretrained(&self, module: &str) -> impl Iterator<Item = Pretrained> {
        self.pretrained.iter().map(move |c| Pretrained { checkpoint: c.clone(), module: module.to_owned() })
    }
}

/// The path of `part` inside the module `module`.
pub(crate) fn joined(module: &str, part: &str) -> String {
    if module.is_empty() { part.to_owned() } else { format!("{module}.{part}") }
}

/// Whether a path is `module` or inside it.
pub(crate) fn is_inside(path: &str, module: &str) -> bool {
    module.is_empty()
        || path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
