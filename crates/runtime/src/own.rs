//! ONNX files in Occam's own executor.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use occam_engine::{Bound, Device, Executor, Mode, Params, Request, Tensor};
use occam_graph::recognize::recognize;
use occam_graph::{Array, Bindings};
use occam_io::onnx::{ImportOptions, import};

use crate::inputs::random_inputs;
use crate::profile::{self, Budget, Step};
use crate::{Error, Port, Result, Runtime, Session};

/// The runtime's name, for people.
const NAME: &str = "Occam's executor";

/// Occam's own executor, which every machine has: layers are recognized, and evaluated by the kernels of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own;

impl Runtime for Own {
    fn name(&self) -> &'static str {
        "occam"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn load(&self, file: &Path, threads: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(Loaded::new(file, threads)?))
    }

    fn profile(
        &self,
        file: &Path,
        threads: usize,
        bindings: &Bindings,
        budget: &Budget,
    ) -> Result<Vec<Step>> {
        let loaded = Loaded::new(file, threads)?;
        let arrays = loaded.arrays(&random_inputs(&loaded.inputs, bindings, 0)?)?;
        let tensors =
            arrays.iter().map(|a| Tensor::from_array(a, &Device::cpu())).collect::<Result<Vec<_>, _>>();
        let tensors = tensors.map_err(|e| loaded.failed(&e))?;
        let request = Request { timed: true, ..Request::new(Mode::Eval) };
        let mut times = Vec::new();
        budget.spend(|| {
            let run = || loaded.executor.run(&loaded.params, &tensors, &request);
            times.extend(loaded.pool.install(run).map_err(|e| loaded.failed(&e))?.times);
            Ok(())
        })?;
        Ok(profile::fastest(times))
    }
}

/// A file in the executor.
struct Loaded {
    file: PathBuf,
    executor: Executor,
    params: Bound,
    pool: rayon::ThreadPool,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Loaded {
    fn new(file: &Path, threads: usize) -> Result<Self> {
        let refuse = |why: String| Error::Load { runtime: NAME, file: file.to_owned(), why };
        let mut model = import(file, &ImportOptions::default()).map_err(|e| refuse(e.to_string()))?;
        recognize(&mut model.graph, &mut model.weights)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
        let pool = pool.map_err(|e| refuse(e.to_string()))?;
        let params = Params::new(&model.graph, &model.weights, &Device::cpu());
        let params = params.map_err(|e| refuse(e.to_string()))?.constants();
        let graph = Arc::new(model.graph);
        let executor = Executor::new(Arc::clone(&graph)).map_err(|e| refuse(e.to_string()))?;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for &v in graph.inputs() {
            let value = graph.value(v)?;
            inputs.push(Port { name: value.name.clone(), fact: value.fact.clone() });
        }
        for (name, v) in graph.outputs() {
            outputs.push(Port { name: name.clone(), fact: graph.value(*v)?.fact.clone() });
        }
        Ok(Self { file: file.to_owned(), executor, params, pool, inputs, outputs })
    }
}

impl Loaded {
    /// The inputs in the order of the file.
    fn arrays(&self, inputs: &[(String, Array)]) -> Result<Vec<Array>> {
        let refuse = |name: &str, why: String| Error::Input { name: name.to_owned(), why };
        if let Some((name, _)) = inputs.iter().find(|(n, _)| self.inputs.iter().all(|p| p.name != *n)) {
            let known: Vec<&str> = self.inputs.iter().map(|p| p.name.as_str()).collect();
            return Err(refuse(name, format!("there is no such input, only {}", known.join(", "))));
        }
        let given = |port: &Port| {
            let found = inputs.iter().find(|(name, _)| *name == port.name).map(|(_, array)| array.clone());
            found.ok_or_else(|| refuse(&port.name, format!("it is missing; {} is wanted", port.fact)))
        };
        self.inputs.iter().map(given).collect()
    }

    fn compute(&self, arrays: &[Array]) -> Result<Vec<Array>> {
        let request = Request::new(Mode::Eval);
        let run = || self.executor.run_arrays(&self.params, arrays, &request, &Device::cpu());
        self.pool.install(run).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &occam_engine::Error) -> Error {
        Error::Run { runtime: NAME, file: self.file.clone(), why: error.to_string() }
    }
}

impl Session for Loaded {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>> {
        let arrays = self.compute(&self.arrays(inputs)?)?;
        Ok(self.outputs.iter().map(|p| p.name.clone()).zip(arrays).collect())
    }

    fn time(&mut self, inputs: &[(String, Array)]) -> Result<Duration> {
        let arrays = self.arrays(inputs)?;
        let started = Instant::now();
        self.compute(&arrays)?;
        Ok(started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Candidate, Options, measure};

    fn golden(name: &str) -> PathBuf {
        occam_testing::workspace().join("tests/golden/onnx").join(name)
    }

    #[test]
    fn runs_what_the_exporter_ran() {
        let arrays = occam_io::npz::load(golden("arrays.npz")).unwrap();
        let mut session = Own.load(&golden("small.onnx"), 1).unwrap();
        assert_eq!(session.inputs()[0].fact.to_string(), "f32[batch, 3, 32, 32]");
        let outputs = session.run(&[("input".into(), arrays["input"].clone())]).unwrap();
        assert_eq!(outputs[0].0, "output");
        for (a, b) in outputs[0].1.as_f32().unwrap().iter().zip(arrays["output"].as_f32().unwrap()) {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a}, not {b}");
        }
        let error = session.run(&[]).unwrap_err().to_string();
        assert!(error.starts_with("input `input`: it is missing; f32[batch"), "{error}");
        let other = ("other".to_owned(), arrays["input"].clone());
        let error = session.run(&[("input".into(), arrays["input"].clone()), other]).unwrap_err();
        assert_eq!(error.to_string(), "input `other`: there is no such input, only input");
        let inputs = [("input".to_owned(), arrays["input"].clone())];
        let mut all = [Candidate { session: &mut *session, inputs: &inputs }];
        let times = measure(&mut all, &Options { warmup: 1, rounds: 2, runs: 2 }).unwrap();
        assert!(times[0].min() > 0.0);
    }

    #[test]
    fn steps_are_those_of_the_model() {
        let budget = Budget { warmup: 0, least: 2, most: 2, time: Duration::ZERO };
        let bindings = Bindings::from([("batch".into(), 2)]);
        let steps = Own.profile(&golden("small.onnx"), 1, &bindings, &budget).unwrap();
        assert!(steps.len() > 3 && steps.iter().all(|s| s.seconds > 0.0), "{steps:?}");
        let names: std::collections::HashSet<&str> = steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names.len(), steps.len());
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.onnx");
        std::fs::write(&file, "no model").unwrap();
        let error = Own.load(&file, 1).err().unwrap();
        assert!(error.to_string().contains("Occam's executor cannot load it"), "{error}");
    }
}
