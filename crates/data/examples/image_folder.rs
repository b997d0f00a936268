//! The speed of the loader on a folder of JPEGs with ImageNet's pipeline: each step, images a second, time spent waiting.
//!
//! `cargo run --release -p occam-data --example image_folder [milliseconds a trainer takes for an image]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use occam_data::decode::{ColorType, DecodeBackend, read};
use occam_data::resize::{Interpolation, ResizeBackend, resize};
use occam_data::{
    ClsDataPreprocessor, Compose, CustomConfig, CustomKind, Dataset, DefaultSampler, FlipDirection,
    LoadImageFromFile, Loader, LoaderOptions, RandomFlip, RandomResizedCrop,
};

const JPEG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data/files/500x375.jpg");
const CLASSES: usize = 4;
const IMAGES: usize = 512;
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let milliseconds: f64 = std::env::args().nth(1).map_or(Ok(20.0), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    for class in 0..CLASSES {
        let class = folder.path().join(format!("class{class}"));
        std::fs::create_dir(&class)?;
        for image in 0..IMAGES / CLASSES {
            std::fs::copy(JPEG, class.join(format!("{image:04}.jpg")))?;
        }
    }

    let image = read(JPEG.as_ref(), ColorType::Color, DecodeBackend::Cv2)?;
    let each = |name: &str, run: &dyn Fn()| {
        let start = Instant::now();
        (0..100).for_each(|_| run());
        println!("{name}: {:.2} ms", start.elapsed().as_secs_f64() * 10.0);
    };
    each("decode 500x375", &|| {
        black_box(read(JPEG.as_ref(), ColorType::Color, DecodeBackend::Cv2).ok());
    });
    let part = image.crop(40, 60, 300, 320);
    for (interpolation, backend) in [
        (Interpolation::Bilinear, ResizeBackend::Cv2),
        (Interpolation::Bicubic, ResizeBackend::Cv2),
        (Interpolation::Bicubic, ResizeBackend::Pillow),
    ] {
        each(&format!("crop and resize 320x300 to 224x224, {interpolation:?} {backend:?}"), &|| {
            let part = image.crop(40, 60, 300, 320);
            black_box(resize(&part, 224, 224, interpolation, backend).ok());
        });
    }
    each("flip", &|| black_box(part.clone()).flip(FlipDirection::Horizontal));

    for num_workers in [0, 1, 2] {
        let loader = loader(folder.path(), num_workers)?;
        let start = Instant::now();
        let mut images = 0;
        for batch in loader.epoch(0, 0) {
            images += batch?.len();
        }
        let rate = images as f64 / start.elapsed().as_secs_f64();
        println!("{num_workers} workers: {rate:.0} images/s");
    }

    // A trainer that keeps one core busy.
    for num_workers in [0, 1, 2] {
        let loader = loader(folder.path(), num_workers)?;
        let start = Instant::now();
        let mut epoch = loader.epoch(0, 0);
        for batch in epoch.by_ref() {
            let until = Instant::now() + Duration::from_secs_f64(milliseconds * batch?.len() as f64 / 1000.0);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        let share = 100.0 * epoch.waited().as_secs_f64() / start.elapsed().as_secs_f64();
        println!("{num_workers} workers, {milliseconds} ms an image: {share:.1} % of the time spent waiting");
    }
    Ok(())
}

fn loader(folder: &std::path::Path, num_workers: usize) -> occam_data::Result<Loader> {
    let pipeline = Compose::new(vec![
        Box::new(LoadImageFromFile::default()),
        Box::new(RandomResizedCrop::new(224)),
        Box::new(RandomFlip::new(0.5)),
    ]);
    let images: Arc<dyn Dataset> =
        Arc::new(CustomConfig::new(folder).load(&CustomKind::CUSTOM)?.with_pipeline(pipeline));
    let preprocessor = ClsDataPreprocessor {
        to_rgb: true,
        ..ClsDataPreprocessor::new([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    };
    let options = LoaderOptions { batch_size: BATCH, num_workers, ..Default::default() };
    Loader::new(images, Arc::new(preprocessor), Arc::new(DefaultSampler::default()), options)
}
