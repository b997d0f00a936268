//! Errors as people see them: what, where, and what to do.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// An error of any crate, with the lines of config it is about.
pub struct Failure(Box<Details>);

struct Details {
    message: String,
    help: Option<String>,
    label: Option<LabeledSpan>,
    source: Option<NamedSource<String>>,
    location: Option<String>,
}

impl Failure {
    /// An error that is about no config.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            message: message.into(),
            help: None,
            label: None,
            source: None,
            location: None,
        }))
    }

    /// With advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// For machines.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "event": "error",
            "message": self.0.message,
            "location": self.0.location,
            "help": self.0.help,
        })
    }
}

impl From<occam_config::Error> for Failure {
    fn from(error: occam_config::Error) -> Self {
        let mut message = error.message().to_owned();
        for context in error.context() {
            message.push_str(&format!("\n  {context}"));
        }
        let span = error.span();
        Self(Box::new(Details {
            message,
            help: error.help().map(str::to_owned),
            label: span.map(|s| LabeledSpan::underline((s.offset, s.len.max(1)))),
            source: span.map(|s| {
                NamedSource::new(s.file.path().display().to_string(), s.file.text().to_owned())
                    .with_language("Python")
            }),
            location: span.map(ToString::to_string),
        }))
    }
}

impl From<occam_train::Error> for Failure {
    fn from(error: occam_train::Error) -> Self {
        occam_config::Error::from(error).into()
    }
}

impl From<occam_engine::Error> for Failure {
    fn from(error: occam_engine::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_io::Error> for Failure {
    fn from(error: occam_io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_interp::Error> for Failure {
    fn from(error: occam_interp::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_data::Error> for Failure {
    fn from(error: occam_data::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_space::Error> for Failure {
    fn from(error: occam_space::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_quant::Error> for Failure {
    fn from(error: occam_quant::Error) -> Self {
        Failure::new(error.to_string())
    }
}

impl From<occam_prune::Error> for Failure {
    fn from(error: occam_prune::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<occam_graph::Error> for Failure {
    fn from(error: occam_graph::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.label.clone().map(|l| Box::new(std::iter::once(l)) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}
