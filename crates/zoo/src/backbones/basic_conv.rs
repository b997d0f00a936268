//! Convolutions of the Inception networks, and the parameters of their auxiliary classifiers.

use occam_graph::ops::{Concat, Conv};
use occam_graph::{Role, ValueId};

use crate::{Init, Net, NormCfg, Result};

/// Added to the variance in all norm layers of these networks.
const EPS: f64 = 1e-3;

/// `BasicConv2d` of torchvision and mmcls: `conv` without bias, `bn` with an eps of 0.001, ReLU.
#[derive(Debug, Clone, Copy)]
pub(super) struct BasicConv {
    out: usize,
    kernel: [usize; 2],
    conv: Conv,
}

impl BasicConv {
    /// To `out` channels with `height` times `width` taps; as many places as before where those are odd.
    pub fn same(out: usize, [height, width]: [usize; 2]) -> Self {
        let [rows, columns] = [height / 2, width / 2];
        let conv = Conv { padding: [(rows, rows), (columns, columns)], ..Conv::default() };
        Self { out, kernel: [height, width], conv }
    }

    /// To `out` channels with `kernel` times `kernel` taps in steps of `stride`, without padding.
    pub fn valid(out: usize, kernel: usize, stride: usize) -> Self {
        Self { out, kernel: [kernel; 2], conv: Conv { stride: [stride; 2], ..Conv::default() } }
    }

    /// To `out` channels with `kernel` times `kernel` taps in steps of `stride` and so much `padding`.
    pub fn padded(out: usize, [kernel, stride, padding]: [usize; 3]) -> Self {
        let conv = Conv { stride: [stride; 2], padding: [(padding, padding); 2], ..Conv::default() };
        Self { out, kernel: [kernel; 2], conv }
    }

    /// Adds the module `name`.
    ///
    /// # Errors
    /// The input does not fit.
    pub fn build(self, net: &mut Net, name: &str, x: ValueId) -> Result<ValueId> {
        let norm = NormCfg { eps: EPS, ..NormCfg::default() };
        let init = Init::KaimingNormalFanOut;
        net.layer(name, &[x], |net| {
            let y = net.conv2d_sides("conv", x, (self.out, self.kernel), self.conv, false, init)?;
            let y = net.norm("bn", y, &norm, 1.0)?;
            net.relu("relu", y)
        })
    }
}

/// Adds the module `name`: convolutions `name.0`, `name.1`, .. one after the other.
///
/// # Errors
/// The input does not fit.
pub(super) fn sequence(net: &mut Net, name: &str, x: ValueId, convs: &[BasicConv]) -> Result<ValueId> {
    net.layer(name, &[x], |net| {
        convs.iter().enumerate().try_fold(x, |y, (i, conv)| conv.build(net, &i.to_string(), y))
    })
}

/// Convolutions one after the other, under names of their own.
///
/// # Errors
/// The input does not fit.
pub(super) fn chain(net: &mut Net, x: ValueId, convs: &[(&str, BasicConv)]) -> Result<ValueId> {
    convs.iter().try_fold(x, |y, (name, conv)| conv.build(net, name, y))
}

/// Adds the module `name`, whose `branches` give the channels of its output, one after the other.
///
/// # Errors
/// Those of `branches`.
pub(super) fn joined(
    net: &mut Net,
    name: &str,
    x: ValueId,
    branches: impl FnOnce(&mut Net) -> Result<Vec<ValueId>>,
) -> Result<ValueId> {
    net.layer(name, &[x], |net| {
        let all = branches(net)?;
        Ok(net.op("concat", Concat { axis: 1 }, &all)?)
    })
}

/// Adds the parameters of a [`BasicConv`] that nothing reads.
///
/// # Errors
/// A name is taken.
pub(super) fn unread_conv(
    net: &mut Net,
    name: &str,
    [from, to, kernel]: [usize; 3],
    weight: Init,
) -> Result<()> {
    net.parameter(&format!("{name}.conv.weight"), &[to, from, kernel, kernel], Role::Weight, weight)?;
    let one = Init::Constant(1.0);
    let zero = Init::Constant(0.0);
    for (part, role, init) in [
        ("weight", Role::Weight, one),
        ("bias", Role::Weight, zero),
        ("running_mean", Role::Buffer, zero),
        ("running_var", Role::Buffer, one),
    ] {
        net.parameter(&format!("{name}.bn.{part}"), &[to], role, init)?;
    }
    Ok(())
}

/// Adds the parameters of a linear layer that nothing reads.
///
/// # Errors
/// A name is taken.
pub(super) fn unread_linear(net: &mut Net, name: &str, [from, to]: [usize; 2], weight: Init) -> Result<()> {
    net.parameter(&format!("{name}.weight"), &[to, from], Role::Weight, weight)?;
    net.parameter(&format!("{name}.bias"), &[to], Role::Weight, Init::Constant(0.0))?;
    Ok(())
}
