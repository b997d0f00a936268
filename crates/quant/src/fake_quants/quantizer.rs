//! One grid at work.

use std::sync::Arc;

use occam_engine::{Device, Grid, Tensor};
use occam_graph::ops::GridLearning;

use super::FakeQuantConfig;
use crate::observers::Observer;
use crate::{EPS, Error, QParams, QScheme, Result};

/// Switches, by PyTorch's and the original's names in checkpoints.
const FAKE_QUANT: &str = "fake_quant_enabled";
const OBSERVER: &str = "observer_enabled";
/// What [`OBSERVER`] is called where the grid learns.
const STATIC: &str = "static_enabled";
const LEARNING: &str = "learning_enabled";

/// An observer, and whether it observes, whether the value is rounded, and whether the grid learns: by these it says by what a
/// node of the graph rounds.
///
/// It begins as PyTorch's modules do: it observes, rounds by what follows, and nothing learns.
#[derive(Debug)]
pub struct FakeQuantizer {
    scheme: QScheme,
    kind: Arc<dyn FakeQuantConfig>,
    observer: Box<dyn Observer>,
    observes: bool,
    rounds: bool,
    learns: bool,
    /// What was last found.
    found: Option<QParams>,
    /// Whether that was taken.
    is_fresh: bool,
}

impl FakeQuantizer {
    /// One that rounds to integers of `scheme`, by what `kind` makes of what `observer` sees.
    pub fn new(scheme: QScheme, kind: Arc<dyn FakeQuantConfig>, observer: Box<dyn Observer>) -> Self {
        let (observes, rounds, learns) = (true, true, false);
        Self { scheme, kind, observer, observes, rounds, learns, found: None, is_fresh: false }
    }

    /// Whether the grid can learn.
    pub fn is_learnable(&self) -> bool {
        self.kind.learning() != GridLearning::Fixed
    }

    /// Whether it observes.
    pub fn enable_observer(&mut self, enabled: bool) {
        self.observes = enabled;
    }

    /// Whether it observes now.
    pub fn observes(&self) -> bool {
        self.observes
    }

    /// Whether values are rounded.
    pub fn enable_fake_quant(&mut self, enabled: bool) {
        self.rounds = enabled;
    }

    fn switch(&mut self, observes: bool, rounds: bool, learns: bool) {
        if self.is_learnable() {
            (self.observes, self.rounds, self.learns) = (observes, rounds, learns);
        }
    }

    /// The observer sets the grid, by which values are rounded. This and the next three change only grids that can learn.
    pub fn enable_static_estimate(&mut self) {
        self.switch(true, true, false);
    }

    /// The grid learns, and nothing is observed.
    pub fn enable_param_learning(&mut self) {
        self.switch(false, true, true);
    }

    /// Values are rounded, and the grid stays.
    pub fn enable_val(&mut self) {
        self.switch(false, true, false);
    }

    /// Values are observed, but not rounded.
    pub fn enable_static_observation(&mut self) {
        self.switch(true, false, false);
    }

    /// Whether the grid learns now.
    pub fn is_learning(&self) -> bool {
        self.learns
    }

    /// Takes a tensor of `shape` into account where it observes.
    ///
    /// # Errors
    /// As [`Observer::observe`].
    pub fn see(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        if self.observes {
            self.observer.observe(x, shape)?;
            self.found = self.kind.qparams(&self.scheme, &*self.observer);
            self.is_fresh = self.found.is_some();
        }
        Ok(())
    }

    /// By what a node rounds: by what was found while it observes, else by the parameters of the node; not at all where that is
    /// switched off.
    ///
    /// # Errors
    /// The device has no room.
    pub fn answer(&self, device: &Device) -> occam_engine::Result<Grid> {
        match &self.found {
            _ if !self.rounds => Ok(Grid::Off),
            Some(found) if self.observes => {
                let shape = [found.scale.len()];
                let zeros = found.zero_point.iter().map(|&z| z as f32).collect();
                Ok(Grid::Of {
                    scale: Tensor::from_f32(&shape, found.scale.clone(), device)?,
                    zero_point: Tensor::from_f32(&shape, zeros, device)?,
                })
            }
            _ => Ok(Grid::Given),
        }
    }

    /// The scale and the zero point that were last found; none before anything was observed.
    pub fn qparams(&self) -> Option<&QParams> {
        self.found.as_ref()
    }

    /// The same, once: none where nothing was observed since it was last taken.
    pub fn take_fresh(&mut self) -> Option<QParams> {
        if std::mem::take(&mut self.is_fresh) { self.found.clone() } else { None }
    }

    /// The observer.
    pub fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// Forgets what was observed.
    pub fn reset(&mut self) {
        self.observer.reset();
        (self.found, self.is_fresh) = (None, false);
    }

