//! The search by a clock that is a function of widths.

use occam_graph::ops::{Activation, Binary, Conv, Flatten, GlobalAvgPool, Linear};
use occam_graph::{Bindings, Builder, Graph, Role, ValueId};
use occam_runtime::Step;
use occam_runtime::latency::Times;
use occam_space::{Selection, Trace, TraceOptions, trace};

use super::*;
use crate::{Limits, Scope, Scores, TargetKind};

fn conv(b: &mut Builder, name: &str, x: ValueId, out: usize, kernel: usize) -> ValueId {
    let channels = b.channels(x).unwrap();
    b.module::<occam_graph::Error>(name, &[x], |b| {
        let w = b.param("weight", &[out, channels, kernel, kernel], Role::Weight)?;
        let padding = [(kernel / 2, kernel / 2); 2];
        b.this(Conv { padding, ..Conv::default() }, &[x, w])
    })
    .unwrap()
}

/// A stem, a residual block and a wide convolution.
fn graph() -> Graph {
    let mut b = Builder::new();
    let fact = occam_graph::Fact::f32([occam_graph::Dim::symbol("N"), 3.into(), 16.into(), 16.into()]);
    let x = b.input("input", fact).unwrap();
    let x = conv(&mut b, "stem", x, 64, 3);
    let x = b.op("stem.relu", Activation::Relu, &[x]).unwrap();
    let y = conv(&mut b, "block.conv1", x, 96, 3);
    let y = b.op("block.relu", Activation::Relu, &[y]).unwrap();
    let y = conv(&mut b, "block.conv2", y, 64, 3);
    let x = b.op("block.add", Binary::Add, &[x, y]).unwrap();
    let x = b.op("block.relu2", Activation::Relu, &[x]).unwrap();
    let x = conv(&mut b, "wide", x, 256, 1);
    let x = b.op("wide.relu", Activation::Relu, &[x]).unwrap();
    let x = b.op("pool", GlobalAvgPool, &[x]).unwrap();
    let x = b.op("flatten", Flatten { axis: 1 }, &[x]).unwrap();
    let x = b
        .module::<occam_graph::Error>("fc", &[x], |b| {
            let w = b.param("weight", &[10, 256], Role::Weight)?;
            b.this(Linear, &[x, w])
        })
        .unwrap();
    b.output("output", x).unwrap();
    b.finish().unwrap()
}

/// Microseconds of a block of these sizes.
type Rule = fn(&Block, &[usize]) -> f64;

/// A machine that computes channels in blocks of 16, with some time for each step.
fn in_sixteens(block: &Block, sizes: &[usize]) -> f64 {
    let work: f64 = sizes.iter().map(|&s| s.next_multiple_of(16) as f64).product();
    if block.op.starts_with("Conv") { 3.0 + 0.05 * work } else { 1.0 }
}

/// One on which sizes that are not multiples of 16 take another way, of five times the time.
fn odd_is_slow(block: &Block, sizes: &[usize]) -> f64 {
    let odd = !sizes.iter().all(|s| s.is_multiple_of(16));
    in_sixteens(block, sizes) * if odd { 5.0 } else { 1.0 }
}

struct Synthetic<'a> {
    blocks: &'a Blocks,
    rule: Rule,
    /// What the whole takes over its blocks at a part of them.
    whole: fn(f64) -> f64,
    profiled: usize,
}

impl Clock for Synthetic<'_> {
    fn profile(&mut self, selection: &Selection) -> Result<Vec<f64>> {
        self.profiled += 1;
        let gone = self.blocks.gone(&selection.widths());
        Ok(self.blocks.all.iter().map(|b| (self.rule)(b, &b.sizes(&gone))).collect())
    }

    fn compare(&mut self, selection: &Selection) -> Result<Comparison> {
        let sum =
            |gone: &[usize]| -> f64 { self.blocks.all.iter().map(|b| (self.rule)(b, &b.sizes(gone))).sum() };
        let none = vec![0; self.blocks.of_unit.len()];
        let (full, small) = (sum(&none), sum(&self.blocks.gone(&selection.widths())));
        let times = |us: f64| Times::new(vec![vec![us * 1e-3]]);
        Ok(Comparison::of(&times(full), &times(full * (self.whole)(small / full))))
    }
}

/// A channel matters the more the later it is.
fn scores(trace: &Trace) -> Scores {
    let unit = |u: &occam_space::Unit| (0..u.channels).map(|c| 1.0 + c as f64 / u.channels as f64).collect();
    trace.units.iter().map(unit).collect()
}

struct Case {
    graph: Graph,
    trace: Trace,
    bindings: Bindings,
}

impl Case {
    fn new() -> Self {
        let graph = graph();
        let trace = trace(&graph, &TraceOptions::default()).unwrap();
        Self { graph, trace, bindings: Bindings::from([("N".into(), 1)]) }
    }

