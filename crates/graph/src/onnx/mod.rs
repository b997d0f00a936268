//! Operators as ONNX defines them.
//!
//! Passes rewrite the families of [`crate::ops`]; everything else that files hold is an [`Onnx`]: the operator's name, its
//! attributes as the file has them, and the version of the operator set that says what they mean. Nothing is lost, so a node
//! that no pass touches is written back as it was read.
//!
//! What is known of an operator is its [`Def`]; there is a file for each group of them here, one of the same name with
//! their evaluation in `occam-interp`, and a line in `TABLES`.

mod activation;
mod arg;
mod attention;
pub mod attribute;
mod binary;
mod broadcast;
mod cast;
pub mod contents;
mod control;
mod conv;
mod cumulative;
mod det;
mod detection;
mod dropout;
pub mod einsum;
pub mod fused;
mod gather;
mod generate;
mod grid;
mod layout;
mod local_norm;
mod loss;
mod matmul;
mod norm;
mod openvino;
mod pad;
mod pool;
pub mod qlinear;
pub mod quantize;
mod rearrange;
mod recurrent;
mod reduce;
mod resize;
pub mod rotary;
mod scatter;
mod schemas;
mod select;
mod shape;
mod signature;
mod sizes;
mod softmax;
mod taper;
mod top;
mod unary;
mod variadic;
pub mod window;

use std::fmt;

use crate::axes::{input, output};
use crate::ops::OpFamily;
use crate::{AxisMap, Bindings, Cost, DType, Dim, Error, Fact, Inferred, Known, Result};
pub use attribute::{Attribute, Attributes, Subgraph};
pub use control::carried;
pub use layout::{equal_parts, order_of, slice_range};
pub use pad::{PadAxis, centered, pad_axes};
pub use resize::{Coordinates, Places, ResizedAxis, resized};
pub use shape::{axes_of, flatten_axis, shape_range};

/// The operator set of ONNX Runtime, which its quantizer writes too.
pub const MICROSOFT: &str = "com.microsoft";

/// The operator set of OpenVINO.
pub const OPENVINO: &str = "org.openvinotoolkit";

/// An operator as ONNX defines it.
#[derive(Clone, PartialEq)]
pub struct Onnx {
    /// Operator set that defines it; empty for ONNX's own.
    pub domain: String,
    /// Name in that set, such as `Resize`.
    pub op_type: String,
    /// Version of the set.
    pub version: i64,
    /// Attributes by name.
    pub attributes: Attributes,
    /// By ONNX input: whether it is given. The node's inputs are the given ones.
    pub inputs: Vec<bool>,
    /// By ONNX output: whether it is wanted. The node's outputs are the wanted ones.
    pub outputs: Vec<bool>,
}

impl fmt::Debug for Onnx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}{:?}", self.op_type, self.version, self.attributes.keys().collect::<Vec<_>>())
    }
}

/// What an operator does with elements of the types in [`Narrow`](crate::Narrow).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NarrowUse {
    /// Nothing: it computes with elements, and refuses these.
    Refused,
    /// It puts them in other places, whatever they mean.
    Moved,
    /// It knows what they mean, or hands values on as they are.
    Known,
}

/// What is known of an operator.
pub struct Def {
    /// Its name in the operator set.
    pub name: &'static str,
    /// Its operator set; empty for ONNX's own.
    pub domain: &'static str,
    /// What it does with elements of types that nothing is computed in.
    pub narrow: NarrowUse,
    /// Says what its outputs are: by ONNX output, also of those that are not wanted.
    pub infer: fn(&Site<'_>) -> Result<Vec<Inferred>>,
    /// How its axes correspond.
    pub axes: fn(&Site<'_>, &[&Fact]) -> AxisMap,
    /// Multiply-accumulates of one run.
    pub macs: fn(&Site<'_>, &[&Fact], &Bindings) -> Result<u64>,
}

impl Def {
    /// An operator of ONNX's own set whose axes do not correspond and that multiplies no matrices.
    pub const fn new(name: &'static str, infer: fn(&Site<'_>) -> Result<Vec<Inferred>>) -> Self {
        Self {
            name,
            domain: "",
            narrow: NarrowUse::Refused,
            infer,
            axes: |_, _| AxisMap::default(),
            macs: |_, _, _| Ok(0),
        }
    }

    /// The same of another operator set.
    pub const fn of(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }

    /// The same that takes elements of narrow types.
    pub const fn narrow(mut self, narrow: NarrowUse) -> Self {
        self.narrow = narrow;
        self
    }

    /// The same with axes.
    pub const fn axes(mut self, axes: fn(&Site<'_>, &[&Fact]) -> AxisMap) -> Self {
        self.axes = axes;
        self
    }

    /// The same with multiply-accumulates.
    pub const fn macs(mut self, macs: fn(&Site<'_>, &[&Fact], &Bindings) -> Result<u64>) -> Self {
        self.macs = macs;
        self
    }
}

/// All groups of operators.
const TABLES: &[&[Def]] = &[
    activation::TABLE,
    arg::TABLE,
    attention::TABLE,
    binary::TABLE,
    cast::TABLE,
    control::TABLE,
    conv::TABLE,
    cumulative::TABLE,
    det::TABLE,
    detection::TABLE,
    dropout::TABLE,
    einsum::TABLE,
    fused::TABLE,
    gather::TABLE,
    generate::TABLE,
    grid::TABLE,
    layout::TABLE,
    local_norm::TABLE,
    loss::TABLE,
    matmul::TABLE,
    norm::TABLE,
    openvino::TABLE,
    pad::TABLE,
    pool::TABLE,
    qlinear::TABLE,
    quantize::TABLE,
    rearrange::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    resize::TABLE,
    rotary::TABLE,
    scatter::TABLE,
    select::TABLE,
    shape::TABLE,
    softmax::TABLE,
    taper::TABLE,
    top::TABLE,
    unary::TABLE,
    variadic::TABLE,
];

/// All operators that are known.
pub fn defs() -> impl Iterator<Item = &'static Def> {
    TABLES.iter().flat_map(|t| t.iter())
}

/// What is known of the operator `op_type` of `domain`.
pub fn def(domain: &str, op_type: &str) -> Option<&'static Def> {
    let domain = if domain == "ai.onnx" { "" } else { domain };
    defs().find(|d| d.name == op_type && d.domain == domain)
}

/// An operator with what is known of its operands.
pub struct Site<'a> {
    /// The operator.
    pub op: &'a Onnx,
    /// Name of the node, for symbols of sizes that only running tells.
    pub node: &'a str,
    /// Operands by ONNX input.
    pub inputs: Vec<Option<Known<'a>>>,
}

impl<'a> Site<'a> {
    /// What is known of an optional operand.
    pub fn get(&self, index: usize) -> Option<Known<'a>> {
        self.inputs.get(index).copied().flatten()
    }

