//! The differentiating side: what each operation leaves for its way back is in the operation's file.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend};

use super::{
    Activation, AdamWRule, ConvGeometry, KernelGrads, Look, QuantRange, Reduction, SgdRule, Targets,
    TrainKernels, activation, add, affine, batch_norm, channels, conv, conv_transpose, cross_entropy,
    fake_quant, pool, scale_grad, sum,
};

impl<B: TrainKernels + KernelGrads, C: CheckpointStrategy> TrainKernels for Autodiff<B, C> {
    fn occam_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        activation::tracked::<B, C>(x, activation)
    }

    fn occam_add(a: FloatTensor<Self>, b: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        add::tracked::<B, C>(a, b, activation)
    }

    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        conv::tracked::<B, C>(x, weight, geometry)
    }

    fn occam_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        conv::tracked_biased::<B, C>(x, weight, bias, geometry)
    }

    fn occam_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
    ) -> FloatTensor<Self> {
        conv_transpose::tracked::<B, C>(x, weight, geometry, size)
    }

    fn occam_cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self> {
        cross_entropy::tracked::<B, C>(logits, targets)
    }

    fn occam_fake_quantize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        range: QuantRange,
    ) -> FloatTensor<Self> {
        fake_quant::tracked::<B, C>(x, scale, zero_point, range)
    }

    fn occam_look(x: FloatTensor<Self>, look: Look) -> FloatTensor<Self> {
        B::occam_look(x.clone().into_primitive(), look);
        x
    }

    fn occam_take_channels(x: FloatTensor<Self>, start: usize, count: usize) -> FloatTensor<Self> {
        channels::tracked_take::<B, C>(x, start, count)
    }

    fn occam_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        channels::tracked_concat::<B, C>(a, b)
    }

    fn occam_shuffle(x: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        channels::tracked_shuffle::<B, C>(x, groups)
    }

    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        batch_norm::tracked::<B, C>(x, weight, bias, eps, activation)
    }

    fn occam_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        sum::tracked::<B, C>(x)
    }

    // Optimizers look at constants; a tape ends here and in the steps below.
    fn occam_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::occam_sum_of_squares(Self::inner(x)))
    }

    fn occam_sgd(param: FloatTensor<Self>, grad: FloatTensor<Self>, rule: SgdRule) -> FloatTensor<Self> {
        Self::from_inner(B::occam_sgd(Self::inner(param), Self::inner(grad), rule))
    }

    fn occam_sgd_momentum(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        first: bool,
        rule: SgdRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (grad, buffer) = (Self::inner(grad), Self::inner(buffer));
        let (param, buffer) = B::occam_sgd_momentum(Self::inner(param), grad, buffer, first, rule);
        (Self::from_inner(param), Self::from_inner(buffer))
    }

    fn occam_adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        exp_avg: FloatTensor<Self>,
        exp_avg_sq: FloatTensor<Self>,
        step: u32,
        rule: AdamWRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (grad, exp_avg, exp_avg_sq) = (Self::inner(grad), Self::inner(exp_avg), Self::inner(exp_avg_sq));
        let (param, exp_avg, exp_avg_sq) =
            B::occam_adamw(Self::inner(param), grad, exp_avg, exp_avg_sq, step, rule);
        (Self::from_inner(param), Self::from_inner(exp_avg), Self::from_inner(exp_avg_sq))
    }

    fn occam_pool(x: FloatTensor<Self>, reduction: Reduction) -> FloatTensor<Self> {
        pool::tracked::<B, C>(x, reduction)
    }

    fn occam_scale_gradient(x: FloatTensor<Self>, factor: f64) -> FloatTensor<Self> {
        scale_grad::tracked::<B, C>(x, factor)
    }

    fn occam_channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        affine::tracked::<B, C>(x, scale, shift)
    }
}
