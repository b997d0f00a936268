//! How the axes of a node's inputs and outputs map to each other.
//!
//! The primitive for channel dependencies and for slicing: where two elements of two axes are linked, removing
//! the one means removing the other.

/// An input or an output of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// Input at an index.
    Input(usize),
    /// Output at an index.
    Output(usize),
}

/// One axis of one input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Axis {
    /// Which input or output.
    pub port: Port,
    /// Which of its axes.
    pub axis: usize,
}

/// Axis `axis` of input `index`.
pub fn input(index: usize, axis: usize) -> Axis {
    Axis { port: Port::Input(index), axis }
}

/// Axis `axis` of output `index`.
pub fn output(index: usize, axis: usize) -> Axis {
    Axis { port: Port::Output(index), axis }
}

/// A run of elements on two axes that belong together, block by block.
///
/// For `k` in `0..count`, the `a_step` elements from `a_start + k·a_step` belong to the `b_step` elements from
/// `b_start + k·b_step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// First element on the first axis.
    pub a_start: usize,
    /// First element on the second axis.
    pub b_start: usize,
    /// Number of blocks.
    pub count: usize,
    /// Elements a block takes on the first axis.
    pub a_step: usize,
    /// Elements a block takes on the second axis.
    pub b_step: usize,
}

impl Block {
    /// `count` elements from `a_start` belong one by one to those from `b_start`.
    pub fn range(a_start: usize, b_start: usize, count: usize) -> Self {
        Self { a_start, b_start, count, a_step: 1, b_step: 1 }
    }
}

/// How the elements of two axes correspond.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Correspondence {
    /// The axes are of one size and element `i` belongs to element `i`.
    Same,
    /// Only these runs correspond.
    Blocks(Vec<Block>),
}

/// Two axes whose elements correspond.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Link {
    /// First axis.
    pub a: Axis,
    /// Second axis.
    pub b: Axis,
    /// Which elements belong together.
    pub map: Correspondence,
}

/// One of the axes that a single one is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// The axis; none where its elements do not map to it alone.
    pub axis: Option<Axis>,
    /// Its number of elements.
    pub size: usize,
}

/// Axes that together enumerate the elements of a single one, row-major.
///
/// Element `((i0 · s1 + i1) · s2 + i2) ..` of `whole` is element `ik` of part `k`. Removing elements of one part removes
/// the same runs of the whole everywhere; two parts cannot lose elements independently of each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regroup {
    /// The single axis.
    pub whole: Axis,
    /// What it is divided into, outermost first.
    pub parts: Vec<Part>,
}

impl Regroup {
    /// The blocks that tie `whole` to its part `index`.
    pub fn blocks(&self, index: usize) -> Vec<Block> {
        let product = |parts: &[Part]| parts.iter().map(|p| p.size).product::<usize>();
        let Some((outer, rest)) = self.parts.split_at_checked(index) else { return Vec::new() };
        let Some((part, inner)) = rest.split_first() else { return Vec::new() };
        let (count, step) = (part.size, product(inner));
        let block = |o| Block { a_start: o * count * step, b_start: 0, count, a_step: step, b_step: 1 };
        (0..product(outer)).map(block).collect()
    }
}

/// All links between the axes of one node.
///
/// An axis that nothing here names is the node's own business: it is neither passed on nor may it be cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AxisMap {
    /// The links. One of an axis to itself ties elements that may only go together.
    pub links: Vec<Link>,
    /// Axes that are divided or joined.
    pub regroups: Vec<Regroup>,
    /// Axes of which only the size is read.
    pub sizes: Vec<Axis>,
    /// Axes over which a mean, a variance, a norm or a running sum is computed: what stays of them is computed differently
    /// when some go, even where those were 0.
    pub statistics: Vec<Axis>,
}

impl AxisMap {
    /// Adds that element `i` of `a` is element `i` of `b`.
    #[must_use]
    pub fn same(mut self, a: Axis, b: Axis) -> Self {
        self.links.push(Link { a, b, map: Correspondence::Same });
        self
    }

    /// Adds that runs of `a` are runs of `b`.
    #[must_use]
    pub fn blocks(mut self, a: Axis, b: Axis, blocks: Vec<Block>) -> Self {
        self.links.push(Link { a, b, map: Correspondence::Blocks(blocks) });
        self
    }

    /// Adds that `whole` is divided into `parts`, outermost first.
    #[must_use]
    pub fn regroup(mut self, whole: Axis, parts: Vec<Part>) -> Self {
        self.regroups.push(Regroup { whole, parts });
        self
    }

    /// Adds that only the size of `axis` is read.
    #[must_use]
    pub fn size(mut self, axis: Axis) -> Self {
        self.sizes.push(axis);
        self
    }

    /// Adds that `axis` is one that a mean or a variance is computed over.
    #[must_use]
    pub fn statistic(mut self, axis: Axis) -> Self {
        self.statistics.push(axis);
        self
    }

    /// Adds that `axis`, of `groups` runs of `each` elements, loses the same elements of every run or none.
    #[must_use]
    pub fn tied(self, axis: Axis, groups: usize, each: usize) -> Self {
        let runs = (1..groups).map(|g| Block::range(0, g * each, each)).collect();
        self.blocks(axis, axis, runs)
    }

    /// Every axis of input 0 is the same axis of output 0.
    pub fn elementwise(rank: usize) -> Self {
        (0..rank).fold(Self::default(), |m, i| m.same(input(0, i), output(0, i)))
    }
}
