//! Running a graph.

mod operand;
mod plan;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use occam_graph::{Array, Bindings, DType, Dim, Graph, Op, Source, ValueId};

use crate::eval::fused::After;
use crate::eval::{self, Context};
use crate::{Autocast, Bound, Device, Error, Precision, Result, Tensor};
pub use operand::Operand;
pub(crate) use operand::held;
use plan::{Cast, Plan, Step, Work};

/// Whether a run learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Normalization by the batch's own statistics, which update the running ones.
    Train,
    /// Normalization by the running statistics.
    #[default]
    Eval,
}

/// Where the random numbers of a run come from.
///
/// Equal calls give equal numbers, so that a step can be repeated; the numbers of different nodes are independent.
pub trait Noise: std::fmt::Debug + Send + Sync {
    /// Fills `out` with numbers uniform in `[0, 1)`, those of the node called `node`.
    fn uniform(&self, node: &str, out: &mut [f32]);
}

/// By what a `FakeQuant` node rounds.
#[derive(Debug, Clone, Default)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and gone when its node is computed")]
pub enum Grid {
    /// By its own scale and zero point.
    #[default]
    Given,
    /// It does not: its input passes.
    Off,
    /// By these, of the shapes of its own; they do not learn.
    Of {
        /// Sizes of a step.
        scale: Tensor,
        /// What 0 becomes, whole numbers.
        zero_point: Tensor,
    },
}

/// Who sees what `FakeQuant` nodes round, and says by what.
///
/// Nodes are asked in the order of execution, each before it is computed: what is told of one changes what the next ones see.
pub trait Grids: std::fmt::Debug + Send + Sync {
    /// The grid of the node called `node`, which is about to round `x`.
    ///
    /// # Errors
    /// What the implementation cannot do, such as taking the range of what is not finite.
    fn grid(&self, node: &str, x: &Tensor) -> Result<Grid>;
}

/// What a run should do beside computing the outputs.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Whether it learns.
    pub mode: Mode,
    /// Values to return as well.
    pub taps: Vec<ValueId>,
    /// Values that are given instead of computed; every reader sees them.
    pub feeds: HashMap<ValueId, Tensor>,
    /// What dropout draws from; only training with such nodes needs it.
    pub noise: Option<Arc<dyn Noise>>,
    /// Who decides by what `FakeQuant` nodes round; by their own scales where there is nobody.
    pub grids: Option<Arc<dyn Grids>>,
    /// Whether [`Outputs::times`] is wanted.
    pub timed: bool,
    /// What is computed in less than `f32`.
    pub autocast: Autocast,
}

impl Request {
    /// A run in `mode` without taps, feeds and random numbers.
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// What a run gives.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// The graph's outputs, in order.
    pub outputs: Vec<Tensor>,
    /// The tapped values.
    pub taps: HashMap<ValueId, Tensor>,
    /// New elements of buffers, by name: the caller decides whether to keep them, so that running a graph
    /// never changes its parameters.
    pub buffers: Vec<(String, Tensor)>,
    /// Seconds of every step, by the name of its last node, where they were asked for.
    pub times: Vec<(String, f64)>,
}

/// A graph with the plans by which it is run.
///
/// Nodes that one kernel computes together (in training batch normalization with the activation after it, in evaluation
/// convolution with normalization, sum and activation) are one step, unless a tap or a feed asks for a value between
/// them.
#[derive(Debug, Clone)]
pub struct Executor {
    graph: Arc<Graph>,
    plain: Plan,
    train: Plan,
    eval: Plan,
    /// Constants of the graph on the device of the last run, from their first read on.
    constants: Arc<Mutex<HashMap<ValueId, Tensor>>>,
}

/// What a run has computed so far, by value.
struct Values {
    tensors: Vec<Option<Tensor>>,
    /// What is no tensor; see [`Operand`].
    arrays: HashMap<ValueId, Array>,
    /// Where arrays become tensors.
    device: Device,
}

impl Values {
    fn take(&mut self, id: ValueId) -> Option<Tensor> {
        self.tensors.get_mut(id.index()).and_then(Option::take)
    }

