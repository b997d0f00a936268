//! From a trained model to an ONNX file.

use std::path::Path;

use indexmap::IndexMap;
use occam_config::Value;
use occam_graph::{Dim, Fact, Graph};
use occam_zoo::FromFile;

use crate::recipe::{Bench, Trained};
use crate::runner::{Resume, RunOptions, Runner};
use crate::{Error, Model, Result};

/// The operator set of models that are written for the first time.
const DEFAULT_OPSET: i64 = 17;

/// How a model is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// ONNX operator set; 17 where none, or that of the file which the model comes from.
    pub opset: Option<i64>,
    /// Name of the graph in the file; a model that comes from a file keeps its own.
    pub name: String,
    /// Channels, height and width of the images; where none, those of the config's data, or what the file says that the
    /// model comes from.
    pub image_size: Option<[usize; 3]>,
}

/// The run of a training without training it, its weights loaded. It has the bench's reporter, which must be given back.
///
/// # Errors
/// Its config is wrong, or its checkpoint cannot be read.
pub fn load(bench: &mut Bench<'_>, run: &Trained) -> Result<Runner> {
    let options = RunOptions {
        registry: bench.registry,
        loader: bench.loader,
        work_dir: bench.work_dir.clone(),
        seed: Some(run.seed),
        device: bench.device.clone(),
        resume: Resume::No,
        reporter: bench.take_reporter(),
    };
    let mut runner = Runner::for_testing(&run.config, options)?;
    runner.load_weights(&run.checkpoint)?;
    Ok(runner)
}

/// Writes the first weights that a run of `config` has to `path`.
///
/// # Errors
/// The config is wrong, or the disk failed.
pub fn write_weights(bench: &mut Bench<'_>, config: &Value, seed: u64, path: &Path) -> Result<()> {
    let options = RunOptions {
        registry: bench.registry,
        loader: bench.loader,
        work_dir: bench.work_dir.clone(),
        seed: Some(seed),
        device: bench.device.clone(),
        resume: Resume::No,
        reporter: bench.take_reporter(),
    };
    let mut runner = Runner::for_testing(config, options)?;
    let written = runner.save_weights(path);
    bench.return_reporter(runner.into_reporter());
    written
}

/// The graph for images of one size; the batch stays open.
///
/// # Errors
/// The model cannot take such images.
pub fn fix_image_size(graph: &Graph, [c, h, w]: [usize; 3]) -> Result<Graph> {
    let mut graph = graph.clone();
    for &id in graph.inputs().to_vec().iter() {
        let fact = graph.value(id)?.fact.clone();
        if let [n, channels, height, width] = fact.shape.as_slice() {
            if !channels.may_equal(&c.into()) {
                return Err(Error::Other(format!(
                    "the model takes {channels} channels, the images have {c}"
                )));
            }
            if !height.may_equal(&h.into()) || !width.may_equal(&w.into()) {
                return Err(Error::Other(format!(
                    "the model takes images of {height}x{width}, the images are {h}x{w}"
                )));
            }
            let shape = [n.clone(), Dim::Known(c), Dim::Known(h), Dim::Known(w)];
            graph.set_fact(id, Fact::new(fact.dtype, shape))?;
        }
    }
    graph.infer()?;
    graph.verify()?;
    Ok(graph)
}

/// Writes the architecture of a run with its present weights.
///
/// # Errors
/// The model has no ONNX form in that operator set, or the disk failed.
pub fn write(runner: &Runner, path: &Path, options: &ExportOptions) -> Result<()> {
    let model = runner.algorithm().architecture();
    let exported = runner.algorithm().exported()?;
    if let Some(file) = model.file() {
        return write_again(model, file, path, options);
    }
    let size = match options.image_size {
        Some(size) => size,
        None => runner.image_size()?,
    };
    let (graph, weights) = match exported {
        Some((graph, weights)) => (fix_image_size(&graph, size)?, weights),
        None => (fix_image_size(model.graph(), size)?, model.params.to_weights()?),
    };
    let onnx = occam_io::onnx::ExportOptions {
        opset: options.opset.unwrap_or(DEFAULT_OPSET),
        name: options.name.clone(),
        metadata: IndexMap::new(),
        ..occam_io::onnx::ExportOptions::default()
    };
    let proto = occam_io::onnx::export(&graph, &weights, &onnx)?;
    Ok(occam_io::onnx::write_model(path, &proto)?)
}

/// Writes a model that comes from a file as that has it, with its present weights.
fn write_again(model: &Model, file: &FromFile, path: &Path, options: &ExportOptions) -> Result<()> {
    if let Some(opset) = options.opset.filter(|&n| n != file.opset()) {
        return Err(Error::Other(format!(
            "the model's file has operators of version {}, which are written as they are, not of version {opset}",
            file.opset()
        )));
    }
    if let Some(size) = options.image_size {
        fix_image_size(model.graph(), size)?;
    }
    let proto = file.write(model.graph(), &model.params.to_weights()?)?;
    Ok(occam_io::onnx::write_model(path, &proto)?)
}
