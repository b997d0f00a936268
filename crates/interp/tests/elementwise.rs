//! Elementwise operators: values from ONNX's texts and NumPy, differences between versions, refusals.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, DType, Data};
use occam_interp::evaluate;

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_f32(shape, v.to_vec()).unwrap()
}

fn i64s(shape: &[usize], v: &[i64]) -> Array {
    Array::from_i64(shape, v.to_vec()).unwrap()
}

fn run(op: &str, version: i64, inputs: &[Array]) -> Array {
    with(Onnx::new(op, version, inputs.len()), inputs)
}

fn with(op: Onnx, inputs: &[Array]) -> Array {
    evaluate(&op, inputs).unwrap().remove(0)
}

fn refused(op: Onnx, inputs: &[Array]) -> String {
    evaluate(&op, inputs).unwrap_err().to_string()
}

fn near(found: &Array, wanted: &[f32]) {
    let found = found.as_f32().unwrap();
    assert_eq!(found.len(), wanted.len());
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-6 + 1e-6 * b.abs(), "{found:?}, not {wanted:?}");
    }
}

#[test]
fn operands_broadcast_along_any_axes() {
    let a = i64s(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let b = i64s(&[2, 1], &[10, 20]);
    let sum = run("Add", 14, &[a.clone(), b.clone()]);
    assert_eq!(sum, i64s(&[2, 2, 3], &[11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26]));
    let difference = run("Sub", 14, &[b, a.clone()]);
    assert_eq!(difference, i64s(&[2, 2, 3], &[9, 8, 7, 19, 18, 17, 6, 5, 4, 16, 15, 14]));
    assert_eq!(run("Mul", 14, &[a.clone(), i64s(&[], &[-1])]), run("Neg", 13, std::slice::from_ref(&a)));
    assert_eq!(run("Add", 14, &[i64s(&[0, 3], &[]), i64s(&[3], &[1, 2, 3])]), i64s(&[0, 3], &[]));
    assert!(refused(Onnx::new("Add", 14, 2), &[a, i64s(&[2], &[1, 2])]).contains("broadcast"));
}

#[test]
fn integers_are_exact() {
    let big = i64s(&[2], &[i64::MAX, i64::MIN]);
    assert_eq!(run("Add", 14, &[big.clone(), i64s(&[], &[1])]), i64s(&[2], &[i64::MIN, i64::MIN + 1]));
    assert_eq!(run("Div", 14, &[big, i64s(&[], &[-1])]), i64s(&[2], &[-i64::MAX, i64::MIN]));
    assert_eq!(run("Div", 14, &[i64s(&[2], &[-7, 7]), i64s(&[], &[2])]), i64s(&[2], &[-3, 3]));
    let odd = (1i64 << 53) + 1;
    assert_eq!(run("Pow", 15, &[i64s(&[], &[odd]), f32s(&[], &[1.0])]), i64s(&[], &[odd - 1]));
    assert_eq!(run("Pow", 15, &[i64s(&[], &[odd]), i64s(&[], &[1])]), i64s(&[], &[odd]));
    let wide = Array::new([2], Data::U64(vec![u64::MAX, 1])).unwrap();
    let one = Array::new([1], Data::U64(vec![1])).unwrap();
    assert_eq!(run("Max", 13, &[wide.clone(), one.clone()]), wide);
    assert_eq!(run("Greater", 13, &[wide, one]), Array::new([2], Data::Bool(vec![true, false])).unwrap());
}

#[test]
fn nothing_is_divided_by_zero() {
    let (a, zero) = (i64s(&[1], &[1]), i64s(&[1], &[0]));
    for op in ["Div", "Mod"] {
        assert!(refused(Onnx::new(op, 14, 2), &[a.clone(), zero.clone()]).contains("division by 0"));
    }
    assert_eq!(run("Div", 14, &[f32s(&[1], &[1.0]), f32s(&[1], &[0.0])]), f32s(&[1], &[f32::INFINITY]));
}

#[test]
fn remainders_have_the_sign_of_an_operand() {
    let (a, b) = (i64s(&[4], &[-4, 7, 5, -7]), i64s(&[4], &[2, -3, 8, 3]));
    assert_eq!(run("Mod", 13, &[a.clone(), b.clone()]), i64s(&[4], &[0, -2, 5, 2]));
    let fmod = Onnx::new("Mod", 13, 2).with("fmod", Attribute::Int(1));
    assert_eq!(with(fmod, &[a, b]), i64s(&[4], &[0, 1, 5, -1]));
    assert!(refused(Onnx::new("Mod", 13, 2), &[f32s(&[1], &[1.0]), f32s(&[1], &[1.0])]).contains("fmod"));
}

#[test]
fn bits_shifted_out_are_lost() {
    let shift =
        |direction: &str| Onnx::new("BitShift", 11, 2).with("direction", Attribute::String(direction.into()));
    let u8s = |v: &[u8]| Array::new([v.len()], Data::U8(v.to_vec())).unwrap();
    assert_eq!(with(shift("LEFT"), &[u8s(&[16, 4, 1]), u8s(&[1, 7, 8])]), u8s(&[32, 0, 0]));
    assert_eq!(with(shift("RIGHT"), &[u8s(&[16, 4, 1]), u8s(&[1, 2, 200])]), u8s(&[8, 1, 0]));
    assert!(refused(shift("UP"), &[u8s(&[1]), u8s(&[1])]).contains("direction"));
}

#[test]
fn limits_are_attributes_before_version_11() {
    let x = f32s(&[4], &[-2.0, 0.5, 3.0, f32::NAN]);
    let old = Onnx::new("Clip", 6, 1).with("min", Attribute::Float(-1.0)).with("max", Attribute::Float(1.0));
    assert_eq!(&with(old, std::slice::from_ref(&x)).as_f32().unwrap()[..3], &[-1.0, 0.5, 1.0]);
    let clipped = run("Clip", 13, &[x.clone(), f32s(&[], &[0.0]), f32s(&[], &[2.0])]);
    assert_eq!(&clipped.as_f32().unwrap()[..3], &[0.0, 0.5, 2.0]);
    assert!(clipped.as_f32().unwrap()[3].is_nan());
    let mut upper = Onnx::new("Clip", 13, 3);
    upper.inputs[1] = false;
    assert_eq!(&with(upper, &[x.clone(), f32s(&[], &[0.0])]).as_f32().unwrap()[..3], &[-2.0, 0.0, 0.0]);
    assert!(evaluate(&Onnx::new("Clip", 13, 2), &[x, i64s(&[], &[0])]).is_err());
}

#[test]
fn activations_have_their_defaults() {
    let x = f32s(&[3], &[-1.0, 0.0, 2.0]);
    let one = |op: &str| run(op, 22, std::slice::from_ref(&x));
    near(&one("Relu"), &[0.0, 0.0, 2.0]);
    near(&one("LeakyRelu"), &[-0.01, 0.0, 2.0]);
    near(&one("Elu"), &[-0.632_120_55, 0.0, 2.0]);
    near(&one("Selu"), &[-1.111_330_7, 0.0, 2.101_402]);
    near(&one("Sigmoid"), &[0.268_941_43, 0.5, 0.880_797_1]);
    near(&one("HardSigmoid"), &[0.3, 0.5, 0.9]);
    near(&one("HardSwish"), &[-0.333_333_34, 0.0, 1.666_666_6]);
    near(&one("Softplus"), &[0.313_261_7, std::f32::consts::LN_2, 2.126_928]);
    near(&one("Mish"), &[-0.303_401_47, 0.0, 1.943_958_9]);
    near(&one("Gelu"), &[-0.158_655_26, 0.0, 1.954_499_7]);
    let tanh = Onnx::new("Gelu", 20, 1).with("approximate", Attribute::String("tanh".into()));
    near(&with(tanh, std::slice::from_ref(&x)), &[-0.158_808, 0.0, 1.954_597_7]);
    near(&run("PRelu", 16, &[x.clone(), f32s(&[1], &[0.25])]), &[-0.25, 0.0, 2.0]);
    assert!(evaluate(&Onnx::new("PRelu", 16, 2), &[x, f32s(&[2, 1], &[0.1, 0.2])]).is_err());
}

#[test]
fn casts_cut_round_and_wrap() {
    let to = |n: i64| Onnx::new("Cast", 13, 1).with("to", Attribute::Int(n));
    let x = f32s(&[4], &[-1.9, 0.0, 2.5, 300.0]);
    assert_eq!(with(to(7), std::slice::from_ref(&x)), i64s(&[4], &[-1, 0, 2, 300]));
    assert_eq!(
        with(to(9), std::slice::from_ref(&x)),
        Array::new([4], Data::Bool(vec![true, false, true, true])).unwrap()
    );
    let exact = i64s(&[1], &[i64::MAX]);
    assert!(with(to(13), std::slice::from_ref(&exact)).data() == &Data::U64(vec![i64::MAX as u64]));
    assert!(with(to(3), &[i64s(&[1], &[257])]).data() == &Data::I8(vec![1]));
    assert_eq!(with(to(16), &[x]).dtype(), DType::BF16);
    assert!(refused(to(14), &[exact]).contains("not supported"));
}

#[test]
fn where_takes_three_shapes() {
    let condition = Array::new([2, 1], Data::Bool(vec![true, false])).unwrap();
    let (x, y) = (i64s(&[3], &[1, 2, 3]), i64s(&[], &[9]));
    assert_eq!(run("Where", 16, &[condition.clone(), x.clone(), y]), i64s(&[2, 3], &[1, 2, 3, 9, 9, 9]));
    assert!(evaluate(&Onnx::new("Where", 16, 3), &[condition, x.clone(), f32s(&[], &[1.0])]).is_err());
    assert!(evaluate(&Onnx::new("Where", 16, 3), &[x.clone(), x.clone(), x]).is_err());
}
