//! Runs ONNX's own tests of operators and says which pass, by operator.
//!
//!     cargo run --release -p occam-io --example onnx_node_tests -- FOLDER [NAME..] [--list]
//!
//! `FOLDER` is `onnx/backend/test/data/node` of the package `onnx` (up to 1.18 it is part of the wheel). With names only tests
//! whose names hold one of them are run. `--list` tells every test that did not pass, with the reason. A test whose model
//! cannot be read or run, because an operator, an option, an element type or a kind of value is not supported, counts as
//! not supported; one that gave another error or a wrong result has failed, and the exit code is 1.
//!
//! 32 results in the folder of version 1.18 are not what ONNX Runtime 1.32 computes, which is what is computed here: 26 of
//! `Attention` with heads in the last axis or with fewer heads of keys than of queries, 4 of `QLinearMatMul` of `int8`, where
//! sums beyond the type wrap instead of saturating (the reference of ONNX 1.23 agrees with ONNX Runtime on both), and 2 of
//! `Resize` with aligned corners and a size that is rounded down, of which ONNX aligns the size before rounding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use occam_graph::{Array, DType, Data, Graph, Op};
use occam_interp::{Interpreter, Values};
use occam_io::onnx::proto::{ModelProto, TensorProto};
use occam_io::onnx::{ImportOptions, Message, array, import};

enum Outcome {
    Passed,
    NotSupported(String),
    Failed(String),
}

fn main() {
    let mut names = Vec::new();
    let mut list = false;
    for argument in std::env::args().skip(1) {
        if argument == "--list" { list = true } else { names.push(argument) }
    }
    let Some(folder) = names.first().cloned() else {
        eprintln!("usage: onnx_node_tests FOLDER [NAME..] [--list]");
        std::process::exit(2);
    };
    let wanted = |name: &str| names.len() == 1 || names.iter().skip(1).any(|n| name.contains(n.as_str()));
    let mut tests: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    tests.sort();
    std::panic::set_hook(Box::new(|_| {}));
    let mut by_operator: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut total = [0usize; 3];
    for test in &tests {
        let name = test.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(bytes) = fs::read(test.join("model.onnx")) else { continue };
        if !wanted(&name) {
            continue;
        }
        let operator = operator(&name, &bytes);
        let outcome = catch_unwind(|| run(test)).unwrap_or_else(|_| Outcome::Failed("panic".into()));
        let (kind, reason) = match outcome {
            Outcome::Passed => (0, None),
            Outcome::NotSupported(reason) => (2, Some(("not supported", reason))),
            Outcome::Failed(reason) => (1, Some(("FAILED", reason))),
        };
        total[kind] += 1;
        by_operator.entry(operator).or_default()[kind] += 1;
        if let (true, Some((kind, reason))) = (list, reason) {
            println!("{kind}: {name}: {reason}");
        }
    }
    println!("{:<32} {:>7} {:>7} {:>14}", "operator", "passed", "failed", "not supported");
    for (operator, [passed, failed, not]) in &by_operator {
        println!("{operator:<32} {passed:>7} {failed:>7} {not:>14}");
    }
    println!("{:<32} {:>7} {:>7} {:>14}", "all", total[0], total[1], total[2]);
    std::process::exit(i32::from(total[1] > 0));
}

/// The operator of a model with one node; the function, where a model is one written out.
fn operator(name: &str, bytes: &[u8]) -> String {
    let model = ModelProto::decode(bytes).unwrap();
    let nodes = model.graph.unwrap_or_default().node;
    match nodes.as_slice() {
        _ if name.contains("_expanded") => "(functions written out)".into(),
        [node] => node.op_type().to_owned(),
        nodes => nodes.iter().find(|n| n.op_type() != "Constant").map_or("?", |n| n.op_type()).to_owned(),
    }
}

fn tensor(path: &Path) -> Result<(String, Array), String> {
    let proto = TensorProto::decode(fs::read(path).unwrap().as_slice()).map_err(|e| e.to_string())?;
    let array = array(&proto)?;
    Ok((proto.name().to_owned(), array))
}

/// The tests store bf16 as the u16 of the same bits.
fn with_type(array: Array, dtype: DType) -> Array {
    match (array.dtype(), dtype) {
        (DType::U16, DType::BF16) => {
            Array::from_le_bytes(dtype, array.shape(), &array.to_le_bytes()).unwrap()
        }
        _ => array,
    }
}

