//! Operators that work along axes: values from ONNX's texts and NumPy, differences between versions, refusals.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::f32::consts::LN_2;

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, Data};
use occam_interp::evaluate;

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_f32(shape, v.to_vec()).unwrap()
}

fn i64s(shape: &[usize], v: &[i64]) -> Array {
    Array::from_i64(shape, v.to_vec()).unwrap()
}

fn op(name: &str, version: i64, inputs: usize, ints: &[(&str, i64)]) -> Onnx {
    ints.iter().fold(Onnx::new(name, version, inputs), |o, (k, v)| o.with(k, Attribute::Int(*v)))
}

fn run(op: &Onnx, inputs: &[Array]) -> Array {
    evaluate(op, inputs).unwrap().remove(0)
}

fn near(found: &Array, shape: &[usize], wanted: &[f32]) {
    assert_eq!(found.shape(), shape);
    let found = found.as_f32().unwrap();
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{found:?}, not {wanted:?}");
    }
}

#[test]
fn axes_are_an_operand_in_newer_versions() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let old = op("ReduceSum", 11, 1, &[("keepdims", 0)]).with("axes", Attribute::Ints(vec![-1]));
    assert_eq!(run(&old, std::slice::from_ref(&x)), i64s(&[2], &[6, 15]));
    let new = op("ReduceSum", 13, 2, &[]);
    assert_eq!(run(&new, &[x.clone(), i64s(&[1], &[0])]), i64s(&[1, 3], &[5, 7, 9]));
    let none = i64s(&[0], &[]);
    assert_eq!(run(&new, &[x.clone(), none.clone()]), i64s(&[1, 1], &[21]));
    assert_eq!(run(&op("ReduceSum", 13, 2, &[("noop_with_empty_axes", 1)]), &[x.clone(), none]), x);
    assert!(evaluate(&new, &[x, i64s(&[1], &[2])]).is_err());
}

#[test]
fn reductions_of_nothing_have_values() {
    let x = f32s(&[2, 0], &[]);
    let all = |name: &str| run(&op(name, 18, 2, &[("keepdims", 0)]), &[x.clone(), i64s(&[1], &[1])]);
    near(&all("ReduceSum"), &[2], &[0.0; 2]);
    near(&all("ReduceProd"), &[2], &[1.0; 2]);
    assert_eq!(all("ReduceMax").as_f32().unwrap(), &[f32::NEG_INFINITY; 2]);
    assert_eq!(all("ReduceLogSumExp").as_f32().unwrap(), &[f32::NEG_INFINITY; 2]);
    let huge = Array::from_f32([1 << 40, 0], vec![]).unwrap();
    assert!(evaluate(&op("ReduceSum", 13, 2, &[]), &[huge, i64s(&[1], &[1])]).is_err());
}

#[test]
fn reductions_do_not_overflow_where_they_need_not() {
    let x = f32s(&[2], &[1000.0, 1000.0]);
    near(&run(&op("ReduceLogSumExp", 13, 1, &[]), &[x]), &[1], &[1_000.693_1]);
    let x = i64s(&[3], &[i64::MAX, i64::MAX, i64::MAX]);
    assert_eq!(run(&op("ReduceMean", 18, 1, &[("keepdims", 0)]), &[x]), i64s(&[], &[i64::MAX]));
}

#[test]
fn truth_values_reduce_since_version_20() {
    let x = Array::new([2, 2], Data::Bool(vec![true, false, true, true])).unwrap();
    let axes = i64s(&[1], &[1]);
    let least = run(&op("ReduceMin", 20, 2, &[("keepdims", 0)]), &[x.clone(), axes.clone()]);
    assert!(least.data() == &Data::Bool(vec![false, true]));
    assert!(evaluate(&op("ReduceMin", 18, 2, &[]), &[x, axes]).is_err());
}

