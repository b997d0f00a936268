//! Images a second of the loader on 28 x 28 images: crop, flip, normalize.
//!
//! `cargo run --release -p occam-data --example loader_throughput`

use std::sync::Arc;
use std::time::Instant;

use occam_data::{
    ClsDataPreprocessor, Compose, DefaultSampler, FASHION_MNIST, Loader, LoaderOptions, MnistConfig,
    RandomCrop, RandomFlip, Result,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fashion-mnist-small");
const EPOCHS: u64 = 20;

fn main() -> Result<()> {
    for num_workers in [0, 1, 2] {
        let pipeline = Compose::new(vec![Box::new(RandomCrop::new(28, 2)), Box::new(RandomFlip::new(0.5))]);
        let dataset = MnistConfig::new(FOLDER, false).load(&FASHION_MNIST)?.with_pipeline(pipeline);
        let loader = Loader::new(
            Arc::new(dataset),
            Arc::new(ClsDataPreprocessor::new([72.94], [90.02])),
            Arc::new(DefaultSampler::default()),
            LoaderOptions { batch_size: 128, num_workers, ..Default::default() },
        )?;
        let start = Instant::now();
        let mut images = 0;
        for epoch in 0..EPOCHS {
            for batch in loader.epoch(epoch, 0) {
                images += batch?.len();
            }
        }
        let rate = images as f64 / start.elapsed().as_secs_f64();
        println!("{num_workers} workers: {rate:.0} images/s");
    }
    Ok(())
}
