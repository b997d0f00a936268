//! Places where a model may change, by name, and what follows from choices at them.
//!
//! A choice is never kept in a mutable: a [`Subnet`] says what is chosen at each, and every question takes one. What other
//! places of the model follow from a choice is a [`Derived`].

mod channel;
mod derived;
mod value;

use indexmap::IndexMap;

pub use channel::{ChoiceMode, Container, MutableChannel};
pub use derived::Derived;
pub use value::MutableValue;

use crate::subnet::{Chosen, Subnet};
use crate::{Error, Result};

/// A place where a model may change.
#[derive(Debug, Clone, PartialEq)]
pub enum Mutable {
    /// How many channels there are.
    Channel(MutableChannel),
    /// A number: a kernel's size, a depth, an expansion.
    Value(MutableValue),
}

impl Mutable {
    /// The choice of most.
    pub fn max_choice(&self) -> Chosen {
        match self {
            Self::Channel(c) => c.max_choice(),
            Self::Value(v) => v.max_choice(),
        }
    }

    /// The choice of least.
    pub fn min_choice(&self) -> Chosen {
        match self {
            Self::Channel(c) => c.min_choice(),
            Self::Value(v) => v.min_choice(),
        }
    }

    /// A choice where all are equally likely; `below(n)` draws one of `0..n`.
    pub fn sample_choice(&self, below: &mut dyn FnMut(usize) -> usize) -> Chosen {
        match self {
            Self::Channel(c) => c.sample_choice(below),
            Self::Value(v) => v.sample_choice(below),
        }
    }

    /// Why `chosen` cannot be chosen here, if it cannot.
    fn refuses(&self, chosen: &Chosen) -> Option<String> {
        match self {
            Self::Channel(c) => c.width(chosen).err(),
            Self::Value(v) => v.number(chosen).err(),
        }
    }
}

/// Mutables by name, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mutables {
    by_name: IndexMap<String, Mutable>,
}

impl Mutables {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mutable; what its choices lead to starts from the source that is returned.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn add(&mut self, name: &str, mutable: Mutable) -> Result<Derived> {
        if self.by_name.contains_key(name) {
            let message = "there is another mutable of that name".into();
            return Err(Error::Choice { name: name.into(), message });
        }
        self.by_name.insert(name.to_owned(), mutable);
        Ok(Derived::source(name))
    }

    /// The mutable called `name`.
    pub fn get(&self, name: &str) -> Option<&Mutable> {
        self.by_name.get(name)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Mutable)> {
        self.by_name.iter().map(|(name, m)| (name.as_str(), m))
    }

    /// The subnet of the largest choices.
    pub fn max_choices(&self) -> Subnet {
        self.iter().map(|(name, m)| (name.to_owned(), m.max_choice())).collect()
    }

    /// The subnet of the smallest choices.
    pub fn min_choices(&self) -> Subnet {
        self.iter().map(|(name, m)| (name.to_owned(), m.min_choice())).collect()
    }

    /// A subnet by chance; `below(n)` draws one of `0..n`, once for each mutable in their order.
    pub fn sample_choices(&self, below: &mut dyn FnMut(usize) -> usize) -> Subnet {
        self.iter().map(|(name, m)| (name.to_owned(), m.sample_choice(below))).collect()
    }

    /// Whether `subnet` says of every mutable something that can be chosen, and of nothing else.
    ///
    /// # Errors
    /// It does not; the message names the mutable.
    pub fn check(&self, subnet: &Subnet) -> Result<()> {
        if let Some(name) = subnet.keys().find(|n| !self.by_name.contains_key(*n)) {
            let message = "the model has no such mutable".into();
            return Err(Error::Choice { name: name.clone(), message });
        }
        for (name, mutable) in self.iter() {
            let chosen = subnet.get(name).ok_or_else(|| missing(name))?;
            if let Some(message) = mutable.refuses(chosen) {
                return Err(Error::Choice { name: name.into(), message });
            }
        }
        Ok(())
    }
}

fn missing(name: &str) -> Error {
    Error::Choice { name: name.into(), message: "the subnet does not choose it".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subnet::Choice;

    fn space() -> Mutables {
        let mut space = Mutables::new();
        let candidates = [Choice::Number(16), Choice::Number(8), Choice::Number(32)];
        space.add("width", Mutable::Channel(MutableChannel::one_shot(32, &candidates).unwrap())).unwrap();
        space.add("kernel", Mutable::Value(MutableValue::new([7.0, 3.0, 5.0]).unwrap())).unwrap();
        space
    }

    #[test]
    fn subnets_are_of_the_largest_the_smallest_and_by_chance() {
        let space = space();
        assert_eq!(space.max_choices()["width"], Chosen::Int(32));
        assert_eq!(space.max_choices()["kernel"], Chosen::Int(7));
        assert_eq!(space.min_choices()["width"], Chosen::Int(8));
        let mut draws = [1usize, 2].into_iter();
        let mut asked = Vec::new();
        let sampled = space.sample_choices(&mut |n| {
            asked.push(n);
            draws.next().unwrap()
        });
        assert_eq!(asked, [3, 3]);
        assert_eq!((&sampled["width"], &sampled["kernel"]), (&Chosen::Int(16), &Chosen::Int(7)));
        space.check(&sampled).unwrap();
    }

    #[test]
    fn subnets_of_other_spaces_are_refused() {
        let space = space();
        assert!(space.clone().add("width", Mutable::Value(MutableValue::new([1.0]).unwrap())).is_err());
        let full = space.max_choices();
        let change = |name: &str, chosen: Chosen| {
            let mut other = full.clone();
            other.insert(name.into(), chosen);
            space.check(&other).unwrap_err().to_string()
        };
        assert!(change("depth", Chosen::Int(1)).contains("`depth`"));
        assert!(change("kernel", Chosen::Int(4)).contains("3, 5, 7"));
        assert!(change("width", Chosen::Int(12)).contains("8, 16, 32"));
        assert!(change("width", Chosen::Name("wide".into())).contains("`width`"));
        let mut less = full.clone();
        less.shift_remove("kernel");
        assert!(space.check(&less).unwrap_err().to_string().contains("`kernel`"));
    }
}
