//! Types and shapes of values.

use std::sync::Arc;

use occam_graph::{Dim, DimExpr, Fact};

use super::proto::{TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, dimension, type_proto};
use super::tensor::data_type;
use super::to_i64;
use crate::{Error, Result};

/// The symbol that graphs use for the number of images in a batch.
const BATCH: &str = "N";

/// Writes facts, the batch under the name that the caller wants.
pub(super) struct Facts<'a> {
    batch_name: &'a str,
}

impl<'a> Facts<'a> {
    pub fn new(batch_name: &'a str) -> Result<Self> {
        if batch_name.is_empty() {
            return Err(Error::Option { option: "batch_name", message: "it must not be empty".into() });
        }
        Ok(Self { batch_name })
    }

    /// `fact` of the value called `name`.
    pub fn value_info(&self, name: &str, fact: &Fact) -> Result<ValueInfoProto> {
        let dim = fact.shape.iter().map(|d| self.dimension(d)).collect::<Result<_>>()?;
        let tensor = type_proto::Tensor {
            elem_type: Some(data_type(fact.dtype).into()),
            shape: Some(TensorShapeProto { dim }),
        };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, denotation: None });
        Ok(ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() })
    }

    /// The type of a tensor.
    pub fn of_tensor(&self, tensor: &TensorProto) -> ValueInfoProto {
        let dim = tensor
            .dims
            .iter()
            .map(|&n| dimension::Dimension { value: Some(dimension::Value::DimValue(n)), denotation: None });
        let shape = Some(TensorShapeProto { dim: dim.collect() });
        let value = type_proto::Value::TensorType(type_proto::Tensor { elem_type: tensor.data_type, shape });
        let r#type = Some(TypeProto { value: Some(value), denotation: None });
        ValueInfoProto { name: tensor.name.clone(), r#type, ..Default::default() }
    }

    fn dimension(&self, dim: &Dim) -> Result<dimension::Dimension> {
        let value = match self.renamed(dim)? {
            Dim::Known(n) => dimension::Value::DimValue(to_i64(n)?),
            symbolic => dimension::Value::DimParam(symbolic.to_string()),
        };
        Ok(dimension::Dimension { value: Some(value), denotation: None })
    }

    /// `dim` with the batch's symbol under its new name.
    fn renamed(&self, dim: &Dim) -> Result<Dim> {
        let expr = match dim {
            Dim::Known(_) => return Ok(dim.clone()),
            Dim::Symbol(s) if &**s == BATCH => return Ok(Dim::symbol(self.batch_name)),
            Dim::Symbol(s) if &**s == self.batch_name => {
                return Err(Error::Option {
                    option: "batch_name",
                    message: format!("another size of the graph is called `{s}`; choose another name"),
                });
            }
            Dim::Symbol(_) => return Ok(dim.clone()),
            Dim::Expr(expr) => &**expr,
        };
        let expr = match expr {
            DimExpr::Add(a, b) => DimExpr::Add(self.renamed(a)?, self.renamed(b)?),
            DimExpr::Offset(a, n) => DimExpr::Offset(self.renamed(a)?, *n),
            DimExpr::Mul(a, b) => DimExpr::Mul(self.renamed(a)?, self.renamed(b)?),
            DimExpr::FloorDiv(a, n) => DimExpr::FloorDiv(self.renamed(a)?, *n),
            DimExpr::CeilDiv(a, n) => DimExpr::CeilDiv(self.renamed(a)?, *n),
        };
        Ok(Dim::Expr(Arc::new(expr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_renamed_everywhere() {
        let n = Dim::symbol("N");
        let sum = n.plus(&Dim::symbol("H")).unwrap().floor_div(2).unwrap();
        let facts = Facts::new("batch").unwrap();
        assert_eq!(facts.renamed(&n).unwrap().to_string(), "batch");
        assert_eq!(facts.renamed(&sum).unwrap().to_string(), "floor((batch + H) / 2)");
        assert_eq!(Facts::new("N").unwrap().renamed(&sum).unwrap(), sum);
    }

    #[test]
    fn two_sizes_never_get_one_name() {
        assert!(Facts::new("H").unwrap().renamed(&Dim::symbol("H")).is_err());
        assert!(Facts::new("").is_err());
    }
}
