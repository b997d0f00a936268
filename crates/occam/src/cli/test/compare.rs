//! How good scores are, and how alike those of two files.

/// The class of the largest score, the first of equal ones; none where a score is not a number.
fn best(row: &[f32]) -> Option<usize> {
    let mut best = (None, f32::NEG_INFINITY);
    for (i, &x) in row.iter().enumerate() {
        if x.is_nan() {
            return None;
        }
        if best.0.is_none() || x > best.1 {
            best = (Some(i), x);
        }
    }
    best.0
}

/// How many images a file classifies as they are labelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Images that were seen.
    pub images: u64,
    labelled: u64,
    first: u64,
    five: u64,
    classes: usize,
}

impl Tally {
    /// Takes scores `[N, width]` into account.
    pub fn add(&mut self, scores: &[f32], width: usize, labels: &[Option<i64>]) {
        self.classes = self.classes.max(width);
        for (row, label) in scores.chunks(width.max(1)).zip(labels) {
            self.images += 1;
            let label = label.and_then(|l| usize::try_from(l).ok());
            let Some((label, &score)) = label.and_then(|l| Some((l, row.get(l)?))) else { continue };
            self.labelled += 1;
            let Some(best) = best(row) else { continue };
            self.first += u64::from(label == best);
            self.five += u64::from(row.iter().filter(|&&x| x > score).count() < 5);
        }
    }

    /// The share of images whose class is the best one, in percent; not a number without labelled images.
    pub fn top1(&self) -> f64 {
        100.0 * self.first as f64 / self.labelled as f64
    }

    /// The share of images whose class is among the best five, where there are more.
    pub fn top5(&self) -> Option<f64> {
        (self.classes > 5).then(|| 100.0 * self.five as f64 / self.labelled as f64)
    }
}

/// How alike the scores of two files are.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    images: u64,
    same: u64,
    sum: f64,
    /// The least cosine of an image's scores.
    pub least: f64,
    /// The largest difference of a score.
    pub largest: f32,
}

impl Default for Seen {
    fn default() -> Self {
        Self { images: 0, same: 0, sum: 0.0, least: 1.0, largest: 0.0 }
    }
}

impl Seen {
    /// Takes scores `[N, width]` of both into account.
    pub fn add(&mut self, a: &[f32], b: &[f32], width: usize) {
        for (a, b) in a.chunks(width.max(1)).zip(b.chunks(width.max(1))) {
            self.images += 1;
            self.same += u64::from(best(a).is_some() && best(a) == best(b));
            let cosine = cosine(a, b);
            self.sum += cosine;
            // What is not a number is the least, and stays it.
            let broken = cosine.is_nan() || self.least.is_nan();
            self.least = if broken { f64::NAN } else { self.least.min(cosine) };
            self.largest = a.iter().zip(b).fold(self.largest, |m, (a, b)| m.max((a - b).abs()));
        }
    }

    /// The share of images of which both give the same class, in percent.
    pub fn agreement(&self) -> f64 {
        100.0 * self.same as f64 / self.images as f64
    }

    /// The mean over images of the cosine between the scores.
    pub fn mean(&self) -> f64 {
        self.sum / self.images as f64
    }
}

/// `a · b / (|a| |b|)`; 1 of zeros with zeros, and no number where an element is none.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths == 0.0 { f64::from(u8::from(a == b)) } else { dot(a, b) / lengths }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted() {
        let mut tally = Tally::default();
        tally.add(&[0.1, 0.9, 0.0, 0.5, 0.4, 0.3], 3, &[Some(1), Some(2)]);
        tally.add(&[1.0, 0.0, 0.0], 3, &[None]);
        assert_eq!((tally.images, tally.top1(), tally.top5()), (3, 50.0, None));
        let mut broken = Tally::default();
        broken.add(&[f32::NAN, f32::NAN], 2, &[Some(0)]);
        assert_eq!(broken.top1(), 0.0);
        let mut wide = Tally::default();
        wide.add(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 6, &[Some(4), Some(5)]);
        assert_eq!((wide.top1(), wide.top5()), (0.0, Some(50.0)));
    }

    #[test]
    fn files_are_compared() {
        let mut seen = Seen::default();
        seen.add(&[1.0, 0.0, 0.0, 1.0], &[2.0, 0.0, 1.0, 0.0], 2);
        assert_eq!((seen.agreement(), seen.mean(), seen.least, seen.largest), (50.0, 0.5, 0.0, 1.0));
        assert_eq!(cosine(&[0.0], &[0.0]), 1.0);
        seen.add(&[f32::NAN, 0.0], &[f32::NAN, 0.0], 2);
        assert!(seen.mean().is_nan() && seen.agreement() < 50.0);
    }
}
