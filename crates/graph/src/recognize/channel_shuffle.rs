//! Channel shuffles, written out.

use super::Edit;
use super::view::View;
use crate::ops::ChannelShuffle;
use crate::{Dim, Fact, Result, ValueId};

/// `[N, C, H, W]` seen as `[N, g, C / g, H, W]`, its axes 1 and 2 exchanged, seen as it was.
pub(super) fn pass(view: &View<'_>, edit: &mut Edit<'_>) -> Result<()> {
    for transpose in view.all(&["Transpose"]) {
        if transpose.op.ints("perm")? != Some(&[0, 2, 1, 3, 4]) {
            continue;
        }
        let split = transpose.input(0).and_then(|v| view.from(v, "Reshape"));
        let join = transpose.output().and_then(|v| view.only_reader(v, "Reshape"));
        let (Some(split), Some(join)) = (split, join) else { continue };
        let (Some(x), Some(inner), Some(out)) = (split.input(0), split.output(), join.output()) else {
            continue;
        };
        let sizes = |v: ValueId| view.fact(v).map(|f: &Fact| f.shape.as_slice()).unwrap_or_default();
        let ([_, c, h, w], [_, groups, per, h2, w2]) = (sizes(x), sizes(inner)) else { continue };
        let (Some(channels), Some(groups), Some(per)) = (c.known(), groups.known(), per.known()) else {
            continue;
        };
        let same = |a: &Dim, b: &Dim| a == b;
        if sizes(x) == sizes(out)
            && groups * per == channels
            && same(h, h2)
            && same(w, w2)
            && view.is_f32(x)
            && edit.replace_with(view, &join, ChannelShuffle { groups }, &[x])?
        {
            edit.report.written_out.push(("ChannelShuffle", join.node.name.clone()));
        }
    }
    Ok(())
}
