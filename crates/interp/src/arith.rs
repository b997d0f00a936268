//! Arithmetic of all element types but truth values.

use half::{bf16, f16};

use crate::numbers::Element;

/// A number. Integers wrap where a result does not fit.
pub(crate) trait Number: Element + Default {
    /// Whether it is an integer type.
    const INTEGER: bool;
    /// The smallest one; minus infinity for floats.
    const LOWEST: Self;
    /// The largest one; infinity for floats.
    const HIGHEST: Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// Integers are cut towards zero; 0 where `other` is 0.
    fn div(self, other: Self) -> Self;
    /// The remainder with the sign of `self`; 0 for integers where `other` is 0.
    fn rem(self, other: Self) -> Self;

    /// The remainder with the sign of `other`; 0 for integers where `other` is 0.
    fn floor_rem(self, other: Self) -> Self {
        let (zero, r) = (Self::default(), self.rem(other));
        if r != zero && (r < zero) != (other < zero) { r.add(other) } else { r }
    }

    /// The smaller one; NaN where either is.
    fn lesser(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }

    /// The larger one; NaN where either is.
    fn greater(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }

    fn negated(self) -> Self {
        Self::default().sub(self)
    }

    /// Without its sign.
    fn magnitude(self) -> Self {
        if self < Self::default() { self.negated() } else { self }
    }

    /// Whether it is a float that is no number.
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
}

macro_rules! floats {
    ($($t:ty),*) => {
        $(impl Number for $t {
            const INTEGER: bool = false;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;

            fn add(self, other: Self) -> Self {
                self + other
            }

            fn sub(self, other: Self) -> Self {
                self - other
            }

            fn mul(self, other: Self) -> Self {
                self * other
            }

            fn div(self, other: Self) -> Self {
                self / other
            }

            fn rem(self, other: Self) -> Self {
                self % other
            }

            fn negated(self) -> Self {
                -self
            }

            fn magnitude(self) -> Self {
                if self.is_sign_negative() { -self } else { self }
            }
        })*
    };
}

floats! { f32, f64, f16, bf16 }

macro_rules! integers {
    ($($t:ty),*) => {
        $(impl Number for $t {
            const INTEGER: bool = true;
            const LOWEST: Self = <$t>::MIN;
            const HIGHEST: Self = <$t>::MAX;

            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn div(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }

            fn rem(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
        })*
    };
}

integers! { i8, u8, i16, u16, i32, u32, i64, u64 }

/// Runs `$body` with `$v` bound to the elements' slice where they are numbers, `$other` where they are none to compute with.
macro_rules! each_number {
    ($array:expr, $v:ident => $body:expr, else => $other:expr) => {
        match $array.data() {
            occam_graph::Data::F32($v) => $body,
            occam_graph::Data::F64($v) => $body,
            occam_graph::Data::F16($v) => $body,
            occam_graph::Data::BF16($v) => $body,
            occam_graph::Data::I8($v) => $body,
            occam_graph::Data::U8($v) => $body,
            occam_graph::Data::I16($v) => $body,
            occam_graph::Data::U16($v) => $body,
            occam_graph::Data::I32($v) => $body,
            occam_graph::Data::U32($v) => $body,
            occam_graph::Data::I64($v) => $body,
            occam_graph::Data::U64($v) => $body,
            occam_graph::Data::Bool(_) | occam_graph::Data::Narrow(..) => $other,
        }
    };
}
pub(crate) use each_number;

/// The same for floats alone.
macro_rules! each_float {
    ($array:expr, $v:ident => $body:expr, else => $other:expr) => {
        match $array.data() {
            occam_graph::Data::F32($v) => $body,
            occam_graph::Data::F64($v) => $body,
            occam_graph::Data::F16($v) => $body,
            occam_graph::Data::BF16($v) => $body,
            _ => $other,
        }
    };
}
pub(crate) use each_float;

/// The same for integers alone.
macro_rules! each_integer {
    ($array:expr, $v:ident => $body:expr, else => $other:expr) => {
        match $array.data() {
            occam_graph::Data::I8($v) => $body,
            occam_graph::Data::U8($v) => $body,
            occam_graph::Data::I16($v) => $body,
            occam_graph::Data::U16($v) => $body,
            occam_graph::Data::I32($v) => $body,
            occam_graph::Data::U32($v) => $body,
            occam_graph::Data::I64($v) => $body,
            occam_graph::Data::U64($v) => $body,
            _ => $other,
        }
    };
}
pub(crate) use each_integer;
