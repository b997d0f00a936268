//! Attributes of ONNX nodes.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Onnx;
use crate::{Array, DType, Error, Graph, Narrow, Result};

/// Attributes by name, in the file's order.
pub type Attributes = IndexMap<String, Attribute>;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    String(Vec<u8>),
    Tensor(Array),
    Graph(Arc<Subgraph>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<Vec<u8>>),
}

/// A graph inside a node: a branch of `If`, the body of `Loop` or `Scan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subgraph {
    /// Its inputs are its own, then the values of the graph around it that it reads; the node has these as its last
    /// inputs.
    pub graph: Graph,
    /// How many inputs are values of the graph around it.
    pub captures: usize,
}

/// ONNX's number of an element type, as in the attributes `to` and `dtype`; none for types that arrays do not have.
pub fn dtype_of(number: i64) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        17 => DType::Narrow(Narrow::F8E4M3FN),
        18 => DType::Narrow(Narrow::F8E4M3FNUZ),
        19 => DType::Narrow(Narrow::F8E5M2),
        20 => DType::Narrow(Narrow::F8E5M2FNUZ),
        21 => DType::Narrow(Narrow::U4),
        22 => DType::Narrow(Narrow::I4),
        23 => DType::Narrow(Narrow::F4E2M1),
        _ => return None,
    })
}

impl Onnx {
    fn wrong<T>(&self, name: &str, wanted: &str) -> Result<T> {
        Err(Error::Op(format!("attribute `{name}` must be {wanted}")))
    }

    /// An integer attribute; none where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Int(n)) => Ok(Some(*n)),
            Some(_) => self.wrong(name, "an integer"),
        }
    }

    /// An integer attribute that counts something; none where it is absent.
    ///
    /// # Errors
    /// It is of another type or negative.
    pub fn size(&self, name: &str) -> Result<Option<usize>> {
        match self.int(name)?.map(usize::try_from) {
            None => Ok(None),
            Some(Ok(n)) => Ok(Some(n)),
            Some(Err(_)) => self.wrong(name, "0 or more"),
        }
    }

    /// A switch, off where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.int(name)?.unwrap_or(0) != 0)
    }

    /// A float attribute; none where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn float(&self, name: &str) -> Result<Option<f32>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Float(x)) => Ok(Some(*x)),
            Some(_) => self.wrong(name, "a float"),
        }
    }

    /// A text attribute; none where it is absent.
    ///
    /// # Errors
    /// It is of another type or no UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::String(s)) => match std::str::from_utf8(s) {
                Ok(s) => Ok(Some(s)),
                Err(_) => self.wrong(name, "text"),
            },
            Some(_) => self.wrong(name, "text"),
        }
    }

    /// An attribute of several integers; none where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v)),
            Some(_) => self.wrong(name, "a list of integers"),
        }
    }

    /// An attribute of several floats; none where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Floats(v)) => Ok(Some(v)),
            Some(_) => self.wrong(name, "a list of floats"),
        }
    }

    /// A tensor attribute; none where it is absent.
    ///
    /// # Errors
    /// It is of another type.
    pub fn tensor(&self, name: &str) -> Result<Option<&Array>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Tensor(a)) => Ok(Some(a)),
            Some(_) => self.wrong(name, "a tensor"),
        }
    }

    /// A graph attribute.
    ///
    /// # Errors
    /// It is absent or of another type.
    pub fn subgraph(&self, name: &str) -> Result<&Arc<Subgraph>> {
        match self.attributes.get(name) {
            Some(Attribute::Graph(g)) => Ok(g),
            _ => self.wrong(name, "a graph"),
        }
    }

    /// An attribute that names an element type; none where it is absent.
    ///
    /// # Errors
    /// It is of another type, or names a type that arrays do not have.
    pub fn dtype(&self, name: &str) -> Result<Option<DType>> {
        let Some(number) = self.int(name)? else { return Ok(None) };
        match dtype_of(number) {
            Some(dtype) => Ok(Some(dtype)),
            None => Err(Error::Op(format!("element type {number} of attribute `{name}` is not supported"))),
        }
    }
}
