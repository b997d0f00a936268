//! The integers that a runtime computes, on any machine.
//!
//! A file in which values are rounded ([`QuantizeLinear`, `DequantizeLinear`]) says what its numbers mean; which operators
//! compute with integers, and how these round, is the runtime's. [`Simulator`] rewrites the graph by the rules of ONNX Runtime
//! ([`fuse`]) and computes what its kernels compute, to the last bit where all of the way is integers; for processors whose
//! sums saturate ([`Profile::pairs`]), with that, and with a count of where it happened ([`Saturation`]).
//!
//! [`QuantizeLinear`, `DequantizeLinear`]: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html

mod floats;
mod fuse;
mod prepare;
mod runtime;
mod sums;
mod view;

use std::collections::HashMap;

use indexmap::IndexMap;
use occam_graph::{Array, Graph, Node, NodeId, Op, Source, ValueId, Weights};

pub use self::fuse::{Fused, fuse};
pub use self::runtime::Simulated;
use self::sums::Layer;
pub use self::sums::Saturation;
use crate::{Error, Profile, Result};

/// A graph as a runtime computes it with integers.
#[derive(Debug)]
pub struct Simulator {
    fused: Fused,
    profile: &'static Profile,
    order: Vec<NodeId>,
    /// By step: the values that nothing after it reads.
    last_reads: Vec<Vec<ValueId>>,
    seen: IndexMap<String, Saturation>,
}

impl Simulator {
    /// A simulator of a graph whose nodes are ONNX's operators, as a file has them.
    ///
    /// # Errors
    /// As [`fuse`].
    pub fn new(graph: &Graph, weights: &Weights, profile: &'static Profile) -> Result<Self> {
        let fused = fuse(graph, weights)?;
        let order = fused.graph.order()?;
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (i, &id) in order.iter().enumerate() {
            let node = fused.graph.node(id)?;
            last.extend(node.inputs.iter().chain(&node.outputs).map(|&v| (v, i)));
        }
        for (_, v) in fused.graph.outputs() {
            last.remove(v);
        }
        let mut last_reads = vec![Vec::new(); order.len()];
        for (v, i) in last {
            if let Some(list) = last_reads.get_mut(i) {
                list.push(v);
            }
        }
        Ok(Self { fused, profile, order, last_reads, seen: IndexMap::new() })
    }

    /// What is computed.
    pub fn fused(&self) -> &Fused {
        &self.fused
    }

    /// What saturated in all runs, by layer whose weights are so large that something may.
    pub fn saturation(&self) -> impl Iterator<Item = &Saturation> {
        self.seen.values()
    }

    /// Names of the layers whose weights are so large that sums may saturate where [`Profile::pairs`]; none elsewhere.
    ///
    /// # Errors
    /// An operator has an attribute of another type.
    pub fn may_saturate(&self) -> Result<Vec<String>> {
        let graph = &self.fused.graph;
        let view = view::View::new(graph, &self.fused.weights);
        let mut names = Vec::new();
        for &id in self.order.iter().filter(|_| self.profile.pairs) {
            let node = graph.node(id)?;
            let Op::Onnx(op) = &node.op else { continue };
            let known = |slot: usize| view::View::operand(node, op, slot).and_then(|v| view.known(v));
            if sums::may_saturate(op, known)? {
                names.push(node.name.clone());
            }
        }
        Ok(names)
    }

    /// The graph's outputs, by name, for inputs by name.
    ///
    /// # Errors
    /// An input is missing, or an operator refuses its operands.
    pub fn run(&mut self, inputs: &Weights) -> Result<Weights> {
        self.run_seen(inputs, |_, _| ())
    }

    /// As [`Simulator::run`]; `see` is shown the results of every node.
    ///
    /// # Errors
    /// As [`Simulator::run`].
    pub fn run_seen(&mut self, inputs: &Weights, mut see: impl FnMut(&Node, &[Array])) -> Result<Weights> {
        let graph = &self.fused.graph;
        let mut values: HashMap<ValueId, Array> = HashMap::new();
        for &id in graph.inputs() {
            let name = &graph.value(id)?.name;
            let array = inputs.get(name);
            let array = array.ok_or_else(|| Error::Other(format!("input `{name}` is not given")))?;
            values.insert(id, array.clone());
        }
        for (&id, unread) in self.order.iter().zip(&self.last_reads) {
            let node = graph.node(id)?;
            let at = |e: String| Error::Other(format!("node `{}`: {e}", node.name));
            let Op::Onnx(op) = &node.op else {
                return Err(at("only operators of ONNX are simulated".into()));
            };
            let operands: Vec<Array> =
                node.inputs.iter().map(|&v| self.read(v, &values)).collect::<Result<_>>()?;
            let layer = Layer::of(op, &operands).filter(|_| self.profile.pairs);
            let results = match layer.map(|l| l.run()).transpose()?.flatten() {
                Some((y, mut seen)) => {
                    seen.node.clone_from(&node.name);
                    self.seen
                        .entry(node.name.clone())
                        .or_insert_with(|| Saturation { node: node.name.clone(), ..Saturation::default() })
                        .add(&seen);
                    vec![y]
                }
                None => match floats::evaluate(op, &operands)? {
                    Some(results) => results,
                    None => occam_interp::evaluate(op, &operands).map_err(|e| at(e.to_string()))?,
                },
            };
            see(node, &results);
            values.extend(node.outputs.iter().copied().zip(results));
            for v in unread {
                values.remove(v);
            }
        }
        graph.outputs().iter().map(|(name, v)| Ok((name.clone(), self.read(*v, &values)?))).collect()
    }

