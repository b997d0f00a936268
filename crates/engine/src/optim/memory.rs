//! What an optimizer keeps of each parameter.

use indexmap::IndexMap;

use super::State;
use crate::{Device, Error, Result, Tensor};

/// Slot of the number of steps, the only one that has not its parameter's shape.
pub const STEP: &str = "step";

/// Up to `N` tensors and the number of steps of each parameter.
///
/// The names of the slots are given to [`Memory::state`] and [`Memory::load`], in the order of [`Kept::tensors`].
#[derive(Debug, Clone)]
pub(super) struct Memory<const N: usize> {
    map: IndexMap<String, Kept<N>>,
}

/// What is kept of one parameter.
#[derive(Debug, Clone)]
pub(super) struct Kept<const N: usize> {
    /// Steps taken; stays 0 where the optimizer does not count.
    pub step: u32,
    /// The tensors; none before the first step.
    pub tensors: [Option<Tensor>; N],
}

impl<const N: usize> Default for Kept<N> {
    fn default() -> Self {
        Self { step: 0, tensors: [const { None }; N] }
    }
}

impl<const N: usize> Default for Memory<N> {
    fn default() -> Self {
        Self { map: IndexMap::new() }
    }
}

impl<const N: usize> Memory<N> {
    /// Takes out what is kept of a parameter, so that its tensors can be changed in their place. Its place among the others
    /// stays, so that equal states are written in equal order.
    pub fn take(&mut self, name: &str) -> Kept<N> {
        self.map.get_mut(name).map(std::mem::take).unwrap_or_default()
    }

    /// Keeps it again.
    pub fn keep(&mut self, name: &str, kept: Kept<N>) {
        match self.map.get_mut(name) {
            Some(place) => *place = kept,
            None => {
                self.map.insert(name.to_owned(), kept);
            }
        }
    }

    /// Everything, by `<parameter>.<slot>`.
    pub fn state(&self, slots: [&str; N]) -> State {
        let mut state = State::new();
        for (name, kept) in &self.map {
            if kept.step > 0 {
                // Exact in f32 up to 2^24; the two halves keep the rest.
                let halves = vec![(kept.step >> 16) as f32, (kept.step & 0xffff) as f32];
                if let Ok(t) = Tensor::from_f32(&[2], halves, &Device::cpu()) {
                    state.insert(format!("{name}.{STEP}"), t);
                }
            }
            for (slot, tensor) in slots.iter().zip(&kept.tensors) {
                if let Some(tensor) = tensor {
                    state.insert(format!("{name}.{slot}"), tensor.clone());
                }
            }
        }
        state
    }

    /// Takes over a state.
    ///
    /// # Errors
    /// A slot is none of these.
    pub fn load(&mut self, state: State, slots: [&str; N]) -> Result<()> {
        let mut loaded = Self::default();
        for (key, tensor) in state {
            let unknown = || Error::Optim(format!("`{key}` is no state of this optimizer"));
            let (name, slot) = key.rsplit_once('.').ok_or_else(unknown)?;
            let mut kept = loaded.take(name);
            if slot == STEP {
                kept.step = match tensor.to_f32()?.as_slice() {
                    [high, low] => ((*high as u32) << 16) | (*low as u32 & 0xffff),
                    _ => return Err(Error::Optim(format!("`{key}` is damaged"))),
                };
            } else {
                let place = slots.iter().position(|s| *s == slot);
                *place.and_then(|i| kept.tensors.get_mut(i)).ok_or_else(unknown)? = Some(tensor);
            }
            loaded.keep(name, kept);
        }
        *self = loaded;
        Ok(())
    }
}

/// The tensor of a slot, or zeros like `param`.
pub(super) fn or_zeros(slot: Option<Tensor>, param: &Tensor) -> Tensor {
    slot.unwrap_or_else(|| Tensor::full(&param.shape(), 0.0, &param.device()))
}

/// `keep · average + (1 − keep) · value`, or as much of it as there is.
pub(super) fn average(before: Option<&Tensor>, value: &Tensor, keep: f64) -> Result<Tensor> {
    let added = value.scale(1.0 - keep)?;
    match before {
        Some(before) => before.scale(keep)?.add(&added),
        None => Ok(added),
    }
}