    fn solver(&self, limits: &Limits) -> Solver<'_> {
        Solver::new(&self.graph, &self.trace, scores(&self.trace), limits, &self.bindings).unwrap()
    }

    fn run<T>(
        &self,
        rule: Rule,
        whole: fn(f64) -> f64,
        limits: &Limits,
        table: &mut Table,
        run: impl FnOnce(&mut Tuner<'_, '_, Synthetic<'_>>) -> T,
    ) -> (T, usize) {
        let blocks = Blocks::of(&self.graph, &self.trace, &self.bindings).unwrap();
        let mut solver = self.solver(limits);
        let clock = Synthetic { blocks: &blocks, rule, whole, profiled: 0 };
        let mut told = 0;
        let mut progress = |done| told = done;
        let mut tuner = Tuner {
            solver: &mut solver,
            blocks: &blocks,
            table,
            clock,
            multiple: None,
            progress: &mut progress,
        };
        let result = run(&mut tuner);
        let profiled = tuner.clock.profiled;
        assert!(told >= profiled, "{told} {profiled}");
        (result, profiled)
    }

    fn width(&self, tuned: &Tuned, layer: &str) -> usize {
        let named = |u: &occam_space::Unit| u.output_related.iter().any(|c| c.name == layer);
        tuned.outcome.selection.width(self.trace.units.iter().position(named).unwrap())
    }
}

fn place() -> Place {
    Place { runtime: "clock".into(), cpu: "none".into(), threads: 1 }
}

#[test]
fn convolutions_are_timed_with_what_follows_them() {
    let case = Case::new();
    let blocks = Blocks::of(&case.graph, &case.trace, &case.bindings).unwrap();
    let ops: Vec<&str> = blocks.all.iter().map(|b| b.op.as_str()).collect();
    assert_eq!(ops.len(), 7, "{ops:#?}");
    assert!(ops[0].starts_with("Conv{") && ops[0].contains("f32[1,3,16,16], f32[a,3,3,3] -> f32[1,a,16,16]"));
    assert_eq!(ops[2].matches("; ").count(), 2, "{}", ops[2]);
    let step = |name: &str, us: f64| Step { name: name.into(), seconds: us };
    let seconds = blocks.attribute(&[
        step("ReorderInput", 1.0),
        step("stem.relu_nchwc", 2.0),
        step("fused block.conv1", 4.0),
        step("ReorderOutput_token_3", 8.0),
        step("block.relu2_nchwc", 16.0),
        step("fc/MatMul", 32.0),
    ]);
    assert_eq!(seconds, [3.0, 12.0, 16.0, 0.0, 0.0, 0.0, 32.0]);
}

#[test]
fn a_part_of_the_time_is_met_within_one_percent() {
    let case = Case::new();
    // What the whole takes is not what its blocks take.
    let wholes: [fn(f64) -> f64; 2] = [|part| part, |part| 0.1 + 0.9 * part];
    for rule in [in_sixteens as Rule, odd_is_slow, |b, sizes| {
        let work: f64 = sizes.iter().map(|&s| s as f64).product();
        if b.op.starts_with("Conv") { 2.0 + 0.05 * work } else { 0.5 }
    }] {
        for whole in wholes {
            for part in [0.7, 0.5] {
                let (tuned, _) = case.run(rule, whole, &Limits::default(), &mut Table::new(place()), |t| {
                    t.reach(part).unwrap()
                });
                let found = tuned.comparison.part();
                assert!(found <= part, "{found} of {part}");
                // Steps of a machine that computes in sixteens are larger than 1 %.
                let near = found >= part * 0.99;
                assert_eq!(near, tuned.missed.is_none(), "{:?}", tuned.missed);
                assert!(near || found > part - 0.06, "{found} of {part}");
            }
        }
    }
}

#[test]
fn fine_machines_are_met_exactly() {
    let case = Case::new();
    let rule: Rule = |b, sizes| {
        let work: f64 = sizes.iter().map(|&s| s as f64).product();
        if b.op.starts_with("Conv") { 2.0 + 0.05 * work } else { 0.5 }
    };
    let mut table = Table::new(place());
    let (tuned, profiled) =
        case.run(rule, |p| 0.05 + 0.95 * p, &Limits::default(), &mut table, |t| t.reach(0.5).unwrap());
    assert_eq!(tuned.missed, None);
    let found = tuned.comparison.part();
    assert!((0.495..=0.5).contains(&found), "{found}");
    assert!(profiled > 8 && profiled == tuned.profiled, "{profiled}");
    // What predicts is the table, which knows nothing of the whole.
    let predicted = tuned.predicted.unwrap();
    assert!((0.05 + 0.95 * predicted - found).abs() < 1e-3, "{predicted} {found}");
    // The second run finds all in the table but for what is near its own solution.
    let (again, few) =
        case.run(rule, |p| 0.05 + 0.95 * p, &Limits::default(), &mut table, |t| t.reach(0.5).unwrap());
    assert!(few <= 4 && again.missed.is_none(), "{few} {:?}", again.missed);
}

