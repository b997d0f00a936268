//! Times between those that were measured.

use super::table::Points;

/// Sizes of more letters than this enter a fit one by one, not in pairs.
const PAIRS: usize = 4;

/// Times of one operator as a function of its sizes.
///
/// Points whose sizes are multiples of the grains where the wanted ones are, and are not where these are not, are fitted by
/// `Σ c · f` over the constant, the sizes, their pairs and the product of all, with `c ≥ 0`, by least squares of relative
/// errors: so a larger size never takes less. What the fit leaves at the points, as a ratio, is carried to the sizes between
/// them with the inverse square of the distance in logarithms as weight: at a measured point the time is the measured one.
pub struct Fit<'a> {
    points: Vec<(&'a [usize], f64)>,
    largest: Vec<f64>,
    coefficients: Vec<f64>,
}

/// Whether each size is a multiple of its grain.
pub fn pattern(sizes: &[usize], grains: &[usize]) -> Vec<bool> {
    sizes.iter().zip(grains).map(|(&s, &g)| s % g.max(1) == 0).collect()
}

impl<'a> Fit<'a> {
    /// The fit for sizes of a pattern: by the points of this pattern, or by all where it has less than two; none without any.
    pub fn new(points: &'a Points, wanted: &[bool], grains: &[usize]) -> Option<Self> {
        let all = || points.iter().map(|(sizes, &us)| (sizes.as_slice(), us));
        let mut own: Vec<_> = all().filter(|(sizes, _)| pattern(sizes, grains) == wanted).collect();
        if own.len() < 2 {
            own = all().collect();
        }
        let letters = own.first()?.0.len();
        let mut largest = vec![1.0f64; letters];
        for (sizes, _) in &own {
            largest.iter_mut().zip(*sizes).for_each(|(l, &s)| *l = l.max(s as f64));
        }
        let mut fit = Self { points: own, largest, coefficients: Vec::new() };
        fit.solve();
        Some(fit)
    }

    /// What times are a sum of, the product of all sizes first: a single point is one of it.
    fn features(&self, sizes: &[usize]) -> Vec<f64> {
        let s: Vec<f64> = sizes.iter().zip(&self.largest).map(|(&s, l)| s as f64 / l).collect();
        let mut features = Vec::new();
        if s.len() > 2 && s.len() <= PAIRS {
            features.push(s.iter().product());
        }
        if s.len() <= PAIRS {
            for (i, a) in s.iter().enumerate() {
                features.extend(s.iter().skip(i + 1).map(|b| a * b));
            }
        }
        features.extend(&s);
        features.push(1.0);
        features
    }

    /// Coordinate descent; each coefficient stays at least 0.
    fn solve(&mut self) {
        let rows: Vec<(Vec<f64>, f64)> = self
            .points
            .iter()
            .filter(|(_, us)| *us > 0.0)
            .map(|(sizes, us)| (self.features(sizes).iter().map(|f| f / us).collect(), *us))
            .collect();
        let count = rows.first().map_or(0, |(f, _)| f.len());
        let mut c = vec![0.0; count];
        // What is left of 1, the relative time, of each row.
        let mut left = vec![1.0; rows.len()];
        for _ in 0..500 {
            let mut moved = 0.0f64;
            for k in 0..count {
                let feature = |row: &(Vec<f64>, f64)| row.0.get(k).copied().unwrap_or(0.0);
                let square: f64 = rows.iter().map(|r| feature(r).powi(2)).sum();
                let Some(own) = c.get_mut(k).filter(|_| square > 0.0) else { continue };
                let slope: f64 = rows.iter().zip(&left).map(|(r, l)| feature(r) * l).sum();
                let next = (*own + slope / square).max(0.0);
                let step = next - *own;
                *own = next;
                rows.iter().zip(&mut left).for_each(|(r, l)| *l -= step * feature(r));
                moved = moved.max(step.abs() * square.sqrt());
            }
            if moved < 1e-6 {
                break;
            }
        }
        self.coefficients = c;
    }

    fn fitted(&self, sizes: &[usize]) -> f64 {
        self.features(sizes).iter().zip(&self.coefficients).map(|(f, c)| f * c).sum()
    }

    /// The time at `sizes`.
    pub fn at(&self, sizes: &[usize]) -> f64 {
        let base = self.fitted(sizes);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (point, us) in &self.points {
            let steps = point.iter().zip(sizes).map(|(&p, &s)| (p.max(1) as f64 / s.max(1) as f64).ln());
            let distance: f64 = steps.map(|d| d * d).sum();
            let fitted = self.fitted(point);
            if *us > 0.0 && fitted > 0.0 {
                let weight = 1.0 / (distance + 1e-6);
                sum += weight * (us / fitted).ln();
                weights += weight;
            }
        }
        if weights > 0.0 { base * (sum / weights).exp() } else { base }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: impl Fn(usize, usize) -> f64, at: &[(usize, usize)]) -> Points {
        at.iter().map(|&(a, b)| (vec![a, b], of(a, b))).collect()
    }

    #[test]
    fn a_convolutions_time_is_found_between_points() {
        let time = |a: usize, b: usize| 4.0 + 0.02 * (a * b) as f64 + 0.5 * b as f64;
        let known = points(time, &[(64, 64), (16, 64), (64, 16), (32, 48), (48, 32), (16, 16)]);
        let fit = Fit::new(&known, &[true, true], &[16, 16]).unwrap();
        for (a, b) in [(64, 64), (32, 48)] {
            assert!((fit.at(&[a, b]) / time(a, b) - 1.0).abs() < 1e-3, "{a} {b}: {}", fit.at(&[a, b]));
        }
        for (a, b) in [(32, 32), (48, 64), (16, 48)] {
            assert!((fit.at(&[a, b]) / time(a, b) - 1.0).abs() < 0.02, "{a} {b}: {}", fit.at(&[a, b]));
        }
    }

    #[test]
    fn odd_sizes_do_not_disturb() {
        // Odd ones take three times as long.
        let time = |a: usize, b: usize| (a * b) as f64 * if a.is_multiple_of(16) { 1.0 } else { 3.0 };
        let known = points(time, &[(64, 64), (32, 64), (40, 64), (24, 32), (16, 32)]);
        let at = |sizes: &[usize]| {
            Fit::new(&known, &pattern(sizes, &[16, 16]), &[16, 16]).unwrap().at(sizes)
                / time(sizes[0], sizes[1])
        };
        assert!((at(&[48, 64]) - 1.0).abs() < 0.02);
        assert!((at(&[56, 64]) - 1.0).abs() < 0.02);
    }

    #[test]
    fn one_point_is_scaled_by_the_product() {
        let known = points(|_, _| 10.0, &[(10, 10)]);
        let fit = Fit::new(&known, &[true, true], &[1, 1]).unwrap();
        assert!((fit.at(&[5, 10]) - 5.0).abs() < 1e-6);
        assert!(Fit::new(&Points::new(), &[], &[]).is_none());
        // What takes no time takes none at any size.
        let known = points(|_, _| 0.0, &[(10, 10), (5, 5)]);
        assert_eq!(Fit::new(&known, &[true, true], &[1, 1]).unwrap().at(&[7, 7]), 0.0);
    }
}
