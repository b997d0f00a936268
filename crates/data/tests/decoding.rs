//! Image files, well and badly made.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use occam_data::decode::{ColorType, DecodeBackend, decode, read};
use occam_data::{Error, Image};
use proptest::prelude::*;
use serde::Deserialize;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data"))
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("files").join(name)).unwrap()
}

fn color(bytes: &[u8]) -> Result<Image, String> {
    decode(bytes, ColorType::Color, DecodeBackend::Cv2)
}

/// What OpenCV and Pillow decode (`tools/golden/data_images.py`): PNG, WebP, BMP and PNM bit for bit. The JPEG decoder
/// rounds otherwise than libjpeg-turbo: by 3 at most, and by 0.4 in the mean where chroma is enlarged.
#[test]
fn decodes_as_opencv_and_pillow() {
    #[derive(Deserialize)]
    struct Args {
        file: String,
        color_type: ColorType,
        backend: DecodeBackend,
        shape: [usize; 3],
    }
    let text = std::fs::read_to_string(folder().join("decoding.json")).unwrap();
    let pixels = std::fs::read(folder().join("decoding.bin")).unwrap();
    let mut at = 0;
    for args in serde_json::from_str::<Vec<Args>>(&text).unwrap() {
        let size = args.shape.iter().product::<usize>();
        let expected = &pixels[at..at + size];
        at += size;
        let image = decode(&file(&args.file), args.color_type, args.backend).unwrap();
        let name = format!("{} {:?} {:?}", args.file, args.color_type, args.backend);
        assert_eq!([image.height(), image.width(), image.channels()], args.shape, "{name}");
        let differences = image.pixels().iter().zip(expected).map(|(&a, &b)| a.abs_diff(b));
        let most = differences.clone().max().unwrap();
        let mean = differences.map(f64::from).sum::<f64>() / size as f64;
        let bound = if args.file.ends_with(".jpg") { (3, 0.4) } else { (0, 0.0) };
        assert!(most <= bound.0 && mean <= bound.1, "{name}: {most} {mean}");
    }
    assert_eq!(at, pixels.len());
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = file("420.jpg");
    let mut huge = file("rgb.png");
    // Width and height of the IHDR chunk, and a checksum that fits.
    huge[16..24].copy_from_slice(&[0, 1, 0xff, 0xff, 0, 1, 0xff, 0xff]);
    let mut bmp = file("rgb.bmp");
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("cut.jpg", jpeg[..jpeg.len() / 2].to_vec(), "cut short"),
        ("headless.jpg", jpeg[..20].to_vec(), "cannot be decoded"),
        ("text.jpg", b"this is no image".to_vec(), "no JPEG, PNG, WebP, BMP or PNM"),
        ("empty.jpg", vec![], "the file is empty"),
        ("cut.png", file("rgb.png")[..500].to_vec(), "Png cannot be decoded"),
        ("huge.png", huge, "Png cannot be decoded"),
        ("huge.bmp", bmp, "Image too large"),
        ("huge.ppm", b"P6\n99999 99999\n255\n".to_vec(), "99999 x 99999 pixels"),
    ];
    for (name, content, expected) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = read(&path, ColorType::Color, DecodeBackend::Cv2).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Corrupt { .. }), "{message}");
        assert!(message.contains(name) && message.contains(expected), "{message}");
    }
    let missing = read(&folder.path().join("none.jpg"), ColorType::Color, DecodeBackend::Cv2).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }) && missing.to_string().contains("none.jpg"));
    assert!(read(folder.path(), ColorType::Color, DecodeBackend::Cv2).is_err());
}

/// A frame header of 65535 x 65535 pixels is refused before memory is taken.
#[test]
fn absurd_jpeg_sizes_are_refused() {
    let mut jpeg = file("444.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    assert!(color(&jpeg).unwrap_err().contains("65535 x 65535"));
}

#[test]
fn one_pixel_is_an_image() {
    let image = color(b"P6\n1 1\n255\n\x01\x02\x03").unwrap();
    assert_eq!((image.shape(), image.pixels()), ([1, 1], [3, 2, 1].as_slice()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Damaged files are images or errors, never panics.
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..8,
        cut in 0.0f64..1.5,
        damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 0..6),
    ) {
        let names = ["420.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "palette.png", "lossy.webp", "rgb.bmp", "gray.pgm"];
        let mut content = file(names[which]);
        for (place, byte) in damage {
            let at = (place * content.len() as f64) as usize;
            content[at] = byte;
        }
        content.truncate((cut * content.len() as f64) as usize);
        for color in [ColorType::Color, ColorType::Grayscale, ColorType::Unchanged] {
            let _ = decode(&content, color, DecodeBackend::Cv2);
        }
    }
}
