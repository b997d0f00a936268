//! Evaluation of operators, one family a file, as in `occam-graph`'s `ops`.

mod activation;
mod adaptive_pad;
mod batch_norm;
mod binary;
mod channel_shuffle;
mod concat;
mod conv;
mod dropout;
mod expand_batch;
mod fake_quant;
mod flatten;
pub(crate) mod fused;
mod gem_pool;
mod global_avg_pool;
mod layer_norm;
mod linear;
mod mat_mul;
mod norm_scale;
pub(crate) mod onnx;
mod pool;
mod scale;
mod slice;
mod softmax;
mod transpose;
mod unflatten;

use occam_graph::{Graph, Node, Op};

use crate::error::refuse;
use crate::{Device, Grids, Mode, Noise, Operand, Result, Tensor};

/// What an operator may know of its run beside its operands.
pub(crate) struct Context<'a> {
    pub mode: Mode,
    pub graph: &'a Graph,
    pub node: Option<&'a Node>,
    pub noise: Option<&'a dyn Noise>,
    pub grids: Option<&'a dyn Grids>,
    pub buffers: Vec<(String, Tensor)>,
}

impl Context<'_> {
    /// Gives the parameter behind input `index` new elements after the run.
    fn update(&mut self, index: usize, tensor: Tensor) -> Result<()> {
        if let Some(&v) = self.node.and_then(|n| n.inputs.get(index)) {
            self.buffers.push((self.graph.value(v)?.name.clone(), tensor.detach()));
        }
        Ok(())
    }
}

/// Computes the outputs of one node.
pub(crate) fn run(op: &Op, context: &mut Context<'_>, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let output = match op {
        Op::Activation(op) => activation::eval(op, inputs),
        Op::AdaptivePad(op) => adaptive_pad::eval(op, &inputs),
        Op::BatchNorm(op) => batch_norm::eval(op, context, &inputs),
        Op::Binary(op) => binary::eval(op, inputs),
        Op::ChannelShuffle(op) => channel_shuffle::eval(op, &inputs),
        Op::Concat(op) => concat::eval(op, &inputs),
        Op::Conv(op) => conv::eval(op, &inputs),
        Op::Dropout(op) => dropout::eval(op, context, &inputs),
        Op::ExpandBatch(op) => expand_batch::eval(op, &inputs),
        Op::FakeQuant(op) => fake_quant::eval(op, context, &inputs),
        Op::Flatten(op) => flatten::eval(op, &inputs),
        Op::GemPool(op) => gem_pool::eval(op, &inputs),
        Op::GlobalAvgPool(op) => global_avg_pool::eval(op, &inputs),
        Op::LayerNorm(op) => layer_norm::eval(op, &inputs),
        Op::Linear(op) => linear::eval(op, &inputs),
        Op::MatMul(op) => mat_mul::eval(op, &inputs),
        Op::NormScale(op) => norm_scale::eval(op, &inputs),
        Op::Onnx(op) => {
            let device = inputs.first().map_or_else(Device::cpu, Tensor::device);
            let operands: Vec<Operand> = inputs.into_iter().map(Operand::Tensor).collect();
            return onnx::eval(op, &operands, &device)?.iter().map(|o| o.to_tensor(&device)).collect();
        }
        Op::Pool(op) => pool::eval(op, &inputs),
        Op::Scale(op) => scale::eval(op, &inputs),
        Op::Slice(op) => slice::eval(op, &inputs),
        Op::Softmax(op) => softmax::eval(op, &inputs),
        Op::Transpose(op) => transpose::eval(op, &inputs),
        Op::Unflatten(op) => unflatten::eval(op, &inputs),
    }?;
    Ok(vec![output])
}

/// The operands, of which there must be exactly `N`, to be computed in their places where nobody else has them.
fn owned<const N: usize>(inputs: Vec<Tensor>) -> Result<[Tensor; N]> {
    inputs
        .try_into()
        .or_else(|inputs: Vec<Tensor>| refuse("operands", format!("{N} wanted, {} given", inputs.len())))
}

/// The operands, of which there must be exactly `N`.
fn operands<const N: usize>(inputs: &[Tensor]) -> Result<[&Tensor; N]> {
    let list: Vec<&Tensor> = inputs.iter().collect();
    list.try_into().or_else(|_| refuse("operands", format!("{N} wanted, {} given", inputs.len())))
}

/// The first operands and an optional last one.
fn with_optional<const N: usize>(inputs: &[Tensor]) -> Result<([&Tensor; N], Option<&Tensor>)> {
    match inputs.get(..N) {
        Some(first) if inputs.len() <= N + 1 => Ok((operands(first)?, inputs.get(N))),
        _ => refuse("operands", format!("{N} or {} wanted, {} given", N + 1, inputs.len())),
    }
}