    /// Switches as 0 and 1, scale and zero point, and what the observer remembers, by the names of PyTorch's and the original's
    /// modules.
    pub fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let number = |on: bool| vec![f32::from(u8::from(on))];
        let mut state = vec![(FAKE_QUANT, number(self.rounds))];
        if self.is_learnable() {
            state.extend([
                (STATIC, number(self.observes)),
                (LEARNING, number(self.learns)),
                ("eps", vec![EPS]),
            ]);
        } else {
            state.push((OBSERVER, number(self.observes)));
        }
        if let Some(found) = &self.found {
            let zeros = found.zero_point.iter().map(|&z| z as f32).collect();
            state.extend([("scale", found.scale.clone()), ("zero_point", zeros)]);
        }
        state.extend(self.observer.state());
        state
    }

    /// Goes on from what [`FakeQuantizer::state`] gave. Without scale and zero point they are what follows from what the observer
    /// remembers; switches that are not told stay.
    ///
    /// # Errors
    /// It is the state of another kind.
    pub fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let mut rest = Vec::new();
        let (mut scale, mut zeros) = (None, None);
        let is_learnable = self.is_learnable();
        for (name, numbers) in state {
            let on = || numbers.iter().all(|&n| n != 0.0);
            match name.as_str() {
                FAKE_QUANT => self.rounds = on(),
                OBSERVER if !is_learnable => self.observes = on(),
                STATIC if is_learnable => self.observes = on(),
                LEARNING if is_learnable => self.learns = on(),
                "eps" if is_learnable => {}
                "scale" => scale = Some(numbers.clone()),
                "zero_point" => zeros = Some(numbers.iter().map(|&z| z as i32).collect::<Vec<_>>()),
                _ => rest.push((name.clone(), numbers.clone())),
            }
        }
        self.reset();
        self.observer.load_state(&rest)?;
        self.found = match (scale, zeros) {
            (Some(scale), Some(zero_point)) if scale.len() == zero_point.len() => {
                Some(QParams { scale, zero_point })
            }
            (None, None) => self.kind.qparams(&self.scheme, &*self.observer),
            _ => return Err(Error::Other("scales and zero points do not fit".into())),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FakeQuantize, LearnableFakeQuantize};
    use super::*;
    use crate::observers::MinMax;

    fn new(kind: impl FakeQuantConfig + 'static) -> FakeQuantizer {
        let scheme = QScheme::activations(8);
        FakeQuantizer::new(scheme, Arc::new(kind), Box::new(MinMax::new(scheme)))
    }

    fn named(state: Vec<(&'static str, Vec<f32>)>) -> Vec<(String, Vec<f32>)> {
        state.into_iter().map(|(name, numbers)| (name.to_owned(), numbers)).collect()
    }

    /// The original's tests of the switches of its module.
    #[test]
    fn switches_are_the_originals() {
        let mut q = new(LearnableFakeQuantize::default());
        let told = |q: &FakeQuantizer| {
            let on = |name: &str| q.state().iter().any(|(n, v)| *n == name && v == &[1.0]);
            (on(STATIC), on(FAKE_QUANT), on(LEARNING))
        };
        assert_eq!(told(&q), (true, true, false));
        q.enable_param_learning();
        assert_eq!(told(&q), (false, true, true));
        q.enable_static_estimate();
        assert_eq!(told(&q), (true, true, false));
        q.enable_val();
        assert_eq!(told(&q), (false, true, false));
        q.enable_static_observation();
        assert_eq!(told(&q), (true, false, false));
        // They are of grids that can learn.
        let mut plain = new(FakeQuantize {});
        plain.enable_param_learning();
        assert!(!plain.is_learning() && plain.state().contains(&(OBSERVER, vec![1.0])));
    }

    #[test]
    fn it_answers_by_what_it_saw() {
        let device = Device::cpu();
        let mut q = new(FakeQuantize {});
        assert!(matches!(q.answer(&device).unwrap(), Grid::Given));
        q.see(&[-1.0, 1.0], &[2]).unwrap();
        assert!(matches!(q.answer(&device).unwrap(), Grid::Of { .. }));
        assert!(q.take_fresh().is_some() && q.take_fresh().is_none());
        q.enable_observer(false);
        q.see(&[-9.0, 9.0], &[2]).unwrap();
        assert_eq!(q.observer().range(), (&[-1.0][..], &[1.0][..]));
        assert!(matches!(q.answer(&device).unwrap(), Grid::Given));
        q.enable_fake_quant(false);
        assert!(matches!(q.answer(&device).unwrap(), Grid::Off));
        q.reset();
        assert!(q.qparams().is_none());
    }

    #[test]
    fn it_goes_on_from_what_it_remembers() {
        let mut q = new(LearnableFakeQuantize::default());
        q.see(&[-1.0, 1.0], &[2]).unwrap();
        q.enable_param_learning();
        let mut resumed = new(LearnableFakeQuantize::default());
        resumed.load_state(&named(q.state())).unwrap();
        assert_eq!(resumed.state(), q.state());
        // Parameters of the graph have scale and zero point.
        let mut state = named(q.state());
        state.retain(|(name, _)| name != "scale" && name != "zero_point");
        resumed.load_state(&state).unwrap();
        assert_eq!(resumed.qparams(), q.qparams());
        assert!(new(FakeQuantize {}).load_state(&named(q.state())).is_err());
    }
}
