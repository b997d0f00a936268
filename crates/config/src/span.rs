//! Where a value was written: source files and positions in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A config file's name and text.
///
/// The text is the one that was parsed, after `{{ ... }}` templates were filled in.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    path: PathBuf,
    text: String,
    line_starts: Vec<usize>,
    /// How many characters begin before each [`STRIDE`]th byte. All of a large config may be one
    /// line, whose columns must not take a walk from its start.
    char_counts: Vec<usize>,
}

/// Bytes between two counts of characters.
const STRIDE: usize = 256;

/// How many characters begin in `bytes`.
fn count_chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&byte| byte & 0xC0 != 0x80).count()
}

impl SourceFile {
    /// Keeps `text` under the name `path`.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let char_counts = text
            .as_bytes()
            .chunks(STRIDE)
            .scan(0, |count, chunk| {
                let before = *count;
                *count += count_chars(chunk);
                Some(before)
            })
            .collect();
        Self { path: path.into(), text, line_starts, char_counts }
    }

    /// The file's path, as it was given or found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The parsed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, both from 1, of the byte at `offset`; the column counts characters.
    fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let column = self.chars_before(offset).saturating_sub(self.chars_before(start));
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX))
    }

    /// The byte at which the character number `count` begins, from 0.
    pub(crate) fn offset_of_char(&self, count: usize) -> usize {
        let chunk = self.char_counts.partition_point(|&before| before <= count).saturating_sub(1);
        let Some(before) = self.char_counts.get(chunk) else { return 0 };
        let start = chunk * STRIDE;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        let mut begins = bytes.iter().enumerate().filter(|(_, byte)| *byte & 0xC0 != 0x80);
        begins.nth(count - before).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// How many characters begin before the byte at `offset`.
    fn chars_before(&self, offset: usize) -> usize {
        let chunk = offset / STRIDE;
        let counted = self.char_counts.get(chunk).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(chunk * STRIDE..offset).unwrap_or_default();
        counted + count_chars(rest)
    }
}

/// A stretch of a [`SourceFile`]. Displays as `file:line:column`.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The file the stretch lies in.
    pub file: Arc<SourceFile>,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1, counted in characters.
    pub column: u32,
    /// Byte offset of the first character in the file's text.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
}

impl Span {
    /// The `len` bytes of `file` from `offset`.
    pub fn new(file: &Arc<SourceFile>, offset: usize, len: usize) -> Self {
        let (line, column) = file.position(offset);
        Self { file: Arc::clone(file), line, column, offset, len }
    }

    /// The text covered, or an empty string where the span lies outside its file.
    pub fn text(&self) -> &str {
        self.file.text.get(self.offset..self.offset.saturating_add(self.len)).unwrap_or("")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.file.path.display();
        write!(f, "{path}:{}:{}", self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let file = Arc::new(SourceFile::new("a.py", "x = 1\nü = 'y'\n"));
        for (offset, shown) in [(0, "a.py:1:1"), (4, "a.py:1:5"), (6, "a.py:2:1"), (11, "a.py:2:5")] {
            assert_eq!(Span::new(&file, offset, 1).to_string(), shown);
        }
        assert_eq!(Span::new(&file, 11, 3).text(), "'y'");
        assert_eq!(Span::new(&file, 90, 3).text(), "");
    }

    #[test]
    fn counts_columns_of_long_lines() {
        let text = format!("\n{}", "aü".repeat(1000));
        let file = Arc::new(SourceFile::new("a.py", &*text));
        for (at, (offset, _)) in text.char_indices().skip(1).enumerate() {
            let span = Span::new(&file, offset, 1);
            assert_eq!((span.line, span.column as usize), (2, at + 1));
            assert_eq!(file.offset_of_char(at + 1), offset);
        }
    }
}
