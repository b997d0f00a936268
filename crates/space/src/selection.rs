//! Which channels stay: one point of the space.

use crate::{Error, Result, Trace};

/// By unit of a [`Trace`], which of its channels stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    units: Vec<Vec<bool>>,
}

impl Selection {
    /// All channels of all units.
    pub fn all(trace: &Trace) -> Self {
        Self { units: trace.units.iter().map(|u| vec![true; u.channels]).collect() }
    }

    /// Which channels of the unit at `index` stay.
    pub fn of(&self, index: usize) -> &[bool] {
        self.units.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many channels of the unit at `index` stay.
    pub fn width(&self, index: usize) -> usize {
        self.of(index).iter().filter(|&&k| k).count()
    }

    /// How many channels of each unit stay.
    pub fn widths(&self) -> Vec<usize> {
        (0..self.units.len()).map(|i| self.width(i)).collect()
    }

    /// Keeps the channels of the unit at `index` that `keep` says.
    ///
    /// # Errors
    /// There is no such unit, it has another number of channels, none would stay, or they must all stay.
    pub fn set(&mut self, trace: &Trace, index: usize, keep: Vec<bool>) -> Result<()> {
        let (Some(unit), Some(mask)) = (trace.units.get(index), self.units.get_mut(index)) else {
            return Err(Error::UnknownUnit { name: format!("#{index}"), hint: None });
        };
        let stay = keep.iter().filter(|&&k| k).count();
        if keep.len() != unit.channels || stay == 0 {
            let asked = format!("{stay} of {}", keep.len());
            return Err(Error::Width { name: unit.name.clone(), channels: unit.channels, asked });
        }
        if let Some(why) = unit.kept_by.as_ref().filter(|_| stay < unit.channels) {
            return Err(Error::Fixed { name: unit.name.clone(), why: why.to_string() });
        }
        *mask = keep;
        Ok(())
    }

    /// Keeps the first `width` channels of the unit at `index`.
    ///
    /// # Errors
    /// As [`Selection::set`].
    pub fn set_width(&mut self, trace: &Trace, index: usize, width: usize) -> Result<()> {
        let channels = trace.units.get(index).map_or(0, |u| u.channels);
        if width > channels {
            let name = trace.units.get(index).map(|u| u.name.clone()).unwrap_or_default();
            return Err(Error::Width { name, channels, asked: width.to_string() });
        }
        self.set(trace, index, (0..channels).map(|c| c < width).collect())
    }

    /// Whether every channel stays.
    pub fn is_all(&self) -> bool {
        self.units.iter().flatten().all(|&k| k)
    }
}