    /// What is known of an operand.
    ///
    /// # Errors
    /// It is not given.
    pub fn known(&self, index: usize) -> Result<Known<'a>> {
        self.get(index).ok_or_else(|| Error::Op(format!("input {index} is missing")))
    }

    /// The fact of an operand.
    ///
    /// # Errors
    /// It is not given.
    pub fn fact(&self, index: usize) -> Result<&'a Fact> {
        Ok(self.known(index)?.fact)
    }

    /// A size that only running tells.
    pub fn unknown(&self, tag: impl fmt::Display) -> Dim {
        Dim::symbol(&format!("{}.{tag}", self.node))
    }

    /// `axis` of an operand of `rank`, counted from the end where it is negative.
    ///
    /// # Errors
    /// There is no such axis.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        axis_of(axis, rank)
    }

    /// Integers that are attribute `name` in older operator sets and operand `index` in newer ones: `Some(None)` where they
    /// are an operand of which the elements are not known.
    ///
    /// # Errors
    /// The attribute is of another type.
    pub fn ints(&self, name: &str, index: usize) -> Result<Option<Option<Vec<i64>>>> {
        if let Some(ints) = self.op.ints(name)? {
            return Ok(Some(Some(ints.to_vec())));
        }
        Ok(self.get(index).map(|k| k.ints()))
    }
}

/// `axis` of a value of `rank`, counted from the end where it is negative.
///
/// # Errors
/// There is no such axis.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    from_front
        .and_then(|a| usize::try_from(a).ok())
        .filter(|&a| a < rank)
        .ok_or_else(|| Error::Op(format!("axis {axis} is beyond rank {rank}")))
}

impl Onnx {
    /// An operator of ONNX's own set with one output, all of its inputs given.
    pub fn new(op_type: &str, version: i64, inputs: usize) -> Self {
        Self {
            domain: String::new(),
            op_type: op_type.into(),
            version,
            attributes: Attributes::new(),
            inputs: vec![true; inputs],
            outputs: vec![true],
        }
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: Attribute) -> Self {
        self.attributes.insert(name.into(), value);
        self
    }