    fn read(&self, v: ValueId, values: &HashMap<ValueId, Array>) -> Result<Array> {
        if let Some(array) = values.get(&v) {
            return Ok(array.clone());
        }
        let value = self.fused.graph.value(v)?;
        let found = match value.source {
            Source::Param(_) => self.fused.weights.get(&value.name).cloned(),
            _ => value.constant().cloned(),
        };
        found.ok_or_else(|| Error::Other(format!("`{}` has no elements", value.name)))
    }
}

#[cfg(test)]
mod tests {
    use occam_io::onnx::{ImportOptions, Imported, import};

    use super::*;
    use crate::profiles::{PROFILES, profile};

    fn golden() -> (Imported, Weights) {
        let folder = occam_testing::workspace().join("tests/golden/quant");
        let arrays = occam_io::npz::load(folder.join("simulator.npz")).unwrap();
        (import(folder.join("simulator.onnx"), &ImportOptions::default()).unwrap(), arrays)
    }

    /// What ONNX Runtime 1.32 gives on a processor with VNNI: `tools/golden/quant_simulator.py`.
    #[test]
    fn integers_are_those_of_onnx_runtime() {
        let (model, arrays) = golden();
        let mut simulator =
            Simulator::new(&model.graph, &model.weights, profile("x86-vnni").unwrap()).unwrap();
        assert!(simulator.fused().left.is_empty(), "{:?}", simulator.fused().left);
        let mut kinds: Vec<String> = Vec::new();
        for (_, node) in simulator.fused().graph.nodes() {
            let Op::Onnx(op) = &node.op else { panic!("{}", node.name) };
            kinds.push(op.op_type.clone());
        }
        kinds.sort();
        let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
        assert_eq!((count("QLinearConv"), count("QuantizeLinear"), count("DequantizeLinear")), (5, 1, 1));
        for kind in ["QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSoftmax", "QLinearMatMul", "QGemm"]
        {
            assert_eq!(count(kind), 1, "{kind}: {kinds:?}");
        }
        let found = simulator.run(&arrays).unwrap();
        assert_eq!(found.len(), arrays.len() - 1);
        for (name, y) in &found {
            assert!(y.data() == arrays[name].data(), "{name}");
        }
        assert_eq!(simulator.saturation().count(), 0);
    }

    /// Without VNNI, sums of this model saturate, and only where weights are large enough.
    #[test]
    fn processors_without_vnni_give_others() {
        let (model, arrays) = golden();
        let run = |name| {
            let mut simulator = Simulator::new(&model.graph, &model.weights, profile(name).unwrap()).unwrap();
            let found = simulator.run(&arrays).unwrap();
            (found, simulator.saturation().cloned().collect::<Vec<_>>())
        };
        let (exact, none) = run("arm");
        assert!(none.is_empty());
        let (other, seen) = run("x86-avx2");
        let simulator = Simulator::new(&model.graph, &model.weights, profile("x86-avx2").unwrap()).unwrap();
        let names: Vec<String> = seen.iter().map(|s| s.node.clone()).collect();
        assert_eq!(simulator.may_saturate().unwrap(), names);
        assert!(!seen.is_empty());
        for s in &seen {
            assert!(s.changed <= s.results && s.saturated <= s.pairs && s.worst <= 1.0, "{s:?}");
        }
        let hit = seen.iter().any(|s| s.changed > 0);
        assert_eq!(hit, exact != other, "{seen:?}");
    }

    #[test]
    fn what_is_missing_is_told() {
        let (model, _) = golden();
        let mut simulator = Simulator::new(&model.graph, &model.weights, &PROFILES[0]).unwrap();
        let error = simulator.run(&Weights::new()).unwrap_err().to_string();
        assert_eq!(error, "input `x` is not given");
    }
}
