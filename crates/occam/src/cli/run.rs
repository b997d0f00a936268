//! `occam run`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_engine::{Device, Executor, Params, Request};
use occam_graph::onnx::Onnx;
use occam_graph::recognize::recognize;
use occam_graph::{Array, Bindings, DType, Data, Dim, Fact, Weights};
use occam_interp::Interpreter;
use occam_io::npz;
use occam_io::onnx::{self, ImportOptions, Imported, Input, ModelProto, import_model, read_model};
use occam_quant::profiles::{self, Profile};
use occam_quant::simulate::Simulator;
use serde_json::json;

use super::Outcome;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

mod image;

/// Run an ONNX file on arrays, an image, or random numbers
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam run model.onnx --inputs in.npz --outputs out.npz\n  \
    occam run model.onnx --inputs in.npz --expect out.npz --tolerance 1e-4\n  \
    occam run model.onnx --input-image cat.jpg --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375\n  \
    occam run model.onnx --random --dim batch=4 --iters 20\n  \
    occam run int8.onnx --random --integers\n\n\
    Arrays are given and returned by the names of the model's inputs and outputs. A model with one input takes the only array\n\
    of a .npz or a .npy file whatever it is called. Inputs that the file has elements for need not be given. Every operator is evaluated as its definition says; --engine runs the\n\
    model as training does instead: its layers recognized, by the training kernels. --integers runs a quantized model as ONNX \
    Runtime does, to the last bit where all is integers, on this processor or on the one that is named.")]
pub struct Args {
    /// The model (.onnx)
    model: PathBuf,
    /// Arrays by the names of the inputs (.npz, or .npy for a model with one input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input_image", "random"])]
    inputs: Option<PathBuf>,
    /// An image for the model's only input, resized to its height and width
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    input_image: Option<PathBuf>,
    /// Subtracted from the image's channels, in 0..255 [default: 0]
    #[arg(long, value_name = "M,..", value_delimiter = ',', requires = "input_image")]
    mean: Vec<f32>,
    /// What the image's channels are divided by [default: 255]
    #[arg(long, value_name = "S,..", value_delimiter = ',', requires = "input_image")]
    std: Vec<f32>,
    /// Channels of the image in the order blue, green, red
    #[arg(long, requires = "input_image")]
    bgr: bool,
    /// Run on random numbers of [0, 1), from this seed
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "0")]
    random: Option<u64>,
    /// Sizes that the model leaves open [default: 1]: `batch=4`
    #[arg(long, value_name = "NAME=N", value_parser = parse_dim)]
    dim: Vec<(String, usize)>,
    /// Write the outputs here (.npz)
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Compare with the outputs in this file; it is an error if one differs
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// How far an element may be from what is expected, relative to the largest of its output
    #[arg(long, default_value_t = 1e-4, value_name = "X", value_parser = parse_tolerance)]
    tolerance: f64,
    /// Times it is run; the median is told
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iters: u32,
    /// Run it as training does
    #[arg(long)]
    engine: bool,
    /// Run it with the integers of ONNX Runtime [default: on the processor at hand]: x86-vnni, x86-avx512, x86-avx2, arm
    #[arg(long, value_parser = super::runtimes::parse_cpu, num_args = 0..=1, value_name = "CPU", conflicts_with = "engine")]
    integers: Option<Option<&'static Profile>>,
}

pub fn parse_dim(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("a size is given as NAME=N")?;
    Ok((name.to_owned(), size.parse().map_err(|_| format!("`{size}` is no size"))?))
}

