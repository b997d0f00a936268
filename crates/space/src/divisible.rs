//! Widths that hardware likes.

/// The multiple of `divisor` nearest to `value`, at least `min_value`, that keeps at least `min_ratio` of it.
///
/// `n = max(min_value, ⌊(value + divisor / 2) / divisor⌋ · divisor)`, and `n + divisor` where `n < min_ratio · value` (Howard et
/// al., MobileNets, 2017, as MMRazor and the zoo's MobileNets have it). `min_value` is `divisor` where it is not given, and
/// never less. MMRazor's `min_ratio` is 0.9. A divisor of 0 counts as 1.
pub fn make_divisible(value: f64, divisor: usize, min_value: Option<usize>, min_ratio: f64) -> usize {
    let divisor = divisor.max(1);
    let least = min_value.unwrap_or(divisor).max(divisor);
    // Python's `int` cuts towards 0; casts of negative numbers and of what is no number give 0.
    let whole = (value + divisor as f64 / 2.0) as usize;
    let nearest = (whole / divisor).saturating_mul(divisor).max(least);
    if (nearest as f64) < min_ratio * value { nearest.saturating_add(divisor) } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::make_divisible;

    #[test]
    fn widths_are_those_of_the_original() {
        for (value, divisor, wanted) in [
            (16.0, 8, 16),
            (15.0, 8, 16),
            (15.0, 3, 15),
            (17.0, 3, 18),
            (3.0, 8, 8),
            // 11 would become 8, which is less than nine tenths of it.
            (11.0, 8, 16),
            (20.0, 8, 24),
            (30.0, 8, 32),
            (14.4, 8, 16),
            (33.6, 8, 32),
        ] {
            assert_eq!(make_divisible(value, divisor, None, 0.9), wanted, "{value} by {divisor}");
        }
        assert_eq!(make_divisible(5.0, 1, Some(7), 0.9), 7);
        assert_eq!(make_divisible(9.0, 0, None, 0.9), 9);
        assert_eq!(make_divisible(f64::NAN, 8, None, 0.9), 8);
    }
}
