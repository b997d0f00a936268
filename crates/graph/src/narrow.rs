//! Element types of at most 8 bits that quantized models are stored in.

use std::fmt;

/// An element type that values are stored and moved in; computing takes a cast or a dequantization first.
///
/// An array holds one code a byte: the bits of an element, those of four in the low half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Narrow {
    /// Integers from -8 to 7.
    I4,
    /// Integers from 0 to 15.
    U4,
    /// Floats of 2 bits of exponent and 1 of mantissa up to 6, without infinity and NaN.
    F4E2M1,
    /// Floats of 4 bits of exponent and 3 of mantissa up to 448, without infinity.
    F8E4M3FN,
    /// Floats of 4 bits of exponent and 3 of mantissa up to 240, without infinity and negative zero.
    F8E4M3FNUZ,
    /// Floats of 5 bits of exponent and 2 of mantissa up to 57344.
    F8E5M2,
    /// Floats of 5 bits of exponent and 2 of mantissa up to 57344, without infinity and negative zero.
    F8E5M2FNUZ,
}

/// How a float lies in its bits: sign, exponent, mantissa, from the highest down.
struct Format {
    mantissa: u32,
    bias: i32,
    /// The bit of the sign.
    sign: u8,
    /// The code of the largest number.
    largest: u8,
    infinity: Option<u8>,
    /// The code that is no number; none where there is none.
    nan: Option<u8>,
    negative_zero: bool,
}

impl Narrow {
    /// All of them.
    pub const ALL: [Narrow; 7] = [
        Narrow::I4,
        Narrow::U4,
        Narrow::F4E2M1,
        Narrow::F8E4M3FN,
        Narrow::F8E4M3FNUZ,
        Narrow::F8E5M2,
        Narrow::F8E5M2FNUZ,
    ];

    /// Bits of an element.
    pub fn bits(self) -> u32 {
        match self {
            Narrow::I4 | Narrow::U4 | Narrow::F4E2M1 => 4,
            _ => 8,
        }
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        self.format().is_some()
    }

    /// The largest code.
    pub fn last_code(self) -> u8 {
        if self.bits() == 4 { 0x0f } else { 0xff }
    }

    /// Smallest and largest integer; none for floats.
    pub fn range(self) -> Option<(i8, i8)> {
        match self {
            Narrow::I4 => Some((-8, 7)),
            Narrow::U4 => Some((0, 15)),
            _ => None,
        }
    }

    fn format(self) -> Option<Format> {
        let of = |mantissa, bias, largest| Format {
            mantissa,
            bias,
            sign: 0x80,
            largest,
            infinity: None,
            nan: Some(0x80),
            negative_zero: false,
        };
        Some(match self {
            Narrow::I4 | Narrow::U4 => return None,
            Narrow::F4E2M1 => Format { sign: 0x08, nan: None, negative_zero: true, ..of(1, 1, 0x07) },
            Narrow::F8E4M3FN => Format { nan: Some(0x7f), negative_zero: true, ..of(3, 7, 0x7e) },
            Narrow::F8E4M3FNUZ => of(3, 8, 0x7f),
            Narrow::F8E5M2 => {
                Format { infinity: Some(0x7c), nan: Some(0x7f), negative_zero: true, ..of(2, 15, 0x7b) }
            }
            Narrow::F8E5M2FNUZ => of(2, 16, 0x7f),
        })
    }

    /// The number that a code stands for. Every one is exact.
    pub fn decode(self, code: u8) -> f32 {
        let code = code & self.last_code();
        match self.format() {
            Some(format) => format.decode(code),
            None if self == Narrow::I4 && code > 7 => f32::from(code) - 16.0,
            None => code.into(),
        }
    }

    /// The code of the number that is nearest to `x`, the even one of two. Integers are cut towards zero and saturate.
    ///
    /// Floats beyond the largest number, infinity too, become that number where `saturate` is on or the type has nothing
    /// else; otherwise infinity, or NaN where there is none. NaN of a type without is its largest number.
    pub fn encode(self, x: f64, saturate: bool) -> u8 {
        match (self.format(), self.range()) {
            (Some(format), _) => format.encode(x, saturate),
            (None, range) => {
                let (low, high) = range.unwrap_or((0, 0));
                (x.clamp(low.into(), high.into()) as i8).cast_unsigned() & self.last_code()
            }
        }
    }
}

impl Format {
    fn decode(&self, code: u8) -> f32 {
        let (negative, magnitude) = (code & self.sign != 0, code & (self.sign - 1));
        if self.nan == Some(code) {
            return f32::NAN;
        }
        let size = if self.infinity == Some(magnitude) {
            f32::INFINITY
        } else if magnitude > self.largest {
            f32::NAN
        } else {
            let exponent = i32::from(magnitude >> self.mantissa);
            let fraction = f32::from(magnitude & ((1 << self.mantissa) - 1));
            let whole = if exponent == 0 { 0.0 } else { f32::from(1u8 << self.mantissa) };
            (fraction + whole) * 2f32.powi(exponent.max(1) - self.bias - self.mantissa.cast_signed())
        };
        if negative { -size } else { size }
    }

