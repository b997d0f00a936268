//! Convolution.

use super::{OpFamily, check_channels, check_inputs, check_rank};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Bindings, Cost, Dim, Error, Fact, Result};

/// Cross-correlation over two spatial axes, as `torch.nn.Conv2d`.
///
/// Inputs: `x [N, C, H, W]`, `weight [O, C / groups, KH, KW]`, optionally `bias [O]`. Output `[N, O, H', W']` with
/// `H' = floor((H + pad_begin + pad_end − dilation · (KH − 1) − 1) / stride) + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Step of the window, by axis.
    pub stride: [usize; 2],
    /// Zeros before and after, by axis.
    pub padding: [(usize, usize); 2],
    /// Distance of the kernel's taps, by axis.
    pub dilation: [usize; 2],
    /// Number of independent groups of channels.
    pub groups: usize,
}

impl Default for Conv {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [(0, 0); 2], dilation: [1, 1], groups: 1 }
    }
}

/// Output size of a sliding window along one axis.
pub(crate) fn window(
    size: &Dim,
    kernel: usize,
    stride: usize,
    padding: (usize, usize),
    dilation: usize,
    ceil: bool,
) -> Result<Dim> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err(Error::Op("kernel, stride and dilation must be at least 1".into()));
    }
    let too_large = || Error::Op("window is too large".into());
    let reach = dilation
        .checked_mul(kernel - 1)
        .and_then(|r| r.checked_add(1))
        .and_then(|r| i64::try_from(r).ok())
        .ok_or_else(too_large)?;
    let pad = padding.0.checked_add(padding.1).and_then(|p| i64::try_from(p).ok()).ok_or_else(too_large)?;
    let room = size
        .offset(pad - reach)
        .map_err(|_| Error::Op(format!("window of {reach} is larger than {size} + {pad}")))?;
    let steps = if ceil { room.ceil_div(stride)? } else { room.floor_div(stride)? };
    // A window that would start in the padding behind the input is dropped, as PyTorch does.
    if let (true, Some(steps), Some(size)) = (ceil, steps.known(), size.known())
        && steps * stride >= size + padding.0
    {
        return Ok(Dim::Known(steps));
    }
    steps.offset(1)
}

