//! Each operation by burn against the processor's kernel, forward and backward, over random shapes: what a device without
//! kernels of ours computes is the same to rounding.

use std::sync::Arc;

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, Flex};
use proptest::prelude::*;

use super::*;
use crate::kernels::batch_norm::Saved;
use crate::kernels::flex::{FlexTensor, build, dense, elements};
use crate::kernels::{
    Activation, AdamWRule, ConvGeometry, KernelGrads, QuantRange, Reduction, SgdRule, TrainKernels,
};

type Checked = std::result::Result<(), TestCaseError>;

/// Numbers without pattern in [-1, 1).
fn noise(shape: &[usize], seed: u64) -> FlexTensor {
    let n: usize = shape.iter().product();
    let data = (0..n as u64).map(|i| {
        let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z >> 40) as f32 / (1u32 << 24) as f32).mul_add(2.0, -1.0)
    });
    build(shape, data.collect())
}

/// Equal shapes and types, and elements that differ by less than `1e-5` of the largest (at least 1).
fn same(what: &str, found: FlexTensor, wanted: FlexTensor) -> Checked {
    prop_assert_eq!(shape::<Flex>(&found), shape::<Flex>(&wanted), "{}", what);
    prop_assert_eq!(found.dtype(), DType::F32);
    let (found, wanted) = (dense(found), dense(wanted));
    let scale = elements(&wanted).iter().fold(1f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in elements(&found).iter().zip(elements(&wanted)).enumerate() {
        prop_assert!((a - b).abs() <= 1e-5 * scale, "{}, element {}: {} and {}", what, i, a, b);
    }
    Ok(())
}

fn all_same<const N: usize>(what: &str, found: [FlexTensor; N], wanted: [FlexTensor; N]) -> Checked {
    found.into_iter().zip(wanted).enumerate().try_for_each(|(i, (a, b))| same(&format!("{what} {i}"), a, b))
}

fn some_same<const N: usize>(
    what: &str,
    found: [Option<FlexTensor>; N],
    wanted: [Option<FlexTensor>; N],
) -> Checked {
    for (i, pair) in found.into_iter().zip(wanted).enumerate() {
        match pair {
            (Some(a), Some(b)) => same(&format!("{what} {i}"), a, b)?,
            (a, b) => prop_assert!(a.is_none() && b.is_none(), "{} {}: one of the two is none", what, i),
        }
    }
    Ok(())
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)]
}

