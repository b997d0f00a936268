//! Telling how wide units are while a model is pruned.

use occam_config::{Error, Registry, Value};
use occam_train::{Hook, Result, Runner, Step, UnitState};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    by_epoch: bool,
    interval: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { by_epoch: true, interval: 1 }
    }
}

/// `PruningStructureHook(by_epoch=True, interval=1)`: tells the units of a model that is being pruned every `interval` epochs,
/// or iterations: how many of their channels are left, and the least and the largest importance of these where the
/// algorithm measures one. Other trainings have no units, and nothing is told.
pub struct PruningStructureHook {
    by_epoch: bool,
    interval: u64,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let Config { by_epoch, interval } = value.parse()?;
    if interval == 0 {
        let error = Error::new("`interval` must be at least 1");
        return Err(error.at(value.get("interval").unwrap_or(value)));
    }
    Ok(Box::new(PruningStructureHook { by_epoch, interval }))
}

/// One line a unit that may lose channels.
fn table(units: &[UnitState]) -> String {
    let mutable = || units.iter().filter(|u| u.mutable);
    let longest = mutable().map(|u| u.name.len()).max().unwrap_or(0);
    let (mut all, mut left) = (0, 0);
    let mut lines = Vec::new();
    for unit in mutable() {
        all += unit.channels;
        left += unit.width;
        let importance =
            unit.importance.map_or_else(String::new, |[low, high]| format!("  {low:.3e} to {high:.3e}"));
        lines.push(format!("  {:longest$}  {:>5} of {}{importance}", unit.name, unit.width, unit.channels));
    }
    format!("units: {left} of {all} channels are left\n{}", lines.join("\n"))
}

impl PruningStructureHook {
    fn tell(&self, runner: &mut Runner, count: u64) {
        let units = runner.algorithm().units();
        if count.is_multiple_of(self.interval) && !units.is_empty() {
            runner.message(&table(&units));
        }
    }
}

impl Hook for PruningStructureHook {
    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        if self.by_epoch {
            self.tell(runner, runner.epoch());
        }
        Ok(())
    }

    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        if !self.by_epoch {
            self.tell(runner, runner.iter());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_units_that_may_lose_channels_are_listed() {
        let unit = |name: &str, width, mutable, importance| UnitState {
            name: name.into(),
            channels: 8,
            width,
            mutable,
            importance,
        };
        let units = [
            unit("stem", 8, false, None),
            unit("a", 3, true, Some([0.5, 20.0])),
            unit("long", 8, true, None),
        ];
        let wanted =
            "units: 11 of 16 channels are left\n  a         3 of 8  5.000e-1 to 2.000e1\n  long      8 of 8";
        assert_eq!(table(&units), wanted);
    }
}