#[test]
fn ties_go_to_the_first_or_the_last() {
    let x = i64s(&[2, 3], &[3, 1, 3, 2, 2, 0]);
    let first = op("ArgMax", 13, 1, &[("axis", 1), ("keepdims", 0)]);
    assert_eq!(run(&first, std::slice::from_ref(&x)), i64s(&[2], &[0, 0]));
    let last = op("ArgMax", 13, 1, &[("axis", 1), ("select_last_index", 1)]);
    assert_eq!(run(&last, &[x]), i64s(&[2, 1], &[2, 1]));
    assert!(evaluate(&first, &[Array::from_f32([2, 0], vec![]).unwrap()]).is_err());
}

#[test]
fn sums_run_both_ways() {
    let x = i64s(&[3], &[1, 2, 3]);
    let axis = i64s(&[], &[0]);
    let sums = |ints: &[(&str, i64)]| run(&op("CumSum", 14, 2, ints), &[x.clone(), axis.clone()]);
    assert_eq!(sums(&[]), i64s(&[3], &[1, 3, 6]));
    assert_eq!(sums(&[("exclusive", 1)]), i64s(&[3], &[0, 1, 3]));
    assert_eq!(sums(&[("reverse", 1)]), i64s(&[3], &[6, 5, 3]));
    assert_eq!(sums(&[("exclusive", 1), ("reverse", 1)]), i64s(&[3], &[5, 3, 0]));
}

#[test]
fn softmax_is_over_all_further_axes_before_version_13() {
    let x = f32s(&[1, 2, 2], &[0.0; 4]);
    near(&run(&op("Softmax", 11, 1, &[]), std::slice::from_ref(&x)), &[1, 2, 2], &[0.25; 4]);
    near(&run(&op("Softmax", 13, 1, &[]), std::slice::from_ref(&x)), &[1, 2, 2], &[0.5; 4]);
    near(&run(&op("LogSoftmax", 13, 1, &[("axis", 1)]), std::slice::from_ref(&x)), &[1, 2, 2], &[-LN_2; 4]);
    near(&run(&op("Hardmax", 13, 1, &[]), std::slice::from_ref(&x)), &[1, 2, 2], &[1.0, 0.0, 1.0, 0.0]);
    let large = f32s(&[2], &[1e4, 1e4]);
    near(&run(&op("Softmax", 13, 1, &[]), &[large]), &[2], &[0.5; 2]);
    assert!(evaluate(&op("Softmax", 13, 1, &[("axis", 3)]), &[x]).is_err());
}

