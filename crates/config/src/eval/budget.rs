//! The bound on the work that loading a config may cause.

use std::cell::Cell;

use crate::{Error, Limits};

/// Counts work over all files of one load.
///
/// One unit is about one value made or looked at, so the count bounds time and memory both.
pub(crate) struct Budget {
    limits: Limits,
    steps: Cell<usize>,
    files: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, steps: Cell::new(0), files: Cell::new(0) }
    }

    /// Spends `steps` units.
    pub(crate) fn charge(&self, steps: usize) -> Result<(), Error> {
        let spent = self.steps.get().saturating_add(steps);
        if spent > self.limits.steps {
            let limit = self.limits.steps;
            return Err(Error::new(format!("evaluating the config takes more than {limit} steps")));
        }
        self.steps.set(spent);
        Ok(())
    }

    /// Spends what making a string of `bytes` bytes costs.
    pub(crate) fn charge_text(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.limits.text_bytes {
            let limit = self.limits.text_bytes;
            return Err(Error::new(format!("the text would be longer than {limit} bytes")));
        }
        self.charge(1 + bytes / 16)
    }

    /// Counts one more file.
    pub(crate) fn charge_file(&self) -> Result<(), Error> {
        let files = self.files.get() + 1;
        if files > self.limits.files {
            let limit = self.limits.files;
            return Err(Error::new(format!("the config has more than {limit} base files")));
        }
        self.files.set(files);
        Ok(())
    }

    /// Refuses to go deeper into a value than `depth` levels.
    pub(crate) fn check_depth(&self, depth: usize) -> Result<(), Error> {
        self.charge(1)?;
        if depth > self.limits.depth {
            let limit = self.limits.depth;
            return Err(Error::new(format!("the value is nested more than {limit} levels deep")));
        }
        Ok(())
    }
}
