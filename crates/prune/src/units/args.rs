//! How a unit's choice becomes a width.

use occam_config::{Error, Value};
use occam_space::make_divisible;
use occam_space::subnet::Choice;
use serde::Deserialize;
use serde_json::json;

/// Whether subnet files of the original say numbers of channels or parts of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChoiceMode {
    /// `61`
    #[default]
    Number,
    /// `0.95`
    Ratio,
}

/// Arguments that units of several kinds have.
///
/// | key | default | |
/// |---|---|---|
/// | `num_channels` | the unit's | accepted where it is the unit's own |
/// | `choice_mode` | `'number'` | accepted: a choice is a number where it is written as an int, and a part where it is a float |
/// | `divisor` | 1 | widths are multiples of this |
/// | `min_value` | 1 | least width |
/// | `min_ratio` | 0.9 | the part of what was asked for that a multiple must not fall below |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitArgs {
    /// Number of channels.
    pub num_channels: Option<usize>,
    /// See the table.
    pub choice_mode: ChoiceMode,
    /// Widths are multiples of this.
    pub divisor: usize,
    /// Least width.
    pub min_value: usize,
    /// The part of what was asked for that a multiple must not fall below.
    pub min_ratio: f64,
}

impl Default for UnitArgs {
    fn default() -> Self {
        Self { num_channels: None, choice_mode: ChoiceMode::Number, divisor: 1, min_value: 1, min_ratio: 0.9 }
    }
}

impl UnitArgs {
    /// Reads the arguments of a unit.
    ///
    /// # Errors
    /// A key is unknown, or a number out of range.
    pub fn from_config(value: &Value) -> Result<Self, Error> {
        let args: Self = value.parse()?;
        let at = |key: &str, message: &str| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
        if args.divisor == 0 {
            return at("divisor", "`divisor` must be at least 1");
        }
        if !(0.0..=1.0).contains(&args.min_ratio) {
            return at("min_ratio", "`min_ratio` must be a part from 0 to 1");
        }
        Ok(args)
    }

    /// The width of a unit of `channels` channels: `choice` as a number, made a multiple by [`make_divisible`]; never more than
    /// the unit has.
    pub fn width(&self, choice: Choice, channels: usize) -> usize {
        let asked = choice.width(channels) as f64;
        make_divisible(asked, self.divisor, Some(self.min_value), self.min_ratio).min(channels)
    }

    /// As a subnet file has them.
    pub fn template(&self, channels: usize) -> serde_json::Value {
        json!({
            "num_channels": channels,
            "choice_mode": match self.choice_mode { ChoiceMode::Number => "number", ChoiceMode::Ratio => "ratio" },
            "divisor": self.divisor,
            "min_value": self.min_value,
            "min_ratio": self.min_ratio,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from the original's `make_divisible`.
    #[test]
    fn widths_are_the_original_s() {
        let width =
            |divisor, choice, channels| UnitArgs { divisor, ..UnitArgs::default() }.width(choice, channels);
        assert_eq!(width(1, Choice::Ratio(0.7), 64), 44);
        assert_eq!(width(1, Choice::Ratio(0.001), 64), 1);
        assert_eq!(width(8, Choice::Number(20), 48), 24);
        assert_eq!(width(8, Choice::Number(3), 48), 8);
        assert_eq!(width(8, Choice::Number(35), 48), 32);
        assert_eq!(width(8, Choice::Number(11), 48), 16);
        assert_eq!(width(16, Choice::Number(60), 61), 61);
    }
}
