//! Against PyTorch and the original: `tools/golden/quant_observers.py`.

use std::sync::{Arc, Mutex};

use occam_engine::{Bound, Device, Executor, Grid, Grids, Mode, Request, Tensor};
use occam_graph::ops::FakeQuant;
use occam_graph::{Builder, Fact, Role};
use occam_testing::{Golden, assert_close, fill};

use super::*;
use crate::QDtype;
use crate::observers::{FixedQParams, Lsq, MinMax, MovingAverage};

/// The golden's name, the kind and its observer.
type Case = (&'static str, Arc<dyn FakeQuantConfig>, Box<dyn Observer>);

const SHAPE: [usize; 3] = [4, 6, 5];

/// One fake quantization for the only node.
#[derive(Debug)]
struct Only(Mutex<FakeQuantizer>);

impl Grids for Only {
    fn grid(&self, _: &str, x: &Tensor) -> occam_engine::Result<Grid> {
        let mut fake = self.0.lock().unwrap();
        fake.see(&x.to_f32()?, &x.shape()).unwrap();
        fake.answer(&x.device())
    }
}

fn wide(list: &[f32]) -> Vec<f64> {
    list.iter().map(|&x| f64::from(x)).collect()
}

/// What comes of `fake.x`: the golden's `y`, `dx`, `scale`, `zero`, `ds` and `dz`.
fn run(scheme: QScheme, fake: FakeQuantizer, learning: GridLearning, moved: f32) -> [Vec<f32>; 6] {
    let device = Device::cpu();
    let channels = if scheme.ch_axis.is_some() { SHAPE[0] } else { 1 };
    let mut b = Builder::new();
    let input = b.input("input", Fact::f32(SHAPE)).unwrap();
    let scale = b.param("scale", &[channels], Role::Weight).unwrap();
    let zero = b.param("zero_point", &[channels], Role::Weight).unwrap();
    let op = FakeQuant { learning, ..FakeQuant::new(scheme.low(), scheme.high(), scheme.ch_axis) };
    let y = b.op("quant", op, &[input, scale, zero]).unwrap();
    b.output("output", y).unwrap();
    let executor = Executor::new(Arc::new(b.finish().unwrap())).unwrap();
    let tensor = |name: &str, low, high| {
        Tensor::from_f32(&SHAPE, fill(name, &SHAPE, low, high).as_f32().unwrap().to_vec(), &device).unwrap()
    };
    let only = Arc::new(Only(Mutex::new(fake)));
    let grids: Arc<dyn Grids> = only.clone();
    let request = Request { grids: Some(grids), ..Request::new(Mode::Train) };
    let params = |scale: Vec<f32>, zero: Vec<f32>| -> Bound {
        let of = |v: Vec<f32>| Tensor::from_f32(&[channels], v, &device).unwrap().require_grad();
        [("scale".into(), of(scale)), ("zero_point".into(), of(zero))].into_iter().collect()
    };
    let one = params(vec![1.0; channels], vec![0.0; channels]);
    executor.run(&one, &[tensor("fake.seen", -1.5, 1.0)], &request).unwrap();
    let found = {
        let mut fake = only.0.lock().unwrap();
        fake.enable_observer(false);
        fake.enable_param_learning();
        fake.qparams().unwrap().clone()
    };
    let zeros: Vec<f32> = found.zero_point.iter().map(|&z| z as f32 + moved).collect();
    let leaves = params(found.scale.clone(), zeros.clone());
    let x = tensor("fake.x", -2.0, 2.0).require_grad();
    let y = executor.run(&leaves, std::slice::from_ref(&x), &request).unwrap().outputs[0].clone();
    let mut gradients = y.mul(&tensor("fake.dy", -1.0, 1.0)).unwrap().sum().unwrap().backward().unwrap();
    let mut taken = |t: &Tensor| gradients.take(t).map_or_else(Vec::new, |g| g.to_f32().unwrap());
    let (dx, ds, dz) = (taken(&x), taken(&leaves["scale"]), taken(&leaves["zero_point"]));
    [y.to_f32().unwrap(), dx, found.scale, zeros, ds, dz]
}

#[test]
fn fake_quants_are_pytorchs() {
    let golden = Golden::load("quant_observers");
    let cases = [
        ("qint8", 8, true),
        ("qint8", 3, false),
        ("quint8", 8, false),
        ("quint8", 4, true),
        ("quint8", 2, false),
    ];
    let learned = |use_grad_scaling| LearnableFakeQuantize { use_grad_scaling, zero_point_trainable: true };
    let mut checked = 0;
    for ch_axis in [None, Some(0)] {
        for (name, bit, is_symmetry) in cases {
            let qdtype = if name == "qint8" { QDtype::Qint8 } else { QDtype::Quint8 };
            let scheme =
                QScheme { qdtype, bit, is_symmetry, is_symmetric_range: false, ch_axis, group: None };
            let kinds: [Case; 4] = [
                ("FakeQuantize", Arc::new(FakeQuantize {}), Box::new(MinMax::new(scheme))),
                (
                    "FusedMovingAvgObsFakeQuantize",
                    Arc::new(FusedMovingAvgObsFakeQuantize {}),
                    Box::new(MovingAverage::new(scheme, 0.1)),
                ),
                ("LearnableFakeQuantize", Arc::new(learned(true)), Box::new(Lsq::new(scheme))),
                ("LearnableFakeQuantizeUnscaled", Arc::new(learned(false)), Box::new(Lsq::new(scheme))),
            ];
            for (kind, config, observer) in kinds {
                let moved = if kind.ends_with("Unscaled") { 0.3 } else { 0.0 };
                let learning = config.learning();
                let found = run(scheme, FakeQuantizer::new(scheme, config, observer), learning, moved);
                let of = if ch_axis.is_some() { "channel" } else { "tensor" };
                checked += check(&golden, &format!("{kind}.{name}.{bit}.{of}"), &found);
            }
        }
    }
    let scheme = QScheme::activations(8);
    let observer = Box::new(FixedQParams::new(1.0 / 128.0, 128));
    let fake = FakeQuantizer::new(scheme, Arc::new(FixedQParamsFakeQuantize {}), observer);
    checked += check(
        &golden,
        "FixedQParamsFakeQuantize.quint8.8.tensor",
        &run(scheme, fake, GridLearning::Fixed, 0.0),
    );
    // Four parts of each, gradients of scales of half of them, those of zero points of half of these.
    assert_eq!(checked, 41 * 4 + 20 + 10);
}

/// How many parts the golden has of a case.
fn check(golden: &Golden, case: &str, found: &[Vec<f32>; 6]) -> usize {
    let mut checked = 0;
    for (part, found) in ["y", "dx", "scale", "zero", "ds", "dz"].iter().zip(found) {
        let key = format!("{case}.{part}");
        if golden.keys().any(|k| k == key) {
            let wanted = golden.values(&key);
            if *part == "ds" {
                // Terms cancel: what is left is as exact as they are.
                let sizes = golden.values(&format!("{case}.sizes"));
                for ((a, b), size) in wide(found).iter().zip(wanted).zip(sizes) {
                    assert!((a - b).abs() <= 1e-6 * size, "{key}: {a} {b} of {size}");
                }
            } else {
                assert_close(&key, &wide(found), &wanted, 1e-6);
            }
            checked += 1;
        }
    }
    checked
}
