//! From a file to a graph that can be trained.

use std::path::Path;

use occam_graph::onnx::Onnx;
use occam_graph::recognize::recognize;
use occam_graph::{DType, Dim, Fact, Graph, Op, Patch, Source, ValueId, Weights};
use occam_io::onnx::{Halves, ImportOptions, Imported, export_imported, import_model, read_model};

use super::batch;
use super::ending::Ending;
use super::from_file::FromFile;
use crate::Result;
use crate::error::refuse;

/// The recognized graph of a file, from images `f32 [N, C, H, W]` to scores `[N, classes]`, its weights, and what else the
/// file says.
///
/// # Errors
/// The file cannot be read, is no classifier of images, or is made for one number of images in a way that cannot be
/// opened.
pub(super) fn read(path: &Path) -> Result<(Graph, Weights, FromFile)> {
    let mut proto = read_model(path)?;
    let halves = Halves::widen(&mut proto)?;
    let mut model = import_model(proto.clone(), path, &ImportOptions::default())?;
    let input = images(&model.graph)?;
    learnable(&model.graph)?;
    let fact = model.graph.value(input)?.fact.clone();
    match fact.shape.first().and_then(Dim::known) {
        None => {
            open(&mut model.graph, input)?;
            recognize(&mut model.graph, &mut model.weights)?;
        }
        Some(size) => {
            // Shapes follow from the number of images, so nothing may be folded before it is open.
            let as_is = ImportOptions { fold: false, ..ImportOptions::default() };
            let mut whole = import_model(proto, path, &as_is)?;
            let input = images(&whole.graph)?;
            open(&mut whole.graph, input)?;
            batch::open(&mut whole.graph, size)?;
            let proto = export_imported(&whole.graph, &whole.weights, &whole.origin)?;
            let mut opened = import_model(proto, path, &ImportOptions::default())?;
            scores(&opened.graph)?;
            recognize(&mut model.graph, &mut model.weights)?;
            recognize(&mut opened.graph, &mut opened.weights)?;
            batch::same(&model, &opened, size)?;
            model = Imported { origin: model.origin, ..opened };
        }
    }
    let Imported { mut graph, weights, origin } = model;
    drop_idle_casts(&mut graph)?;
    let ending = Ending::cut(&mut graph)?;
    scores(&graph)?;
    Ok((graph, weights, FromFile { origin, input: fact, ending, halves }))
}

/// The only input.
fn images(graph: &Graph) -> Result<ValueId> {
    let facts = graph.facts(graph.inputs())?;
    match (graph.inputs(), facts.as_slice()) {
        (&[id], [fact]) if fact.rank() == 4 && fact.dtype == DType::F32 => Ok(id),
        _ => {
            let list = list(graph, graph.inputs().iter().map(|&id| (None, id)))?;
            refuse(format!("a classifier of images takes one input, f32 [N, C, H, W]; the file takes {list}"))
        }
    }
}

/// The only output.
fn scores(graph: &Graph) -> Result<()> {
    let [(name, id)] = graph.outputs() else {
        let list = list(graph, graph.outputs().iter().map(|(name, id)| (Some(name.as_str()), *id)))?;
        return refuse(format!("a classifier gives one output, f32 [N, classes]; the file gives {list}"));
    };
    let fact = &graph.value(*id)?.fact;
    let (images, classes) = match fact.shape.as_slice() {
        [images, classes] if fact.dtype == DType::F32 => (images, classes),
        _ => {
            return refuse(format!(
                "a classifier gives one output, f32 [N, classes]; the file gives `{name}`: {fact}"
            ));
        }
    };
    if images.known().is_some() {
        let by = match batch::baked(graph, *id)? {
            Some((node, op)) => format!("node `{node}` ({op}) does not follow the number of images"),
            None => "no node follows the number of images".to_owned(),
        };
        return refuse(format!(
            "output `{name}` is {fact} whatever the number of images is: {by}. Export the model with an open batch \
             (`dynamic_axes` or `dynamic_shapes` of torch.onnx.export)"
        ));
    }
    match classes.known() {
        Some(_) => Ok(()),
        None => {
            refuse(format!("the number of classes of output `{name}`, {fact}, does not follow from the file"))
        }
    }
}

/// Names and facts of values, for people.
fn list<'a>(graph: &Graph, values: impl Iterator<Item = (Option<&'a str>, ValueId)>) -> Result<String> {
    let mut parts = Vec::new();
    for (name, id) in values {
        let value = graph.value(id)?;
        parts.push(format!("`{}`: {}", name.unwrap_or(&value.name), value.fact));
    }
    Ok(if parts.is_empty() { "none".into() } else { parts.join(", ") })
}

/// Names the sizes of the images that may be any as those of other models are: `N`, `H` and `W`.
fn open(graph: &mut Graph, input: ValueId) -> Result<()> {
    let fact = graph.value(input)?.fact.clone();
    let mut shape = fact.shape.clone();
    if let [n, _, h, w] = shape.as_mut_slice() {
        *n = Dim::symbol("N");
        for (size, name) in [(h, "H"), (w, "W")] {
            if size.known().is_none() {
                *size = Dim::symbol(name);
            }
        }
    }
    graph.set_fact(input, Fact { shape, ..fact })?;
    Ok(graph.infer()?)
}

/// Removes each `Cast` to the type that its operand has, as there are once all floats are `f32`.
fn drop_idle_casts(graph: &mut Graph) -> Result<()> {
    let mut patch = Patch::new("drop_idle_casts");
    for id in graph.order()?.into_iter().rev() {
        let node = graph.node(id)?;
        let (Op::Onnx(op), [x], [y]) = (&node.op, node.inputs.as_slice(), node.outputs.as_slice()) else {
            continue;
        };
        let (from, to) = (graph.value(*x)?, graph.value(*y)?);
        let inner = matches!(from.source, Source::Node(..));
        let returned = graph.outputs().iter().any(|(_, v)| v == y);
        if op.op_type == "Cast" && from.fact == to.fact && (inner || !returned) {
            patch.replace(*y, *x);
            patch.remove(id);
        }
    }
    if !patch.is_empty() {
        patch.apply(graph)?;
    }
    Ok(())
}

/// Refuses what cannot be trained by its type or its form.
fn learnable(graph: &Graph) -> Result<()> {
    if let Some((_, v)) = graph.params().find(|(_, v)| v.fact.dtype != DType::F32) {
        return refuse(format!("parameter `{}` is {}; only f32 is trained", v.name, v.fact));
    }
    let training =
        |op: &Onnx| op.op_type == "BatchNormalization" && op.flag("training_mode").unwrap_or(false);
    let found = graph.nodes().find(|(_, n)| matches!(&n.op, Op::Onnx(op) if training(op)));
    match found {
        None => Ok(()),
        Some((_, node)) => refuse(format!(
            "node `{}` is batch normalization as in training; export the model after `model.eval()`",
            node.name
        )),
    }
}
