//! How many groups of channels stay: a chain of chances (Guo et al., DMCP: Differentiable Markov Channel Pruning for Neural
//! Networks, 2020, arXiv:2005.03354).

use occam_data::streams::Draw;

/// Parts of a unit's channels between which its width is sampled: `pruning_cfg=(least, most, step)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The least part.
    pub least: f64,
    /// The largest part.
    pub most: f64,
    /// From one to the next.
    pub step: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { least: 0.1, most: 1.0, step: 0.05 }
    }
}

/// The channels of a unit: the first `least` always stay, then come `count` groups of `size`.
///
/// With an architecture parameter `α` of one element a group, group `i` stays if the one before does and with the chance
/// `p_i = exp(−max(α_i, 0))`, so that it is there with `m_i = Π_{j ≤ i} p_j`. The derivative of `max(α, 0)` at 0, where parameters
/// start, is 1, as PyTorch's `clamp` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Channels of a group; 0 where the unit is too narrow for groups.
    pub size: usize,
    /// Number of groups.
    pub count: usize,
    /// Channels that always stay.
    pub least: usize,
}

impl Groups {
    /// The groups of a unit of so many channels: `size = int(step · channels / most)`,
    /// `count = int((most − least) / step + 1e-4)`; none where nothing would always stay.
    pub fn of(channels: usize, rates: Rates) -> Option<Self> {
        let size = (rates.step * channels as f64 / rates.most) as usize;
        let count = ((rates.most - rates.least) / rates.step + 1e-4) as usize;
        let least = channels.checked_sub(size.checked_mul(count)?)?;
        (least > 0).then_some(Self { size, count, least })
    }

    /// All channels.
    pub fn channels(&self) -> usize {
        self.least + self.size * self.count
    }

    /// The chances that each group is there.
    fn marginal(&self, alpha: &[f32]) -> Vec<f64> {
        let mut sum = 0.0;
        let chance = |a: &f32| {
            sum += f64::from(a.max(0.0));
            f64::exp(-sum)
        };
        alpha.iter().take(self.count).map(chance).collect()
    }

    /// The expected width, `least + size · Σ m_i`.
    pub fn expected(&self, alpha: &[f32]) -> f64 {
        self.least as f64 + self.size as f64 * self.marginal(alpha).iter().sum::<f64>()
    }

    /// The derivative of [`Groups::expected`] by each element of `alpha`, times `upstream`.
    pub fn expected_gradient(&self, alpha: &[f32], upstream: f64) -> Vec<f32> {
        self.back(alpha, &vec![upstream * self.size as f64; self.count])
    }

    /// By channel what soft pruning multiplies it by: the chance of its group, 1 for those that always stay.
    pub fn gates(&self, alpha: &[f32]) -> Vec<f32> {
        let of_groups =
            self.marginal(alpha).into_iter().flat_map(|m| std::iter::repeat_n(m as f32, self.size));
        std::iter::repeat_n(1.0, self.least).chain(of_groups).collect()
    }

    /// The derivative by each element of `alpha` of what has the derivatives `gates` by each of [`Groups::gates`].
    pub fn gates_gradient(&self, alpha: &[f32], gates: &[f32]) -> Vec<f32> {
        let of_groups = gates.get(self.least..).unwrap_or_default().chunks(self.size.max(1));
        let sums: Vec<f64> = of_groups.map(|g| g.iter().map(|&d| f64::from(d)).sum()).collect();
        self.back(alpha, &sums)
    }

    /// From derivatives by each `m_i` to those by each `α_j`: `−Σ_{i ≥ j} d_i · m_i` where `α_j ≥ 0`, else 0.
    fn back(&self, alpha: &[f32], by_marginal: &[f64]) -> Vec<f32> {
        let marginal = self.marginal(alpha);
        let mut sum = 0.0;
        let mut gradient = vec![0.0; alpha.len()];
        for (i, (a, m)) in alpha.iter().zip(&marginal).enumerate().rev() {
            sum += by_marginal.get(i).copied().unwrap_or(0.0) * m;
            if let Some(g) = gradient.get_mut(i).filter(|_| *a >= 0.0) {
                *g = -sum as f32;
            }
        }
        gradient
    }

