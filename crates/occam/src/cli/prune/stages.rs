//! Where the time goes.

use std::time::Instant;

use occam_space::Resources;
use serde_json::{Map, Value, json};

/// Seconds of the stages of a run, one after another.
pub struct Stages {
    last: Instant,
    times: Vec<(&'static str, f64)>,
    /// What the model needs that no unit can make smaller.
    pub fixed: Resources,
    /// Sizes that only running tells.
    pub inner: usize,
}

impl Stages {
    /// The first stage begins now.
    pub fn new() -> Self {
        Self { last: Instant::now(), times: Vec::new(), fixed: Resources::default(), inner: 0 }
    }

    /// The stage called `name` ends now, and the next begins.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.times.push((name, (now - self.last).as_secs_f64()));
        self.last = now;
    }

    /// All stages together.
    pub fn seconds(&self) -> f64 {
        self.times.iter().map(|(_, seconds)| seconds).sum()
    }

    /// By name the seconds of each.
    pub fn to_json(&self) -> Value {
        Value::Object(self.times.iter().map(|&(name, s)| (name.to_owned(), json!(s))).collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up() {
        let mut stages = Stages::new();
        stages.end("read");
        stages.end("trace");
        let told = stages.to_json();
        let sum = told["read"].as_f64().unwrap() + told["trace"].as_f64().unwrap();
        assert!((stages.seconds() - sum).abs() < 1e-12);
    }
}
