//! Files that are made for one number of images.

use std::collections::HashSet;
use std::sync::Arc;

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_engine::{Device, Executor, Params, Request};
use occam_graph::onnx::Onnx;
use occam_graph::ops::ExpandBatch;
use occam_graph::{Array, Bindings, Dim, DimExpr, Fact, Graph, Node, NodeId, Op, Patch, Source, ValueId};
use occam_io::onnx::Imported;

use crate::Result;
use crate::error::refuse;

/// Height and width of images where the file leaves them open.
const SIDE: usize = 64;

/// How far an output may be from the same of another number of images, relative to the largest.
const TOLERANCE: f32 = 1e-3;

/// Whether a size depends on the number of images.
fn follows(dim: &Dim) -> bool {
    match dim {
        Dim::Known(_) => false,
        Dim::Symbol(s) => &**s == "N",
        Dim::Expr(e) => match &**e {
            DimExpr::Add(a, b) | DimExpr::Mul(a, b) => follows(a) || follows(b),
            DimExpr::Offset(a, _) | DimExpr::FloorDiv(a, _) | DimExpr::CeilDiv(a, _) => follows(a),
        },
    }
}

/// The only axis along which images lie; none where there is none, or several.
fn axis(fact: &Fact) -> Option<usize> {
    let mut found = fact.shape.iter().enumerate().filter(|(_, d)| follows(d)).map(|(i, _)| i);
    found.next().filter(|_| found.next().is_none())
}

/// Opens the number of images, `N` in `graph`, where nodes were given shapes for `size` of them: a `Reshape` gets −1 where
/// that number is in its shape, and what is joined to values of all images is repeated for each, if `size` is 1.
///
/// Where a shape does not tell in which of its sizes the number is, the likely one is taken; [`same`] tells whether that was
/// right.
///
/// # Errors
/// The graph breaks a rule of its own.
pub(super) fn open(graph: &mut Graph, size: usize) -> Result<()> {
    for id in graph.order()? {
        let node = graph.node(id)?;
        let Op::Onnx(op) = &node.op else { continue };
        match op.op_type.as_str() {
            "Reshape" => {
                if let Some(shape) = opened(graph, node, op, size)? {
                    let name = format!("{}.open_shape", node.name);
                    let shape = graph.add_const(&name, Array::from_i64([shape.len()], shape)?)?;
                    let mut patch = Patch::new("open_reshape");
                    patch.rewire(id, 1, shape);
                    patch.apply(graph)?;
                }
            }
            "Concat" if size == 1 => repeat(graph, id)?,
            _ => {}
        }
    }
    Ok(())
}

/// The product of sizes, where it is no more than fits.
fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// The shape for any number of images; none where it is one already, or where it cannot be told.
fn opened(graph: &Graph, node: &Node, op: &Onnx, size: usize) -> Result<Option<Vec<i64>>> {
    let (&[x, shape], &[y]) = (node.inputs.as_slice(), node.outputs.as_slice()) else { return Ok(None) };
    let (fact, result) = (&graph.value(x)?.fact, &graph.value(y)?.fact);
    let asked = graph.value(shape)?.content.as_ref().and_then(|c| c.to_ints());
    let (Some(from), Some(asked)) = (axis(fact), asked) else { return Ok(None) };
    let bindings = Bindings::from([("N".into(), size)]);
    let own: Option<Vec<usize>> = fact.shape.iter().map(|d| d.eval(&bindings).ok()).collect();
    let Some(sizes) = own.and_then(|own| resolved(&asked, &own, !op.flag("allowzero").unwrap_or(false)))
    else {
        return Ok(None);
    };
    let Some(to) = place(&sizes, from, size) else { return Ok(None) };
    if axis(result) == Some(to) {
        return Ok(None);
    }
    let sizes =
        sizes.iter().enumerate().map(|(i, &d)| if i == to { Some(-1) } else { i64::try_from(d).ok() });
    Ok(sizes.collect())
}

/// The sizes that a `Reshape` of `own` sizes gives; none where they do not fit.
fn resolved(asked: &[i64], own: &[usize], copies: bool) -> Option<Vec<usize>> {
    let whole = product(own)?;
    let mut sizes = Vec::with_capacity(asked.len());
    let mut left = None;
    for (i, &n) in asked.iter().enumerate() {
        sizes.push(match n {
            0 if copies => *own.get(i)?,
            -1 => {
                left = Some(i);
                1
            }
            n => usize::try_from(n).ok()?,
        });
    }
    if let Some(i) = left {
        *sizes.get_mut(i)? = whole.checked_div(product(&sizes)?)?;
    }
    (product(&sizes)? == whole).then_some(sizes)
}

/// Which of the `sizes` of a result for `size` images has that number in it, where the operand has it in its axis `from`.
///
/// A size that is the number itself comes first; then that of the outermost axis, if images were outermost before; else
/// the innermost that has axes behind it, since heads are counted together with images, and channels are not.
fn place(sizes: &[usize], from: usize, size: usize) -> Option<usize> {
    let has = |i: &usize| sizes.get(*i).is_some_and(|&d| d > 0 && d.is_multiple_of(size));
    let exact = (0..sizes.len()).find(|&i| sizes.get(i) == Some(&size));
    let outermost = (from == 0).then_some(0).filter(has);
    let inner = || {
        (0..sizes.len())
            .rev()
            .filter(has)
            .find(|&i| sizes.iter().skip(i + 1).any(|&d| d > 1))
            .or(Some(0).filter(has))
    };
    exact.or(outermost).or_else(inner)
}

