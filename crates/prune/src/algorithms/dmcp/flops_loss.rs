//! What it costs to miss a target of multiply-accumulates.

use serde::Deserialize;

/// How the distance to a target counts; `E` are the expected multiply-accumulates, `T` is the target.
///
/// | name | loss |
/// |---|---|
/// | `l1` | `abs(E − T)` |
/// | `l2` | `(E − T)²` |
/// | `inverted_log_l1` | `−log(1 / (abs(E − T) + 1e-5))` |
/// | `log_l1` | with `E` and `T` in millions, and `r = 0.1` where `abs(E − T) > 200` and 1 else: `log(r · abs(E − T))` below `0.95 T`, 0 from there to `T`, `log(r · abs(E − 0.95 T))` above |
///
/// The original compares `E` with a target in millions for `log_l1`, so that it always takes the last branch and never stops at the
/// target; here both are in millions, as in the authors' code. Its `inverted_log_l1` is no number below the target, for want of
/// the absolute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlopsLoss {
    /// See the table.
    #[default]
    LogL1,
    /// See the table.
    L1,
    /// See the table.
    L2,
    /// See the table.
    InvertedLogL1,
}

impl FlopsLoss {
    /// The loss at `macs` for a target of `millions`, and its derivative by `macs`.
    pub fn at(self, macs: f64, millions: f64) -> (f64, f64) {
        let error = macs - millions * 1e6;
        let sign = if error == 0.0 { 0.0 } else { error.signum() };
        match self {
            Self::L1 => (error.abs(), sign),
            Self::L2 => (error * error, 2.0 * error),
            Self::InvertedLogL1 => ((error.abs() + 1e-5).ln(), sign / (error.abs() + 1e-5)),
            Self::LogL1 => {
                let (found, lower) = (macs / 1e6, 0.95 * millions);
                let ratio = if (found - millions).abs() > 200.0 { 0.1 } else { 1.0 };
                let log = |distance: f64| ((ratio * distance.abs()).ln(), 1.0 / (distance * 1e6));
                if found < lower {
                    log(found - millions)
                } else if found < millions {
                    (0.0, 0.0)
                } else {
                    log(found - lower)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_testing::{assert_close, workspace};
    use serde_json::Value;

    /// Numbers from the original, of `log_l1` from the authors' formula: `tools/golden/dmcp.py`.
    #[test]
    fn losses_are_the_original_s() {
        let text = std::fs::read_to_string(workspace().join("tests/golden/dmcp.json")).unwrap();
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        let rows: Vec<&Value> = all.iter().filter(|row| row["kind"] == "loss").collect();
        assert!(rows.len() > 25);
        for row in rows {
            let of = |key: &str| row[key].as_f64().unwrap();
            let kind: FlopsLoss = serde_json::from_value(row["type"].clone()).unwrap();
            let (value, slope) = kind.at(of("flops"), of("target"));
            assert_close("loss", &[value * of("weight")], &[of("value")], 1e-9);
            assert_close("derivative", &[slope * of("weight")], &[of("grad")], 1e-9);
        }
    }

    #[test]
    fn below_the_target_the_loss_falls_towards_it() {
        for kind in [FlopsLoss::L1, FlopsLoss::L2, FlopsLoss::LogL1, FlopsLoss::InvertedLogL1] {
            let (below, slope) = kind.at(50e6, 100.0);
            assert!(below.is_finite() && slope < 0.0, "{kind:?}");
            let (above, slope) = kind.at(150e6, 100.0);
            assert!(above.is_finite() && slope > 0.0, "{kind:?}");
        }
    }
}
