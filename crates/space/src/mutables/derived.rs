//! What follows from choices elsewhere in the model.

use super::{Mutable, MutableChannel, Mutables, missing};
use crate::subnet::Subnet;
use crate::{Error, Result, make_divisible};

/// A number, or channels, that follow from what is chosen at mutables (`DerivedMutable`).
///
/// | | choice | channels of which it is one |
/// |---|---|---|
/// | [`source`](Self::source) | what is chosen | those of the mutable |
/// | [`expand`](Self::expand) | `int(choice · ratio)` | each becomes `ratio` in a row; of a ratio that is not whole, the first `choice` of `int(channels · ratio)` |
/// | [`multiply`](Self::multiply) | `int(choice · value)` | the first `choice` of `int(channels · largest value)` |
/// | [`divide`](Self::divide) | `make_divisible(choice // ratio, divisor)` | the first `choice` of as many from all channels |
/// | [`concat`](Self::concat) | sum of the choices | one after the other |
///
/// A tree of these knows its sources by name, so it is data: it can be asked under any [`Subnet`].
#[derive(Debug, Clone, PartialEq)]
pub struct Derived(Tree);

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Source(String),
    Expand(Box<Tree>, f64),
    Multiply(Box<Tree>, String),
    Divide(Box<Tree>, usize, usize),
    Concat(Vec<Tree>),
}

impl Derived {
    /// The mutable of that name itself.
    pub fn source(name: impl Into<String>) -> Self {
        Self(Tree::Source(name.into()))
    }

    /// Every channel becomes `ratio` ones, as where channels are flattened with the places of an image.
    pub fn expand(self, ratio: f64) -> Self {
        Self(Tree::Expand(self.0.into(), ratio))
    }

    /// So many times the value that is chosen at the mutable `value`.
    pub fn multiply(self, value: impl Into<String>) -> Self {
        Self(Tree::Multiply(self.0.into(), value.into()))
    }

    /// A part, made divisible. MMRazor's divisor is 8.
    pub fn divide(self, ratio: usize, divisor: usize) -> Self {
        Self(Tree::Divide(self.0.into(), ratio.max(1), divisor))
    }

    /// The channels of all, in order.
    pub fn concat(parts: impl IntoIterator<Item = Self>) -> Self {
        Self(Tree::Concat(parts.into_iter().map(|p| p.0).collect()))
    }

    /// The number, or the number of channels, under `subnet`.
    ///
    /// # Errors
    /// There is no mutable of a source's name, or the subnet does not choose it, or chooses what cannot be.
    pub fn choice(&self, mutables: &Mutables, subnet: &Subnet) -> Result<f64> {
        self.0.choice(mutables, subnet)
    }

    /// Which channels are there under `subnet`.
    ///
    /// # Errors
    /// As [`Derived::choice`], or a source is no channel.
    pub fn mask(&self, mutables: &Mutables, subnet: &Subnet) -> Result<Vec<bool>> {
        self.0.mask(mutables, subnet)
    }

    /// The mutables from which it follows, each once.
    pub fn sources(&self) -> Vec<&str> {
        let mut all = Vec::new();
        self.0.sources(&mut all);
        all
    }
}

impl Tree {
    fn sources<'a>(&'a self, all: &mut Vec<&'a str>) {
        let mut add = |name: &'a str| {
            if !all.contains(&name) {
                all.push(name);
            }
        };
        match self {
            Self::Source(name) => add(name),
            Self::Multiply(of, value) => {
                of.sources(all);
                if !all.contains(&value.as_str()) {
                    all.push(value);
                }
            }
            Self::Expand(of, _) | Self::Divide(of, ..) => of.sources(all),
            Self::Concat(parts) => parts.iter().for_each(|p| p.sources(all)),
        }
    }

    fn choice(&self, mutables: &Mutables, subnet: &Subnet) -> Result<f64> {
        Ok(match self {
            Self::Source(name) => number(mutables, subnet, name)?,
            Self::Expand(of, ratio) => (of.choice(mutables, subnet)? * ratio).trunc(),
            Self::Multiply(of, value) => {
                (of.choice(mutables, subnet)? * number(mutables, subnet, value)?).trunc()
            }
            Self::Divide(of, ratio, divisor) => divided(of.choice(mutables, subnet)?, *ratio, *divisor),
            Self::Concat(parts) => {
                let mut sum = 0.0;
                for part in parts {
                    sum += part.choice(mutables, subnet)?;
                }
                sum
            }
        })
    }

    /// All channels that it may have.
    fn channels(&self, mutables: &Mutables) -> Result<f64> {
        Ok(match self {
            Self::Source(name) => channel(mutables, name)?.channels() as f64,
            Self::Expand(of, ratio) => (of.channels(mutables)? * ratio).trunc(),
            Self::Multiply(of, value) => {
                let largest = match mutables.get(value) {
                    Some(Mutable::Value(v)) => v.choices().last().copied().unwrap_or(0.0),
                    _ => return Err(not(value, "a value")),
                };
                (of.channels(mutables)? * largest).trunc()
            }
            Self::Divide(of, ratio, divisor) => divided(of.channels(mutables)?, *ratio, *divisor),
            Self::Concat(parts) => {
                let mut sum = 0.0;
                for part in parts {
                    sum += part.channels(mutables)?;
                }
                sum
            }
        })
    }

    fn mask(&self, mutables: &Mutables, subnet: &Subnet) -> Result<Vec<bool>> {
        match self {
            Self::Expand(of, ratio) if ratio.fract() == 0.0 && *ratio >= 0.0 => {
                let mask = of.mask(mutables, subnet)?;
                Ok(mask.iter().flat_map(|&on| std::iter::repeat_n(on, *ratio as usize)).collect())
            }
            Self::Concat(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.mask(mutables, subnet)?);
                }
                Ok(all)
            }
            _ => {
                let (on, all) = (self.choice(mutables, subnet)? as usize, self.channels(mutables)? as usize);
                Ok((0..all).map(|i| i < on).collect())
            }
        }
    }
}

