//! Sizes that a file leaves open.

use std::path::Path;

use occam_graph::{Bindings, Dim, DimExpr, Graph};
use occam_io::onnx::{ImportOptions, Imported, import, import_model, inputs, read_model};

use crate::diagnostic::Failure;

/// Reads an ONNX file with the sizes that are `given`. A file that cannot be read while others are open is read with these
/// as 1: which branch is taken may depend on them.
///
/// # Errors
/// The file is wrong, or no input has a size of a name that is given.
pub fn import_bound(path: &Path, given: &[(String, usize)]) -> Result<Imported, Failure> {
    let mut dims: Bindings = given.iter().cloned().collect();
    let error = match import(path, &ImportOptions { dims: dims.clone(), ..ImportOptions::default() }) {
        Ok(imported) => return Ok(imported),
        Err(error @ occam_io::Error::Malformed { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let Ok(model) = read_model(path) else { return Err(error.into()) };
    for input in inputs(&model, path)? {
        input.fact.shape.iter().for_each(|d| symbols(d, &mut dims));
    }
    import_model(model, path, &ImportOptions { dims, ..ImportOptions::default() }).map_err(|_| error.into())
}

/// Every size that the inputs of `graph` leave open: what `given` says, else 1.
///
/// # Errors
/// `given` names a size that no input has.
pub fn open(graph: &Graph, given: &[(String, usize)]) -> Result<Bindings, Failure> {
    let mut bindings = Bindings::new();
    for &v in graph.inputs() {
        graph.value(v)?.fact.shape.iter().for_each(|d| symbols(d, &mut bindings));
    }
    for (name, size) in given {
        if bindings.insert(name.clone(), *size).is_none() {
            let known: Vec<&str> = bindings.keys().filter(|k| *k != name).map(String::as_str).collect();
            let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
            return Err(Failure::new(format!("--dim: no input has a size called `{name}`"))
                .with_help(format!("sizes that the file leaves open: {known}")));
        }
    }
    Ok(bindings)
}

/// Every size that `graph` leaves open: what `given` says, else 1; and how many of them only running tells, as the number of
/// boxes that a detector finds.
///
/// # Errors
/// `given` names a size that nothing has.
pub fn all(graph: &Graph, given: &[(String, usize)]) -> Result<(Bindings, usize), Failure> {
    let mut inner = Bindings::new();
    for (_, value) in graph.values() {
        value.fact.shape.iter().for_each(|d| symbols(d, &mut inner));
    }
    let (own, rest): (Vec<_>, Vec<_>) = given.iter().cloned().partition(|(name, _)| inner.contains_key(name));
    let bindings = open(graph, &rest)?;
    let found = inner.keys().filter(|name| !bindings.contains_key(*name)).count();
    inner.extend(bindings);
    inner.extend(own);
    Ok((inner, found))
}

/// Adds the symbols of a size, each as 1.
fn symbols(dim: &Dim, bindings: &mut Bindings) {
    match dim {
        Dim::Known(_) => {}
        Dim::Symbol(s) => {
            bindings.entry(s.to_string()).or_insert(1);
        }
        Dim::Expr(e) => match &**e {
            DimExpr::Add(a, b) | DimExpr::Mul(a, b) => {
                symbols(a, bindings);
                symbols(b, bindings);
            }
            DimExpr::Offset(a, _) | DimExpr::FloorDiv(a, _) | DimExpr::CeilDiv(a, _) => symbols(a, bindings),
        },
    }
}
