//! Event files, which TensorBoard shows: scalars by tag and step.
//!
//! A file is a sequence of records, each an `Event` message in a frame of little-endian numbers:
//!
//! | bytes | |
//! |---|---|
//! | 8 | `n`, the length of the message |
//! | 4 | masked CRC-32C of those 8 bytes |
//! | `n` | the message |
//! | 4 | masked CRC-32C of the message |
//!
//! The first message names the version of the format. Files grow at the end while TensorBoard reads them, so they are
//! not written by [`atomic_write`](crate::atomic_write): one that was interrupted may end inside a record, where
//! readers stop.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use crate::{Error, Result};

/// The version of the format, as the first message of a file has it.
const VERSION: &str = "brain.Event:2";

/// Writes one event file, record by record.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let mut events = occam_io::EventWriter::create(folder.path(), "train", 1_700_000_000.75)?;
/// events.scalar("loss", 0.625, 300, 1_700_000_001.5)?;
/// events.flush()?;
/// assert!(folder.path().join("events.out.tfevents.1700000000.occam.train").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts the file `events.out.tfevents.<seconds>.occam.<name_suffix>` in `dir`, which is made where it is missing.
    ///
    /// | argument | |
    /// |---|---|
    /// | `name_suffix` | tells apart files of one second; not empty, without `/` and `\` |
    /// | `start_time` | seconds since 1970 in UTC; not negative |
    ///
    /// TensorBoard reads the files of a folder in the order of their names, so `<seconds>`, which is `start_time`
    /// rounded down, has at least ten digits.
    ///
    /// # Errors
    /// An argument is out of its range, the file exists already, or the folder cannot be written.
    pub fn create(dir: &Path, name_suffix: &str, start_time: f64) -> Result<Self> {
        if name_suffix.is_empty() || name_suffix.contains(['/', '\\']) {
            return Err(Error::Name {
                name: name_suffix.into(),
                message: "the suffix of an event file must not be empty or have `/` or `\\` in it".into(),
            });
        }
        if !start_time.is_finite() || start_time < 0.0 {
            return Err(Error::Option {
                option: "start_time",
                message: format!("{start_time} is not a number of seconds since 1970"),
            });
        }
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let path = dir.join(format!("events.out.tfevents.{:010}.occam.{name_suffix}", start_time as u64));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.write(&Event {
            wall_time: start_time,
            step: 0,
            what: Some(What::FileVersion(VERSION.into())),
        })?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds the value of `tag` at `step`; the file has it after [`flush`](Self::flush) at the latest.
    ///
    /// Steps may come in any order, and `value` may be infinite or NaN. `wall_time` is in seconds since 1970 in UTC.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalar(&mut self, tag: &str, value: f32, step: i64, wall_time: f64) -> Result<()> {
        let value = Value { tag: tag.into(), value: Some(Kind::SimpleValue(value)) };
        self.write(&Event { wall_time, step, what: Some(What::Summary(Summary { value: vec![value] })) })
    }

    /// Hands all that was added to the operating system, so that readers see it.
    ///
    /// Dropping the writer does so too, but cannot report a failure.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&record(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }
}

/// The message in its frame.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let (length_crc, message_crc) = (masked_crc(&length).to_le_bytes(), masked_crc(message).to_le_bytes());
    [&length[..], &length_crc, message, &message_crc].concat()
}

/// The CRC-32C, changed so that checksums of data that hold checksums stay good ones.
///
/// `rotate_right(crc, 15) + 0xa282ead8`, modulo 2³².
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli; RFC 3720, section 12.1).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

/// What each value of a byte adds to the CRC-32C.
static CRC_TABLE: [u32; 256] = {
    /// The polynomial, its bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// One message of the file (`tensorflow/core/util/event.proto`), of which only what is written here.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

/// What an event tells.
#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    /// The version of the format; in the first event.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// Values of one step (`tensorflow/core/framework/summary.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `Summary.Value`: a value with its name.
#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Kind", tags = "2")]
    value: Option<Kind>,
}

