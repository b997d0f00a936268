//! Operators that run graphs.

use occam_graph::onnx::{Subgraph, axis_of, carried};
use occam_graph::{Array, Data};

use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::{concatenated, part};
use crate::numbers::from_f64;
use crate::{Error, Interpreter, Result, Values};

pub(super) const TABLE: &[Eval] =
    &[Eval::new("If", branch), Eval::new("Loop", iterate), Eval::new("Scan", scan)];

/// Iterations after which a loop is thought to be endless.
const MOST: i64 = 1_000_000;

fn truth(x: &Array) -> Result<bool> {
    match x.data() {
        Data::Bool(v) if v.len() == 1 => Ok(v.contains(&true)),
        _ => refuse(format!("a condition must be one truth value, found {x:?}")),
    }
}

/// The graph in attribute `name`, and what it reads of the graph around.
fn body<'a>(c: &'a Operands<'_>, name: &str) -> Result<(&'a Subgraph, Vec<Array>)> {
    let graph = c.op.subgraph(name)?;
    let captured = c.op.capture_range(name).map(|i| c.array(i).cloned()).collect::<Result<Vec<_>>>()?;
    Ok((graph, captured))
}

fn branch(c: &Operands<'_>) -> Result<Vec<Array>> {
    let name = if truth(c.array(0)?)? { "then_branch" } else { "else_branch" };
    let (graph, captured) = body(c, name)?;
    let weights = Values::new();
    Interpreter::new(&graph.graph, &weights)?.call(&captured)
}

/// Results of iterations one after another along a new axis.
fn stacked(all: &[Array], axis: usize, empty: impl FnOnce() -> Result<Array>) -> Result<Array> {
    let slices = all
        .iter()
        .map(|x| {
            let mut shape = x.shape().to_vec();
            if axis > shape.len() {
                return refuse(format!("axis {axis} is beyond {x:?}"));
            }
            shape.insert(axis, 1);
            Ok(x.reshape(shape)?)
        })
        .collect::<Result<Vec<_>>>()?;
    if slices.is_empty() { empty() } else { concatenated(&slices, axis) }
}

/// What no iteration gave: the sizes that the body's result has for certain, and 0 of the others.
fn nothing(graph: &Subgraph, output: usize, axis: usize) -> Result<Array> {
    let Some((_, id)) = graph.graph.outputs().get(output) else {
        return refuse(format!("output {output} is missing"));
    };
    let fact = &graph.graph.value(*id)?.fact;
    let mut shape: Vec<usize> = fact.shape.iter().map(|d| d.known().unwrap_or(0)).collect();
    shape.insert(axis.min(shape.len()), 0);
    from_f64(fact.dtype, &shape, &[])
}

fn iterate(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (graph, captured) = body(c, "body")?;
    let count = carried(c.inputs.len(), captured.len(), &graph.graph)?;
    let trips = c.int(0)?;
    let mut going = c.get(1).map(truth).transpose()?.unwrap_or(true);
    let mut state = (0..count).map(|i| c.array(i + 2).cloned()).collect::<Result<Vec<_>>>()?;
    let scans = graph.graph.outputs().len().saturating_sub(count + 1);
    let mut collected: Vec<Vec<Array>> = vec![Vec::new(); scans];
    let weights = Values::new();
    let run = Interpreter::new(&graph.graph, &weights)?;
    let mut i = 0i64;
    while going && trips.is_none_or(|n| i < n) {
        if i >= MOST {
            return refuse(format!("it does not end within {MOST} iterations"));
        }
        let mut inputs = vec![Array::from_i64([], vec![i])?, Array::new([], Data::Bool(vec![true]))?];
        inputs.append(&mut state);
        inputs.extend(captured.iter().cloned());
        let mut results = run.call(&inputs)?.into_iter();
        going = truth(&results.next().ok_or_else(|| Error::Op("its body gives no condition".into()))?)?;
        state.extend(results.by_ref().take(count));
        collected.iter_mut().zip(results).for_each(|(all, x)| all.push(x));
        i += 1;
    }
    for (k, all) in collected.iter().enumerate() {
        state.push(stacked(all, 0, || nothing(graph, count + 1 + k, 0))?);
    }
    Ok(state)
}

