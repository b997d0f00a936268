//! Files that are made for one number of images.

use std::collections::HashSet;

use occam_graph::onnx::Onnx;
use occam_graph::ops::ExpandBatch;
use occam_graph::{Array, Bindings, Dim, DimExpr, Fact, Graph, Node, NodeId, Op, Patch, Source, ValueId};

use crate::Result;

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

/// Whether images lie one after another along the first axis, and nowhere else.
fn leads(fact: &Fact) -> bool {
    let mut sizes = fact.shape.iter();
    sizes.next().is_some_and(follows) && !sizes.any(follows)
}

/// Opens the number of images, `N` in `graph`, where nodes were given shapes for `size` of them: a `Reshape` gets −1 as its
/// first size if every image is whole rows of its result, and what is joined to values of all images is repeated for each,
/// if `size` is 1.
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

/// The shape for any number of images; none where it is one already, or where it cannot be told.
fn opened(graph: &Graph, node: &Node, op: &Onnx, size: usize) -> Result<Option<Vec<i64>>> {
    let (&[x, shape], [y]) = (node.inputs.as_slice(), node.outputs.as_slice()) else { return Ok(None) };
    let (fact, result) = (&graph.value(x)?.fact, &graph.value(*y)?.fact);
    let asked = graph.value(shape)?.content.as_ref().and_then(|c| c.to_ints());
    let (true, false, Some(asked)) = (leads(fact), leads(result), asked) else { return Ok(None) };
    let bindings = Bindings::from([("N".into(), size)]);
    let own: Option<Vec<usize>> = fact.shape.iter().map(|d| d.eval(&bindings).ok()).collect();
    let Some(own) = own else { return Ok(None) };
    let Some(whole) = own.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) else { return Ok(None) };
    let copies = !op.flag("allowzero")?;
    let mut rest = Vec::new();
    let mut left = None;
    for (i, &n) in asked.iter().enumerate() {
        match (n, usize::try_from(n)) {
            (0, _) if copies => rest.push(own.get(i).copied().unwrap_or(0)),
            (_, Ok(n)) => rest.push(n),
            _ => {
                left = Some(i);
                rest.push(1);
            }
        }
    }
    let product =
        |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n > 0);
    if let (Some(i), Some(others)) = (left, product(&rest))
        && let Some(d) = rest.get_mut(i)
    {
        *d = whole / others;
    }
    let (Some(row), Some(image)) = (product(rest.get(1..).unwrap_or_default()), whole.checked_div(size))
    else {
        return Ok(None);
    };
    if asked.is_empty() || product(&rest) != Some(whole) || image % row != 0 {
        return Ok(None);
    }
    let sizes = rest.iter().skip(1).map(|&d| i64::try_from(d).ok());
    Ok(std::iter::once(Some(-1)).chain(sizes).collect())
}

/// Repeats what a `Concat` joins to values of all images.
fn repeat(graph: &mut Graph, id: NodeId) -> Result<()> {
    let node = graph.node(id)?;
    let facts = graph.facts(&node.inputs)?;
    let Some(like) = facts.iter().position(|f| leads(f)).and_then(|i| node.inputs.get(i)).copied() else {
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

/// The node nearest to `output`, before it, that reads something of every image and gives something else: its name and its
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
        if graph.facts(&node.inputs)?.iter().any(|f| f.shape.iter().any(follows)) {
            return Ok(Some((node.name.clone(), node.op.family().name())));
        }
        open.extend(&node.inputs);
    }
    Ok(None)
}