/// Nothing is more than what is no number: with that, whatever was found would be as expected.
fn parse_tolerance(text: &str) -> Result<f64, String> {
    let wanted = || format!("`{text}` is no number of 0 or more");
    text.parse::<f64>().ok().filter(|x| *x >= 0.0).ok_or_else(wanted)
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let started = Instant::now();
        let model = read_model(&self.model)?;
        let wanted = onnx::inputs(&model, &self.model)?;
        let inputs = self.arrays(&model, &wanted)?;
        let options = ImportOptions {
            dims: self.dim.iter().cloned().collect(),
            given: inputs.clone(),
            ..ImportOptions::default()
        };
        let advised = |failure: Failure| self.advised(failure, &wanted);
        let imported = import_model(model, &self.model, &options).map_err(|e| advised(e.into()))?;
        let import_seconds = started.elapsed().as_secs_f64();
        let cpu = self.integers.map(|cpu| cpu.unwrap_or_else(profiles::host));
        let mut runnable = Runnable::new(imported, self.engine, cpu).map_err(advised)?;
        let mut seconds = Vec::new();
        let mut outputs = Weights::new();
        for _ in 0..self.iters {
            let started = Instant::now();
            outputs = runnable.run(&inputs).map_err(advised)?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
        if let Some(path) = &self.outputs {
            npz::save(path, &outputs)?;
        }
        let differences = self.differences(&outputs)?;
        if json {
            let list: Vec<_> = outputs.iter().map(|(name, a)| summary(name, a)).collect();
            print_json(&json!({
                "event": "run", "outputs": list, "import_ms": import_seconds * 1e3, "run_ms": median * 1e3,
                "differences": differences.iter().map(|(n, d)| (n.clone(), json!(d))).collect::<serde_json::Map<_, _>>(),
            }));
        } else {
            self.tell(&outputs, &differences, import_seconds, median);
        }
        match differences.iter().find(|(_, d)| d.is_nan() || *d > self.tolerance) {
            None => Ok(()),
            Some((name, d)) => Err(Failure::new(format!(
                "output `{name}` is {d:.1e} of its largest element away from what is expected, more than {:.1e}",
                self.tolerance
            ))),
        }
    }

    fn tell(&self, outputs: &Weights, differences: &[(String, f64)], import: f64, median: f64) {
        let mut rows = Vec::new();
        for (name, array) in outputs {
            let (min, max, mean) = statistics(array);
            let number = |x: f64| if array.is_empty() { "-".to_owned() } else { format!("{x:.5}") };
            let difference = differences.iter().find(|(n, _)| n == name);
            rows.push(vec![
                name.clone(),
                format!("{}{:?}", array.dtype(), array.shape()),
                number(min),
                number(max),
                number(mean),
                difference.map_or_else(String::new, |(_, d)| format!("{d:.1e}")),
            ]);
        }
        let header = ["output", "shape", "min", "max", "mean", "difference"];
        let columns = if differences.is_empty() { 5 } else { 6 };
        rows.iter_mut().for_each(|r| r.truncate(columns));
        print_line(&table::render(header.get(..columns).unwrap_or(&header), &rows));
        if self.input_image.is_some()
            && let Some((_, scores)) = outputs.first()
            && let Some(best) = best(scores)
        {
            print_line("");
            for (class, score) in best {
                print_line(&format!("class {class:>5}  {score:.4}"));
            }
        }
        print_line(&format!("\nimported in {:.1} ms, ran in {:.1} ms", import * 1e3, median * 1e3));
    }

    /// A failure with what may help: sizes that were set to 1, and that `--engine` was asked for.
    fn advised(&self, failure: Failure, wanted: &[Input]) -> Failure {
        let open: BTreeSet<&str> = wanted
            .iter()
            .flat_map(|i| &i.fact.shape)
            .filter_map(|d| match d {
                Dim::Symbol(name) if self.dim.iter().all(|(n, _)| **name != *n) => Some(&**name),
                _ => None,
            })
            .collect();
        let mut help = Vec::new();
        if self.inputs.is_none() && !open.is_empty() {
            let list = open.into_iter().collect::<Vec<_>>().join(", ");
            help.push(format!(
                "sizes that the model leaves open are 1 unless --dim NAME=N says otherwise: {list}"
            ));
        }
        if self.engine {
            help.push("without --engine every operator is evaluated by itself, in its own type".to_owned());
        }
        if help.is_empty() { failure } else { failure.with_help(help.join("\n")) }
    }

    /// The inputs of the model.
    fn arrays(&self, model: &ModelProto, wanted: &[Input]) -> Result<Weights, Failure> {
        let bindings: Bindings = self.dim.iter().cloned().collect();
        let needed = wanted.iter().filter(|i| !i.optional);
        let inputs: Vec<(String, Fact)> = needed.map(|i| (i.name.clone(), i.fact.clone())).collect();
        let known = |s: &str| {
            inputs.iter().any(|(_, f)| f.shape.iter().any(|d| matches!(d, Dim::Symbol(n) if &**n == s)))
        };
        if let Some((unknown, _)) = self.dim.iter().find(|(name, _)| !known(name)) {
            return Err(Failure::new(format!("--dim: no input has a size called `{unknown}`"))
                .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
        }
        if let Some(path) = &self.inputs {
            let mut arrays = npz::load(path)?;
            if let ([(name, _)], 1) = (inputs.as_slice(), arrays.len())
                && !arrays.contains_key(name)
                && let Some((_, only)) = arrays.pop()
            {
                arrays.insert(name.clone(), only);
            }
            let held = model.graph.iter().flat_map(|g| &g.initializer);
            let fixed = |name: &str| held.clone().any(|t| t.name() == name);
            let replaceable = |name: &str| wanted.iter().any(|i| i.name == name);
            if let Some(name) = arrays.keys().find(|name| fixed(name) && !replaceable(name)) {
                return Err(Failure::new(format!(
                    "{} has an array `{name}`, which is a constant of the model and cannot be given",
                    path.display()
                ))
                .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
            }
            if arrays.keys().all(String::is_empty) && arrays.len() == 1 && inputs.len() != 1 {
                return Err(Failure::new(format!(
                    "{} has one array without a name, and the model takes {}: give a .npz",
                    path.display(),
                    inputs.len()
                ))
                .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
            }
            let missing = inputs.iter().find(|(name, _)| !arrays.contains_key(name));
            if let Some((name, fact)) = missing {
                let given: Vec<&str> = arrays.keys().map(String::as_str).collect();
                return Err(Failure::new(format!(
                    "{} has no array `{name}` {fact}; it has: {}",
                    path.display(),
                    given.join(", ")
                ))
                .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
            }
            return Ok(arrays);
        }
        if let Some(path) = &self.input_image {
            let [(name, fact)] = inputs.as_slice() else {
                return Err(Failure::new("--input-image is for models with one input")
                    .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
            };
            let array = image::input(path, fact, &bindings, &self.mean, &self.std, self.bgr)?;
            return Ok(Weights::from([(name.clone(), array)]));
        }
        let Some(seed) = self.random else {
            return Err(Failure::new(
                "nothing to run the model on: give --inputs, --input-image or --random",
            )
            .with_help(format!("the model's inputs are:\n{}", list(&inputs))));
        };
        inputs.iter().map(|(name, fact)| Ok((name.clone(), random(name, fact, &bindings, seed)?))).collect()
    }

    /// By output: the largest difference from what is expected, relative to the largest element.
    fn differences(&self, outputs: &Weights) -> Result<Vec<(String, f64)>, Failure> {
        let Some(path) = &self.expect else { return Ok(Vec::new()) };
        let expected = npz::load(path)?;
        let mut differences = Vec::new();
        for (name, found) in outputs {
            let wanted = match (expected.get(name), expected.len()) {
                (Some(wanted), _) => wanted,
                (None, 1) if outputs.len() == 1 => &expected[0],
                (None, _) => {
                    return Err(Failure::new(format!("{} has no array `{name}`", path.display())));
                }
            };
            if wanted.shape() != found.shape() {
                return Err(Failure::new(format!("output `{name}` is {found:?}, expected is {wanted:?}")));
            }
            differences.push((name.clone(), difference(&numbers(found), &numbers(wanted))));
        }
        Ok(differences)
    }
}

/// A model, ready to run.
enum Runnable {
    Interpreted(Box<Imported>),
    Engine(Box<(Executor, Params)>),
    Integers(Box<Simulator>),
}

impl Runnable {
    fn new(mut imported: Imported, engine: bool, cpu: Option<&'static Profile>) -> Result<Self, Failure> {
        if let Some(cpu) = cpu {
            return Ok(Self::Integers(Box::new(Simulator::new(&imported.graph, &imported.weights, cpu)?)));
        }
        if !engine {
            return Ok(Self::Interpreted(Box::new(imported)));
        }
        recognize(&mut imported.graph, &mut imported.weights)?;
        let params = Params::new(&imported.graph, &imported.weights, &Device::cpu())?;
        Ok(Self::Engine(Box::new((Executor::new(Arc::new(imported.graph))?, params))))
    }

    fn run(&mut self, inputs: &Weights) -> Result<Weights, Failure> {
        match self {
            Self::Interpreted(m) => Ok(Interpreter::new(&m.graph, &m.weights)?.run(inputs)?),
            Self::Integers(simulator) => Ok(simulator.run(inputs)?),
            Self::Engine(model) => {
                let (executor, params) = &**model;
                let graph = executor.graph().clone();
                let mut arrays = Vec::new();
                for &id in graph.inputs() {
                    let name = &graph.value(id)?.name;
                    let array = inputs.get(name).cloned();
                    arrays.push(array.ok_or_else(|| Failure::new(format!("input `{name}` is missing")))?);
                }
                let found =
                    executor.run_arrays(&params.constants(), &arrays, &Request::default(), &Device::cpu())?;
                let named = graph.outputs().iter().zip(found);
                Ok(named.map(|((name, _), array)| (name.clone(), array)).collect())
            }
        }
    }
}

fn list(inputs: &[(String, Fact)]) -> String {
    inputs.iter().map(|(name, fact)| format!("  {name}: {fact}")).collect::<Vec<_>>().join("\n")
}

/// The shape of an input; sizes that are open are 1.
fn shape(fact: &Fact, bindings: &Bindings) -> Result<Vec<usize>, Failure> {
    let size = |d: &Dim| match d {
        Dim::Symbol(s) => Ok(bindings.get(&**s).copied().unwrap_or(1)),
        d => d.eval(bindings),
    };
    Ok(fact.shape.iter().map(size).collect::<Result<_, _>>()?)
}

fn random(name: &str, fact: &Fact, bindings: &Bindings, seed: u64) -> Result<Array, Failure> {
    let shape = shape(fact, bindings)?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 32);
    let count = count.ok_or_else(|| Failure::new(format!("input `{name}` {fact} is too large")))?;
    let mut stream = Seed(seed).stream(name, &[]);
    let data: Vec<f32> = (0..count).map(|_| stream.uniform_f32()).collect();
    let floats = Array::from_f32(shape.clone(), data)?;
    Ok(match fact.dtype {
        DType::F32 => floats,
        DType::U8 => {
            Array::new(shape, Data::U8(floats.as_f32()?.iter().map(|x| (x * 255.0) as u8).collect()))?
        }
        DType::I64 => Array::from_i64(shape, floats.as_f32()?.iter().map(|x| (x * 2.0) as i64).collect())?,
        DType::I32 => {
            Array::new(shape, Data::I32(floats.as_f32()?.iter().map(|x| (x * 2.0) as i32).collect()))?
        }
        DType::Bool => Array::new(shape, Data::Bool(floats.as_f32()?.iter().map(|x| *x < 0.5).collect()))?,
        DType::F64 => Array::new(shape, Data::F64(floats.as_f32()?.iter().map(|&x| x.into()).collect()))?,
        other => cast(&if other.is_integer() { doubled(&floats)? } else { floats }, other).map_err(|e| {
            Failure::new(format!("input `{name}`: random elements of type {other} are not made: {e}"))
                .with_help("give them with --inputs")
        })?,
    })
}

/// Random numbers of [0, 1) as those of [0, 2).
fn doubled(floats: &Array) -> Result<Array, Failure> {
    Ok(Array::from_f32(floats.shape(), floats.as_f32()?.iter().map(|x| x * 2.0).collect())?)
}

/// `array` in another element type.
pub fn cast(array: &Array, dtype: DType) -> Result<Array, occam_interp::Error> {
    let like = Array::from_le_bytes(dtype, [0], &[])?;
    let cast = occam_interp::evaluate(&Onnx::new("CastLike", 19, 2), &[array.clone(), like])?;
    cast.into_iter().next().ok_or_else(|| occam_interp::Error::Op("nothing was cast".into()))
}

fn numbers(array: &Array) -> Vec<f64> {
    match array.data() {
        Data::F32(v) => v.iter().map(|&x| x.into()).collect(),
        Data::F64(v) => v.clone(),
        Data::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
        Data::BF16(v) => v.iter().map(|x| x.to_f64()).collect(),
        Data::I8(v) => v.iter().map(|&x| x.into()).collect(),
        Data::U8(v) => v.iter().map(|&x| x.into()).collect(),
        Data::I16(v) => v.iter().map(|&x| x.into()).collect(),
        Data::U16(v) => v.iter().map(|&x| x.into()).collect(),
        Data::I32(v) => v.iter().map(|&x| x.into()).collect(),
        Data::U32(v) => v.iter().map(|&x| x.into()).collect(),
        Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
        Data::U64(v) => v.iter().map(|&x| x as f64).collect(),
        Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        Data::Narrow(of, v) => v.iter().map(|&x| of.decode(x).into()).collect(),
    }
}

/// The largest difference, relative to the largest element; not a number where only one of two is none.
fn difference(found: &[f64], wanted: &[f64]) -> f64 {
    let largest = wanted.iter().filter(|x| x.is_finite()).fold(0f64, |m, x| m.max(x.abs()));
    let each = found.iter().zip(wanted).map(|(a, b)| {
        let same = a == b || a.is_nan() && b.is_nan();
        if same { 0.0 } else { (a - b).abs() / largest.max(1e-30) }
    });
    each.fold(0.0, |m, d| if d.is_nan() || m > d { if d.is_nan() { d } else { m } } else { d })
}

/// The smallest, the largest and the mean element; not numbers where there is none.
fn statistics(array: &Array) -> (f64, f64, f64) {
    let v = numbers(array);
    // Comparisons pass over what is no number.
    if v.iter().all(|x| x.is_nan()) {
        return (f64::NAN, f64::NAN, f64::NAN);
    }
    let min = v.iter().copied().fold(f64::INFINITY, f64::min);
    let max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (min, max, v.iter().sum::<f64>() / v.len().max(1) as f64)
}

fn summary(name: &str, array: &Array) -> serde_json::Value {
    let (min, max, mean) = statistics(array);
    json!({
        "name": name, "dtype": array.dtype().to_string(), "shape": array.shape(), "min": min, "max": max, "mean": mean,
    })
}

/// The five best classes of `[1, K]` scores.
fn best(scores: &Array) -> Option<Vec<(usize, f64)>> {
    if !matches!(scores.shape(), [1, k] if *k > 1) {
        return None;
    }
    let mut all: Vec<(usize, f64)> = numbers(scores).into_iter().enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(5);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_number() {
        assert_eq!(parse_tolerance("1e-3").unwrap(), 1e-3);
        assert_eq!(parse_tolerance("0").unwrap(), 0.0);
        for wrong in ["nan", "-1", "x", ""] {
            assert!(parse_tolerance(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn statistics_of_what_is_no_number() {
        let array = Array::from_f32([2], vec![f32::NAN; 2]).unwrap();
        let (min, max, mean) = statistics(&array);
        assert!(min.is_nan() && max.is_nan() && mean.is_nan());
    }
}
