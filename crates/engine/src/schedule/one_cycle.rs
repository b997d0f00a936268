//! The one-cycle policy.

use std::f64::consts::PI;

use super::Rule;

/// How a phase goes from its first value to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anneal {
    /// Along half a cosine.
    #[default]
    Cos,
    /// In a straight line.
    Linear,
}

/// Up to `eta_max` and down again (Smith and Topin, 2019, arXiv:1708.07120), as `torch.optim.lr_scheduler.OneCycleLR`.
///
/// From `eta_max / div_factor` to `eta_max` over the first `pct_start · total` steps, then down to
/// `eta_max / div_factor / final_div_factor`; with three phases first back to the initial value in as many steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// Highest value.
    pub eta_max: f64,
    /// Steps of the cycle.
    pub total: u64,
    /// Share of the steps that lead up.
    pub pct_start: f64,
    /// Form of the phases.
    pub anneal: Anneal,
    /// Highest value over the first.
    pub div_factor: f64,
    /// First value over the last.
    pub final_div_factor: f64,
    /// Whether the way down stops at the first value for a phase of its own.
    pub three_phase: bool,
}

impl Rule for OneCycle {
    fn next(&self, step: u64, _: f64, _: f64) -> f64 {
        let initial = self.eta_max / self.div_factor;
        let lowest = initial / self.final_div_factor;
        let total = self.total as f64;
        let top = self.pct_start * total - 1.0;
        let (t, last) = (step as f64, total - 1.0);
        let (begin, end, from, to) = if t <= top {
            (0.0, top, initial, self.eta_max)
        } else if !self.three_phase {
            (top, last, self.eta_max, lowest)
        } else {
            let back = 2.0 * self.pct_start * total - 2.0;
            if t <= back { (top, back, self.eta_max, initial) } else { (back, last, initial, lowest) }
        };
        // A phase of no length is over at once.
        let share = if end > begin { (t - begin) / (end - begin) } else { 1.0 };
        match self.anneal {
            Anneal::Cos => to + (from - to) / 2.0 * ((PI * share).cos() + 1.0),
            Anneal::Linear => (to - from) * share + from,
        }
    }

    fn base(&self) -> Option<f64> {
        Some(self.eta_max / self.div_factor)
    }
}