    fn encode(&self, x: f64, saturate: bool) -> u8 {
        let negative = x.is_sign_negative();
        let signed = |magnitude: u8| {
            let bare = !negative || (magnitude == 0 && !self.negative_zero);
            if bare { magnitude } else { magnitude | self.sign }
        };
        if x.is_nan() {
            // Where the sign alone is the code, there is one NaN.
            return match self.nan {
                Some(code) if code == self.sign => code,
                Some(code) => signed(code),
                None => self.largest,
            };
        }
        match self.magnitude(x.abs()) {
            Some(code) => signed(code),
            None if saturate => signed(self.largest),
            None => match (self.infinity, self.nan) {
                (Some(code), _) => signed(code),
                (None, Some(code)) if code == self.sign => code,
                (None, Some(code)) => signed(code),
                (None, None) => signed(self.largest),
            },
        }
    }

    /// The code of a number that is not negative; none where it rounds beyond the largest.
    fn magnitude(&self, x: f64) -> Option<u8> {
        if x.is_infinite() {
            return None;
        }
        let exponent = i32::try_from(x.to_bits() >> 52).unwrap_or(0) - 1023;
        // Below the smallest exponent numbers are as far apart as there.
        let exponent = exponent.max(1 - self.bias);
        let steps = (x / 2f64.powi(exponent - self.mantissa.cast_signed())).round_ties_even() as i64;
        let code = (i64::from(exponent + self.bias - 1) << self.mantissa) + steps;
        u8::try_from(code).ok().filter(|&c| c <= self.largest)
    }
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Narrow::I4 => "i4",
            Narrow::U4 => "u4",
            Narrow::F4E2M1 => "f4e2m1",
            Narrow::F8E4M3FN => "f8e4m3fn",
            Narrow::F8E4M3FNUZ => "f8e4m3fnuz",
            Narrow::F8E5M2 => "f8e5m2",
            Narrow::F8E5M2FNUZ => "f8e5m2fnuz",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of ONNX Runtime 1.32 (`Cast`), but for 61440 and above without saturation in `f8e5m2`, which the operator's
    /// table makes infinite.
    #[test]
    fn floats_round_as_runtimes_do() {
        let inputs = [464.0, 465.0, 1e6, -1e6, 248.0, 249.0, 61440.0, 0.000_976_562_5, 1.5 / 512.0];
        let smallest = 2f32.powi(-10);
        for (of, saturate, wanted) in [
            (Narrow::F8E4M3FN, true, [448.0, 448.0, 448.0, -448.0, 256.0, 256.0, 448.0, 0.0, 4.0 * smallest]),
            (
                Narrow::F8E4M3FNUZ,
                true,
                [240.0, 240.0, 240.0, -240.0, 240.0, 240.0, 240.0, smallest, 3.0 * smallest],
            ),
            (
                Narrow::F8E5M2,
                false,
                [
                    448.0,
                    448.0,
                    f32::INFINITY,
                    f32::NEG_INFINITY,
                    256.0,
                    256.0,
                    f32::INFINITY,
                    smallest,
                    3.0 * smallest,
                ],
            ),
            (
                Narrow::F8E5M2FNUZ,
                true,
                [448.0, 448.0, 57344.0, -57344.0, 256.0, 256.0, 57344.0, smallest, 3.0 * smallest],
            ),
        ] {
            assert_eq!(inputs.map(|x| of.decode(of.encode(x, saturate))), wanted, "{of}");
        }
        for of in [Narrow::F8E4M3FN, Narrow::F8E4M3FNUZ, Narrow::F8E5M2FNUZ] {
            assert!(of.decode(of.encode(f64::INFINITY, false)).is_nan(), "{of}");
            assert!(of.decode(of.encode(-1e9, false)).is_nan(), "{of}");
        }
        let four = [0.48, 0.25, 1.05, -3.5, -8.0, f64::NAN, f64::NEG_INFINITY, 0.01];
        assert_eq!(
            four.map(|x| Narrow::F4E2M1.decode(Narrow::F4E2M1.encode(x, false))),
            [0.5, 0.0, 1.0, -4.0, -6.0, 6.0, -6.0, 0.0]
        );
    }

    #[test]
    fn every_code_comes_back() {
        for of in Narrow::ALL {
            for code in 0..=of.last_code() {
                let x = of.decode(code);
                let again = of.encode(x.into(), false);
                assert!(again == code || x.is_nan() && of.decode(again).is_nan(), "{of} {code:#x} is {x}");
            }
        }
    }

    #[test]
    fn zeros_have_signs_where_the_type_has_them() {
        assert_eq!(Narrow::F8E4M3FN.encode(-0.0, true), 0x80);
        assert_eq!(Narrow::F8E5M2FNUZ.encode(-0.0, true), 0);
        assert_eq!(Narrow::F8E5M2FNUZ.encode(-1e-9, true), 0);
        assert_eq!(Narrow::F8E5M2FNUZ.encode(f64::NAN, true), 0x80);
    }

    #[test]
    fn integers_are_cut_and_saturate() {
        let codes = |of: Narrow| [-9.0, -1.5, 0.9, 7.5, 300.0].map(|x| of.decode(of.encode(x, false)));
        assert_eq!(codes(Narrow::I4), [-8.0, -1.0, 0.0, 7.0, 7.0]);
        assert_eq!(codes(Narrow::U4), [0.0, 0.0, 0.0, 7.0, 15.0]);
    }
}