/// By scanned value whether it goes backwards: attribute `name`.
fn directions(c: &Operands<'_>, name: &str, count: usize) -> Result<Vec<bool>> {
    match c.op.ints(name)? {
        None => Ok(vec![false; count]),
        Some(v) if v.len() == count => Ok(v.iter().map(|&d| d != 0).collect()),
        Some(v) => refuse(format!("attribute `{name}` has {} numbers, not {count}", v.len())),
    }
}

/// By scanned value of a rank its axis: attribute `name`, or 0.
fn axes(c: &Operands<'_>, name: &str, ranks: &[usize]) -> Result<Vec<usize>> {
    match c.op.ints(name)? {
        None => Ok(vec![0; ranks.len()]),
        Some(v) if v.len() == ranks.len() => v.iter().zip(ranks).map(|(&a, &r)| Ok(axis_of(a, r)?)).collect(),
        Some(v) => refuse(format!("attribute `{name}` has {} numbers, not {}", v.len(), ranks.len())),
    }
}

fn scan(c: &Operands<'_>) -> Result<Vec<Array>> {
    if c.op.version < 9 {
        return refuse(format!("Scan of version {} is not supported", c.op.version));
    }
    let (graph, captured) = body(c, "body")?;
    let scans = c.op.size("num_scan_inputs")?.unwrap_or(0);
    let own = c.inputs.len() - captured.len();
    let results = graph.graph.outputs().len();
    let Some(states) = own.checked_sub(scans).filter(|&n| n <= results && scans > 0) else {
        return refuse("its body does not take what it is given");
    };
    let inputs = (states..own).map(|i| c.array(i)).collect::<Result<Vec<_>>>()?;
    let ranks: Vec<usize> = inputs.iter().map(|x| x.shape().len()).collect();
    let input_axes = axes(c, "scan_input_axes", &ranks)?;
    let backwards = directions(c, "scan_input_directions", scans)?;
    let lengths: Vec<usize> =
        inputs.iter().zip(&input_axes).map(|(x, &a)| x.shape().get(a).copied().unwrap_or(0)).collect();
    let steps = lengths.first().copied().unwrap_or(0);
    if lengths.iter().any(|&n| n != steps) {
        return refuse(format!("what it scans has lengths {lengths:?}"));
    }
    let mut state = (0..states).map(|i| c.array(i).cloned()).collect::<Result<Vec<_>>>()?;
    let mut collected: Vec<Vec<Array>> = vec![Vec::new(); results - states];
    let weights = Values::new();
    let run = Interpreter::new(&graph.graph, &weights)?;
    for step in 0..steps {
        let mut operands = std::mem::take(&mut state);
        for ((x, &axis), &back) in inputs.iter().zip(&input_axes).zip(&backwards) {
            let slice = part(x, axis, if back { steps - 1 - step } else { step }, 1)?;
            let mut shape = slice.shape().to_vec();
            shape.remove(axis);
            operands.push(slice.reshape(shape)?);
        }
        operands.extend(captured.iter().cloned());
        let mut values = run.call(&operands)?.into_iter();
        state.extend(values.by_ref().take(states));
        collected.iter_mut().zip(values).for_each(|(all, x)| all.push(x));
    }
    let mut ranks = Vec::with_capacity(collected.len());
    for (_, id) in graph.graph.outputs().iter().skip(states) {
        ranks.push(graph.graph.value(*id)?.fact.rank() + 1);
    }
    let output_axes = axes(c, "scan_output_axes", &ranks)?;
    let reversed = directions(c, "scan_output_directions", ranks.len())?;
    for (k, mut all) in collected.into_iter().enumerate() {
        if reversed.get(k) == Some(&true) {
            all.reverse();
        }
        let axis = output_axes.get(k).copied().unwrap_or(0);
        state.push(stacked(&all, axis, || nothing(graph, states + k, axis))?);
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use occam_graph::onnx::{Attribute, Onnx};
    use occam_graph::{DType, Fact, Graph, Op};

    use super::*;
    use crate::evaluate;

    /// A graph that carries `-v` on, and gives it as a result of the iteration; the counter and the condition pass through.
    fn negating(loops: bool) -> Attribute {
        let mut graph = Graph::new();
        let scalar = |dtype| Fact::new(dtype, [0usize; 0]);
        if loops {
            graph.add_input("i", scalar(DType::I64)).unwrap();
            let going = graph.add_input("going", scalar(DType::Bool)).unwrap();
            graph.add_output("going", going).unwrap();
        }
        let v = graph.add_input("v", Fact::f32([1usize])).unwrap();
        if !loops {
            graph.add_input("x", Fact::f32([0usize; 0])).unwrap();
        }
        let op = Op::Onnx(Onnx::new("Neg", 13, 1));
        let ids = graph.add_node_named("neg", op, &[v], &["w"]).unwrap();
        graph.add_output("w", ids[0]).unwrap();
        graph.add_output("each", ids[0]).unwrap();
        Attribute::Graph(Arc::new(Subgraph { graph, captures: 0 }))
    }

    fn run_loop(trips: Option<i64>, going: bool) -> Result<Vec<Array>> {
        let mut op = Onnx::new("Loop", 13, 3).with("body", negating(true));
        op.inputs = vec![trips.is_some(), true, true];
        op.outputs = vec![true, true];
        let trips = trips.map(|n| Array::from_i64([], vec![n]).unwrap());
        let going = Array::new([], Data::Bool(vec![going])).unwrap();
        let inputs: Vec<Array> = trips.into_iter().chain([going, Array::full([1], 2.0)]).collect();
        let known: Vec<occam_graph::Inferred> = inputs.iter().cloned().map(Into::into).collect();
        let facts: Vec<&Fact> = known.iter().map(|k| &k.fact).collect();
        let inferred = Op::Onnx(op.clone()).family().infer(&facts).unwrap();
        let results = evaluate(&op, &inputs)?;
        for (fact, x) in inferred.iter().zip(&results) {
            assert_eq!(fact.rank(), x.shape().len());
        }
        Ok(results)
    }

    #[test]
    fn loops_count_and_end() {
        let three = run_loop(Some(3), true).unwrap();
        assert_eq!(three[0].as_f32().unwrap(), [-2.0]);
        assert_eq!(three[1], Array::from_f32([3, 1], vec![-2.0, 2.0, -2.0]).unwrap());
        let none = run_loop(Some(3), false).unwrap();
        assert_eq!((none[0].as_f32().unwrap(), none[1].shape()), (&[2.0][..], &[0, 1][..]));
        assert_eq!(run_loop(Some(-1), true).unwrap()[1].shape(), [0, 1]);
    }

    #[test]
    fn scans_gather_along_their_axes() {
        let mut op = Onnx::new("Scan", 11, 2)
            .with("body", negating(false))
            .with("num_scan_inputs", Attribute::Int(1))
            .with("scan_output_axes", Attribute::Ints(vec![1]))
            .with("scan_output_directions", Attribute::Ints(vec![1]));
        op.outputs = vec![true, true];
        let inputs = [Array::full([1], 2.0), Array::full([3], 0.0)];
        let results = evaluate(&op, &inputs).unwrap();
        assert_eq!(results[0].as_f32().unwrap(), [-2.0]);
        assert_eq!(results[1], Array::from_f32([1, 3], vec![-2.0, 2.0, -2.0]).unwrap());
        op.version = 8;
        assert!(evaluate(&op, &inputs).is_err());
    }
}
