//! A bound on nesting, checked before parsing.
//!
//! The parser, the evaluator and the destructor of the syntax tree all recurse. Ten thousand opening
//! brackets, or ten thousand `+`, must be an error and not a stack overflow. So this counts, in one
//! pass over the text and a little pessimistically, what can deepen the tree: brackets, operators
//! and keywords since the last comma of each bracket that is open.

use std::sync::Arc;

use crate::{Error, SourceFile, Span};

/// Deepest expression, and widest indentation, that is parsed.
pub(crate) const MAX_NESTING: usize = 200;

/// Keywords that put one expression inside another.
const DEEPENING: [&str; 13] =
    ["and", "async", "await", "else", "for", "from", "if", "in", "is", "lambda", "not", "or", "yield"];

/// Refuses a text whose syntax tree might be deeper than [`MAX_NESTING`].
///
/// # Errors
/// At the place where it gets too deep; or, since then all that follows counts as nested, at a
/// bracket that is never closed.
pub(crate) fn check(file: &Arc<SourceFile>) -> Result<(), Error> {
    let scan = Scan::of(file);
    let Some(offset) = scan.too_deep else {
        return Ok(());
    };
    let error = match scan.open.first() {
        Some(level) => never_closed(file, level),
        None => Error::new(format!("nested more than {MAX_NESTING} levels deep"))
            .with_span(Some(Span::new(file, offset, 1))),
    };
    Err(error)
}

/// The error of the innermost bracket that is open at the end of the text.
pub(crate) fn open_at_end(file: &Arc<SourceFile>) -> Option<Error> {
    Scan::of(file).open.last().map(|level| never_closed(file, level))
}

fn never_closed(file: &Arc<SourceFile>, level: &Level) -> Error {
    Error::new("this bracket is never closed").with_span(Some(Span::new(file, level.offset, 1)))
}

/// What deepens the tree within one bracket.
#[derive(Default)]
struct Level {
    /// Where the bracket is.
    offset: usize,
    /// Tokens since the last comma that deepen the tree, and all `lambda`s, whose parameters have
    /// commas of their own.
    count: usize,
    lambdas: usize,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Level>,
    /// The level outside all brackets.
    line: Level,
    /// Sum of the counts of all levels.
    depth: usize,
    too_deep: Option<usize>,
}

impl<'a> Scan<'a> {
    fn of(file: &'a SourceFile) -> Self {
        let mut scan = Scan {
            bytes: file.text().as_bytes(),
            at: 0,
            open: Vec::new(),
            line: Level::default(),
            depth: 0,
            too_deep: None,
        };
        scan.run();
        scan
    }

    fn run(&mut self) {
        self.indentation();
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'#' => self.skip_while(|byte| byte != b'\n'),
                b'\'' | b'"' => self.string(byte, false),
                b'\\' => self.at += 2,
                b'\n' => {
                    self.at += 1;
                    if self.open.is_empty() {
                        self.reset(0);
                        self.indentation();
                    }
                }
                b';' | b',' => {
                    let kept = if byte == b',' { self.level().lambdas } else { 0 };
                    self.reset(kept);
                    self.at += 1;
                }
                b'(' | b'[' | b'{' => {
                    self.deepen(1);
                    self.open.push(Level { offset: self.at, ..Level::default() });
                    self.at += 1;
                }
                b')' | b']' | b'}' => {
                    if let Some(level) = self.open.pop() {
                        self.depth -= level.count;
                    }
                    self.at += 1;
                }
                b'0'..=b'9' => self.skip_while(|byte| byte == b'.' || is_word(byte)),
                _ if is_word(byte) => self.word(),
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    self.deepen(1);
                    self.at += 1;
                }
            }
        }
    }

    fn level(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.line)
    }

    fn deepen(&mut self, by: usize) {
        self.level().count += by;
        self.depth += by;
        if self.depth > MAX_NESTING {
            self.too_deep.get_or_insert(self.at);
        }
    }

    fn reset(&mut self, kept: usize) {
        let level = self.level();
        let dropped = level.count.saturating_sub(kept);
        level.count -= dropped;
        if kept == 0 {
            level.lambdas = 0;
        }
        self.depth -= dropped;
    }

    fn skip_while(&mut self, skip: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|&byte| skip(byte)) {
            self.at += 1;
        }
    }

    /// A block is indented by at least one column more than the one around it.
    fn indentation(&mut self) {
        let start = self.at;
        self.skip_while(|byte| byte == b' ' || byte == b'\t');
        if self.at - start > MAX_NESTING {
            self.too_deep.get_or_insert(self.at);
        }
    }

    /// A name, keyword or string prefix.
    fn word(&mut self) {
        let start = self.at;
        self.skip_while(is_word);
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        if let Some(&quote @ (b'\'' | b'"')) = self.bytes.get(self.at)
            && word.len() <= 2
        {
            let interpolated = word.iter().any(|byte| b"fFtT".contains(byte));
            self.string(quote, interpolated);
        } else if DEEPENING.iter().any(|keyword| keyword.as_bytes() == word) {
            self.deepen(1);
            if word == b"lambda" {
                self.level().lambdas += 1;
            }
        }
    }

    /// Skips a string. In an interpolated one every sign counts, for it may be an operator.
    fn string(&mut self, quote: u8, interpolated: bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let triple = rest.starts_with(&[quote; 3]);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        while let Some(&byte) = self.bytes.get(self.at) {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if byte == b'\\' {
                self.at += 2;
                continue;
            }
            if byte == quote && (!triple || rest.starts_with(&[quote; 3])) {
                self.at += width;
                return;
            }
            if byte == b'\n' && !triple {
                return;
            }
            if interpolated && byte.is_ascii_punctuation() {
                self.deepen(1);
            }
            self.at += 1;
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Result<(), Error> {
        check(&Arc::new(SourceFile::new("a.py", text)))
    }

    #[test]
    fn accepts_long_but_shallow_text() {
        let texts = [
            format!("x = [{}]", "f(1, -2), ".repeat(1000)),
            format!("x = dict({})", "a=dict(b=[1]),\n".repeat(1000)),
            "x = 1 + 2\n".repeat(1000),
            format!("x = '{}' # {}", "((((".repeat(100), "((((".repeat(100)),
            format!("'''{}'''", "((((\n".repeat(100)),
            format!("x = ({})", "'abc'\n".repeat(1000)),
        ];
        for text in texts {
            check_text(&text).expect("shallow");
        }
    }

    #[test]
    fn refuses_what_nests_too_deep() {
        let mut levels = String::new();
        for level in 0..300 {
            levels += &format!("{}if x:\n", " ".repeat(level));
        }
        let texts = [
            "(".repeat(300) + &")".repeat(300),
            "1".to_owned() + &"+1".repeat(300),
            "x".to_owned() + &".x".repeat(300),
            "not ".repeat(300) + "x",
            "lambda a, b: ".repeat(300) + "1",
            format!("f'{}'", "{(".repeat(200)),
            levels,
        ];
        for text in texts {
            let error = check_text(&text).expect_err("deep");
            assert_eq!(error.message(), "nested more than 200 levels deep");
        }
    }

    #[test]
    fn points_at_a_bracket_that_is_never_closed() {
        let text = "x = 1\ny = dict(\n".to_owned() + &"z = 1\n".repeat(300);
        let error = check_text(&text).expect_err("unclosed");
        assert_eq!(error.to_string(), "a.py:2:9: this bracket is never closed");
    }
}