#[test]
fn batch_normalization_trains_since_version_14() {
    let x = f32s(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let one = |v: f32| f32s(&[1], &[v]);
    let operands = [x, one(2.0), one(1.0), one(0.5), one(4.0)];
    let used = op("BatchNormalization", 9, 5, &[]).with("epsilon", Attribute::Float(0.0));
    near(&run(&used, &operands), &[2, 1, 2], &[1.5, 2.5, 3.5, 4.5]);
    let mut trained = op("BatchNormalization", 15, 5, &[("training_mode", 1)]);
    trained.outputs = vec![true; 3];
    let found = evaluate(&trained, &operands).unwrap();
    near(&found[0], &[2, 1, 2], &[-1.683_271, 0.105_576, 1.894_424, 3.683_271]);
    near(&found[1], &[1], &[0.5 * 0.9 + 2.5 * 0.1]);
    near(&found[2], &[1], &[4.0 * 0.9 + 1.25 * 0.1]);
    assert!(evaluate(&used, &operands[..4]).is_err());
}

#[test]
fn groups_scale_by_group_before_version_21() {
    let x = f32s(&[1, 4, 1], &[0.0, 2.0, 0.0, 2.0]);
    let by_group = [x.clone(), f32s(&[2], &[1.0, 2.0]), f32s(&[2], &[0.0, 1.0])];
    let by_channel = [x, f32s(&[4], &[1.0, 1.0, 2.0, 2.0]), f32s(&[4], &[0.0, 0.0, 1.0, 1.0])];
    let wanted = [-1.0, 1.0, -1.0, 3.0];
    near(&run(&op("GroupNormalization", 18, 3, &[("num_groups", 2)]), &by_group), &[1, 4, 1], &wanted);
    near(&run(&op("GroupNormalization", 21, 3, &[("num_groups", 2)]), &by_channel), &[1, 4, 1], &wanted);
    assert!(evaluate(&op("GroupNormalization", 21, 3, &[("num_groups", 2)]), &by_group).is_err());
    assert!(evaluate(&op("GroupNormalization", 21, 3, &[("num_groups", 3)]), &by_channel).is_err());
}

#[test]
fn layer_normalization_tells_its_statistics() {
    let x = f32s(&[2, 2], &[1.0, 3.0, 2.0, 6.0]);
    let mut layer = op("LayerNormalization", 17, 2, &[]).with("epsilon", Attribute::Float(0.0));
    layer.outputs = vec![true; 3];
    let found = evaluate(&layer, &[x.clone(), f32s(&[2], &[1.0, 2.0])]).unwrap();
    near(&found[0], &[2, 2], &[-1.0, 2.0, -1.0, 2.0]);
    near(&found[1], &[2, 1], &[2.0, 4.0]);
    near(&found[2], &[2, 1], &[1.0, 0.5]);
    let rms = op("RMSNormalization", 23, 2, &[]);
    near(&run(&rms, &[x, f32s(&[2], &[1.0, 1.0])]), &[2, 2], &[0.447_213, 1.341_64, 0.447_213, 1.341_64]);
}

#[test]
fn losses_leave_ignored_targets_out() {
    let x = f32s(&[3, 2], &[-0.5, -1.0, -0.25, -2.0, -9.0, -9.0]);
    let target = i64s(&[3], &[0, 1, -1]);
    let loss = op("NegativeLogLikelihoodLoss", 13, 2, &[("ignore_index", -1)]);
    near(&run(&loss, &[x.clone(), target.clone()]), &[], &[1.25]);
    let weighted = op("NegativeLogLikelihoodLoss", 13, 3, &[("ignore_index", -1)]);
    near(&run(&weighted, &[x.clone(), target.clone(), f32s(&[2], &[1.0, 3.0])]), &[], &[6.5 / 4.0]);
    assert!(evaluate(&op("NegativeLogLikelihoodLoss", 13, 2, &[]), &[x, target]).is_err());
    let mut entropy = op("SoftmaxCrossEntropyLoss", 13, 2, &[]);
    entropy.outputs = vec![true; 2];
    let found = evaluate(&entropy, &[f32s(&[1, 2], &[0.0, 0.0]), i64s(&[1], &[1])]).unwrap();
    near(&found[0], &[], &[LN_2]);
    near(&found[1], &[1, 2], &[-LN_2; 2]);
}

#[test]
fn dropout_drops_nothing() {
    let x = f32s(&[2], &[1.0, 2.0]);
    let training = Array::new([], Data::Bool(vec![true])).unwrap();
    let dropout = op("Dropout", 13, 3, &[]);
    assert_eq!(run(&dropout, &[x.clone(), f32s(&[], &[0.0]), training.clone()]), x);
    let refused = evaluate(&dropout, &[x, f32s(&[], &[0.5]), training]).unwrap_err().to_string();
    assert!(refused.contains("not supported"));
}

#[test]
fn determinants_have_their_sign() {
    let swap = f32s(&[2, 2, 2], &[0.0, 1.0, 1.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    near(&run(&op("Det", 11, 1, &[]), &[swap]), &[2], &[-1.0, -2.0]);
    let cycle = f32s(&[3, 3], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    near(&run(&op("Det", 11, 1, &[]), &[cycle]), &[], &[1.0]);
    assert!(evaluate(&op("Det", 11, 1, &[]), &[f32s(&[1, 2], &[1.0, 2.0])]).is_err());
}

#[test]
fn windows_are_periodic_or_symmetric() {
    let hann = |ints: &[(&str, i64)]| run(&op("HannWindow", 17, 1, ints), &[i64s(&[], &[4])]);
    near(&hann(&[]), &[4], &[0.0, 0.5, 1.0, 0.5]);
    near(&hann(&[("periodic", 0)]), &[4], &[0.0, 0.75, 0.75, 0.0]);
    assert!(evaluate(&op("HannWindow", 17, 1, &[]), &[i64s(&[], &[-1])]).is_err());
}
