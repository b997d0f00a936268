//! Sums of products by Einstein's convention.

use super::{Def, Onnx, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Bindings, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("Einsum", infer).axes(axes).macs(macs)];

/// The labels of an equation's operands and of its result: letters, and for the axes of `...` digits, counted from the
/// last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equation {
    /// By operand and axis.
    pub inputs: Vec<Vec<char>>,
    /// By axis of the result.
    pub output: Vec<char>,
}

impl Equation {
    /// The equation of an operator whose operands have these ranks.
    ///
    /// # Errors
    /// It is no equation, or does not fit the ranks.
    pub fn of(op: &Onnx, ranks: &[usize]) -> Result<Self> {
        let text = op.text("equation")?.ok_or_else(|| Error::Op("attribute `equation` is missing".into()))?;
        let wrong = |why: &str| Error::Op(format!("equation `{text}` {why}"));
        let clean: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match clean.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (clean.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(wrong(&format!("does not have {} operands", ranks.len())));
        }
        let digits = |n: usize| (0..n).rev().filter_map(|i| char::from_digit(i as u32, 10));
        let expand = |term: &str, dots: usize| -> Result<Vec<char>> {
            let letters = |s: &str| match s.chars().all(|c| c.is_ascii_alphabetic()) {
                true => Ok(s.chars().collect::<Vec<char>>()),
                false => Err(wrong("has other signs than letters")),
            };
            match term.split_once("...") {
                None => letters(term),
                Some((a, b)) => Ok(letters(a)?.into_iter().chain(digits(dots)).chain(letters(b)?).collect()),
            }
        };
        let (mut inputs, mut most) = (Vec::new(), 0);
        for (term, &rank) in terms.iter().zip(ranks) {
            let named = term.chars().filter(char::is_ascii_alphabetic).count();
            let dots = if term.contains("...") { rank.saturating_sub(named) } else { 0 };
            if dots > 10 || named + dots != rank {
                return Err(wrong(&format!("does not fit an operand of rank {rank}")));
            }
            most = most.max(dots);
            inputs.push(expand(term, dots)?);
        }
        let output = match right {
            Some(right) => expand(right, most)?,
            // Without an arrow: what stands once, in order of the alphabet, behind the axes of `...`.
            None => {
                let all: Vec<char> = inputs.iter().flatten().copied().collect();
                let mut once: Vec<char> = all
                    .iter()
                    .copied()
                    .filter(|c| c.is_ascii_alphabetic() && all.iter().filter(|d| *d == c).count() == 1)
                    .collect();
                once.sort_unstable();
                digits(most).chain(once).collect()
            }
        };
        let twice = (0..output.len()).any(|i| output.iter().take(i).any(|c| output.get(i) == Some(c)));
        if twice || output.iter().any(|c| !inputs.iter().flatten().any(|d| d == c)) {
            return Err(wrong("has a result that does not follow from its operands"));
        }
        Ok(Self { inputs, output })
    }
}

/// The size of each label.
fn sizes(equation: &Equation, facts: &[&Fact]) -> Result<Vec<(char, Dim)>> {
    let mut sizes: Vec<(char, Dim)> = Vec::new();
    for (labels, fact) in equation.inputs.iter().zip(facts) {
        for (label, d) in labels.iter().zip(&fact.shape) {
            match sizes.iter_mut().find(|(l, _)| l == label) {
                None => sizes.push((*label, d.clone())),
                Some((_, known)) if *known == Dim::Known(1) => *known = d.clone(),
                Some((_, known)) if *d == Dim::Known(1) || known.may_equal(d) => {
                    if known.known().is_none() && *d != Dim::Known(1) {
                        *known = d.clone();
                    }
                }
                Some((_, known)) => {
                    return Err(Error::Op(format!("axis `{label}` has {known} and {d} elements")));
                }
            }
        }
    }
    Ok(sizes)
}

fn facts<'a>(site: &Site<'a>) -> Result<Vec<&'a Fact>> {
    (0..site.inputs.len()).map(|i| site.fact(i)).collect()
}

fn infer(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let facts = facts(site)?;
    let equation = Equation::of(site.op, &facts.iter().map(|f| f.rank()).collect::<Vec<_>>())?;
    let sizes = sizes(&equation, &facts)?;
    let size = |label: &char| sizes.iter().find(|(l, _)| l == label).map(|(_, d)| d.clone());
    let shape: Vec<Dim> = equation.output.iter().filter_map(size).collect();
    Ok(vec![Inferred::new(site.fact(0)?.dtype, shape)])
}

/// Axes of one label are the same axis, save where one is stretched. A label that stands once and is summed stays.
fn axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let mut map = AxisMap::default();
    let (Ok(facts), Some(out)) = (facts(site), outputs.first()) else { return map };
    let Ok(equation) = Equation::of(site.op, &facts.iter().map(|f| f.rank()).collect::<Vec<_>>()) else {
        return map;
    };
    let labels = equation.output.iter().zip(&out.shape).enumerate();
    let mut seen: Vec<(char, &Dim, crate::Axis)> = labels.map(|(i, (&l, d))| (l, d, output(0, i))).collect();
    for (k, (labels, fact)) in equation.inputs.iter().zip(&facts).enumerate() {
        for (i, (&label, d)) in labels.iter().zip(&fact.shape).enumerate() {
            match seen.iter().find(|(l, size, _)| *l == label && *size == d) {
                Some(&(_, _, first)) => map = map.same(input(k, i), first),
                None => seen.push((label, d, input(k, i))),
            }
        }
    }
    map
}

/// The product of all labels' sizes, where there are several operands.
fn macs(site: &Site<'_>, _: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let facts = facts(site)?;
    if facts.len() < 2 {
        return Ok(0);
    }
    let equation = Equation::of(site.op, &facts.iter().map(|f| f.rank()).collect::<Vec<_>>())?;
    let mut macs = 1u64;
    for (_, d) in sizes(&equation, &facts)? {
        macs = macs.saturating_mul(d.eval(bindings)? as u64);
    }
    Ok(macs)
}
