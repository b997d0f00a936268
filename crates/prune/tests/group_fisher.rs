//! Group Fisher pruning against the original: `tools/golden/group_fisher.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{MOBILENET, RESNET, SEED, algorithm, batch};
use occam_testing::{Golden, assert_close, values};
use occam_train::{Algorithm, StepContext};

fn config(architecture: &str, kind: &str, interval: u64) -> String {
    format!(
        "dict(type='mmrazor.GroupFisherAlgorithm', architecture={architecture}, interval={interval}, \
         mutator=dict(type='GroupFisherChannelMutator', \
         parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer'), \
         channel_unit_cfg=dict(type='GroupFisherChannelUnit', default_args=dict(normalization_type='{kind}'))))"
    )
}

/// Step `iter`, on the images that the script has at that step; no weight moves.
fn step(algorithm: &mut dyn Algorithm, iter: u64, images: u64) -> Vec<String> {
    let batch = batch(&format!("images{images}"), &format!("labels{images}"), [8, 3, 16, 16]);
    algorithm.train_step(&batch, &StepContext { epoch: 0, iter, seed: SEED }).unwrap().notes
}

/// By unit the importances so far.
fn importances(algorithm: &dyn Algorithm) -> Vec<(String, Vec<f64>)> {
    let state = algorithm.state().unwrap();
    let of =
        |(name, array): (&String, _)| Some((name.strip_prefix("importance/")?.to_owned(), values(array)));
    state.iter().filter_map(of).collect()
}

#[test]
fn importances_are_the_original_s() {
    let golden = Golden::load("group_fisher");
    for (name, architecture, kinds) in
        [("resnet", RESNET, &["flops", "act", "none"][..]), ("mobilenet", MOBILENET, &["act", "none"][..])]
    {
        for kind in kinds {
            let mut algorithm = algorithm(&config(architecture, kind, 100)).unwrap();
            (0..2).for_each(|i| assert_eq!(step(&mut *algorithm, i, i), [""; 0]));
            let found = importances(&*algorithm);
            let prefix = format!("{name}.{kind}.");
            let wanted = golden.keys().filter(|k| k.starts_with(&prefix)).count();
            assert_eq!(found.len(), wanted, "{prefix}");
            for (unit, found) in found {
                let wanted = golden.values(&format!("{prefix}{unit}"));
                assert_close(&format!("{prefix}{unit}"), &found, &wanted, 2e-4);
            }
        }
    }
}

#[test]
fn channels_go_in_the_original_s_order() {
    let golden = Golden::load("group_fisher");
    for (name, architecture, kind) in [
        ("resnet", RESNET, "flops"),
        ("resnet", RESNET, "act"),
        ("resnet", RESNET, "none"),
        ("mobilenet", MOBILENET, "act"),
    ] {
        let mut algorithm = algorithm(&config(architecture, kind, 2)).unwrap();
        let order = golden.json(&format!("{name}.{kind}.order"));
        for (number, wanted) in order.as_array().unwrap().iter().enumerate() {
            let first = 4 + 2 * number as u64;
            // The channel goes before the step after the two that are counted.
            (0..2).for_each(|i| _ = step(&mut *algorithm, 2 * number as u64 + i, (first + i) % 6));
            let (unit, least) = (wanted[0].as_str().unwrap(), wanted[2].as_f64().unwrap());
            let own = importances(&*algorithm).into_iter().find(|(n, _)| n == unit).unwrap().1;
            let found = own.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert_eq!(found.0 as u64, wanted[1].as_u64().unwrap(), "{name} {kind} {number}: {unit}");
            assert_close(&format!("{name} {kind} {number}"), &[found.1], &[least], 1e-3);
            let of = |a: &dyn Algorithm| a.units().into_iter().find(|u| u.name == unit).unwrap().width;
            let before = of(&*algorithm);
            // Of a copy of the state, so that the step counts nothing.
            let notes = step(&mut *algorithm, 2 * number as u64 + 2, 0);
            assert!(notes[0].starts_with(&format!("`{unit}` lost a channel")), "{number}: {notes:?}");
            assert_eq!(of(&*algorithm) + 1, before);
            forget(&mut *algorithm);
        }
    }
}

/// Begins the sums anew.
fn forget(algorithm: &mut dyn Algorithm) {
    let mut state = algorithm.state().unwrap();
    for array in state.values_mut() {
        let zeros = vec![0u8; array.to_le_bytes().len()];
        *array = occam_graph::Array::from_le_bytes(array.dtype(), array.shape(), &zeros).unwrap();
    }
    algorithm.load_state(&state).unwrap();
}

#[test]
fn one_channel_goes_every_interval_and_no_unit_vanishes() {
    let mut algorithm = algorithm(&config(RESNET, "none", 1)).unwrap();
    let width = |a: &dyn Algorithm| a.units().iter().filter(|u| u.mutable).map(|u| u.width).sum::<usize>();
    let (all, units) = (width(&*algorithm), algorithm.units().iter().filter(|u| u.mutable).count());
    for iter in 0..all as u64 {
        let notes = step(&mut *algorithm, iter, iter % 3);
        assert_eq!(width(&*algorithm), (all - iter as usize).max(units));
        if iter as usize > all - units {
            assert_eq!(notes, ["no channel was pruned: every unit has one left"]);
        }
    }
    assert!(algorithm.units().iter().all(|u| u.width == 1 || !u.mutable));
    // The unit that the fully connected layer reads stays.
    assert_eq!(
        algorithm.units().iter().filter(|u| u.width > 1).map(|u| u.width).collect::<Vec<_>>(),
        [3, 12, 5]
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |text: String| algorithm(&text).err().unwrap_or_else(|| panic!("{text} is accepted"));
    let error = refused(config(RESNET, "flops", 0));
    assert!(error.contains("`interval` must be at least 1"), "{error}");
    let error = refused(config(RESNET, "macs", 1));
    assert!(error.contains("unknown value \"macs\""), "{error}");
    let error = refused(format!(
        "dict(type='GroupFisherAlgorithm', architecture={RESNET}, mutator=dict(type='ChannelMutator'))"
    ));
    assert!(error.contains("`SequentialMutableChannelUnit` are not measured by gradients"), "{error}");
    let error = refused(format!(
        "dict(type='GroupFisherAlgorithm', architecture={RESNET}, init_cfg=dict(type='Pretrained', checkpoint='a.pth'))"
    ));
    assert!(error.contains("is for a `GroupFisherSubModel`"), "{error}");
    let vit = "dict(type='ImageClassifier', backbone=dict(type='VisionTransformer', arch='deit-tiny', img_size=32, \
        patch_size=16), neck=None, head=dict(type='VisionTransformerClsHead', num_classes=5, in_channels=192))";
    let error = refused(config(vit, "flops", 1));
    assert!(error.contains("no unit of the model may lose channels"), "{error}");
}
