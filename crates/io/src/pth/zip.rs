//! Zip archives whose entries are stored without compression, as all of PyTorch's are.

use std::borrow::Cow;
use std::io::{self, Write};

use indexmap::IndexMap;

use super::Fault;

/// How an archive begins.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Bytes of the record at the end, without its comment.
const END: usize = 22;
/// Where the bytes of an entry may begin.
const ALIGNMENT: u64 = 64;
/// Longest comment.
const MAX_COMMENT: usize = 0xffff;

fn chunk<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..)?.first_chunk::<N>().copied()
}

fn u16_at(file: &[u8], at: usize) -> Option<usize> {
    chunk(file, at).map(|b| usize::from(u16::from_le_bytes(b)))
}

fn u32_at(file: &[u8], at: usize) -> Option<u64> {
    chunk(file, at).map(|b| u64::from(u32::from_le_bytes(b)))
}

fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    chunk(file, at).map(u64::from_le_bytes)
}

/// Entries by name, each where it lies in the file.
pub(super) fn entries(file: &[u8]) -> Result<IndexMap<String, &[u8]>, Fault> {
    let (mut at, count) = directory(file).ok_or("the archive has no end; the file is cut off")?;
    let mut entries = IndexMap::new();
    for index in 0..count {
        let (name, entry, next) = entry(file, at).map_err(|e| format!("entry {index} of the archive {e}"))?;
        if entries.insert(name.clone(), entry).is_some() {
            return Err(format!("the archive has `{name}` twice").into());
        }
        at = next;
    }
    Ok(entries)
}

/// Where the directory begins, and how many entries it has.
fn directory(file: &[u8]) -> Option<(usize, u64)> {
    let last = file.len().checked_sub(END)?;
    let first = last.saturating_sub(MAX_COMMENT);
    let end = (first..=last).rev().find(|&at| file.get(at..at + 4) == Some(b"PK\x05\x06"))?;
    let count = u16_at(file, end + 10)?;
    let start = u32_at(file, end + 16)?;
    if count != 0xffff && start != 0xffff_ffff {
        return Some((usize::try_from(start).ok()?, count as u64));
    }
    // The 64-bit record is told by a locator of 20 bytes right before the end.
    let locator = end.checked_sub(20)?;
    if file.get(locator..locator + 4) != Some(b"PK\x06\x07") {
        return Some((usize::try_from(start).ok()?, count as u64));
    }
    let record = usize::try_from(u64_at(file, locator + 8)?).ok()?;
    if file.get(record..record.checked_add(4)?) != Some(b"PK\x06\x06") {
        return None;
    }
    let count = u64_at(file, record.checked_add(32)?)?;
    let start = u64_at(file, record.checked_add(48)?)?;
    Some((usize::try_from(start).ok()?, count))
}

/// The entry that the directory has at `at`: name, bytes, and where the next one is.
fn entry(file: &[u8], at: usize) -> Result<(String, &[u8], usize), String> {
    let cut = || "is cut off".to_owned();
    let header = at.checked_add(46).and_then(|end| file.get(at..end)).ok_or_else(cut)?;
    if !header.starts_with(b"PK\x01\x02") {
        return Err("is damaged".into());
    }
    let field = |at| u16_at(header, at).ok_or_else(cut);
    let wide = |at| u32_at(header, at).ok_or_else(cut);
    let (flags, method) = (field(8)?, field(10)?);
    let (mut packed, mut size, mut offset) = (wide(20)?, wide(24)?, wide(42)?);
    let (name_length, extra_length, comment) = (field(28)?, field(30)?, field(32)?);
    let name_at = at + 46;
    let name = file.get(name_at..name_at + name_length).ok_or_else(cut)?;
    let name = String::from_utf8_lossy(name).into_owned();
    let extra_at = name_at + name_length;
    let mut extra = file.get(extra_at..extra_at + extra_length).ok_or_else(cut)?;
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let body = extra.get(4..4 + length).ok_or_else(cut)?;
        if id == 1 {
            let mut place = 0;
            for value in [&mut size, &mut packed, &mut offset] {
                if *value == 0xffff_ffff {
                    *value = u64_at(body, place).ok_or_else(cut)?;
                    place += 8;
                }
            }
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
    if flags & 1 != 0 {
        return Err(format!("(`{name}`) is encrypted"));
    }
    if method != 0 || packed != size {
        return Err(format!("(`{name}`) is compressed; PyTorch stores entries as they are"));
    }
    let bytes = (|| {
        let local = usize::try_from(offset).ok()?;
        if file.get(local..local.checked_add(4)?)? != MAGIC {
            return None;
        }
        let start = local + 30 + u16_at(file, local + 26)? + u16_at(file, local + 28)?;
        file.get(start..start.checked_add(usize::try_from(size).ok()?)?)
    })();
    let bytes = bytes.ok_or_else(|| format!("(`{name}`) is not where the directory says"))?;
    Ok((name, bytes, extra_at + extra_length + comment))
}

/// An entry to write.
pub(super) struct Entry<'a> {
    pub name: String,
    pub bytes: Cow<'a, [u8]>,
}

/// Writes an archive of stored entries whose bytes begin at multiples of 64, as PyTorch's do. All sizes are of 64 bits.
pub(super) fn write_archive(out: &mut impl Write, entries: &[Entry<'_>]) -> io::Result<()> {
    let mut directory = Vec::new();
    let mut at = 0u64;
    for Entry { name, bytes } in entries {
        let length = u16::try_from(name.len()).map_err(io::Error::other)?;
        let (size, crc) = (bytes.len() as u64, crc32fast::hash(bytes));
        // Version 4.5, no flags, stored, the first day of the calendar.
        let common = |out: &mut Vec<u8>| {
            out.extend([45, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
            out.extend(crc.to_le_bytes());
            out.extend([0xff; 8]);
            out.extend(length.to_le_bytes());
        };
        let mut local = MAGIC.to_vec();
        common(&mut local);
        // The extra fields: sizes, then padding under the id that PyTorch uses.
        let before = at + 30 + u64::from(length) + 20 + 4;
        let padding = (before.next_multiple_of(ALIGNMENT) - before) as u16;
        local.extend((20 + 4 + padding).to_le_bytes());
        local.extend(name.as_bytes());
        local.extend([1, 0, 16, 0]);
        local.extend(size.to_le_bytes());
        local.extend(size.to_le_bytes());
        local.extend(b"FB");
        local.extend(padding.to_le_bytes());
        local.extend(std::iter::repeat_n(b'Z', padding.into()));
        out.write_all(&local)?;
        out.write_all(bytes)?;

        directory.extend(b"PK\x01\x02\x2d\x03");
        common(&mut directory);
        directory.extend([28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        directory.extend([0xff; 4]);
        directory.extend(name.as_bytes());
        directory.extend([1, 0, 24, 0]);
        for value in [size, size, at] {
            directory.extend(value.to_le_bytes());
        }
        at += local.len() as u64 + size;
    }
    let (count, start, length) = (entries.len() as u64, at, directory.len() as u64);
    let end = start + length;
    directory.extend(b"PK\x06\x06");
    directory.extend(44u64.to_le_bytes());
    directory.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [count, count, length, start] {
        directory.extend(value.to_le_bytes());
    }
    directory.extend(b"PK\x06\x07\0\0\0\0");
    directory.extend(end.to_le_bytes());
    directory.extend(1u32.to_le_bytes());
    directory.extend(b"PK\x05\x06\0\0\0\0");
    directory.extend([0xff; 12]);
    directory.extend([0, 0]);
    out.write_all(&directory)
}
