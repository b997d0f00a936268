//! By which config each operator is rounded.

use occam_graph::matches;

use super::place::Placed;
use super::rounding::{QConfig, Rounding};
use super::tables::torch_kind;
use crate::{Kind, QScheme};

/// What is done with some operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// They are rounded by that config.
    Of(usize),
    /// They stay in floats.
    Float,
}

/// Configs, and which operators have which: a module's own before its type's before that of all.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The configs.
    pub configs: Vec<QConfig>,
    /// That of all operators without one of their own.
    pub global: Rule,
    /// By an operator's name in tables.
    pub types: Vec<(&'static str, Rule)>,
    /// By the path of a module or one around it, or a pattern with `*`.
    pub modules: Vec<(String, Rule)>,
}

impl Rules {
    /// One config for all.
    pub fn all(config: QConfig) -> Self {
        Self { configs: vec![config], global: Rule::Of(0), types: Vec::new(), modules: Vec::new() }
    }

    /// Adds a config for a type of PyTorch; whether operators of that type are known.
    pub fn add_type(&mut self, class: &str, config: Option<QConfig>) -> bool {
        let Some(kind) = torch_kind(class) else { return false };
        let rule = self.add(config);
        self.types.push((kind, rule));
        true
    }

    /// Adds a config for a module.
    pub fn add_module(&mut self, path: &str, config: Option<QConfig>) {
        let rule = self.add(config);
        self.modules.push((path.to_owned(), rule));
    }

    fn add(&mut self, config: Option<QConfig>) -> Rule {
        match config {
            None => Rule::Float,
            Some(config) => {
                self.configs.push(config);
                Rule::Of(self.configs.len() - 1)
            }
        }
    }

    /// The index of the config of an operator, called `kind` in tables, of the module `path`; none where it stays in floats.
    pub fn of(&self, kind: &str, path: &str, node: &str) -> Option<usize> {
        let around = |name: &str| path == name || path.strip_prefix(name).is_some_and(|p| p.starts_with('.'));
        let named = |name: &str| around(name) || matches(name, path) || matches(name, node);
        // The innermost module counts.
        let module = self.modules.iter().filter(|(name, _)| named(name)).max_by_key(|(name, _)| name.len());
        let by_type = || self.types.iter().rev().find(|(name, _)| *name == kind);
        let rule = module.map(|(_, r)| *r).or_else(|| by_type().map(|(_, r)| *r)).unwrap_or(self.global);
        match rule {
            Rule::Of(i) => Some(i),
            Rule::Float => None,
        }
    }

    /// How a point is rounded.
    pub fn rounding(&self, placed: &Placed, point: usize) -> Option<&Rounding> {
        let config = self.configs.get(*placed.rules.get(point)?)?;
        Some(match placed.placement.points.get(point)?.kind {
            Kind::Weight => &config.weight,
            Kind::Activation => &config.activation,
        })
    }

    /// The integers of activations of a config.
    pub fn scheme(&self, config: usize) -> QScheme {
        self.configs.get(config).map_or(QScheme::activations(8), |c| c.activation.scheme)
    }

    /// The integers of weights of a config.
    pub fn weight_scheme(&self, config: usize) -> QScheme {
        self.configs.get(config).map_or(QScheme::weights(8, Some(0)), |c| c.weight.scheme)
    }
}
