//! Mixed precision: `AmpOptimWrapper`.

use occam_config::{Error as ConfigError, Value};
use occam_engine::{Autocast, Device, Precision, Tensor};
use serde::Deserialize;

use crate::{Error, Result};

/// Where the scaler's state lies among the optimizer's tensors.
pub(super) const STATE: &str = "loss_scaler";

/// Keys of `optim_wrapper` that this wrapper has beside those of `OptimWrapper`.
const KEYS: [&str; 3] = ["loss_scale", "dtype", "use_fsdp"];

/// Trains with convolutions and fully connected layers in `bf16` or `f16` ([`Autocast`]), and scales gradients.
///
/// | key | default | |
/// |---|---|---|
/// | `dtype` | `'float16'` | or `'bfloat16'`, or `'float32'`: nothing is cast |
/// | `loss_scale` | `'dynamic'` | see below; a number is a scale that stays, a dict sets `init_scale`, `growth_factor`, `backoff_factor`, `growth_interval` and `enabled` |
///
/// The scale begins at 65536. Where a gradient is not finite, no parameter is moved and the scale is halved; after 2000
/// steps without that it is doubled: `torch.cuda.amp.GradScaler`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Amp {
    precision: Precision,
    scaler: Scaler,
    scale: f32,
    /// Steps since the scale changed or a gradient was not finite.
    good: u32,
    skipped: bool,
}

/// How the scale moves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Scaler {
    init_scale: f32,
    growth_factor: f32,
    backoff_factor: f32,
    growth_interval: u32,
    enabled: bool,
    #[serde(skip)]
    fixed: bool,
}

impl Default for Scaler {
    fn default() -> Self {
        Self {
            init_scale: 65536.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            enabled: true,
            fixed: false,
        }
    }
}

impl Scaler {
    fn from_config(value: &Value) -> Result<Self, ConfigError> {
        let refuse = |message: &str| Err(ConfigError::new(message).at(value));
        let scaler = match (value.as_str(), value.as_f64()) {
            (Some("dynamic"), _) => Self::default(),
            (None, Some(scale)) => Self { init_scale: scale as f32, fixed: true, ..Self::default() },
            _ if value.as_dict().is_some() => value.parse()?,
            _ => return refuse("`loss_scale` must be 'dynamic', a number or a dict"),
        };
        let sound = |x: f32| x > 0.0 && x.is_finite();
        if !sound(scaler.init_scale) {
            return refuse("the loss scale must be above 0 and finite");
        }
        if !(sound(scaler.growth_factor) && scaler.growth_factor > 1.0) {
            return refuse("`growth_factor` must be above 1");
        }
        if !(scaler.backoff_factor > 0.0 && scaler.backoff_factor < 1.0) {
            return refuse("`backoff_factor` must be between 0 and 1");
        }
        if scaler.growth_interval == 0 {
            return refuse("`growth_interval` must be at least 1");
        }
        Ok(scaler)
    }
}

impl Amp {
    /// What an `optim_wrapper` of type `AmpOptimWrapper` asks for, and the same config as one of `OptimWrapper`; none and
    /// the config itself for other types.
    pub(super) fn split(value: &Value) -> Result<(Option<Self>, Value)> {
        let mut rest = value.clone();
        if value.type_name() != Some("AmpOptimWrapper") {
            return Ok((None, rest));
        }
        if let Some(dict) = rest.as_dict_mut() {
            dict.insert("type", Value::from("OptimWrapper"));
            for key in KEYS {
                dict.remove(key);
            }
        }
        let given = |key: &str| value.get(key).filter(|v| !v.is_none());
        if let Some(v) = given("use_fsdp").filter(|v| v.as_bool() != Some(false)) {
            return Err(ConfigError::new("`use_fsdp` must be False: models are not sharded").at(v).into());
        }
        let precision = match given("dtype") {
            // As `torch.autocast` on graphics cards.
            None => Precision::F16,
            Some(v) => match v.as_str() {
                Some("float16") => Precision::F16,
                Some("bfloat16") => Precision::Bf16,
                Some("float32") => Precision::F32,
                _ => {
                    let error = ConfigError::new("`dtype` must be 'float16', 'bfloat16' or 'float32'");
                    return Err(error.at(v).into());
                }
            },
        };
        let scaler = given("loss_scale").map(Scaler::from_config).transpose()?.unwrap_or_default();
        let scale = if scaler.enabled { scaler.init_scale } else { 1.0 };
        Ok((Some(Self { precision, scaler, scale, good: 0, skipped: false }), rest))
    }

    /// How the next step is to be computed.
    pub(super) fn autocast(&self) -> Autocast {
        Autocast { precision: self.precision, loss_scale: self.scale }
    }

    /// Whether the last step moved nothing because a gradient was not finite.
    pub(super) fn skipped(&self) -> bool {
        self.skipped
    }

