//! Numbers of channels.

use super::{Derived, Mutables};
use crate::subnet::{Choice, Chosen, Subnet};
use crate::{Error, IndexDict, Result};

/// What a number that is chosen says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChoiceMode {
    /// So many channels.
    #[default]
    Number,
    /// A part of them.
    Ratio,
}

/// How many channels a place has, the first ones of all.
#[derive(Debug, Clone, PartialEq)]
pub struct MutableChannel {
    channels: usize,
    mode: ChoiceMode,
    /// Widths, from the smallest; any width where there are none.
    candidates: Vec<usize>,
}

impl MutableChannel {
    /// Any number of the first of `channels` channels (`SquentialMutableChannel`, as the original's registry spells it).
    ///
    /// # Errors
    /// There is no channel.
    pub fn sequential(channels: usize, mode: ChoiceMode) -> Result<Self> {
        if channels == 0 {
            return Err(Error::Candidates("there is no channel".into()));
        }
        Ok(Self { channels, mode, candidates: Vec::new() })
    }

    /// One of several numbers of channels, or parts of them (`OneShotMutableChannel`).
    ///
    /// # Errors
    /// There is no candidate, one is more than all channels, or some are numbers and some parts.
    pub fn one_shot(channels: usize, candidates: &[Choice]) -> Result<Self> {
        let wrong = |message: String| Err(Error::Candidates(message));
        let ratios = candidates.iter().filter(|c| matches!(c, Choice::Ratio(_))).count();
        if candidates.is_empty() {
            return wrong("there is no candidate".into());
        }
        if ratios != 0 && ratios != candidates.len() {
            return wrong("some candidates are numbers of channels, some parts of them".into());
        }
        let mode = if ratios == 0 { ChoiceMode::Number } else { ChoiceMode::Ratio };
        let mut widths: Vec<usize> = candidates.iter().map(|c| c.width(channels)).collect();
        if let Some(width) = widths.iter().find(|&&w| w == 0 || w > channels) {
            return wrong(format!("{width} of {channels} channels cannot be chosen"));
        }
        widths.sort_unstable();
        Ok(Self { candidates: widths, ..Self::sequential(channels, mode)? })
    }

    /// All channels there are.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// What numbers say.
    pub fn mode(&self) -> ChoiceMode {
        self.mode
    }

    fn said(&self, width: usize) -> Chosen {
        match self.mode {
            ChoiceMode::Number => Chosen::Int(i64::try_from(width).unwrap_or(i64::MAX)),
            ChoiceMode::Ratio => Chosen::Float(width as f64 / self.channels as f64),
        }
    }

    pub(super) fn max_choice(&self) -> Chosen {
        self.said(self.candidates.last().copied().unwrap_or(self.channels))
    }

    pub(super) fn min_choice(&self) -> Chosen {
        self.said(self.candidates.first().copied().unwrap_or(1))
    }

    pub(super) fn sample_choice(&self, below: &mut dyn FnMut(usize) -> usize) -> Chosen {
        if self.candidates.is_empty() {
            return self.said(below(self.channels) + 1);
        }
        self.said(self.candidates.get(below(self.candidates.len())).copied().unwrap_or(self.channels))
    }

    /// How many channels are chosen, or why that cannot be.
    ///
    /// A part is rounded to whole channels where it is one that this mutable gives, and cut to them otherwise:
    /// `max(1, int(channels · part))`.
    pub(super) fn width(&self, chosen: &Chosen) -> Result<usize, String> {
        let wrong = || match self.candidates.is_empty() {
            true => format!("{chosen} of {} channels cannot be chosen", self.channels),
            false => {
                let all: Vec<String> = self.candidates.iter().map(|&w| self.said(w).to_string()).collect();
                format!("{chosen} cannot be chosen, only {}", all.join(", "))
            }
        };
        let number = chosen.number().ok_or_else(wrong)?;
        let width = match self.mode {
            ChoiceMode::Number if number.fract() == 0.0 && number >= 1.0 => number as usize,
            ChoiceMode::Ratio if number > 0.0 && number <= 1.0 => {
                let exact = number * self.channels as f64;
                let near = (exact - exact.round()).abs() < 1e-6 * exact;
                Choice::Ratio(if near { exact.round() / self.channels as f64 + 1e-12 } else { number })
                    .width(self.channels)
            }
            _ => return Err(wrong()),
        };
        let known = self.candidates.is_empty() || self.candidates.contains(&width);
        if width <= self.channels && known { Ok(width) } else { Err(wrong()) }
    }
}

