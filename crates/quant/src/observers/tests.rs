//! Against PyTorch, the original, ONNX Runtime and NumPy: `tools/golden/quant_observers.py` and `quant_histograms.py`.

use occam_config::Registry;
use occam_testing::{Golden, assert_close, fill, unit};

use super::*;
use crate::QDtype;

/// What the golden's observers were made for, in its order.
fn schemes(ch_axis: Option<usize>) -> Vec<QScheme> {
    let mut all = Vec::new();
    for qdtype in [QDtype::Qint8, QDtype::Quint8] {
        for bit in 2..9 {
            for is_symmetry in [true, false] {
                for is_symmetric_range in [false, true] {
                    if qdtype == QDtype::Qint8 || !is_symmetric_range {
                        all.push(QScheme {
                            qdtype,
                            bit,
                            is_symmetry,
                            is_symmetric_range,
                            ch_axis,
                            group: None,
                        });
                    }
                }
            }
        }
    }
    all
}

fn built(text: &str) -> Box<dyn ObserverConfig> {
    let mut registry = Registry::new();
    register(&mut registry);
    let config = occam_config::Loader::new().load_str("a.py", &format!("x = dict({text})\n")).unwrap();
    registry.build::<dyn ObserverConfig>(config.get("x").unwrap()).unwrap()
}

fn wide(list: &[f32]) -> Vec<f64> {
    list.iter().map(|&x| f64::from(x)).collect()
}

/// Scales, zero points and ranges after three tensors, of 2 to 8 bits with all kinds of ranges.
#[test]
fn observers_are_pytorchs() {
    let golden = Golden::load("quant_observers");
    let ranges = [(-1.0, 2.0), (-2.5, 0.5), (0.25, 3.0)];
    let shape = [4, 6, 5];
    for (name, more) in [
        ("MinMaxObserver", ""),
        ("PerChannelMinMaxObserver", ""),
        ("MovingAverageMinMaxObserver", ", averaging_constant=0.1"),
        ("MovingAveragePerChannelMinMaxObserver", ", averaging_constant=0.1"),
        ("LSQObserver", ""),
        ("LSQPerChannelObserver", ""),
    ] {
        let config = built(&format!("type='mmrazor.{name}'{more}"));
        let (mut scales, mut zeros) = (Vec::new(), Vec::new());
        let mut range = (Vec::new(), Vec::new());
        for scheme in schemes(name.contains("PerChannel").then_some(0)) {
            let mut observer = config.observer(scheme);
            for (i, (low, high)) in ranges.into_iter().enumerate() {
                let x = fill(&format!("observer.{i}"), &shape, low, high);
                observer.observe(x.as_f32().unwrap(), &shape).unwrap();
            }
            let grid = observer.qparams().unwrap();
            scales.extend(wide(&grid.scale));
            zeros.extend(grid.zero_point.iter().map(|&z| f64::from(z)));
            range = (wide(observer.range().0), wide(observer.range().1));
        }
        let wanted = |part: &str| golden.values(&format!("{name}.{part}"));
        let each = scales.iter().zip(wanted("scale")).map(|(a, b)| (a / b - 1.0).abs());
        assert!(each.fold(0.0, f64::max) < 1e-6, "{name}");
        assert_eq!(zeros, wanted("zero"), "{name}");
        assert_close(name, &range.0, &wanted("min"), 1e-6);
        assert_close(name, &range.1, &wanted("max"), 1e-6);
    }
}

/// The golden's `bell`.
fn bell(name: &str, scale: f64) -> Vec<f32> {
    let u = unit(name, 4 * 20_000);
    let of = |u: &[f64]| {
        let x = ((u[0] + u[1]) + u[2] + u[3] - 2.0) * scale;
        (x * (1.0 + 0.5 * x * x)) as f32
    };
    u.chunks(4).map(of).collect()
}

fn data() -> Vec<Vec<f32>> {
    let mut all: Vec<Vec<f32>> = [0.5, 1.0, 0.75, 1.5]
        .into_iter()
        .enumerate()
        .map(|(i, s)| bell(&format!("histogram.{i}"), s))
        .collect();
    all[2].iter_mut().for_each(|x| *x = x.max(0.0));
    all
}

fn observe(observer: &mut dyn Observer, data: &[Vec<f32>]) {
    for x in data {
        observer.observe(x, &[x.len()]).unwrap();
    }
}

fn check(what: &str, observer: &LeastNorm, wanted: &[f64]) {
    let (low, high) = observer.chosen().unwrap();
    let grid = observer.qparams().unwrap();
    assert_close(what, &wide(&[low, high]), &wanted[..2], 1e-6);
    assert_close(what, &wide(&grid.scale), &wanted[2..3], 1e-6);
    assert_eq!(f64::from(grid.zero_point[0]), wanted[3], "{what}");
}