fn run(test: &Path) -> Outcome {
    let imported =
        match import(test.join("model.onnx"), &ImportOptions { fold: false, ..ImportOptions::default() }) {
            Ok(imported) => imported,
            Err(e) => {
                let text = e.to_string();
                let not = ["not supported", "can be read"].iter().any(|n| text.contains(n));
                return if not { Outcome::NotSupported(text) } else { Outcome::Failed(text) };
            }
        };
    let graph = &imported.graph;
    if let Some((_, node)) =
        graph.nodes().find(|(_, n)| matches!(&n.op, Op::Onnx(op) if !occam_interp::knows(op)))
    {
        return Outcome::NotSupported(format!("{} has no evaluation", node.op.family().name()));
    }
    let mut sets: Vec<PathBuf> = fs::read_dir(test)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir() && p.file_name().unwrap().to_string_lossy().starts_with("test_data_set_"))
        .collect();
    sets.sort();
    for set in sets {
        match run_set(graph, &imported.weights, &set) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

fn run_set(graph: &Graph, weights: &Values, set: &Path) -> Outcome {
    let mut inputs = Values::new();
    for (i, &id) in graph.inputs().iter().enumerate() {
        match tensor(&set.join(format!("input_{i}.pb"))) {
            Ok((_, array)) => {
                let value = graph.value(id).unwrap();
                inputs.insert(value.name.clone(), with_type(array, value.fact.dtype))
            }
            Err(m) => return Outcome::NotSupported(m),
        };
    }
    let outputs = match Interpreter::new(graph, weights).and_then(|i| i.run(&inputs)) {
        Ok(outputs) => outputs,
        Err(e) if e.to_string().contains("not supported") => return Outcome::NotSupported(e.to_string()),
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    for (i, (name, found)) in outputs.iter().enumerate() {
        let wanted = match tensor(&set.join(format!("output_{i}.pb"))) {
            Ok((_, array)) => with_type(array, found.dtype()),
            Err(m) => return Outcome::NotSupported(m),
        };
        let inferred = &graph.value(graph.outputs()[i].1).unwrap().fact;
        let fits = inferred.dtype == found.dtype()
            && inferred.rank() == found.shape().len()
            && inferred.shape.iter().zip(found.shape()).all(|(d, &n)| d.known().is_none_or(|k| k == n));
        if !fits {
            return Outcome::Failed(format!("output {name} {found:?} was inferred as {inferred}"));
        }
        if let Err(m) = compare(found, &wanted) {
            return Outcome::Failed(format!("output {name}: {m}"));
        }
    }
    Outcome::Passed
}

/// As ONNX's own runner compares: equal, floats to 1e-3 relative and 1e-7 absolute (low precision by its own steps).
fn compare(found: &Array, wanted: &Array) -> Result<(), String> {
    if found.shape() != wanted.shape() || found.dtype() != wanted.dtype() {
        return Err(format!("{found:?}, not {wanted:?}"));
    }
    let numbers = |a: &Array| -> Vec<f64> {
        match a.data() {
            Data::F64(v) => v.clone(),
            Data::Narrow(of, v) => v.iter().map(|&code| of.decode(code).into()).collect(),
            _ => match a.to_f32() {
                Ok(f) => f.as_f32().unwrap().iter().map(|&x| f64::from(x)).collect(),
                Err(_) => Vec::new(),
            },
        }
    };
    if !found.dtype().is_float() && found.dtype().narrow().is_none() {
        return if found == wanted { Ok(()) } else { Err(format!("{}, not {}", show(found), show(wanted))) };
    }
    let (relative, absolute) = match found.dtype() {
        DType::F16 => (1e-3, 1e-3),
        DType::BF16 => (1e-2, 1e-2),
        _ => (1e-3, 1e-7),
    };
    for (i, (a, b)) in numbers(found).iter().zip(numbers(wanted)).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || *a == b;
        let near = (a - b).abs() <= absolute + relative * b.abs();
        if !same && !near {
            return Err(format!("element {i} is {a}, not {b}"));
        }
    }
    Ok(())
}

fn show(a: &Array) -> String {
    let ints = match a.data() {
        Data::I64(v) => format!("{:?}", &v[..v.len().min(12)]),
        Data::I32(v) => format!("{:?}", &v[..v.len().min(12)]),
        Data::U8(v) => format!("{:?}", &v[..v.len().min(12)]),
        Data::I8(v) => format!("{:?}", &v[..v.len().min(12)]),
        Data::Bool(v) => format!("{:?}", &v[..v.len().min(12)]),
        _ => String::new(),
    };
    format!("{a:?} {ints}")
}