/// The channels of a layer, ranges of which follow from different mutables (`MutableChannelContainer`): what reads a
/// concatenation has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    channels: usize,
    parts: IndexDict<Derived>,
}

impl Container {
    /// `channels` channels, all of which are always there.
    pub fn new(channels: usize) -> Self {
        Self { channels, parts: IndexDict::new() }
    }

    /// Lets a range of channels follow `derived`.
    ///
    /// # Errors
    /// There are not so many channels, the range overlaps another, or it follows something else already, as where a module
    /// is shared.
    pub fn register(&mut self, range: std::ops::Range<usize>, derived: Derived) -> Result<()> {
        let wrong = |message: String| Error::Range { range: range.clone(), message };
        if range.end > self.channels {
            return Err(wrong(format!("there are {} channels", self.channels)));
        }
        if self.parts.get(&range).is_some_and(|old| *old != derived) {
            return Err(wrong("it follows another mutable already".into()));
        }
        self.parts.insert(range, derived).map(|_| ())
    }

    /// Which channels are there: those of ranges as their mutables say, all others.
    ///
    /// # Errors
    /// The subnet does not choose a mutable, or a range has another number of channels than what it follows.
    pub fn mask(&self, mutables: &Mutables, subnet: &Subnet) -> Result<Vec<bool>> {
        let mut mask = vec![true; self.channels];
        for (range, derived) in self.parts.iter() {
            let own = derived.mask(mutables, subnet)?;
            match mask.get_mut(range.clone()) {
                Some(place) if place.len() == own.len() => place.copy_from_slice(&own),
                _ => {
                    let message = format!("what it follows has {} channels", own.len());
                    return Err(Error::Range { range, message });
                }
            }
        }
        Ok(mask)
    }

    /// How many channels are there.
    ///
    /// # Errors
    /// As [`Container::mask`].
    pub fn width(&self, mutables: &Mutables, subnet: &Subnet) -> Result<usize> {
        Ok(self.mask(mutables, subnet)?.iter().filter(|&&on| on).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutables::Mutable;

    #[test]
    fn parts_are_whole_channels() {
        let any = MutableChannel::sequential(10, ChoiceMode::Ratio).unwrap();
        assert_eq!(any.width(&Chosen::Float(0.55)), Ok(5));
        assert_eq!(any.width(&Chosen::Float(0.01)), Ok(1));
        assert_eq!(any.width(&Chosen::Int(1)), Ok(10));
        assert!(any.width(&Chosen::Float(1.5)).is_err());
        // What is chosen by chance comes back as it was, though a tenth is no number of a computer.
        for channels in 1..200 {
            let any = MutableChannel::sequential(channels, ChoiceMode::Ratio).unwrap();
            for width in 1..=channels {
                assert_eq!(any.width(&any.said(width)), Ok(width), "{width} of {channels}");
            }
        }
        let numbers = MutableChannel::sequential(10, ChoiceMode::Number).unwrap();
        assert_eq!(numbers.width(&Chosen::Int(10)), Ok(10));
        for wrong in [Chosen::Int(11), Chosen::Int(0), Chosen::Float(0.5), Chosen::Int(-1)] {
            assert!(numbers.width(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn containers_join_what_ranges_follow() {
        let mut space = Mutables::new();
        let a = Mutable::Channel(MutableChannel::sequential(4, ChoiceMode::Number).unwrap());
        let a = space.add("a", a).unwrap();
        let mut container = Container::new(10);
        container.register(0..4, a.clone()).unwrap();
        container.register(6..10, a.clone()).unwrap();
        container.register(0..4, a.clone()).unwrap();
        assert!(container.register(0..4, a.clone().expand(1.0)).is_err());
        assert!(container.register(3..6, a.clone()).is_err());
        assert!(container.register(8..12, a).is_err());
        let subnet = Subnet::from_iter([("a".to_owned(), Chosen::Int(1))]);
        let mask = container.mask(&space, &subnet).unwrap();
        let wanted = [1, 0, 0, 0, 1, 1, 1, 0, 0, 0].map(|x| x == 1);
        assert_eq!(mask, wanted);
        assert_eq!(container.width(&space, &subnet).unwrap(), 4);
        assert!(container.width(&space, &Subnet::new()).unwrap_err().to_string().contains("`a`"));
    }
}