    /// What is known of it.
    pub fn def(&self) -> Option<&'static Def> {
        def(&self.domain, &self.op_type)
    }

    /// The place in the node's inputs of an ONNX input; none where that is not given.
    pub fn position(&self, index: usize) -> Option<usize> {
        let given = self.inputs.get(index).copied().unwrap_or(false);
        given.then(|| self.inputs.iter().take(index).filter(|&&g| g).count())
    }

    /// How many of the last inputs are values that graphs in its attributes read, in the order of the attributes.
    pub fn captures(&self) -> usize {
        let count = |a: &Attribute| if let Attribute::Graph(g) = a { g.captures } else { 0 };
        self.attributes.values().map(count).sum()
    }

    /// Which of the ONNX inputs are the values that the graph in attribute `name` reads of the graph around it.
    pub fn capture_range(&self, name: &str) -> std::ops::Range<usize> {
        let count = |a: &Attribute| if let Attribute::Graph(g) = a { g.captures } else { 0 };
        let first = self.inputs.len().saturating_sub(self.captures());
        let before: usize =
            self.attributes.iter().take_while(|(k, _)| *k != name).map(|(_, a)| count(a)).sum();
        let own = self.attributes.get(name).map_or(0, count);
        first + before..first + before + own
    }

    /// A node's operands by ONNX input.
    pub fn slots<T>(&self, operands: impl IntoIterator<Item = T>) -> Vec<Option<T>> {
        let mut operands = operands.into_iter();
        self.inputs.iter().map(|&given| if given { operands.next() } else { None }).collect()
    }

    /// Of results by ONNX output those that are wanted.
    ///
    /// # Errors
    /// A wanted one is not there.
    pub fn wanted<T>(&self, results: Vec<T>) -> Result<Vec<T>> {
        let count = results.len();
        if let Some(i) = self.outputs.iter().rposition(|&w| w).filter(|&i| i >= count) {
            return Err(Error::Op(format!("has {count} outputs, but output {i} is read")));
        }
        let flags = self.outputs.iter().copied().chain(std::iter::repeat(false));
        Ok(results.into_iter().zip(flags).filter_map(|(r, wanted)| wanted.then_some(r)).collect())
    }

    fn site<'a>(&'a self, node: &'a str, inputs: &[Known<'a>]) -> Result<Site<'a>> {
        let given = self.inputs.iter().filter(|&&g| g).count();
        if given != inputs.len() {
            return Err(Error::Op(format!("takes {given} inputs, {} given", inputs.len())));
        }
        Ok(Site { op: self, node, inputs: self.slots(inputs.iter().copied()) })
    }

    fn facts_only<'a>(&'a self, inputs: &[&'a Fact]) -> Result<Site<'a>> {
        let known: Vec<Known<'a>> = inputs.iter().map(|&fact| Known { fact, content: None }).collect();
        self.site("?", &known)
    }

    /// The wanted outputs.
    fn inferred(&self, site: &Site<'_>) -> Result<Vec<Inferred>> {
        let def = self.known_def()?;
        signature::check(self)?;
        let narrow = site.inputs.iter().flatten().find(|k| k.fact.dtype.narrow().is_some());
        if let (Some(operand), NarrowUse::Refused) = (narrow, def.narrow) {
            return Err(refusal(operand.fact.dtype));
        }
        self.wanted((def.infer)(site)?)
    }

    fn known_def(&self) -> Result<&'static Def> {
        self.def().ok_or_else(|| {
            let domain = if self.domain.is_empty() { "ai.onnx" } else { &self.domain };
            Error::Op(format!("operator {domain}::{} is not supported", self.op_type))
        })
    }
}

impl OpFamily for Onnx {
    fn name(&self) -> &'static str {
        self.def().map_or("Onnx", |d| d.name)
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let text = |a: &Attribute| match a {
            Attribute::Int(n) => n.to_string(),
            Attribute::Float(x) => x.to_string(),
            Attribute::String(s) => String::from_utf8_lossy(s).into_owned(),
            Attribute::Tensor(t) => format!("{t:?}"),
            Attribute::Graph(_) => "{..}".into(),
            Attribute::Ints(v) => format!("{v:?}"),
            Attribute::Floats(v) => format!("{v:?}"),
            Attribute::Strings(v) => format!("{} strings", v.len()),
        };
        let all: Vec<String> =
            self.attributes.iter().map(|(name, a)| format!("{name}={}", text(a))).collect();
        if all.is_empty() { Vec::new() } else { vec![("attributes", all.join(" "))] }
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        let inferred = self.inferred(&self.facts_only(inputs)?)?;
        Ok(inferred.into_iter().map(|i| i.fact).collect())
    }

    fn infer_known(&self, node: &str, inputs: &[Known<'_>]) -> Result<Vec<Inferred>> {
        self.inferred(&self.site(node, inputs)?)
    }

    fn axes(&self, inputs: &[&Fact], outputs: &[&Fact]) -> AxisMap {
        let known: Vec<Known<'_>> = inputs.iter().map(|&fact| Known { fact, content: None }).collect();
        self.axes_known(&known, outputs)
    }

    fn axes_known(&self, inputs: &[Known<'_>], outputs: &[&Fact]) -> AxisMap {
        match (self.def(), self.site("?", inputs)) {
            (Some(def), Ok(site)) => (def.axes)(&site, outputs),
            _ => AxisMap::default(),
        }
    }

    fn cost(&self, inputs: &[&Fact], outputs: &[&Fact], bindings: &Bindings) -> Result<Cost> {
        let mut cost = Cost::memory(outputs, bindings)?;
        cost.macs = (self.known_def()?.macs)(&self.facts_only(inputs)?, outputs, bindings)?;
        Ok(cost)
    }
}

/// The error of an operator that computes with elements of a type that nothing is computed in.
pub fn refusal(dtype: DType) -> Error {
    Error::Op(format!("does not compute with elements of type {dtype}: cast or dequantize them before"))
}

/// Every axis of operand 0 is the same axis of output 0.
fn elementwise(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let rank = site.get(0).map_or(0, |k| k.fact.rank());
    (0..rank).fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
}