/// `factor · x`, so that activations and ranges cut something off.
fn scaled(x: FlexTensor, factor: f32) -> FlexTensor {
    Flex::float_mul_scalar(x, factor.into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn activations(n in 1usize..4, c in 1usize..5, h in 1usize..6, act in activation(), seed in any::<u64>()) {
        let [a, b, grad] = [0, 1, 2].map(|i| scaled(noise(&[n, c, h, 3], seed ^ i), 8.0));
        same("activation", activation::forward::<Flex>(a.clone(), act), Flex::occam_activate(a.clone(), act))?;
        same("sum", activation::add::<Flex>(a.clone(), b.clone(), act), Flex::occam_add(a.clone(), b, act))?;
        let y = Flex::occam_activate(a, act);
        let found = activation::backward::<Flex>(y.clone(), grad.clone(), act);
        same("gradient", found, Flex::activation_grad(y, grad, act))?;
    }

    #[test]
    fn convolution(
        n in 1usize..4, groups in 1usize..4, cg in 1usize..4, og in 1usize..4,
        (h, w) in (1usize..9, 1usize..9), (kh, kw) in (1usize..4, 1usize..4),
        stride in prop::array::uniform2(1usize..4), pads in prop::array::uniform4(0usize..3),
        dilation in prop::array::uniform2(1usize..3), prefix in any::<bool>(), act in activation(),
        seed in any::<u64>(),
    ) {
        let reaches = [dilation[0] * (kh - 1), dilation[1] * (kw - 1)];
        prop_assume!(h + pads[0] + pads[1] > reaches[0] && w + pads[2] + pads[3] > reaches[1]);
        let o = groups * og;
        let more = usize::from(prefix);
        let g = ConvGeometry {
            stride,
            padding: [(pads[0], pads[1]), (pads[2], pads[3])],
            dilation,
            groups,
            outputs: prefix.then_some(o),
        };
        let x = noise(&[n, groups * cg, h, w], seed);
        let weight = noise(&[o + 2 * more, cg + more, kh, kw], !seed);
        let (scale, shift) = (noise(&[o], seed ^ 1), noise(&[o], seed ^ 2));
        let y = Flex::occam_conv2d(x.clone(), weight.clone(), g);
        same("plain", conv::forward::<Flex>(x.clone(), weight.clone(), None, g), y.clone())?;
        let found = conv::forward::<Flex>(x.clone(), weight.clone(), Some(shift.clone()), g);
        same("biased", found, Flex::occam_conv2d_bias(x.clone(), weight.clone(), shift.clone(), g))?;
        let residual = noise(&shape::<Flex>(&y), seed ^ 3);
        let affine = channels::affine::<Flex>(y.clone(), scale.clone(), shift.clone());
        let (a, b) = (x.clone(), weight.clone());
        let wanted = Flex::occam_conv2d_affine(a, b, scale.clone(), shift.clone(), g, act);
        same("affine", activation::forward::<Flex>(affine.clone(), act), wanted)?;
        let (a, b) = (x.clone(), weight.clone());
        let wanted = Flex::occam_conv2d_residual(a, b, scale, shift, residual.clone(), g, act);
        same("residual", activation::add::<Flex>(affine, residual, act), wanted)?;
        let grad = noise(&shape::<Flex>(&y), seed ^ 4);
        for wanted in [[true, true], [true, false], [false, true]] {
            let found = conv::backward::<Flex>(x.clone(), weight.clone(), grad.clone(), g, wanted);
            let wanted = Flex::conv2d_grad(x.clone(), weight.clone(), grad.clone(), g, wanted);
            some_same("gradient", found, wanted)?;
        }
    }

    #[test]
    fn transposed_convolution(
        n in 1usize..3, groups in 1usize..3, cg in 1usize..4, og in 1usize..4, (h, w) in (1usize..6, 1usize..6),
        (kh, kw) in (1usize..4, 1usize..4), stride in prop::array::uniform2(1usize..4),
        pads in prop::array::uniform4(0usize..2), dilation in prop::array::uniform2(1usize..3), seed in any::<u64>(),
    ) {
        let more = [seed as usize % stride[0], (seed >> 8) as usize % stride[1]];
        let reach = |input: usize, kernel: usize, axis: usize| {
            let whole = (input - 1) * stride[axis] + dilation[axis] * (kernel - 1) + 1 + more[axis];
            whole.saturating_sub(pads[2 * axis] + pads[2 * axis + 1])
        };
        let size = [reach(h, kh, 0), reach(w, kw, 1)];
        prop_assume!(size[0] > 0 && size[1] > 0);
        let padding = [(pads[0], pads[1]), (pads[2], pads[3])];
        let g = ConvGeometry { stride, padding, dilation, groups, outputs: None };
        let x = noise(&[n, groups * cg, h, w], seed);
        let weight = noise(&[groups * cg, og, kh, kw], !seed);
        let y = Flex::occam_conv_transpose2d(x.clone(), weight.clone(), g, size);
        same("transposed", conv_transpose::forward::<Flex>(x.clone(), weight.clone(), g, size), y.clone())?;
        let grad = noise(&shape::<Flex>(&y), seed ^ 4);
        let found = conv_transpose::backward::<Flex>(x.clone(), weight.clone(), grad.clone(), g, [true; 2]);
        some_same("gradient", found, Flex::conv_transpose2d_grad(x, weight, grad, g, size, [true; 2]))?;
    }

    #[test]
    fn batch_normalization(
        n in 1usize..6, c in 1usize..5, h in 1usize..8, w in 1usize..8, act in activation(), seed in any::<u64>(),
    ) {
        prop_assume!(n * h * w > 2);
        let x = scaled(noise(&[n, c, h, w], seed), 3.0);
        let (weight, bias) = (scaled(noise(&[c], seed ^ 1), 4.0), noise(&[c], seed ^ 2));
        let eps = 1e-1;
        let found = batch_norm::forward::<Flex>(x.clone(), weight.clone(), bias.clone(), eps, act);
        let (y, mean, var) = Flex::occam_batch_norm(x.clone(), weight.clone(), bias.clone(), eps, act);
        // Where the activation has a corner, rounding decides on which side an element lies.
        let close = elements(&dense(y.clone())).iter().any(|&y| y != 0.0 && y != 6.0 && (y.abs() < 1e-3 || (y - 6.0).abs() < 1e-3));
        prop_assume!(!close);
        all_same("result", found.into(), [y.clone(), mean.clone(), var.clone()])?;
        let saved = Saved { x, weight, bias, mean, var, eps, activation: act };
        let grad = noise(&shape::<Flex>(&y), seed ^ 3);
        let found = batch_norm::backward::<Flex>(saved.clone(), grad.clone());
        all_same("gradient", found, Flex::batch_norm_grad(saved, grad))?;
    }

    #[test]
    fn channels_of_tensors(n in 1usize..4, c in 1usize..5, h in 1usize..5, groups in 1usize..4, seed in any::<u64>()) {
        let x = noise(&[n, groups * c, h, 3], seed);
        same("shuffled", channels::shuffle::<Flex>(x.clone(), groups), Flex::occam_shuffle(x.clone(), groups))?;
        let (start, count) = (groups - 1, (groups * c - groups + 1).min(c));
        let part = Flex::occam_take_channels(x.clone(), start, count);
        same("taken", channels::take::<Flex>(x.clone(), start, count), part.clone())?;
        let all = groups * c;
        same("put", channels::put::<Flex>(part.clone(), start, all), Flex::put_channels(part.clone(), start, all))?;
        let found = channels::concat::<Flex>(x.clone(), part.clone());
        same("joined", found, Flex::occam_concat_channels(x.clone(), part))?;
        let (scale, shift) = (noise(&[all], seed ^ 1), noise(&[all], seed ^ 2));
        let found = channels::affine::<Flex>(x.clone(), scale.clone(), shift.clone());
        same("affine", found, Flex::occam_channel_affine(x.clone(), scale, shift))?;
        same("sums", channels::sums::<Flex>(x.clone()), Flex::channel_sums(x))?;
    }

    #[test]
    fn pooling(
        n in 1usize..3, c in 1usize..3, (h, w) in (1usize..12, 1usize..12), kernel in prop::array::uniform2(1usize..4),
        stride in prop::array::uniform2(1usize..4), pads in prop::array::uniform2(0usize..2), ceil in any::<bool>(),
        include in any::<bool>(), seed in any::<u64>(),
    ) {
        prop_assume!(h >= kernel[0] && w >= kernel[1]);
        let padding = [pads[0].min(kernel[0] / 2), pads[1].min(kernel[1] / 2)];
        let size = |input: usize, axis: usize| {
            let room = input + 2 * padding[axis] - kernel[axis];
            let more = if ceil { stride[axis] - 1 } else { 0 };
            let windows = (room + more) / stride[axis] + 1;
            // As PyTorch: no window begins in the last padding.
            if ceil && (windows - 1) * stride[axis] >= input + padding[axis] { windows - 1 } else { windows }
        };
        let output = [size(h, 0), size(w, 1)];
        let pool = occam_kernels::pool::Pool { kernel, stride, padding, input: [h, w], output };
        let x = noise(&[n, c, h, w], seed);
        let adaptive = occam_kernels::pool::Adaptive { input: [h, w], output: kernel };
        for reduction in [
            Reduction::Max(pool),
            Reduction::Average(pool, include),
            Reduction::Global,
            Reduction::AdaptiveAverage(adaptive),
            Reduction::AdaptiveMax(adaptive),
        ] {
            let what = format!("{reduction:?}");
            let y = Flex::occam_pool(x.clone(), reduction);
            same(&what, pool::forward::<Flex>(x.clone(), reduction), y.clone())?;
            let (found, indices) = pool::indexed::<Flex>(x.clone(), reduction);
            same(&what, found, y.clone())?;
            let grad = noise(&shape::<Flex>(&y), seed ^ 3);
            let found = pool::backward::<Flex>(grad.clone(), indices, &[n, c, h, w], reduction);
            let (_, indices) = Flex::pool_indexed(x.clone(), reduction);
            same(&what, found, Flex::pool_grad(grad, indices, &[n, c, h, w], reduction))?;
        }
    }

    #[test]
    fn cross_entropy_of_classes(n in 1usize..6, classes in 1usize..9, seed in any::<u64>()) {
        let logits = scaled(noise(&[n, classes], seed), 5.0);
        let targets: Vec<i64> = (0..n).map(|i| ((seed >> i) % classes as u64) as i64).collect();
        let shared = Arc::new(targets.clone());
        let found = cross_entropy::forward::<Flex>(logits.clone(), &targets);
        let (losses, probabilities) = <Flex as KernelGrads>::cross_entropy(logits, shared.clone());
        all_same("result", found.into(), [losses, probabilities.clone()])?;
        let grad = noise(&[n], seed ^ 1);
        let found = cross_entropy::backward::<Flex>(probabilities.clone(), &targets, grad.clone());
        same("gradient", found, Flex::cross_entropy_grad(probabilities, shared, grad))?;
    }

    #[test]
    fn fake_quantization(
        sizes in prop::array::uniform3(1usize..5), axis in prop::option::of(0usize..2), low in -8i32..1, wide in 1i32..12,
        learned in any::<bool>(), seed in any::<u64>(),
    ) {
        let channels = axis.map_or(1, |a| sizes[a]);
        let x = scaled(noise(&sizes, seed), 3.0);
        // Powers of two: both ways of dividing by them give the same bits, so that ties are the same.
        let scale = build(&[channels], (0..channels).map(|i| 0.125 * (1 << (i % 3)) as f32).collect());
        let zero = scaled(noise(&[channels], seed ^ 2), 4.0);
        let range = QuantRange { low, high: low + wide, axis, learned: learned.then_some(0.25) };
        let found = fake_quant::forward::<Flex>(x.clone(), scale.clone(), zero.clone(), range);
        same("result", found, Flex::occam_fake_quantize(x.clone(), scale.clone(), zero.clone(), range))?;
        let grad = noise(&sizes, seed ^ 3);
        let found = fake_quant::backward::<Flex>(x.clone(), scale.clone(), zero.clone(), grad.clone(), range);
        some_same("gradient", found, Flex::fake_quantize_grad(x, scale, zero, grad, range))?;
    }

    #[test]
    fn optimizers(
        n in 1usize..20, decay in prop_oneof![Just(0.0), Just(0.05)], dampening in prop_oneof![Just(0.0), Just(0.3)],
        nesterov in any::<bool>(), first in any::<bool>(), step in 1u32..50, seed in any::<u64>(),
    ) {
        let [param, grad, buffer] = [0, 1, 2].map(|i| noise(&[n], seed ^ i));
        let rule = SgdRule { lr: 0.1, momentum: 0.9, dampening, weight_decay: decay, nesterov };
        let wanted = Flex::occam_sgd(param.clone(), grad.clone(), rule);
        same("sgd", optim::sgd::<Flex>(param.clone(), grad.clone(), &rule), wanted)?;
        let args = || (param.clone(), grad.clone(), buffer.clone());
        let (p, g, b) = args();
        let found = optim::sgd_momentum::<Flex>(p, g, b, first, &rule);
        let (p, g, b) = args();
        all_same("momentum", found.into(), Flex::occam_sgd_momentum(p, g, b, first, rule).into())?;
        let rule = AdamWRule { lr: 0.01, betas: (0.9, 0.99), eps: 1e-6, weight_decay: decay };
        let square = Flex::float_mul(buffer.clone(), buffer.clone());
        let (p, g, b) = args();
        let found = optim::adamw::<Flex>(p, g, [b, square.clone()], step, &rule);
        let (p, g, b) = args();
        all_same("adamw", found.into(), Flex::occam_adamw(p, g, b, square, step, rule).into())?;
        let value = |parts: FlexTensor| {
            let parts = dense(parts);
            let [s, a, b, c] = [0, 1, 2, 3].map(|i| elements(&parts)[i]);
            build(&[1], vec![s * s * (a + b + c)])
        };
        let (found, wanted) = (optim::sum_of_squares::<Flex>(grad.clone()), Flex::occam_sum_of_squares(grad));
        same("norm", value(found), value(wanted))?;
    }
}

/// What is no number stays none through activations, and becomes the least integer by fake quantization.
#[test]
fn nan_is_treated_alike() {
    let x = || build(&[3], vec![f32::NAN, -1.0, 9.0]);
    for act in [Activation::Relu, Activation::Relu6] {
        let y = dense(activation::forward::<Flex>(x(), act));
        assert!(elements(&y)[0].is_nan());
    }
    let one = |v: f32| build(&[1], vec![v]);
    let range = QuantRange { low: -4, high: 3, axis: None, learned: None };
    let y = dense(fake_quant::forward::<Flex>(x(), one(1.0), one(0.0), range));
    assert_eq!(elements(&y), [-4.0, -1.0, 3.0]);
}