fn divided(choice: f64, ratio: usize, divisor: usize) -> f64 {
    make_divisible((choice / ratio as f64).floor(), divisor, None, 0.9) as f64
}

fn not(name: &str, what: &str) -> Error {
    Error::Choice { name: name.into(), message: format!("it is not {what} of the space") }
}

fn channel<'a>(mutables: &'a Mutables, name: &str) -> Result<&'a MutableChannel> {
    match mutables.get(name) {
        Some(Mutable::Channel(c)) => Ok(c),
        _ => Err(not(name, "a number of channels")),
    }
}

/// What is chosen at a mutable, channels as their number.
fn number(mutables: &Mutables, subnet: &Subnet, name: &str) -> Result<f64> {
    let mutable = mutables.get(name).ok_or_else(|| not(name, "a mutable"))?;
    let chosen = subnet.get(name).ok_or_else(|| missing(name))?;
    let found = match mutable {
        Mutable::Channel(c) => c.width(chosen).map(|w| w as f64),
        Mutable::Value(v) => v.number(chosen),
    };
    found.map_err(|message| Error::Choice { name: name.into(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutables::{ChoiceMode, MutableValue};
    use crate::subnet::Chosen;

    fn channels(n: usize) -> Mutable {
        Mutable::Channel(MutableChannel::sequential(n, ChoiceMode::Number).unwrap())
    }

    fn values(values: &[f64]) -> Mutable {
        Mutable::Value(MutableValue::new(values.iter().copied()).unwrap())
    }

    fn subnet(of: &[(&str, f64)]) -> Subnet {
        of.iter().map(|(name, x)| (name.to_string(), Chosen::from(*x))).collect()
    }

    /// The numbers of the original's tests (tests/test_models/test_mutables/test_derived_mutable.py).
    #[test]
    fn numbers_are_those_of_the_original() {
        let mut space = Mutables::new();
        let wide = space.add("wide", channels(128)).unwrap();
        let value = space.add("value", values(&[120.0, 128.0, 136.0])).unwrap();
        for (width, wanted) in [(128.0, 16.0), (120.0, 16.0)] {
            let subnet = subnet(&[("wide", width), ("value", 128.0)]);
            assert_eq!(wide.clone().divide(8, 8).choice(&space, &subnet).unwrap(), wanted);
        }
        for (chosen, wanted) in [(120.0, 15.0), (136.0, 18.0)] {
            let subnet = subnet(&[("wide", 1.0), ("value", chosen)]);
            assert_eq!(value.clone().divide(8, 3).choice(&space, &subnet).unwrap(), wanted);
        }
        let ten = space.add("ten", channels(10)).unwrap();
        space.add("times", values(&[2.5, 3.5])).unwrap();
        for (width, times, wanted) in [(9.0, 3.5, 31.0), (6.0, 3.5, 21.0), (7.0, 2.5, 17.0)] {
            let subnet = subnet(&[("ten", width), ("times", times)]);
            let product = ten.clone().multiply("times");
            assert_eq!(product.choice(&space, &subnet).unwrap(), wanted);
            let mask = product.mask(&space, &subnet).unwrap();
            assert_eq!(mask.len(), 35);
            assert_eq!(mask.iter().filter(|&&on| on).count() as f64, wanted);
        }
        for (width, wanted) in [(10.0, 5.0), (5.0, 2.0)] {
            assert_eq!(ten.clone().expand(0.5).choice(&space, &subnet(&[("ten", width)])).unwrap(), wanted);
        }
    }

    #[test]
    fn masks_follow_their_sources() {
        let mut space = Mutables::new();
        let a = space.add("a", channels(3)).unwrap();
        let b = space.add("b", channels(2)).unwrap();
        let subnet = subnet(&[("a", 2.0), ("b", 1.0)]);
        let joined = Derived::concat([a.clone(), b.clone().expand(2.0)]);
        let mask = joined.mask(&space, &subnet).unwrap();
        assert_eq!(mask, [true, true, false, true, true, false, false]);
        assert_eq!(joined.choice(&space, &subnet).unwrap(), 4.0);
        // What is derived twice.
        let twice = Derived::concat([joined.clone().expand(2.0), a.clone()]);
        assert_eq!(twice.mask(&space, &subnet).unwrap().len(), 17);
        assert_eq!(twice.choice(&space, &subnet).unwrap(), 10.0);
        assert_eq!(twice.sources(), ["a", "b"]);
    }

    #[test]
    fn sources_that_are_not_there_are_named() {
        let mut space = Mutables::new();
        let v = space.add("v", values(&[1.0, 2.0])).unwrap();
        let chosen = subnet(&[("v", 2.0)]);
        assert!(Derived::source("w").choice(&space, &chosen).unwrap_err().to_string().contains("`w`"));
        assert!(
            v.clone().choice(&space, &Subnet::new()).unwrap_err().to_string().contains("does not choose")
        );
        assert!(v.mask(&space, &chosen).unwrap_err().to_string().contains("channels"));
    }
}
