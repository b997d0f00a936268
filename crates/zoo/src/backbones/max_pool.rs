//! Max pooling as a module.

use occam_graph::ValueId;
use occam_graph::ops::{Pool, PoolKind};

use crate::{Net, Result};

/// Adds `nn.MaxPool2d` with equal sides as the module `name`.
///
/// # Errors
/// The window does not fit.
pub(super) fn max_pool(
    net: &mut Net,
    name: &str,
    x: ValueId,
    [kernel, stride, padding]: [usize; 3],
    ceil_mode: bool,
) -> Result<ValueId> {
    let pool = Pool {
        kind: PoolKind::Max,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        ceil_mode,
    };
    net.layer(name, &[x], |net| Ok(net.this(pool, &[x])?))
}
