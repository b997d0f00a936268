//! What an iteration consists of.

use occam_data::Seed;
use occam_data::streams::Draw;
use serde::Deserialize;

/// An entry of `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sampled {
    Max,
    Min,
    ArchRandom,
    ScheduledRandom,
}

/// A subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Max,
    Min,
    /// Of equally likely widths.
    Random,
    /// Drawn from the chains.
    Direct,
}

/// One update of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Of the weights, by a subnet whose losses are told under `label`.
    Net { kind: Kind, label: String },
    /// Of the architecture, by the loss of the network.
    Loss,
    /// Of the architecture, by its multiply-accumulates.
    Macs,
}

/// When what is updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strategy {
    pub nets: Vec<Sampled>,
    /// Iterations before the architecture learns.
    pub arch_start_train: u64,
    /// Iterations from one of its updates to the next.
    pub arch_train_freq: u64,
    /// Iterations before subnets learn from the one of all channels.
    pub distillation_times: u64,
}

impl Strategy {
    /// Whether subnets learn from the one of all channels.
    pub fn distills(&self, iter: u64) -> bool {
        iter > self.distillation_times
    }

    /// The updates of an iteration.
    pub fn parts(&self, iter: u64, seed: Seed) -> Vec<Part> {
        let learns = iter > self.arch_start_train;
        let mut parts = Vec::with_capacity(self.nets.len() + 2);
        let mut counts = [0; 4];
        for (i, sampled) in self.nets.iter().enumerate() {
            let kind = match sampled {
                Sampled::Max => Kind::Max,
                Sampled::Min => Kind::Min,
                Sampled::ArchRandom if learns => Kind::Direct,
                Sampled::ScheduledRandom if learns => {
                    let uniform = 0.9999f64.powf(iter as f64);
                    let drawn = seed.stream("dmcp.kind", &[iter, i as u64]).uniform_f64();
                    if drawn > uniform { Kind::Direct } else { Kind::Random }
                }
                _ => Kind::Random,
            };
            let name = match kind {
                Kind::Max => "max",
                Kind::Min => "min",
                Kind::Random => "random",
                Kind::Direct => "direct",
            };
            if let Some(count) = counts.get_mut(kind as usize) {
                *count += 1;
                parts.push(Part::Net { kind, label: format!("{name}_subnet{count}") });
            }
        }
        if learns && iter.is_multiple_of(self.arch_train_freq.max(1)) {
            parts.extend([Part::Loss, Part::Macs]);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(strategy: &Strategy, iter: u64) -> Vec<String> {
        let label = |part| match part {
            Part::Net { label, .. } => label,
            Part::Loss => "loss".into(),
            Part::Macs => "macs".into(),
        };
        strategy.parts(iter, Seed(0)).into_iter().map(label).collect()
    }

    #[test]
    fn the_architecture_learns_from_its_iteration_on() {
        let strategy = Strategy {
            nets: vec![Sampled::Max, Sampled::Min, Sampled::ArchRandom, Sampled::ArchRandom],
            arch_start_train: 10,
            arch_train_freq: 5,
            distillation_times: 12,
        };
        let before = ["max_subnet1", "min_subnet1", "random_subnet1", "random_subnet2"];
        assert_eq!(labels(&strategy, 0), before);
        assert_eq!(labels(&strategy, 10), before);
        let after = ["max_subnet1", "min_subnet1", "direct_subnet1", "direct_subnet2"];
        assert_eq!(labels(&strategy, 11), after);
        assert_eq!(labels(&strategy, 15), [&after[..], &["loss", "macs"]].concat());
        assert_eq!([12, 13].map(|i| strategy.distills(i)), [false, true]);
    }

    #[test]
    fn scheduled_subnets_are_drawn_more_and_more_often() {
        let strategy = Strategy {
            nets: vec![Sampled::ScheduledRandom],
            arch_start_train: 0,
            arch_train_freq: u64::MAX,
            distillation_times: 0,
        };
        let direct =
            |from: u64| (from..from + 1000).filter(|&i| labels(&strategy, i) == ["direct_subnet1"]).count();
        // 1 − 0.9999^i is near 5 %, 37 % and 95 %.
        let found = [direct(1), direct(4000), direct(30_000)];
        assert!(found[0] < 90 && (300..450).contains(&found[1]) && found[2] > 920, "{found:?}");
    }
}
