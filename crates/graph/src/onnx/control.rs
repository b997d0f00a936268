//! Operators that run graphs.

use super::{Def, NarrowUse, Site, axis_of};
use crate::{DType, Dim, Error, Fact, Graph, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("If", branches).narrow(NarrowUse::Known),
    Def::new("Loop", iterated).narrow(NarrowUse::Known),
    Def::new("Scan", scanned).narrow(NarrowUse::Known),
];

/// The facts of a graph's outputs.
fn outputs(graph: &Graph) -> Result<Vec<&Fact>> {
    graph.outputs().iter().map(|(_, v)| Ok(&graph.value(*v)?.fact)).collect()
}

/// What two facts have in common. Symbols of a graph inside mean nothing outside, so that only those stay which an operand
/// has too.
fn common(site: &Site<'_>, a: &Fact, b: &Fact, tag: &str) -> Result<Inferred> {
    if a.dtype != b.dtype || a.rank() != b.rank() {
        return Err(Error::Op(format!("results of different types or ranks are not supported: {a} and {b}")));
    }
    let outside =
        |d: &Dim| d.known().is_some() || site.inputs.iter().flatten().any(|k| k.fact.shape.contains(d));
    let dims =
        a.shape.iter().zip(&b.shape).enumerate().map(|(i, (x, y))| {
            if x == y && outside(x) { x.clone() } else { site.unknown(format!("{tag}.{i}")) }
        });
    Ok(Inferred::new(a.dtype, dims))
}

fn branches(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let condition = site.fact(0)?;
    if condition.dtype != DType::Bool {
        return Err(Error::Op(format!("its condition must be a truth value, found {condition}")));
    }
    let (yes, no) = (site.op.subgraph("then_branch")?, site.op.subgraph("else_branch")?);
    let (yes, no) = (outputs(&yes.graph)?, outputs(&no.graph)?);
    if yes.len() != no.len() {
        return Err(Error::Op(format!("its branches have {} and {} results", yes.len(), no.len())));
    }
    let pairs = yes.into_iter().zip(no).enumerate();
    pairs.map(|(i, (a, b))| common(site, a, b, &i.to_string())).collect()
}

/// The number of values that a loop carries from one iteration to the next.
///
/// # Errors
/// The body takes or gives other values.
pub fn carried(inputs: usize, captures: usize, body: &Graph) -> Result<usize> {
    let carried = inputs.checked_sub(captures + 2);
    let taken = body.inputs().len().checked_sub(captures + 2);
    match carried {
        Some(n) if taken == Some(n) && body.outputs().len() > n => Ok(n),
        _ => Err(Error::Op("its body does not take what it is given, or gives less than it carries".into())),
    }
}

fn iterated(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let body = site.op.subgraph("body")?;
    let carried = carried(site.inputs.len(), body.captures, &body.graph)?;
    let results = outputs(&body.graph)?;
    let trips = site.get(0).and_then(|k| k.sizes()).and_then(|s| s.first().and_then(crate::Size::dim));
    let endless = site.get(1).is_none();
    let mut all = Vec::with_capacity(results.len());
    for (i, result) in results.into_iter().skip(1).enumerate() {
        all.push(if i < carried {
            common(site, site.fact(i + 2)?, result, &i.to_string())?
        } else {
            // A condition may end it before all trips are made.
            let count = trips.clone().filter(|_| endless && always(&body.graph));
            let count = count.unwrap_or_else(|| site.unknown(format!("{i}.count")));
            let one = common(site, result, result, &i.to_string())?;
            Inferred::new(one.fact.dtype, std::iter::once(count).chain(one.fact.shape))
        });
    }
    Ok(all)
}

/// Whether a loop's body gives back a condition that is a constant truth.
fn always(body: &Graph) -> bool {
    let first = body.outputs().first().and_then(|(_, v)| body.value(*v).ok());
    let known = first.and_then(|v| v.constant()).map(crate::Array::data);
    matches!(known, Some(crate::Data::Bool(v)) if v.first() == Some(&true))
}

/// By scanned value its axis: attribute `name`, or 0.
fn axes(site: &Site<'_>, name: &str, ranks: &[usize]) -> Result<Vec<usize>> {
    match site.op.ints(name)? {
        None => Ok(vec![0; ranks.len()]),
        Some(v) if v.len() == ranks.len() => v.iter().zip(ranks).map(|(&a, &r)| axis_of(a, r)).collect(),
        Some(v) => Err(Error::Op(format!("attribute `{name}` has {} numbers, not {}", v.len(), ranks.len()))),
    }
}

fn scanned(site: &Site<'_>) -> Result<Vec<Inferred>> {
    if site.op.version < 9 {
        return Err(Error::Op(format!("Scan of version {} is not supported", site.op.version)));
    }
    let body = site.op.subgraph("body")?;
    let scans = site.op.size("num_scan_inputs")?.unwrap_or(0);
    let own = site.inputs.len().saturating_sub(body.captures);
    let results = outputs(&body.graph)?;
    let states = own.checked_sub(scans).filter(|&n| n <= results.len() && scans > 0);
    let Some(states) = states.filter(|_| body.graph.inputs().len() == site.inputs.len()) else {
        return Err(Error::Op("its body does not take what it is given".into()));
    };
    let inputs = (states..own).map(|i| site.fact(i)).collect::<Result<Vec<_>>>()?;
    let ranks: Vec<usize> = inputs.iter().map(|f| f.rank()).collect();
    let input_axes = axes(site, "scan_input_axes", &ranks)?;
    let steps = inputs.first().zip(input_axes.first()).and_then(|(f, &a)| f.shape.get(a));
    let steps = steps.ok_or_else(|| Error::Op("it scans a scalar".into()))?;
    let ranks: Vec<usize> = results.iter().skip(states).map(|f| f.rank() + 1).collect();
    let output_axes = axes(site, "scan_output_axes", &ranks)?;
    let mut all = Vec::with_capacity(results.len());
    for (i, result) in results.iter().enumerate() {
        let Some(k) = i.checked_sub(states) else {
            all.push(common(site, site.fact(i)?, result, &i.to_string())?);
            continue;
        };
        let mut one = common(site, result, result, &i.to_string())?.fact;
        one.shape.insert(output_axes.get(k).copied().unwrap_or(0).min(one.rank()), steps.clone());
        all.push(one.into());
    }
    Ok(all)
}