    /// Takes note of a step whose gradients were finite or not, and moves the scale.
    pub(super) fn update(&mut self, finite: bool) {
        let Scaler { growth_factor, backoff_factor, growth_interval, enabled, fixed, .. } = self.scaler;
        // Without a scaler a gradient that is not finite is as fatal as in `f32`.
        self.skipped = enabled && !finite;
        if !enabled || fixed {
            return;
        }
        if !finite {
            self.good = 0;
            let smaller = self.scale * backoff_factor;
            // No scale is to blame any more where so small a one overflows.
            if smaller >= f32::MIN_POSITIVE {
                self.scale = smaller
            } else {
                self.skipped = false
            }
            return;
        }
        self.good = self.good.saturating_add(1);
        if self.good >= growth_interval {
            self.good = 0;
            let grown = self.scale * growth_factor;
            if grown.is_finite() {
                self.scale = grown;
            }
        }
    }

    /// Adds the scaler's state to the optimizer's tensors.
    pub(super) fn save(&self, state: &mut occam_engine::optim::State) {
        // Counts are exact in `f32`: halves of 16 bits.
        let good = [(self.good >> 16) as f32, (self.good & 0xffff) as f32];
        if let Ok(t) = Tensor::from_f32(&[3], vec![self.scale, good[0], good[1]], &Device::cpu()) {
            state.insert(STATE.into(), t);
        }
    }

    /// Continues from a state that [`Amp::save`] wrote.
    pub(super) fn load(&mut self, state: &Tensor) -> Result<()> {
        match state.to_f32()?.as_slice() {
            &[scale, high, low] if scale > 0.0 && scale.is_finite() => {
                self.good = ((high as u32) << 16) | (low as u32 & 0xffff);
                if !self.scaler.fixed && self.scaler.enabled {
                    self.scale = scale;
                }
                Ok(())
            }
            _ => Err(Error::Other(format!("its `{STATE}` is damaged"))),
        }
    }
}

/// Takes the scaler's state out of the optimizer's tensors. A run that was trained in `f32` goes on with the first scale,
/// and the other way round.
///
/// # Errors
/// The state is damaged.
pub(super) fn load(amp: Option<&mut Amp>, state: &mut occam_engine::optim::State) -> Result<()> {
    match (amp, state.shift_remove(STATE)) {
        (Some(amp), Some(state)) => amp.load(&state),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amp(config: &str) -> Result<Amp> {
        let text = format!("optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(), {config})");
        let config = occam_config::Loader::new().load_str("amp.py", &text)?;
        let (amp, rest) = Amp::split(config.get("optim_wrapper").unwrap())?;
        assert_eq!(rest.type_name(), Some("OptimWrapper"));
        assert!(KEYS.iter().all(|key| rest.get(key).is_none()));
        Ok(amp.unwrap())
    }

    #[test]
    fn the_scale_follows_the_gradients() {
        let mut a = amp("loss_scale=dict(growth_interval=3)").unwrap();
        assert_eq!(a.autocast(), Autocast { precision: Precision::F16, loss_scale: 65536.0 });
        let mut steps = |finite: &[bool]| {
            finite.iter().for_each(|&f| a.update(f));
            (a.scale, a.good, a.skipped)
        };
        assert_eq!(steps(&[true, true, false]), (32768.0, 0, true));
        assert_eq!(steps(&[true, true]), (32768.0, 2, false));
        assert_eq!(steps(&[true]), (65536.0, 0, false));
        assert_eq!(steps(&[false; 200]), (f32::MIN_POSITIVE, 0, false));
        // From a checkpoint it goes on alike.
        assert_eq!(steps(&[true]), (f32::MIN_POSITIVE, 1, false));
        let mut state = occam_engine::optim::State::new();
        a.save(&mut state);
        let mut b = amp("loss_scale=dict(growth_interval=3)").unwrap();
        load(Some(&mut b), &mut state).unwrap();
        assert!(state.is_empty());
        assert_eq!(a, b);
    }

    #[test]
    fn configs() {
        assert_eq!(amp("dtype='bfloat16'").unwrap().precision, Precision::Bf16);
        assert_eq!(amp("dtype=None, use_fsdp=False").unwrap().precision, Precision::F16);
        let mut fixed = amp("loss_scale=512., dtype='float16'").unwrap();
        fixed.update(false);
        assert_eq!((fixed.scale, fixed.skipped), (512.0, true));
        let mut off = amp("loss_scale=dict(enabled=False)").unwrap();
        assert_eq!(off.scale, 1.0);
        off.update(false);
        assert!(!off.skipped);
        for (wrong, about) in [
            ("dtype='float64'", "dtype"),
            ("dtype=16", "dtype"),
            ("loss_scale='static'", "loss_scale"),
            ("loss_scale=0.", "above 0"),
            ("loss_scale=dict(growth=2)", "growth"),
            ("loss_scale=dict(growth_factor=1.0)", "growth_factor"),
            ("loss_scale=dict(backoff_factor=2.0)", "backoff_factor"),
            ("loss_scale=dict(growth_interval=0)", "growth_interval"),
            ("use_fsdp=True", "use_fsdp"),
        ] {
            let error = amp(wrong).unwrap_err().to_string();
            assert!(error.contains(about), "{wrong}: {error}");
        }
    }
}