impl OpFamily for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let [(t, b), (l, r)] = self.padding;
        let mut list = vec![
            ("stride", format!("{}x{}", self.stride[0], self.stride[1])),
            ("padding", format!("{t},{b},{l},{r}")),
        ];
        if self.dilation != [1, 1] {
            list.push(("dilation", format!("{}x{}", self.dilation[0], self.dilation[1])));
        }
        if self.groups != 1 {
            list.push(("groups", self.groups.to_string()));
        }
        list
    }

    fn infer(&self, inputs: &[&Fact]) -> Result<Vec<Fact>> {
        check_inputs(inputs, 2..=3)?;
        let (x, weight) = match inputs {
            [x, weight, ..] => (*x, *weight),
            _ => return Ok(Vec::new()),
        };
        check_rank(x, 4, "input")?;
        check_rank(weight, 4, "weight")?;
        let ([n, c, h, w], [o, per_group, kh, kw]) = (x.shape.as_slice(), weight.shape.as_slice()) else {
            return Ok(Vec::new());
        };
        if self.groups == 0 {
            return Err(Error::Op("groups must be at least 1".into()));
        }
        if let (Some(c), Some(o), Some(per_group)) = (c.known(), o.known(), per_group.known()) {
            if per_group.checked_mul(self.groups) != Some(c) {
                return Err(Error::Op(format!(
                    "weight {weight} in {} groups does not fit {c} input channels",
                    self.groups
                )));
            }
            if !o.is_multiple_of(self.groups) {
                return Err(Error::Op(format!(
                    "{o} output channels cannot be split into {} groups",
                    self.groups
                )));
            }
        }
        if let Some(bias) = inputs.get(2) {
            check_channels(bias, o, "bias")?;
        }
        let (Some(kh), Some(kw)) = (kh.known(), kw.known()) else {
            return Err(Error::Op(format!("kernel size of {weight} must be known")));
        };
        let out_h = window(h, kh, self.stride[0], self.padding[0], self.dilation[0], false)?;
        let out_w = window(w, kw, self.stride[1], self.padding[1], self.dilation[1], false)?;
        Ok(vec![Fact { dtype: x.dtype, shape: vec![n.clone(), o.clone(), out_h, out_w] }])
    }

    /// With groups, position `i` of a group's input channels is position `i` of the weight's axis 1, in every group; all
    /// groups keep as many outputs.
    fn axes(&self, inputs: &[&Fact], _: &[&Fact]) -> AxisMap {
        let mut map = AxisMap::default().same(input(0, 0), output(0, 0)).same(input(1, 0), output(0, 1));
        if inputs.len() > 2 {
            map = map.same(input(2, 0), output(0, 1));
        }
        let per_group = inputs.get(1).and_then(|w| w.shape.get(1)).and_then(Dim::known);
        let channels = inputs.get(1).and_then(|w| w.shape.first()).and_then(Dim::known);
        match (self.groups, per_group, channels) {
            (1, _, _) => map.same(input(0, 1), input(1, 1)),
            // Depthwise: a channel is a group of its own.
            (groups, Some(1), Some(channels)) => {
                let each =
                    Block { a_start: 0, b_start: 0, count: groups, a_step: 1, b_step: channels / groups };
                map.blocks(input(0, 1), output(0, 1), vec![each])
            }
            (groups, Some(n), Some(channels)) => {
                let runs = (0..groups).map(|g| Block::range(g * n, 0, n)).collect();
                map.blocks(input(0, 1), input(1, 1), runs).tied(output(0, 1), groups, channels / groups)
            }
            _ => map,
        }
    }

    /// `N · O · H' · W' · (C / groups) · KH · KW` multiply-accumulates.
    fn cost(&self, inputs: &[&Fact], outputs: &[&Fact], bindings: &Bindings) -> Result<Cost> {
        let mut cost = Cost::memory(outputs, bindings)?;
        if let Some(weight) = inputs.get(1) {
            let filter = Fact { dtype: weight.dtype, shape: weight.shape.iter().skip(1).cloned().collect() };
            cost.macs = cost.activations.saturating_mul(filter.numel(bindings)?);
        }
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(stride: usize, pad: usize) -> Conv {
        Conv { stride: [stride; 2], padding: [(pad, pad); 2], ..Conv::default() }
    }

    #[test]
    fn sizes_follow_the_formula() {
        let x = Fact::f32([Dim::symbol("N"), 3.into(), 224.into(), 224.into()]);
        let w = Fact::f32([64usize, 3, 7, 7]);
        let out = conv(2, 3).infer(&[&x, &w]).unwrap();
        assert_eq!(out[0].to_string(), "f32[N, 64, 112, 112]");
        let cost = conv(2, 3).cost(&[&x, &w], &[&out[0]], &Bindings::from([("N".into(), 1)])).unwrap();
        assert_eq!(cost.macs, 118_013_952);
    }

    #[test]
    fn misfits_are_named() {
        let x = Fact::f32([1usize, 3, 8, 8]);
        let cases = [
            (conv(1, 0), Fact::f32([4usize, 5, 3, 3]), "does not fit 3 input channels"),
            (conv(1, 0), Fact::f32([4usize, 3, 9, 9]), "larger than"),
            (conv(0, 0), Fact::f32([4usize, 3, 3, 3]), "at least 1"),
            (Conv { groups: 3, ..conv(1, 0) }, Fact::f32([4usize, 1, 3, 3]), "3 groups"),
            (Conv { groups: 0, ..conv(1, 0) }, Fact::f32([4usize, 3, 3, 3]), "at least 1"),
        ];
        for (op, w, wanted) in cases {
            let error = op.infer(&[&x, &w]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn depthwise_ties_input_to_output() {
        let x = Fact::f32([1usize, 4, 8, 8]);
        let w = Fact::f32([8usize, 1, 3, 3]);
        let op = Conv { groups: 4, ..conv(1, 1) };
        let out = op.infer(&[&x, &w]).unwrap();
        let map = op.axes(&[&x, &w], &[&out[0]]);
        let each = Block { a_start: 0, b_start: 0, count: 4, a_step: 1, b_step: 2 };
        assert!(map.links.iter().any(|l| l.map == crate::Correspondence::Blocks(vec![each])));
    }
}