/// Repeats what a `Concat` joins to values of all images.
fn repeat(graph: &mut Graph, id: NodeId) -> Result<()> {
    let node = graph.node(id)?;
    let facts = graph.facts(&node.inputs)?;
    let Some(like) = facts.iter().position(|f| axis(f) == Some(0)).and_then(|i| node.inputs.get(i)).copied()
    else {
        return Ok(());
    };
    let Op::Onnx(op) = &node.op else { return Ok(()) };
    if op.int("axis")?.unwrap_or(0) == 0 {
        return Ok(());
    }
    let mut patch = Patch::new("repeat_for_images");
    for (i, (fact, &v)) in facts.iter().zip(&node.inputs).enumerate() {
        if fact.shape.first() == Some(&Dim::Known(1)) && !fact.shape.iter().any(follows) {
            let name = format!("{}.for_images_{i}", node.name);
            let repeated = patch.node(&name, ExpandBatch, [v, like]);
            patch.rewire(id, i, repeated);
        }
    }
    if !patch.is_empty() {
        patch.apply(graph)?;
    }
    Ok(())
}

/// The node nearest to `output`, before it, that reads images one after another and gives something else: its name and its
/// operator.
///
/// # Errors
/// The graph breaks a rule of its own.
pub(super) fn baked(graph: &Graph, output: ValueId) -> Result<Option<(String, &'static str)>> {
    let mut open = vec![output];
    let mut seen = HashSet::new();
    while let Some(v) = open.pop() {
        let Source::Node(id, _) = graph.value(v)?.source else { continue };
        if !seen.insert(id) {
            continue;
        }
        let node = graph.node(id)?;
        if graph.facts(&node.inputs)?.iter().any(|f| f.shape.first().is_some_and(follows)) {
            return Ok(Some((node.name.clone(), node.op.family().name())));
        }
        open.extend(&node.inputs);
    }
    Ok(None)
}

/// Refuses `opened`, the graph for any number of images, where it does not give for several what `fixed`, that for `size` of
/// them, gives: both run on random images, in evaluation.
///
/// # Errors
/// They differ, or one does not run.
pub(super) fn same(fixed: &Imported, opened: &Imported, size: usize) -> Result<()> {
    let Some(&input) = fixed.graph.inputs().first() else { return Ok(()) };
    let fact = &fixed.graph.value(input)?.fact;
    let shape: Vec<usize> = fact.shape.iter().skip(1).map(|d| d.known().unwrap_or(SIDE)).collect();
    // Another number than `size`, of images that were all given to the fixed graph.
    let (runs, count) = if size == 1 { (2, 2) } else { (1, (size - 1).min(2)) };
    let Some(one) = product(&shape) else { return Ok(()) };
    let mut pixels = vec![0f32; one.saturating_mul(runs * size)];
    let mut stream = Seed(0).stream("batch", &[]);
    pixels.fill_with(|| stream.uniform_f32());
    let images = |from: usize, n: usize| -> Result<Array> {
        let part = pixels.get(from * one..(from + n) * one).unwrap_or_default().to_vec();
        Ok(Array::from_f32([&[n][..], &shape].concat(), part)?)
    };
    let refuse = |why: String| {
        refuse(format!(
            "the file is made for {size} image{} at a time, and {why}. Export the model with an open batch \
             (`dynamic_axes` or `dynamic_shapes` of torch.onnx.export)",
            if size == 1 { "" } else { "s" }
        ))
    };
    let mut wanted = Vec::new();
    for i in 0..runs {
        wanted.extend_from_slice(run(fixed, &images(i * size, size)?)?.as_f32()?);
    }
    let found = match run(opened, &images(0, count)?) {
        Ok(found) => found,
        Err(e) => return refuse(format!("fails for {count}: {e}")),
    };
    let largest = wanted.iter().fold(0f32, |m, x| m.max(x.abs()));
    let pairs = found.as_f32()?.iter().zip(&wanted);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest || (a.is_nan() && b.is_nan());
    if found.is_empty() || found.len() > wanted.len() || !{ pairs }.all(near) {
        return refuse(format!("does not give the same for {count}: its nodes mix images"));
    }
    Ok(())
}

/// The first output.
fn run(model: &Imported, images: &Array) -> Result<Array> {
    let device = Device::cpu();
    let params = Params::new(&model.graph, &model.weights, &device)?;
    let executor = Executor::new(Arc::new(model.graph.clone()))?;
    let outputs = executor.run_arrays(
        &params.constants(),
        std::slice::from_ref(images),
        &Request::default(),
        &device,
    )?;
    match outputs.into_iter().next() {
        Some(output) => Ok(output),
        None => refuse("the file has no output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_where_images_are() {
        // Flattened maps; windows, and back.
        assert_eq!(place(&[1, 2048], 0, 1), Some(0));
        assert_eq!(place(&[64, 49, 96], 0, 1), Some(0));
        assert_eq!(place(&[1, 64, 49, 96], 0, 1), Some(0));
        // As torch.nn.MultiheadAttention goes on: heads apart, tokens of all images, and as it began.
        assert_eq!(place(&[197, 12, 64], 1, 1), Some(1));
        assert_eq!(place(&[197, 768], 1, 1), Some(0));
        assert_eq!(place(&[197, 1, 768], 0, 1), Some(1));
        assert_eq!(place(&[3, 5], 0, 2), None);
        assert_eq!(resolved(&[0, -1], &[1, 8, 2], true), Some(vec![1, 16]));
        assert_eq!(resolved(&[3, -1], &[1, 8, 2], true), None);
        assert_eq!(resolved(&[-1, 0], &[1, 8, 2], false), None);
    }
}
