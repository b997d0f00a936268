//! Rounding of widths.

/// mmcls' `make_divisible`: the multiple of `divisor` next to `width`, at least `divisor` and not more than a tenth below
/// `width`.
pub(crate) fn make_divisible(width: f64, divisor: usize) -> usize {
    let divisor = divisor.max(1);
    let near = ((width + divisor as f64 / 2.0) as usize / divisor).saturating_mul(divisor).max(divisor);
    if (near as f64) < 0.9 * width { near.saturating_add(divisor) } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_multiples() {
        let widths = |factor: f64| [32, 16, 24, 64, 160].map(|w| make_divisible(f64::from(w) * factor, 8));
        assert_eq!(widths(1.0), [32, 16, 24, 64, 160]);
        assert_eq!(widths(0.35), [16, 8, 8, 24, 56]);
        assert_eq!(widths(1.4), [48, 24, 32, 88, 224]);
        assert_eq!([make_divisible(0.5, 1), make_divisible(10.5, 1), make_divisible(11.0, 8)], [1, 11, 16]);
    }
}