    /// Lets an array go, where there is one.
    fn take_array(&mut self, id: ValueId) -> Option<Array> {
        if self.arrays.is_empty() { None } else { self.arrays.remove(&id) }
    }

    fn set(&mut self, id: ValueId, tensor: Tensor) {
        if let Some(slot) = self.tensors.get_mut(id.index()) {
            *slot = Some(tensor);
        }
    }

    fn put(&mut self, id: ValueId, operand: Operand) {
        match operand {
            Operand::Tensor(tensor) => self.set(id, tensor),
            Operand::Array(array) => {
                self.arrays.insert(id, array);
            }
        }
    }
}

impl Executor {
    /// Plans the runs of a graph.
    ///
    /// # Errors
    /// The graph breaks a rule.
    pub fn new(graph: Arc<Graph>) -> Result<Self> {
        graph.verify()?;
        let order = graph.order()?;
        Ok(Self {
            plain: Plan::plain(&graph, &order)?,
            train: Plan::fused(&graph, &order, Mode::Train)?,
            eval: Plan::fused(&graph, &order, Mode::Eval)?,
            graph,
            constants: Arc::default(),
        })
    }

    fn plan(&self, request: &Request) -> &Plan {
        let fused = match request.mode {
            Mode::Train => &self.train,
            Mode::Eval => &self.eval,
        };
        // A convolution and what follows it in evaluation are of two precisions.
        if request.mode == Mode::Eval && request.autocast.precision != Precision::F32 {
            return &self.plain;
        }
        let wanted = |v: &ValueId| fused.hidden.contains(v);
        if request.taps.iter().any(wanted) || request.feeds.keys().any(wanted) { &self.plain } else { fused }
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Runs the graph on `inputs`, given in the graph's order.
    ///
    /// # Errors
    /// An input or a parameter is missing or does not fit its fact, an operation refuses its inputs, or an output or a tap
    /// is of an element type that tensors do not have: [`Executor::run_arrays`] gives these.
    pub fn run(&self, params: &Bound, inputs: &[Tensor], request: &Request) -> Result<Outputs> {
        let device =
            inputs.first().or_else(|| params.values().next()).map_or_else(Device::cpu, Tensor::device);
        let inputs = inputs.iter().cloned().map(Operand::Tensor).collect();
        let (mut out, outputs) = self.execute(params, inputs, request, &device)?;
        for ((name, _), operand) in self.graph.outputs().iter().zip(outputs) {
            out.outputs.push(tensor_of(name, &operand, &device)?);
        }
        Ok(out)
    }

    /// Runs the graph on arrays of any element type, given in the graph's order, and copies its outputs to host memory.
    ///
    /// # Errors
    /// An input or a parameter is missing or does not fit its fact, or an operation refuses its inputs.
    pub fn run_arrays(
        &self,
        params: &Bound,
        inputs: &[Array],
        request: &Request,
        device: &Device,
    ) -> Result<Vec<Array>> {
        let inputs = inputs.iter().map(|a| Operand::of(a.clone(), device)).collect::<Result<_>>()?;
        let (_, outputs) = self.execute(params, inputs, request, device)?;
        outputs.iter().map(Operand::to_array).collect()
    }

    /// Runs the graph: what it gives but for its outputs, and these.
    fn execute(
        &self,
        params: &Bound,
        inputs: Vec<Operand>,
        request: &Request,
        device: &Device,
    ) -> Result<(Outputs, Vec<Operand>)> {
        let autocast = request.autocast;
        let (scale, unscale) = (f64::from(autocast.loss_scale), 1.0 / f64::from(autocast.loss_scale));
        let tensors = vec![None; self.graph.value_count()];
        let mut values = Values { tensors, arrays: HashMap::new(), device: device.clone() };
        self.bind_inputs(inputs, &mut values, unscale)?;
        for (&id, tensor) in &request.feeds {
            values.set(id, unscaled(tensor, unscale)?);
        }
        let returned = |tensor: Tensor| -> Result<Tensor> {
            let tensor = if autocast.precision == Precision::F32 { tensor } else { single(tensor)? };
            unscaled(&tensor, scale)
        };
        let mut out = Outputs::default();
        let mut context = Context {
            mode: request.mode,
            graph: &self.graph,
            node: None,
            noise: request.noise.as_deref(),
            grids: request.grids.as_deref(),
            buffers: Vec::new(),
        };
        let plan = self.plan(request);
        for (step, unread) in plan.steps.iter().zip(&plan.last_reads) {
            if !step.outputs.iter().all(|v| request.feeds.contains_key(v)) {
                let node = self.graph.node(step.node)?;
                let failed = |e| Error::Node { node: node.name.clone(), source: Box::new(e) };
                let started;
                if let Op::Onnx(op) = &node.op {
                    let mut operands = Vec::with_capacity(step.inputs.len());
                    for &v in &step.inputs {
                        operands.push(match self.any(v, params, &values, unscale)? {
                            Operand::Tensor(t) => Operand::Tensor(single(t)?),
                            array => array,
                        });
                    }
                    started = request.timed.then(Instant::now);
                    let results = eval::onnx::eval(op, &operands, device).map_err(failed)?;
                    for (&v, operand) in step.outputs.iter().zip(results) {
                        if !request.feeds.contains_key(&v) {
                            values.put(v, operand);
                        }
                    }
                } else {
                    let mut operands = Vec::with_capacity(step.inputs.len());
                    for (i, &v) in step.inputs.iter().enumerate() {
                        operands.push(self.operand(v, params, &values, unscale)?);
                        // Whoever reads a value last may compute in its place.
                        let again = step.inputs.iter().skip(i + 1).any(|&later| later == v);
                        if unread.contains(&v) && !again && !request.taps.contains(&v) {
                            values.take(v);
                        }
                    }
                    started = request.timed.then(Instant::now);
                    if let Some(low) = autocast.precision.low() {
                        cast(step.cast, low, &mut operands)?;
                    }
                    let results = self.compute(step, &mut context, operands).map_err(failed)?;
                    for (&v, tensor) in step.outputs.iter().zip(results) {
                        if !request.feeds.contains_key(&v) {
                            values.set(v, tensor);
                        }
                    }
                }
                if let Some(started) = started {
                    out.times.push((node.name.clone(), started.elapsed().as_secs_f64()));
                }
            }
            for &v in unread {
                let (tensor, array) = (values.take(v), values.take_array(v));
                if request.taps.contains(&v) {
                    let name = &self.graph.value(v)?.name;
                    if let Some(tensor) = tensor {
                        out.taps.insert(v, returned(tensor)?);
                    } else if let Some(array) = array {
                        out.taps.insert(v, tensor_of(name, &Operand::Array(array), device)?);
                    }
                }
            }
        }
        let mut outputs = Vec::with_capacity(self.graph.outputs().len());
        for (_, v) in self.graph.outputs() {
            outputs.push(match self.any(*v, params, &values, unscale)? {
                Operand::Tensor(tensor) => Operand::Tensor(returned(tensor)?),
                array => array,
            });
        }
        for &v in &request.taps {
            if let Entry::Vacant(tap) = out.taps.entry(v) {
                tap.insert(returned(self.operand(v, params, &values, unscale)?)?);
            }
        }
        out.buffers = context.buffers;
        Ok((out, outputs))
    }

    fn compute<'a>(
        &'a self,
        step: &Step,
        context: &mut Context<'a>,
        operands: Vec<Tensor>,
    ) -> Result<Vec<Tensor>> {
        let head = self.graph.node(step.head)?;
        context.node = Some(head);
        let output = match (&step.work, &head.op) {
            (Work::NormActivate(act), Op::BatchNorm(op)) => {
                eval::fused::norm_activate(op, *act, context, &operands)
            }
            (Work::AddActivate(act), _) => eval::fused::add_activate(*act, operands),
            (Work::Conv { conv, biased, norm, residual, activation }, _) => {
                let after =
                    After { biased: *biased, norm: *norm, residual: *residual, activation: *activation };
                eval::fused::conv(conv, after, &operands)
            }
            _ => return eval::run(&head.op, context, operands),
        }?;
        Ok(vec![output])
    }

