//! From a model to a graph.
//!
//! Every node becomes an [`Onnx`](occam_graph::onnx::Onnx) with the name and the attributes that the file gives it. What
//! follows from constants and known shapes alone is computed at once.

mod attribute;
mod convert;
mod fold;
mod functions;
mod origin;
mod promote;
mod raise;
mod tensor;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use occam_graph::{Bindings, Dim, Fact, Graph, Weights};

use self::convert::Problem;
use super::export::LISTED;
use super::file::decode;
use super::proto::{ModelProto, TensorProto};
use super::read_model;
use crate::{Error, Result};
pub use origin::{Origin, export_imported};
pub use tensor::array;

/// Versions of ONNX's operator set that can be read.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=23;

/// How to read a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// Whether what follows from constants and shapes is computed at once, and what nothing reads is left out.
    pub fold: bool,
    /// Sizes that the inputs leave open, by name: they are known before anything else follows from them.
    pub dims: Bindings,
    /// What the model will be run on, by name of the input. Open sizes become those of the arrays, initializers that are
    /// inputs too take the array's elements, and where the branches of an `If` give values of different ranks, what comes
    /// before is run to say which is taken.
    pub given: Weights,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { fold: true, dims: Bindings::new(), given: Weights::new() }
    }
}

/// What a model takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type and shape.
    pub fact: Fact,
    /// Whether the file has elements for it, which are taken where none are given.
    pub optional: bool,
}

/// The inputs of a model, in order; those last for which the file has elements. Up to version 3 of the format, all
/// initializers are listed as inputs and none of them can be given.
///
/// # Errors
/// An input is no tensor.
pub fn inputs(model: &ModelProto, path: &Path) -> Result<Vec<Input>> {
    let graph = model.graph.as_ref();
    let held: HashSet<&str> = graph.iter().flat_map(|g| &g.initializer).map(TensorProto::name).collect();
    let mut inputs = Vec::new();
    for info in graph.iter().flat_map(|g| &g.input) {
        let optional = held.contains(info.name());
        if optional && model.ir_version() < LISTED {
            continue;
        }
        let fact = convert::fact(info, None).map_err(|m| Error::Malformed {
            format: "ONNX",
            path: path.into(),
            message: format!("input `{}`: {m}", info.name()),
        })?;
        inputs.push(Input { name: info.name().to_owned(), fact, optional });
    }
    inputs.sort_by_key(|i| i.optional);
    Ok(inputs)
}

/// A model that was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What it computes.
    pub graph: Graph,
    /// Its parameters: what layers learn. All other constants are in the graph.
    pub weights: Weights,
    /// What else the file says.
    pub origin: Origin,
}

/// Reads a model; elements of initializers stay in the file until they are asked for.
///
/// # Errors
/// The file cannot be read, is not ONNX, or has a node that is not supported or does not fit; the message names the node.
pub fn import(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
    let path = path.as_ref();
    import_model(read_model(path)?, path, options)
}

/// Reads a model from bytes; elements in other files are not found.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: Vec<u8>, options: &ImportOptions) -> Result<Imported> {
    let path = Path::new("model");
    import_model(decode(path, bytes.into())?, path, options)
}

/// Reads a model that was decoded; `path` is for errors.
///
/// # Errors
/// As [`import`].
pub fn import_model(mut model: ModelProto, path: &Path, options: &ImportOptions) -> Result<Imported> {
    let malformed = |message: String| Error::Malformed { format: "ONNX", path: path.into(), message };
    functions::inline(&mut model).map_err(malformed)?;
    let opsets = convert::opsets(&model).map_err(malformed)?;
    let inputs = inputs(&model, path)?;
    let options = settle(&inputs, options)?;
    let graph = model.graph.take().ok_or_else(|| malformed("it has no graph".into()))?;
    let origin = Origin::of(&model, &graph, &inputs, &options.given).map_err(malformed)?;
    let mut graph =
        convert::graph(&graph, &opsets, &options, &origin.defaults).map_err(|problem| match problem {
            Problem::Malformed(message) => malformed(message),
            Problem::Unsupported(message) => Error::Unsupported { path: path.into(), message },
        })?;
    let weights = promote::parameters(&mut graph, &origin.defaults)?;
    Ok(Imported { graph, weights, origin })
}

/// The options with the sizes that follow from the arrays that are given.
fn settle(inputs: &[Input], options: &ImportOptions) -> Result<ImportOptions> {
    let mut options = options.clone();
    let names = inputs.iter().flat_map(|i| &i.fact.shape).filter_map(|d| match d {
        Dim::Symbol(name) => Some(&**name),
        _ => None,
    });
    let open: BTreeSet<&str> = names.collect();
    if let Some(unknown) = options.dims.keys().find(|name| !open.contains(name.as_str())) {
        let known = match open.is_empty() {
            true => "the file leaves no size open".to_owned(),
            false => {
                let list: Vec<&str> = open.iter().copied().collect();
                format!("sizes that the file leaves open: {}", list.join(", "))
            }
        };
        return Err(Error::Option {
            option: "dim",
            message: format!("no input has a size called `{unknown}`; {known}"),
        });
    }
    for Input { name, fact, .. } in inputs {
        let Some(array) = options.given.get(name) else { continue };
        let mut fits = array.dtype() == fact.dtype && array.shape().len() == fact.rank();
        for (dim, &size) in fact.shape.iter().zip(array.shape()) {
            fits &= match dim {
                Dim::Known(n) => *n == size,
                Dim::Symbol(name) => *options.dims.entry(name.to_string()).or_insert(size) == size,
                Dim::Expr(_) => true,
            };
        }
        if !fits {
            let mut wanted = fact.clone();
            convert::bind(&mut wanted, &options.dims);
            return Err(Error::Input {
                name: name.clone(),
                message: format!("{wanted} wanted, {array:?} given"),
            });
        }
    }
    Ok(options)
}