#[test]
fn widths_are_multiples_of_what_is_fast() {
    let case = Case::new();
    for rule in [in_sixteens as Rule, odd_is_slow] {
        let (tuned, _) =
            case.run(rule, |p| p, &Limits::default(), &mut Table::new(place()), |t| t.reach(0.5).unwrap());
        for layer in ["stem", "block.conv1", "wide"] {
            let width = case.width(&tuned, layer);
            assert_eq!(width % 16, 0, "{layer}: {width}");
        }
    }
}

#[test]
fn what_saves_no_time_stays() {
    let case = Case::new();
    // Only the wide convolution takes less time with less channels.
    let rule: Rule = |b, sizes| {
        let wide = b.op.contains("f32[b,a,1,1]");
        if wide { sizes.iter().product::<usize>() as f64 } else { 100.0 }
    };
    let (tuned, _) =
        case.run(rule, |p| p, &Limits::default(), &mut Table::new(place()), |t| t.reach(0.5).unwrap());
    assert_eq!(case.width(&tuned, "block.conv1"), 96);
    assert!(case.width(&tuned, "wide") < 256);
}

#[test]
fn times_that_cannot_be_reached_are_refused() {
    let case = Case::new();
    let limits = Limits { max_ratio: 0.3, ..Limits::default() };
    let (error, _) =
        case.run(in_sixteens, |p| p, &limits, &mut Table::new(place()), |t| t.reach(0.2).unwrap_err());
    let message = error.to_string();
    assert!(message.contains("no narrower widths take less than 0."), "{message}");
    assert!(message.contains("these must stay"), "{message}");
    for part in [0.0, 1.5, f64::NAN] {
        let (error, _) = case.run(in_sixteens, |p| p, &limits, &mut Table::new(place()), |t| t.reach(part));
        assert!(matches!(error.unwrap_err(), Error::Target { .. }));
    }
}

#[test]
fn a_slower_model_is_replaced() {
    let case = Case::new();
    let target = Target { kind: TargetKind::Macs, part: 0.7 };
    // Multiples of 8 fall on the slow way.
    let limits = Limits::default();
    let slow = case.solver(&limits).solve(target).unwrap();
    let (tuned, profiled) = case.run(
        odd_is_slow,
        |p| p,
        &limits,
        &mut Table::new(place()),
        |t| t.never_slower(slow.clone(), Some(target)).unwrap(),
    );
    let blocks = Blocks::of(&case.graph, &case.trace, &case.bindings).unwrap();
    let mut clock = Synthetic { blocks: &blocks, rule: odd_is_slow, whole: |p| p, profiled: 0 };
    assert!(clock.compare(&slow.selection).unwrap().part() > 1.0);
    assert!(tuned.comparison.part() < 0.85, "{}", tuned.comparison.part());
    assert!(tuned.outcome.after.macs as f64 <= 0.7 * tuned.outcome.before.macs as f64);
    assert!(profiled > 0 && tuned.steps.is_some() && tuned.missed.is_none());
    // What is fast enough is kept, and only measured.
    let fine: Rule = |_, sizes| sizes.iter().product::<usize>() as f64;
    let (tuned, profiled) = case.run(
        fine,
        |p| p,
        &limits,
        &mut Table::new(place()),
        |t| t.never_slower(slow.clone(), Some(target)).unwrap(),
    );
    assert_eq!((profiled, tuned.outcome == slow), (0, true));
}

#[test]
fn nothing_is_faster() {
    let case = Case::new();
    let target = Target { kind: TargetKind::Macs, part: 0.7 };
    let limits = Limits::default();
    let found = case.solver(&limits).solve(target).unwrap();
    // Less channels take more time.
    let rule: Rule = |_, sizes| 1000.0 - sizes.iter().sum::<usize>() as f64;
    let (tuned, _) = case.run(
        rule,
        |p| p,
        &limits,
        &mut Table::new(place()),
        |t| t.never_slower(found.clone(), Some(target)).unwrap(),
    );
    assert!(tuned.missed.unwrap().contains("no widths that meet the target are faster"));
}

#[test]
fn all_units_can_lose_alike() {
    let case = Case::new();
    let limits = Limits { scope: Scope::Uniform, ..Limits::default() };
    let rule: Rule = |b, sizes| {
        let work: f64 = sizes.iter().map(|&s| s as f64).product();
        if b.op.starts_with("Conv") { 2.0 + 0.05 * work } else { 0.5 }
    };
    let (tuned, _) = case.run(rule, |p| p, &limits, &mut Table::new(place()), |t| t.reach(0.5).unwrap());
    assert!(tuned.comparison.part() <= 0.5);
    let parts = ["stem", "block.conv1", "wide"].map(|layer| {
        let full = [("stem", 64.0), ("block.conv1", 96.0), ("wide", 256.0)];
        case.width(&tuned, layer) as f64 / full.iter().find(|f| f.0 == layer).unwrap().1
    });
    let (least, largest) = parts.iter().fold((1.0f64, 0.0f64), |(a, b), &p| (a.min(p), b.max(p)));
    assert!(largest - least < 0.15, "{parts:?}");
}