/// The kinds of value.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    /// A scalar; zero is written too.
    #[prost(float, tag = "2")]
    SimpleValue(f32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(wall_time: f64) -> Event {
        Event { wall_time, step: 0, what: Some(What::FileVersion("brain.Event:2".into())) }
    }

    fn scalar(tag: &str, value: f32, step: i64, wall_time: f64) -> Event {
        let value = Value { tag: tag.into(), value: Some(Kind::SimpleValue(value)) };
        Event { wall_time, step, what: Some(What::Summary(Summary { value: vec![value] })) }
    }

    /// Takes `n` bytes off the front.
    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (front, rest) = bytes.split_at_checked(n).expect("the file ends inside a record");
        *bytes = rest;
        front
    }

    /// The part of `n` bytes, whose checksum follows it.
    fn checked<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let part = take(bytes, n);
        let masked = u32::from_le_bytes(take(bytes, 4).try_into().unwrap());
        assert_eq!(masked.wrapping_sub(0xa282_ead8).rotate_left(15), crc32c(part));
        part
    }

    fn read(path: &Path) -> Vec<Event> {
        let file = fs::read(path).unwrap();
        let (mut rest, mut events) = (&file[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(checked(&mut rest, 8).try_into().unwrap());
            events.push(Event::decode(checked(&mut rest, length as usize)).unwrap());
        }
        events
    }

    /// RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
    #[test]
    fn crc32c_has_the_published_values() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let known: [(&[u8], u32); 6] = [
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&up, 0x46dd_794e),
            (&down, 0x113f_db5c),
        ];
        for (bytes, crc) in known {
            assert_eq!(crc32c(bytes), crc, "{bytes:?}");
        }
    }

    /// Bytes from `RecordWriter` and the messages of the Python package tensorboard 2.21.0.
    #[test]
    fn agrees_with_tensorboard() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(folder.path(), "a", 1_700_000_000.75).unwrap();
        events.scalar("train/loss", 0.625, 300, 1_700_000_001.5).unwrap();
        events.scalar("lr", 0.0, 0, 1_700_000_002.0).unwrap();
        events.scalar("lr", f32::NEG_INFINITY, -1, 1_700_000_003.0).unwrap();
        events.flush().unwrap();
        let bytes = fs::read(&events.path).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, GOLDEN.concat());
    }

    #[test]
    fn reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(folder.path(), "train", 12.5).unwrap();
        // More than one buffer, and a record that is larger than the buffer.
        let long = "x".repeat(20_000);
        let mut expected = vec![version(12.5)];
        for step in 0..500 {
            let (value, time) = (1.0 / (step + 1) as f32, 13.0 + step as f64);
            events.scalar("loss", value, step, time).unwrap();
            expected.push(scalar("loss", value, step, time));
        }
        events.scalar(&long, f32::INFINITY, i64::MIN, 0.0).unwrap();
        expected.push(scalar(&long, f32::INFINITY, i64::MIN, 0.0));
        let path = folder.path().join("events.out.tfevents.0000000012.occam.train");
        drop(events);
        assert_eq!(read(&path), expected);
    }

    #[test]
    fn readers_see_what_was_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(folder.path(), "a", 1e9).unwrap();
        assert_eq!(read(&events.path), [version(1e9)]);
        events.scalar("loss", 2.0, 1, 1e9).unwrap();
        events.flush().unwrap();
        assert_eq!(read(&events.path), [version(1e9), scalar("loss", 2.0, 1, 1e9)]);
    }

    #[test]
    fn makes_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("work/tensorboard");
        EventWriter::create(&dir, "a", 1e9).unwrap();
        assert_eq!(read(&dir.join("events.out.tfevents.1000000000.occam.a")), [version(1e9)]);
    }

    #[test]
    fn leaves_an_existing_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(folder.path(), "a", 1e9).unwrap();
        let error = EventWriter::create(folder.path(), "a", 1e9 + 0.5).unwrap_err();
        assert!(
            matches!(&error, Error::Io { action: "create", path, .. } if *path == events.path),
            "{error}"
        );
        events.scalar("loss", 2.0, 1, 1e9).unwrap();
        events.flush().unwrap();
        assert_eq!(read(&events.path).len(), 2);
    }

    #[test]
    fn refuses_arguments_out_of_range() {
        let folder = tempfile::tempdir().unwrap();
        for suffix in ["", "../a", "a\\b"] {
            let error = EventWriter::create(folder.path(), suffix, 1e9).unwrap_err();
            assert!(matches!(&error, Error::Name { name, .. } if name == suffix), "{error}");
        }
        for time in [-1.0, f64::NAN, f64::INFINITY] {
            let error = EventWriter::create(folder.path(), "a", time).unwrap_err();
            assert!(matches!(error, Error::Option { option: "start_time", .. }), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    const GOLDEN: [&str; 4] = [
        "1800000000000000a37f4b220900003040fc54d9411a0d627261696e2e4576656e743a32f4d59272",
        "2100000000000000017becf60900006040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000203f418e3923",
        "16000000000000004f61be280900008040fc54d9412a0b0a090a026c721500000000594733ed",
        "2100000000000000017becf6090000c040fc54d94110ffffffffffffffffff012a0b0a090a026c7215000080ff8dd9b741",
    ];
}