    /// A width drawn from the chain.
    pub fn draw(&self, alpha: &[f32], random: &mut impl Draw) -> usize {
        let stays = |a: &&f32| random.uniform_f64() <= f64::exp(-f64::from(a.max(0.0)));
        self.least + self.size * alpha.iter().take(self.count).take_while(stays).count()
    }

    /// A width of which all are equally likely.
    pub fn uniform(&self, random: &mut impl Draw) -> usize {
        self.least + self.size * random.below(self.count + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_data::Seed;
    use occam_testing::{assert_close, fill, workspace};
    use serde_json::Value;

    fn rows(kind: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(workspace().join("tests/golden/dmcp.json")).unwrap();
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        let rows: Vec<Value> = all.into_iter().filter(|row| row["kind"] == kind).collect();
        assert!(rows.len() > 5);
        rows
    }

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn groups(row: &Value) -> Option<Groups> {
        let rates = floats(&row["rates"]);
        let rates = Rates { least: rates[0], most: rates[1], step: rates[2] };
        Groups::of(row["channels"].as_u64().unwrap() as usize, rates)
    }

    fn alpha(row: &Value, count: usize) -> Vec<f32> {
        match row["zeros"].as_bool().unwrap() {
            true => vec![0.0; count],
            false => fill(&format!("arch.{count}"), &[count], -0.5, 1.0).as_f32().unwrap().to_vec(),
        }
    }

    fn doubles(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| f64::from(v)).collect()
    }

    /// Numbers from the original's `DMCPChannelMutator`: `tools/golden/dmcp.py`.
    #[test]
    fn groups_are_the_original_s() {
        for row in rows("groups") {
            let found = groups(&row).map(|g| vec![g.size, g.count, g.least]);
            let wanted =
                row["groups"].as_array().map(|a| a.iter().map(|v| v.as_u64().unwrap() as usize).collect());
            assert_eq!(found, wanted, "{row}");
        }
        assert_eq!(Groups::of(20, Rates { least: 0.0, most: 1.0, step: 0.05 }), None);
    }

    #[test]
    fn expected_widths_are_the_original_s() {
        for row in rows("expected") {
            let groups = groups(&row).unwrap();
            let alpha = alpha(&row, groups.count);
            assert_close("width", &[groups.expected(&alpha)], &[row["width"].as_f64().unwrap()], 1e-6);
            let found = doubles(&groups.expected_gradient(&alpha, 1.0));
            assert_close("gradient", &found, &floats(&row["grad"]), 1e-5);
            assert!(found.iter().any(|g| *g < 0.0));
        }
    }

    #[test]
    fn gates_are_the_original_s() {
        for row in rows("gates") {
            let groups = groups(&row).unwrap();
            let alpha = alpha(&row, groups.count);
            assert_close("gates", &doubles(&groups.gates(&alpha)), &floats(&row["gates"]), 1e-6);
            let probe = fill("probe.gates", &[groups.channels()], -1.0, 1.0);
            let found = groups.gates_gradient(&alpha, probe.as_f32().unwrap());
            assert_close("gradient", &doubles(&found), &floats(&row["grad"]), 1e-5);
        }
    }

    #[test]
    fn widths_are_drawn_as_they_are_expected() {
        let groups = Groups { size: 4, count: 6, least: 8 };
        let alpha = [0.1, -1.0, 0.3, 0.0, 0.2, 0.5];
        let mut random = Seed(3).stream("test", &[]);
        let n = 20_000;
        let mut draw = |f: &mut dyn FnMut(&mut _) -> usize| -> f64 {
            (0..n).map(|_| f(&mut random)).sum::<usize>() as f64 / f64::from(n)
        };
        let drawn = draw(&mut |r| groups.draw(&alpha, r));
        assert!((drawn - groups.expected(&alpha)).abs() < 0.2, "{drawn}");
        let uniform = draw(&mut |r| groups.uniform(r));
        assert!((uniform - 20.0).abs() < 0.2, "{uniform}");
        let none = Groups { size: 0, count: 18, least: 16 };
        assert_eq!(
            (none.channels(), none.expected(&[0.5; 18]), none.gates(&[0.5; 18]).len()),
            (16, 16.0, 16)
        );
    }
}
