//! Multiply-accumulates at real widths are those of the estimator at whole ones.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use occam_graph::Bindings;
use occam_space::{Estimator, SmoothMacs, TraceOptions, trace};

use common::{MOBILENET, RESNET, model};

/// Concatenations: an axis of many units.
const DENSENET: &str = "dict(type='ImageClassifier', backbone=dict(type='DenseNet', arch=dict(growth_rate=4, \
    depths=[2, 2], init_channels=8)), neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', \
    num_classes=5, in_channels=16, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

#[test]
fn whole_widths_cost_what_the_estimator_says() {
    for text in [RESNET, MOBILENET, DENSENET] {
        let graph = model(text).graph().clone();
        let found = trace(&graph, &TraceOptions::default()).unwrap();
        let bindings = Bindings::from([("N".into(), 1), ("H".into(), 32), ("W".into(), 48)]);
        let smooth = SmoothMacs::new(&graph, &found, &bindings).unwrap();
        let estimator = Estimator::new(&graph, &found, &bindings).unwrap();
        for part in [1.0, 0.8, 0.5, 0.1] {
            let width = |(i, u): (usize, &occam_space::Unit)| match u.kept_by {
                // Each unit another part.
                None => ((u.channels as f64 * part) as usize + i % 3).clamp(1, u.channels),
                Some(_) => u.channels,
            };
            let widths: Vec<usize> = found.units.iter().enumerate().map(width).collect();
            let real: Vec<f64> = widths.iter().map(|&w| w as f64).collect();
            let (macs, slopes) = smooth.at(&real);
            let wanted = estimator.at(&widths).unwrap().macs as f64;
            assert!((macs - wanted).abs() < 1e-9 * wanted, "{part}: {macs} in place of {wanted}");
            assert!(slopes.iter().any(|s| *s > 0.0));
            for (unit, slope) in slopes.iter().enumerate() {
                // Costs are of second degree at most in each width: a difference around it is the derivative.
                let at = |by: f64| {
                    let mut other = real.clone();
                    other[unit] += by;
                    smooth.at(&other).0
                };
                assert!((at(0.5) - at(-0.5) - slope).abs() < 1e-6 * wanted, "{part}: unit {unit}");
            }
        }
    }
}
