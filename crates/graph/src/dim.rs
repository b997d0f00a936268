//! Sizes that may be unknown until a model runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// Values of symbols, by name.
pub type Bindings = BTreeMap<String, usize>;

/// A size: a number, a named symbol, or an expression over symbols.
///
/// Equality is structural. Expressions over numbers alone are computed at once, so a known size is always
/// [`Dim::Known`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Known(usize),
    /// A name to be bound when the model runs, such as `N`.
    Symbol(Arc<str>),
    /// An expression with at least one symbol.
    Expr(Arc<DimExpr>),
}

/// An expression over sizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DimExpr {
    /// `a + b`
    Add(Dim, Dim),
    /// `a + c` with a constant of either sign.
    Offset(Dim, i64),
    /// `a * b`
    Mul(Dim, Dim),
    /// `floor(a / n)`
    FloorDiv(Dim, usize),
    /// `ceil(a / n)`
    CeilDiv(Dim, usize),
}

impl Dim {
    /// A symbol called `name`.
    pub fn symbol(name: &str) -> Self {
        Dim::Symbol(name.into())
    }

    /// The number, where it is known.
    pub fn known(&self) -> Option<usize> {
        match self {
            Dim::Known(n) => Some(*n),
            _ => None,
        }
    }

    fn expr(e: DimExpr) -> Self {
        Dim::Expr(Arc::new(e))
    }

    /// `self + other`
    ///
    /// # Errors
    /// The sum overflows.
    pub fn plus(&self, other: &Dim) -> Result<Dim> {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a.checked_add(*b).map(Dim::Known).ok_or_else(overflow),
            (Dim::Known(0), d) | (d, Dim::Known(0)) => Ok(d.clone()),
            (a, b) => Ok(Self::expr(DimExpr::Add(a.clone(), b.clone()))),
        }
    }

    /// `self + offset`
    ///
    /// # Errors
    /// The result is known to be negative, or overflows.
    pub fn offset(&self, offset: i64) -> Result<Dim> {
        match self {
            Dim::Known(a) => offset_known(*a, offset).map(Dim::Known),
            d if offset == 0 => Ok(d.clone()),
            Dim::Expr(e) => match &**e {
                DimExpr::Offset(d, o) => d.offset(o.checked_add(offset).ok_or_else(overflow)?),
                _ => Ok(Self::expr(DimExpr::Offset(self.clone(), offset))),
            },
            d => Ok(Self::expr(DimExpr::Offset(d.clone(), offset))),
        }
    }

    /// `self * other`
    ///
    /// # Errors
    /// The product overflows.
    pub fn times(&self, other: &Dim) -> Result<Dim> {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a.checked_mul(*b).map(Dim::Known).ok_or_else(overflow),
            (Dim::Known(1), d) | (d, Dim::Known(1)) => Ok(d.clone()),
            (a, b) => Ok(Self::expr(DimExpr::Mul(a.clone(), b.clone()))),
        }
    }

    /// `floor(self / n)`
    ///
    /// # Errors
    /// `n` is 0.
    pub fn floor_div(&self, n: usize) -> Result<Dim> {
        match (self, n) {
            (_, 0) => Err(Error::Dim("division by 0".into())),
            (d, 1) => Ok(d.clone()),
            (Dim::Known(a), n) => Ok(Dim::Known(a / n)),
            (d, n) => Ok(Self::expr(DimExpr::FloorDiv(d.clone(), n))),
        }
    }

    /// `ceil(self / n)`
    ///
    /// # Errors
    /// `n` is 0.
    pub fn ceil_div(&self, n: usize) -> Result<Dim> {
        match (self, n) {
            (_, 0) => Err(Error::Dim("division by 0".into())),
            (d, 1) => Ok(d.clone()),
            (Dim::Known(a), n) => Ok(Dim::Known(a.div_ceil(n))),
            (d, n) => Ok(Self::expr(DimExpr::CeilDiv(d.clone(), n))),
        }
    }

    /// The number under `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound, or the result overflows or is negative.
    pub fn eval(&self, bindings: &Bindings) -> Result<usize> {
        match self {
            Dim::Known(n) => Ok(*n),
            Dim::Symbol(s) => {
                bindings.get(&**s).copied().ok_or_else(|| Error::Dim(format!("`{s}` has no value")))
            }
            Dim::Expr(e) => match &**e {
                DimExpr::Add(a, b) => a.eval(bindings)?.checked_add(b.eval(bindings)?).ok_or_else(overflow),
                DimExpr::Mul(a, b) => a.eval(bindings)?.checked_mul(b.eval(bindings)?).ok_or_else(overflow),
                DimExpr::Offset(a, o) => offset_known(a.eval(bindings)?, *o),
                DimExpr::FloorDiv(a, n) => Ok(a.eval(bindings)? / n),
                DimExpr::CeilDiv(a, n) => Ok(a.eval(bindings)?.div_ceil(*n)),
            },
        }
    }

    /// Whether the two may be the same size: they are, unless both are known and differ.
    pub fn may_equal(&self, other: &Dim) -> bool {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a == b,
            _ => true,
        }
    }
}

fn overflow() -> Error {
    Error::Dim("size overflows".into())
}

fn offset_known(a: usize, offset: i64) -> Result<usize> {
    i64::try_from(a)
        .ok()
        .and_then(|a| a.checked_add(offset))
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| Error::Dim(format!("{a} {offset:+} is no size")))
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Dim::Known(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Symbol(s) => f.write_str(s),
            Dim::Expr(e) => match &**e {
                DimExpr::Add(a, b) => write!(f, "({a} + {b})"),
                DimExpr::Offset(a, o) if *o < 0 => write!(f, "({a} - {})", o.unsigned_abs()),
                DimExpr::Offset(a, o) => write!(f, "({a} + {o})"),
                DimExpr::Mul(a, b) => write!(f, "{a}*{b}"),
                DimExpr::FloorDiv(a, n) => write!(f, "floor({a} / {n})"),
                DimExpr::CeilDiv(a, n) => write!(f, "ceil({a} / {n})"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sizes_are_computed() {
        let d = Dim::Known(28).offset(2).unwrap().floor_div(2).unwrap().offset(1).unwrap();
        assert_eq!(d, Dim::Known(16));
        assert!(Dim::Known(1).offset(-3).is_err());
        assert!(Dim::Known(usize::MAX).times(&Dim::Known(2)).is_err());
        assert!(Dim::Known(4).floor_div(0).is_err());
    }

    #[test]
    fn symbols_are_bound_late() {
        let n = Dim::symbol("H");
        let d = n.offset(-1).unwrap().floor_div(2).unwrap().offset(1).unwrap();
        assert_eq!(d.to_string(), "(floor((H - 1) / 2) + 1)");
        assert_eq!(d.eval(&Bindings::from([("H".into(), 28)])).unwrap(), 14);
        assert!(d.eval(&Bindings::new()).is_err());
        assert_eq!(n.offset(3).unwrap().offset(-3).unwrap(), n);
    }
}
