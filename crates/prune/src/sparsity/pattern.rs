//! How many weights become 0, and where.

use std::fmt;
use std::str::FromStr;

/// Which weights of a layer become 0: those with the smallest absolute values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// A part of them, wherever they are.
    Part(f64),
    /// In each run of `of` weights along the inputs of a layer all but `stay`: `2:4` leaves two of four.
    Runs {
        /// How many are left.
        stay: usize,
        /// Length of a run.
        of: usize,
    },
}

/// The longest runs that are taken.
const LONGEST: usize = 64;

impl FromStr for Pattern {
    type Err = String;

    /// Reads a part (`0.5`) or a pattern (`2:4`).
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((stay, of)) = text.split_once(':') {
            return match (stay.trim().parse(), of.trim().parse()) {
                (Ok(stay), Ok(of)) if (1..of).contains(&stay) && of <= LONGEST => Ok(Self::Runs { stay, of }),
                _ => Err(format!("`{text}` is no pattern N:M of N weights that are left of M, such as 2:4")),
            };
        }
        match text.trim().parse::<f64>() {
            Ok(part) if (0.0..1.0).contains(&part) => Ok(Self::Part(part)),
            _ => Err(format!("`{text}` is neither a part from 0 up to 1 nor a pattern such as 2:4")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "{part}"),
            Self::Runs { stay, of } => write!(f, "{stay}:{of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_parts_or_runs() {
        assert_eq!("0.5".parse(), Ok(Pattern::Part(0.5)));
        assert_eq!("2:4".parse(), Ok(Pattern::Runs { stay: 2, of: 4 }));
        for wrong in ["1.0", "-0.1", "4:2", "4:4", "0:4", "2:", "x", "", "2:1000", "nan"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
