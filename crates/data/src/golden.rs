//! Golden pixels and the images they were computed from, for tests: `tools/golden/data_images.py`.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Image;
use crate::streams::formula;

/// What a file of golden pixels holds: a case, and the pixels that it leads to.
pub(crate) struct Case<T> {
    pub(crate) args: T,
    pub(crate) image: Image,
}

/// The folder of golden files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data"))
}

/// All cases of the file called `name`.
pub(crate) fn cases<T: DeserializeOwned>(name: &str) -> Vec<Case<T>> {
    #[derive(Deserialize)]
    struct Shape {
        shape: [usize; 3],
    }
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let pixels = std::fs::read(folder().join(format!("{name}.bin"))).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut at = 0;
    let cases: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let Shape { shape: [height, width, channels] } = serde_json::from_value(row.clone()).unwrap();
            let end = at + height * width * channels;
            let image = Image::new(height, width, channels, pixels[at..end].to_vec()).unwrap();
            at = end;
            Case { args: serde_json::from_value(row).unwrap(), image }
        })
        .collect();
    assert!(at == pixels.len() && !cases.is_empty());
    cases
}

/// The image of noise that `name` stands for.
pub(crate) fn image(name: &str, height: usize, width: usize, channels: usize) -> Image {
    let pixels = formula(name, height * width * channels).into_iter().map(|u| (u * 256.0) as u8).collect();
    Image::new(height, width, channels, pixels).unwrap()
}

/// The largest difference of two images of one shape, and the share of samples that differ.
pub(crate) fn difference(a: &Image, b: &Image) -> (u8, f64) {
    assert_eq!((a.shape(), a.channels()), (b.shape(), b.channels()));
    let differences = a.pixels().iter().zip(b.pixels()).map(|(&a, &b)| a.abs_diff(b));
    let differing = differences.clone().filter(|&d| d > 0).count();
    (differences.max().unwrap_or_default(), differing as f64 / a.pixels().len() as f64)
}
