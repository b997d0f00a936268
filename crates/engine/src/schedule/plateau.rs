//! Decay when a figure stops improving.

/// What counts as an improvement of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Improvement {
    /// Whether more is better; less else.
    pub greater: bool,
    /// How much better it must be.
    pub threshold: f64,
    /// Whether `threshold` is a share of the best figure.
    pub relative: bool,
}

impl Improvement {
    /// Whether `figure` improves on `best`.
    fn is(&self, figure: f64, best: f64) -> bool {
        match (self.greater, self.relative) {
            (false, true) => figure < best * (1.0 - self.threshold),
            (false, false) => figure < best - self.threshold,
            (true, true) => figure > best * (1.0 + self.threshold),
            (true, false) => figure > best + self.threshold,
        }
    }
}

/// The value is multiplied by `factor` when a figure did not improve over more than `patience` validations, as
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plateau {
    /// The figure.
    pub monitor: String,
    /// What counts as an improvement.
    pub improvement: Improvement,
    /// Factor; below 1.
    pub factor: f64,
    /// Validations without an improvement that are borne.
    pub patience: u64,
    /// Validations after a decay that do not count.
    pub cooldown: u64,
    /// Lowest value.
    pub min_value: f64,
    /// A decay by no more than this is left out.
    pub eps: f64,
}

/// What a [`Plateau`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// Bits of the best figure: decimal text might round.
    best: u64,
    /// Validations since.
    bad: u64,
    /// Validations that do not count yet.
    cooldown: u64,
}

impl Plateau {
    /// Before any figure.
    pub(super) fn unseen(&self) -> Seen {
        let worst = if self.improvement.greater { f64::NEG_INFINITY } else { f64::INFINITY };
        Seen { best: worst.to_bits(), bad: 0, cooldown: 0 }
    }

    /// Takes in a figure; whether the value decays.
    pub(super) fn observe(&self, figure: f64, seen: &mut Seen) -> bool {
        if self.improvement.is(figure, f64::from_bits(seen.best)) {
            seen.best = figure.to_bits();
            seen.bad = 0;
        } else {
            seen.bad += 1;
        }
        if seen.cooldown > 0 {
            seen.cooldown -= 1;
            seen.bad = 0;
        }
        if seen.bad <= self.patience {
            return false;
        }
        seen.bad = 0;
        seen.cooldown = self.cooldown;
        true
    }

    /// The value after a decay.
    pub(super) fn decayed(&self, value: f64) -> f64 {
        let next = (value * self.factor).max(self.min_value);
        if value - next > self.eps { next } else { value }
    }
}
