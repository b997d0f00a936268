//! The one error type of this crate and of the builders it calls.

use std::fmt;

use crate::{Span, Value};

/// What went wrong, where, and what to do about it.
///
/// Displays as `file:line:column: message`, or as `message` where the place is unknown. The rest
/// ([`help`](Error::help), [`context`](Error::context), the source) is for a caller that renders
/// more than one line.
pub struct Error(Box<Inner>);

struct Inner {
    message: String,
    span: Option<Span>,
    help: Option<String>,
    context: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            message: message.into(),
            span: None,
            help: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// Wraps an error of another crate; its text becomes the message and it stays the source.
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let mut wrapped = Self::new(error.to_string());
        wrapped.0.source = Some(Box::new(error));
        wrapped
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Says that the error is about `value`. A place that is already known is kept, since it is the
    /// inner and so the more exact one.
    #[must_use]
    pub fn at(self, value: &Value) -> Self {
        self.with_span(value.span.clone())
    }

    /// Sets the place, unless one is known already.
    #[must_use]
    pub fn with_span(mut self, span: Option<Span>) -> Self {
        if self.0.span.is_none() {
            self.0.span = span;
        }
        self
    }

    /// Sets advice on how to mend the config, replacing earlier advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Appends what was being done when the error arose, innermost first.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context.push(context.into());
        self
    }

    /// What went wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it went wrong.
    pub fn span(&self) -> Option<&Span> {
        self.0.span.as_ref()
    }

    /// How to mend it.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// What was being done, innermost first: `while building backbone "ResNet"`.
    pub fn context(&self) -> &[String] {
        &self.0.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.span {
            Some(span) => write!(f, "{span}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        for context in &self.0.context {
            write!(f, "\n  {context}")?;
        }
        match &self.0.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::sync::Arc;

    use super::*;
    use crate::SourceFile;

    #[test]
    fn keeps_the_innermost_place() {
        let file = Arc::new(SourceFile::new("a.py", "x = 1\ny = 2\n"));
        let error = Error::new("bad value")
            .with_span(Some(Span::new(&file, 4, 1)))
            .with_span(Some(Span::new(&file, 10, 1)));
        assert_eq!(error.to_string(), "a.py:1:5: bad value");
    }

    #[test]
    fn keeps_a_wrapped_error_as_source() {
        let error = Error::other(std::io::Error::other("disk on fire"));
        assert_eq!(error.message(), "disk on fire");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