#[test]
fn histograms_are_pytorchs() {
    let golden = Golden::load("quant_histograms");
    let data = data();
    for upsample_rate in [128, 16] {
        let config = HistogramObserver { upsample_rate, ..HistogramObserver::default() };
        for (qdtype, name) in [(QDtype::Qint8, "qint8"), (QDtype::Quint8, "quint8")] {
            for bit in [3, 4, 6, 8] {
                for is_symmetry in [true, false] {
                    let scheme = QScheme {
                        qdtype,
                        bit,
                        is_symmetry,
                        is_symmetric_range: false,
                        ch_axis: None,
                        group: None,
                    };
                    let mut observer = LeastNorm::new(scheme, config);
                    observe(&mut observer, &data);
                    let key =
                        format!("HistogramObserver.{name}.{bit}.{}.{upsample_rate}", u8::from(is_symmetry));
                    check(&key, &observer, &golden.values(&key));
                    let counts = golden.values(&format!("HistogramObserver.histogram.{upsample_rate}"));
                    assert_close(&key, &wide(observer.histogram()), &counts, 1e-6);
                }
            }
        }
    }
    let mut observer = LeastNorm::new(QScheme::activations(8), HistogramObserver::default());
    let tail = [&data[2][..], &[60.0]].concat();
    observe(&mut observer, &[data[2].clone(), tail]);
    check("tail", &observer, &golden.values("HistogramObserver.tail"));
}

fn ranged(rule: Rule, bits: u32) -> Ranged {
    let mut observer = Ranged::new(QScheme::activations(bits), rule);
    observe(&mut observer, &data());
    observer
}

/// Within a bin of what NumPy finds among the elements, and two of what ONNX Runtime's collector does, whose bins are as wide.
#[test]
fn percentiles_are_numpys() {
    let golden = Golden::load("quant_histograms");
    for p in ["99.00125", "99.90125", "99.99125"] {
        let observer = ranged(Rule::Percentile(p.parse().unwrap()), 8);
        let (low, high) = observer.chosen().unwrap();
        let (min, max) = (observer.range().0[0], observer.range().1[0]);
        // The range takes up more than a quarter of the bins, however often they were doubled.
        let bin = f64::from(max - min) / 512.0;
        for (key, bins) in [(format!("percentile.{p}.exact"), 1.0), (format!("percentile.{p}"), 2.0)] {
            for (found, wanted) in [low, high].into_iter().zip(golden.values(&key)) {
                assert!((f64::from(found) - wanted).abs() <= bins * bin, "{key}: {found} {wanted}");
            }
        }
    }
}

/// A matrix with groups is one with as many more rows.
#[test]
fn groups_are_observed_as_rows() {
    let x: Vec<f32> = unit("groups", 48).iter().map(|&x| x as f32).collect();
    let channels = QScheme::weights(4, Some(0));
    let grouped = QScheme { group: Some(4), ..channels };
    for name in ["PerChannelMinMaxObserver", "MovingAveragePerChannelMinMaxObserver", "LSQPerChannelObserver"]
    {
        let config = built(&format!("type='mmrazor.{name}'"));
        let (mut groups, mut rows) = (config.observer(grouped), config.observer(channels));
        groups.observe(&x, &[4, 12]).unwrap();
        rows.observe(&x, &[12, 4]).unwrap();
        assert_eq!(groups.qparams().unwrap(), rows.qparams().unwrap(), "{name}");
        assert!(config.observer(grouped).observe(&x[..40], &[4, 10]).is_err());
    }
}

/// By the elements themselves, no range of the same steps loses less by more than a hundredth.
#[test]
fn squared_errors_are_least() {
    let golden = Golden::load("quant_histograms");
    let grid = ranged(Rule::Mse, 4).qparams().unwrap();
    let (scale, zero) = (grid.scale[0], grid.zero_point[0] as f32);
    let error =
        |x: f32| f64::from((((x / scale).round_ties_even() + zero).clamp(0.0, 15.0) - zero) * scale - x);
    let loss: f64 = data().concat().into_iter().map(|x| error(x).powi(2)).sum();
    assert!(loss <= 1.01 * golden.values("mse")[0], "{loss} {:?}", golden.values("mse"));
}

/// ONNX Runtime searches ranges around 0 alone, in several times as many bins, and rounds what it spreads over them to whole counts:
/// the divergences of the two are not the same, and their ranges differ by less than a factor of 2 here.
#[test]
fn divergences_are_near_onnxruntimes() {
    let wanted = Golden::load("quant_histograms").values("entropy");
    let (low, high) = ranged(Rule::Entropy, 8).chosen().unwrap();
    for (found, wanted) in [low, high].into_iter().zip(wanted) {
        let ratio = f64::from(found) / wanted;
        assert!((0.5..2.0).contains(&ratio), "{found} {wanted}");
    }
}