    fn operand(&self, v: ValueId, params: &Bound, values: &Values, unscale: f64) -> Result<Tensor> {
        if let Some(Some(tensor)) = values.tensors.get(v.index()) {
            return Ok(tensor.clone());
        }
        let value = self.graph.value(v)?;
        let missing = |message: &str| Error::Param { name: value.name.clone(), message: message.into() };
        match value.source {
            Source::Param(_) => {
                let tensor = params.get(&value.name).ok_or_else(|| missing("it was not given"))?;
                if value.fact.known_shape().is_some_and(|s| s != tensor.shape()) {
                    return Err(missing(&format!("{} wanted, {tensor:?} given", value.fact)));
                }
                unscaled(tensor, unscale)
            }
            Source::Const => {
                let array = value.constant().ok_or_else(|| missing("the constant has no elements"))?;
                self.constant(v, array, &values.device)
            }
            _ => match values.arrays.get(&v) {
                Some(array) => tensor_of(&value.name, &Operand::Array(array.clone()), &values.device),
                None => Err(missing("its value was let go or never computed")),
            },
        }
    }

    /// What `v` is, with integers and all that tensors cannot hold as arrays.
    fn any(&self, v: ValueId, params: &Bound, values: &Values, unscale: f64) -> Result<Operand> {
        if let Some(array) = values.arrays.get(&v) {
            return Ok(Operand::Array(array.clone()));
        }
        let value = self.graph.value(v)?;
        if let Some(array) = value.constant().filter(|a| !held(a.dtype())) {
            return Ok(Operand::Array(array.clone()));
        }
        Ok(Operand::Tensor(self.operand(v, params, values, unscale)?))
    }

