//! What is known of a value's elements before it is computed.

use crate::{Array, DType, Data, Dim, Fact};

/// The elements of a value, as far as they follow from constants and shapes alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// All of them.
    Array(Array),
    /// Integers of which some depend on sizes that are known when the model runs, row-major.
    Sizes {
        /// Shape of the value.
        shape: Vec<usize>,
        /// Its elements.
        sizes: Vec<Size>,
    },
}

/// An integer that may depend on symbols.
#[derive(Debug, Clone, PartialEq)]
pub enum Size {
    /// A number of either sign.
    Int(i64),
    /// A size with symbols.
    Dim(Dim),
    /// Not known before the model runs.
    Unknown,
}

impl Size {
    /// What `dim` says.
    pub fn of(dim: &Dim) -> Self {
        match dim.known().and_then(|n| i64::try_from(n).ok()) {
            Some(n) => Size::Int(n),
            None => Size::Dim(dim.clone()),
        }
    }

    /// The number, where it is known.
    pub fn known(&self) -> Option<i64> {
        match self {
            Size::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// As the size of an axis; none where it is negative or not known.
    pub fn dim(&self) -> Option<Dim> {
        match self {
            Size::Int(n) => usize::try_from(*n).ok().map(Dim::Known),
            Size::Dim(d) => Some(d.clone()),
            Size::Unknown => None,
        }
    }
}

/// More elements than shapes ever have are not looked at one by one.
pub(crate) const MOST: usize = 1024;

impl Content {
    /// Integers of `shape`: an array where all are numbers.
    pub fn sizes(shape: Vec<usize>, sizes: Vec<Size>) -> Self {
        let known: Option<Vec<i64>> = sizes.iter().map(Size::known).collect();
        match known.and_then(|v| Array::from_i64(shape.clone(), v).ok()) {
            Some(array) => Content::Array(array),
            None => Content::Sizes { shape, sizes },
        }
    }

    /// All elements, where all are known.
    pub fn array(&self) -> Option<&Array> {
        match self {
            Content::Array(a) => Some(a),
            Content::Sizes { .. } => None,
        }
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Content::Array(a) => a.shape(),
            Content::Sizes { shape, .. } => shape,
        }
    }

    /// The elements as integers; none for other types and for large arrays.
    pub fn to_sizes(&self) -> Option<Vec<Size>> {
        let all = |v: &[i64]| v.iter().map(|&n| Size::Int(n)).collect();
        match self {
            Content::Sizes { sizes, .. } => Some(sizes.clone()),
            Content::Array(a) if a.len() > MOST => None,
            Content::Array(a) => match a.data() {
                Data::I64(v) => Some(all(v)),
                Data::I32(v) => Some(v.iter().map(|&n| Size::Int(n.into())).collect()),
                _ => None,
            },
        }
    }

    /// The elements as integers, where all are numbers.
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        self.to_sizes()?.iter().map(Size::known).collect()
    }
}

/// What is known of an operand.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its type and shape.
    pub fact: &'a Fact,
    /// Its elements, where they are known.
    pub content: Option<&'a Content>,
}

impl Known<'_> {
    /// The elements as integers, where they are known at least in part.
    pub fn sizes(&self) -> Option<Vec<Size>> {
        self.content?.to_sizes()
    }

    /// The elements as numbers, where all are known.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.content?.to_ints()
    }

    /// All elements, where all are known.
    pub fn array(&self) -> Option<&Array> {
        self.content?.array()
    }
}

/// What an operator says of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// Its type and shape.
    pub fact: Fact,
    /// Its elements, where they follow.
    pub content: Option<Content>,
}

impl Inferred {
    /// An output of `dtype` and `shape` of which no element is known.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = impl Into<Dim>>) -> Self {
        Fact::new(dtype, shape).into()
    }

    /// The same with elements.
    #[must_use]
    pub fn with(mut self, content: Option<Content>) -> Self {
        self.content = content;
        self
    }
}

impl From<Fact> for Inferred {
    fn from(fact: Fact) -> Self {
        Self { fact, content: None }
    }
}

impl From<Array> for Inferred {
    fn from(array: Array) -> Self {
        let fact = Fact::new(array.dtype(), array.shape().iter().copied());
        Self { fact, content: Some(Content::Array(array)) }
    }
}
