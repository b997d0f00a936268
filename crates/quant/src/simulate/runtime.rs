//! The simulator among the runtimes that run files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use occam_graph::{Array, Weights};
use occam_io::onnx::{ImportOptions, import};
use occam_runtime::{Error, Port, Result, Runtime, Session};

use super::{Saturation, Simulator};
use crate::Profile;

/// The runtime's name, for people.
const NAME: &str = "the simulator";

/// Files as ONNX Runtime computes them with integers on another processor.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// The processor.
    pub profile: &'static Profile,
    seen: Arc<Mutex<Vec<Saturation>>>,
}

impl Simulated {
    /// A runtime like ONNX Runtime's on that processor.
    pub fn new(profile: &'static Profile) -> Self {
        Self { profile, seen: Arc::default() }
    }

    /// What saturated in all files since, by layer.
    pub fn saturation(&self) -> Vec<Saturation> {
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Vec<Saturation>>) -> MutexGuard<'_, Vec<Saturation>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime for Simulated {
    fn name(&self) -> &'static str {
        "simulator"
    }

    fn version(&self) -> &str {
        self.profile.name
    }

    fn load(&self, file: &Path, threads: usize) -> Result<Box<dyn Session>> {
        let refuse = |why: String| Error::Load { runtime: NAME, file: file.to_owned(), why };
        let model = import(file, &ImportOptions::default()).map_err(|e| refuse(e.to_string()))?;
        let simulator = Simulator::new(&model.graph, &model.weights, self.profile);
        let simulator = simulator.map_err(|e| refuse(e.to_string()))?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
        let pool = pool.map_err(|e| refuse(e.to_string()))?;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for &v in model.graph.inputs() {
            let value = model.graph.value(v)?;
            inputs.push(Port { name: value.name.clone(), fact: value.fact.clone() });
        }
        for (name, v) in model.graph.outputs() {
            outputs.push(Port { name: name.clone(), fact: model.graph.value(*v)?.fact.clone() });
        }
        let (file, seen) = (file.to_owned(), Arc::clone(&self.seen));
        Ok(Box::new(Loaded { file, simulator, pool, inputs, outputs, seen }))
    }
}

/// A file in the simulator.
struct Loaded {
    file: PathBuf,
    simulator: Simulator,
    pool: rayon::ThreadPool,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    seen: Arc<Mutex<Vec<Saturation>>>,
}

impl Session for Loaded {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>> {
        let refuse = |name: &str, why: String| Error::Input { name: name.to_owned(), why };
        if let Some(port) = self.inputs.iter().find(|p| inputs.iter().all(|(n, _)| *n != p.name)) {
            return Err(refuse(&port.name, format!("it is missing; {} is wanted", port.fact)));
        }
        if let Some((name, _)) = inputs.iter().find(|(n, _)| self.inputs.iter().all(|p| p.name != *n)) {
            return Err(refuse(name, "there is no such input".into()));
        }
        let arrays: Weights = inputs.iter().cloned().collect();
        let simulator = &mut self.simulator;
        let outputs = self.pool.install(|| simulator.run(&arrays));
        let outputs =
            outputs.map_err(|e| Error::Run { runtime: NAME, file: self.file.clone(), why: e.to_string() })?;
        *lock(&self.seen) = self.simulator.saturation().cloned().collect();
        Ok(outputs.into_iter().collect())
    }
}