    /// A constant of the graph on `device`.
    fn constant(&self, v: ValueId, array: &Array, device: &Device) -> Result<Tensor> {
        let mut constants = self.constants.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(tensor) = constants.get(&v).filter(|t| t.device() == *device) {
            return Ok(tensor.clone());
        }
        let tensor = Tensor::from_array(array, device)?;
        constants.insert(v, tensor.clone());
        Ok(tensor)
    }

    /// Checks the inputs against their facts: equal symbols must be equal sizes.
    fn bind_inputs(&self, inputs: Vec<Operand>, values: &mut Values, unscale: f64) -> Result<()> {
        let wanted = self.graph.inputs();
        if wanted.len() != inputs.len() {
            let message = format!("{} inputs wanted, {} given", wanted.len(), inputs.len());
            return Err(Error::Input { name: "*".into(), message });
        }
        let mut bindings = Bindings::new();
        for (&id, operand) in wanted.iter().zip(inputs) {
            let value = self.graph.value(id)?;
            let refuse = |message| Err(Error::Input { name: value.name.clone(), message });
            let shape = operand.shape();
            let mut fits = operand.dtype()? == value.fact.dtype && shape.len() == value.fact.rank();
            for (d, &n) in value.fact.shape.iter().zip(&shape) {
                fits &= match d {
                    Dim::Known(k) => *k == n,
                    Dim::Symbol(s) => *bindings.entry(s.to_string()).or_insert(n) == n,
                    Dim::Expr(_) => d.eval(&bindings).map_or(true, |k| k == n),
                };
            }
            if !fits {
                return refuse(format!("{} wanted, {operand:?} given", value.fact));
            }
            values.put(
                id,
                match operand {
                    Operand::Tensor(tensor) => Operand::Tensor(unscaled(&tensor, unscale)?),
                    array => array,
                },
            );
        }
        Ok(())
    }
}

/// A tensor where gradients enter or leave the graph; integers have none.
fn unscaled(tensor: &Tensor, factor: f64) -> Result<Tensor> {
    if tensor.is_tracked() { tensor.scale_gradient(factor) } else { Ok(tensor.clone()) }
}

fn is_low(tensor: &Tensor) -> Result<bool> {
    Ok(matches!(tensor.dtype()?, DType::F16 | DType::BF16))
}

/// What is low as `f32`.
fn single(tensor: Tensor) -> Result<Tensor> {
    if is_low(&tensor)? { tensor.cast(DType::F32) } else { Ok(tensor) }
}

/// Casts a step's operands as its kind wants them.
fn cast(rule: Cast, low: DType, operands: &mut [Tensor]) -> Result<()> {
    let all_low = || operands.iter().map(is_low).try_fold(true, |all, low| Ok::<_, Error>(all && low?));
    let to = match rule {
        Cast::Low => low,
        Cast::Single => DType::F32,
        Cast::Widest if all_low()? => return Ok(()),
        Cast::Widest => DType::F32,
    };
    for operand in operands {
        if matches!(operand.dtype()?, DType::F32 | DType::F16 | DType::BF16) {
            *operand = operand.cast(to)?;
        }
    }
    Ok(())
}

/// A value that the caller wants as a tensor.
fn tensor_of(name: &str, operand: &Operand, device: &Device) -> Result<Tensor> {
    operand.to_tensor(device).map_err(|e| match e {
        Error::DType(dtype) => Error::Input {
            name: name.into(),
            message: format!(
                "its elements are {dtype}, which tensors cannot hold; it can be read as an array"
            ),
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Params, collect};
    use occam_graph::ops::{
        Activation, BatchNorm, Binary, Concat, Conv, DropUnit, Dropout, GlobalAvgPool, examples,
    };
    use occam_graph::{Array, Builder, Fact, Op, Role, Weights};

    /// Weights without symmetry, so that a wrong axis shows.
    fn weights(graph: &Graph) -> Weights {
        let fill =
            |n: usize, shift: f32| (0..n).map(|i| ((i as f32 + shift) * 0.7).sin() * 0.5 + 0.6).collect();
        graph
            .params()
            .enumerate()
            .map(|(i, (_, v))| {
                let shape = v.fact.known_shape().unwrap();
                let data = fill(shape.iter().product(), i as f32);
                (v.name.clone(), Array::from_f32(shape, data).unwrap())
            })
            .collect()
    }

    fn setup(graph: Graph) -> (Executor, Params) {
        let params = Params::new(&graph, &weights(&graph), &Device::cpu()).unwrap();
        (Executor::new(Arc::new(graph)).unwrap(), params)
    }

    fn image(n: usize) -> Tensor {
        let data = (0..n * 192).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::from_f32(&[n, 3, 8, 8], data, &Device::cpu()).unwrap()
    }

    #[derive(Debug)]
    struct Halves;

    impl Noise for Halves {
        fn uniform(&self, _: &str, out: &mut [f32]) {
            out.fill(0.5);
        }
    }

    #[test]
    fn every_family_runs_in_both_modes_with_the_inferred_shape() {
        for name in Op::FAMILIES {
            let (executor, params) = setup(examples::of_family(name).unwrap().unwrap());
            let graph = executor.graph().clone();
            let bindings = Bindings::from([("N".into(), 3)]);
            let shape = graph.value(graph.inputs()[0]).unwrap().fact.eval_shape(&bindings).unwrap();
            let n = shape.iter().product::<usize>();
            let x =
                Tensor::from_f32(&shape, (0..n).map(|i| (i as f32).cos()).collect(), &Device::cpu()).unwrap();
            for mode in [Mode::Train, Mode::Eval] {
                let request = Request { noise: Some(Arc::new(Halves)), ..Request::new(mode) };
                let out = executor.run(&params.constants(), std::slice::from_ref(&x), &request).unwrap();
                let fact = &graph.value(graph.outputs()[0].1).unwrap().fact;
                assert_eq!(out.outputs[0].shape(), fact.eval_shape(&bindings).unwrap(), "{name}");
            }
        }
    }

    #[test]
    fn taps_and_feeds() {
        let (executor, params) = setup(examples::small_classifier().unwrap());
        let relu = executor.graph().find("backbone.relu").unwrap();
        let request = Request { taps: vec![relu], ..Request::default() };
        let out = executor.run(&params.constants(), &[image(2)], &request).unwrap();
        assert_eq!(out.taps[&relu].shape(), [2, 6, 4, 4]);
        let zeros = Tensor::full(&[2, 6, 4, 4], 0.0, &Device::cpu());
        let request = Request { feeds: [(relu, zeros)].into(), ..Request::default() };
        let fed = executor.run(&params.constants(), &[image(2)], &request).unwrap();
        let bias = params.get("fc.bias").unwrap().tensor.to_f32().unwrap();
        assert_eq!(fed.outputs[0].to_f32().unwrap(), [bias.clone(), bias].concat());
    }

    #[test]
    fn a_run_changes_no_parameter_and_gives_gradients() {
        let (executor, params) = setup(examples::small_classifier().unwrap());
        let before = params.to_weights().unwrap();
        let bound = params.leaves();
        let out = executor.run(&bound, &[image(4)], &Request::new(Mode::Train)).unwrap();
        let names: Vec<&str> = out.buffers.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["backbone.bn.running_mean", "backbone.bn.running_var"]);
        let loss = out.outputs[0].mul(&out.outputs[0]).unwrap().sum().unwrap();
        let grads = collect(&bound, &mut loss.backward().unwrap());
        let names: Vec<&str> = grads.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["backbone.conv.weight", "backbone.bn.weight", "backbone.bn.bias", "fc.weight", "fc.bias"]
        );
        assert_eq!(params.to_weights().unwrap(), before);
    }

    /// A convolution without bias, a dropout and what reads it: all are computed, whatever can be fused.
    #[test]
    fn dropout_after_a_convolution_is_in_some_step() {
        let graph = |successor: &str, dropped: bool| -> occam_graph::Result<Graph> {
            let mut b = Builder::new();
            let x = b.input("input", Fact::f32([Dim::symbol("N"), 3.into(), 8.into(), 8.into()]))?;
            let w = b.param("conv.weight", &[3, 3, 3, 3], Role::Weight)?;
            let mut y = b.op("conv", Conv { padding: [(1, 1); 2], ..Conv::default() }, &[x, w])?;
            if dropped {
                y = b.op("drop", Dropout { rate: 0.5, unit: DropUnit::Element }, &[y])?;
            }
            let y = match successor {
                "batch norm" => {
                    let mut inputs = vec![y];
                    for (name, role) in [
                        ("weight", Role::Weight),
                        ("bias", Role::Weight),
                        ("running_mean", Role::Buffer),
                        ("running_var", Role::Buffer),
                    ] {
                        inputs.push(b.param(&format!("bn.{name}"), &[3], role)?);
                    }
                    b.op("bn", BatchNorm::default(), &inputs)?
                }
                "concat" => b.op("concat", Concat { axis: 1 }, &[y, x])?,
                "pool" => b.op("pool", GlobalAvgPool, &[y])?,
                "hard swish" => b.op("act", Activation::HardSwish, &[y])?,
                "relu" => b.op("act", Activation::Relu, &[y])?,
                "sum" => b.op("sum", Binary::Add, &[y, x])?,
                "sum with itself" => b.op("sum", Binary::Add, &[y, y])?,
                "two dropouts" => b.op("again", Dropout { rate: 0.1, unit: DropUnit::Sample }, &[y])?,
                _ => y,
            };
            b.output("output", y)?;
            b.finish()
        };
        for successor in [
            "batch norm",
            "concat",
            "pool",
            "hard swish",
            "relu",
            "sum",
            "sum with itself",
            "two dropouts",
            "output",
        ] {
            let run = |dropped: bool| {
                let (executor, params) = setup(graph(successor, dropped).unwrap());
                let out = executor.run(&params.constants(), &[image(2)], &Request::default());
                out.unwrap_or_else(|e| panic!("{successor}: {e}")).outputs[0].to_f32().unwrap()
            };
            let (found, wanted) = (run(true), run(false));
            assert_eq!(found.len(), wanted.len(), "{successor}");
            for (a, b) in found.iter().zip(&wanted) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{successor}: {a} and {b}");
            }
        }
    }

    #[test]
    fn misfits_are_errors() {
        let (executor, params) = setup(examples::small_classifier().unwrap());
        let bad = Tensor::full(&[2, 4, 8, 8], 0.0, &Device::cpu());
        assert!(executor.run(&params.constants(), &[bad], &Request::default()).is_err());
        assert!(executor.run(&params.constants(), &[], &Request::default()).is_err());
        let mut short = params.constants();
        short.shift_remove("fc.bias");
        let error = executor.run(&short, &[image(1)], &Request::default()).unwrap_err().to_string();
        assert_eq!(error, "parameter `fc.bias`: it was not given");
    }
}
