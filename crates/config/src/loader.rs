//! Loading a config file with everything it builds on.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::Parsed;
use ruff_text_size::Ranged;

use crate::eval::{self, BASE, Budget};
use crate::template::{self, Filled, Stand};
use crate::{Dict, Error, SourceFile, Span, Value};
use crate::{apply_options, base, json, merge, nesting, options, placeholder, yaml};

/// Keys that mmengine keeps for itself.
const RESERVED: [&str; 4] = ["filename", "text", "pretty_text", "env_variables"];

/// What the name of a config file ends in, behind the dot.
pub const FORMATS: [&str; 4] = ["py", "json", "yaml", "yml"];

/// The key by which a config says that another has taken its place; it is no part of the config.
const DEPRECATION: &str = "_deprecation_";

/// Bounds on what loading one config may cost, whoever wrote it.
///
/// The defaults are about a hundred times what the largest real configs take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: usize,
    /// Most files, bases counted each time they are loaded.
    pub files: usize,
    /// Most steps of evaluation in all files; a step makes or looks at about one value.
    pub steps: usize,
    /// Deepest nesting of values, and longest chain of bases. The stack must bear it.
    pub depth: usize,
    /// Longest string that is made, in bytes.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 4 << 20, files: 1000, steps: 1_000_000, depth: 64, text_bytes: 1 << 20 }
    }
}

/// Loads config files.
///
/// Nothing but config files is read: what a config evaluates to depends on its text, its path, its
/// bases and the search path alone.
#[derive(Debug, Clone, Default)]
pub struct Loader {
    search_path: Vec<PathBuf>,
    limits: Limits,
}

impl Loader {
    /// A loader with an empty search path and the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the folders in which bases of the form `project::path.py` are looked up, as
    /// `<root>/project/path.py`, `<root>/project/.mim/configs/path.py` or `<root>/path.py`.
    #[must_use]
    pub fn with_search_path(mut self, roots: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.search_path = roots.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Loads a `.py`, `.json`, `.yaml` or `.yml` config and merges it into its bases. The value is a dict.
    ///
    /// # Errors
    /// The file or a base cannot be read, does not parse, uses what configs cannot have, fails to
    /// evaluate or to merge, builds on itself, or exceeds the limits.
    pub fn load(&self, path: &Path) -> Result<Value, Error> {
        self.session().load(path, |session| session.read(path))
    }

    /// Loads a config with overrides from the command line (see [`apply_options`]).
    ///
    /// An override of a plain variable, such as `data_root=/data`, already holds while the files are evaluated, so
    /// that what they compute from the variable follows it. (In mmengine it comes too late for that.)
    ///
    /// # Errors
    /// As for [`load`](Self::load) and [`apply_options`].
    pub fn load_with_options(&self, path: &Path, options: &[String]) -> Result<Value, Error> {
        let mut session = self.session();
        session.presets = options::scalars(options)?;
        let mut config = session.load(path, |session| session.read(path))?;
        apply_options(&mut config, options)?;
        Ok(config)
    }

    /// Loads a config from its text, under a name that decides its format, what its bases are
    /// relative to, and what errors call it.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_str(&self, name: &str, text: &str) -> Result<Value, Error> {
        self.session().load(Path::new(name), |session| {
            session.check_size(Path::new(name), text.len())?;
            Ok(text.to_owned())
        })
    }

    /// Reads YAML or JSON that is data, not a config: nothing in it names a base, is filled in or reserved. `name` is what
    /// errors call it, and decides which of the two it is.
    ///
    /// # Errors
    /// It is neither, or exceeds the limits.
    pub fn data(&self, name: &str, text: &str) -> Result<Value, Error> {
        let (session, path) = (self.session(), Path::new(name));
        session.check_size(path, text.len())?;
        session.budget.charge(text.len() / 64)?;
        let file = Arc::new(SourceFile::new(path, text));
        match Format::of(path)? {
            Format::Json => json::parse(&file, &session.budget),
            Format::Yaml => yaml::parse(&file, &session.budget),
            Format::Python => Err(Error::new(format!("`{name}` is a program, not data"))),
        }
    }

    fn session(&self) -> Session<'_> {
        Session {
            loader: self,
            budget: Budget::new(self.limits.clone()),
            chain: Vec::new(),
            presets: IndexMap::new(),
        }
    }
}

/// The languages of config files, by the extension of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Python,
    Json,
    Yaml,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("py") => Ok(Self::Python),
            Some("json") => Ok(Self::Json),
            Some("yaml" | "yml") => Ok(Self::Yaml),
            _ => {
                let path = path.display();
                Err(Error::new(format!(
                    "`{path}` is no config: its name ends in none of {}",
                    FORMATS.join(", ")
                )))
            }
        }
    }
}

/// One call of [`Loader::load`].
struct Session<'a> {
    loader: &'a Loader,
    budget: Budget,
    /// The files that are being loaded, each a base of the one before.
    chain: Vec<PathBuf>,
    /// Values that replace what files give these names.
    presets: IndexMap<String, Value>,
}

impl Session<'_> {
    fn load(
        mut self,
        path: &Path,
        read: impl FnOnce(&Self) -> Result<String, Error>,
    ) -> Result<Value, Error> {
        let text = read(&self)?;
        let (dict, file) = self.evaluate(path, &text)?;
        match RESERVED.into_iter().find(|key| dict.contains(key)) {
            Some(key) => {
                Err(Error::new(format!("the name `{key}` is reserved"))
                    .with_span(dict.key_span(key).cloned()))
            }
            None => Ok(Value::from(dict).with_span(Some(Span::new(&file, 0, 0)))),
        }
    }

    fn read(&self, path: &Path) -> Result<String, Error> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot read `{}`: {error}", path.display());
            let error = Error::other(error).with_message(message);
            match base::neighbour(path) {
                Some(meant) if !path.exists() => error.with_help(format!("did you mean {meant:?}?")),
                _ => error,
            }
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let limit = u64::try_from(self.loader.limits.file_bytes).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        self.check_size(path, bytes.len())?;
        String::from_utf8(bytes).map_err(|error| {
            let message = format!("`{}` is not UTF-8", path.display());
            Error::other(error).with_message(message)
        })
    }

    fn check_size(&self, path: &Path, bytes: usize) -> Result<(), Error> {
        // Offsets in syntax trees have 32 bits; filling in templates may add to the text.
        let limit = self.loader.limits.file_bytes.min(1 << 30);
        if bytes > limit {
            let path = path.display();
            return Err(Error::new(format!("`{path}` is larger than {limit} bytes")));
        }
        Ok(())
    }

    /// What the file with this text defines, merged into its bases.
    fn evaluate(&mut self, path: &Path, text: &str) -> Result<(Dict, Arc<SourceFile>), Error> {
        self.budget.charge_file()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let format = Format::of(path)?;
        let stand = if format == Format::Python { Stand::Expression } else { Stand::Text };
        let Filled { text, bases, without_default } = template::fill(text, &absolute, stand);
        let file = Arc::new(SourceFile::new(path, text));
        if let Some((offset, name)) = without_default {
            let message = format!("`{name}` has no default here, and the environment is not read");
            return Err(Error::new(message).with_span(Some(Span::new(&file, offset, 0))));
        }
        self.budget.charge(file.text().len() / 64)?;
        let mut dict = match format {
            Format::Python => {
                let module = parse(&file)?;
                check_templates(&file, &module, &bases)?;
                self.evaluate_python(&file, module.suite())?
            }
            Format::Json => {
                let data = json::parse(&file, &self.budget)?;
                self.evaluate_data(&file, data, &bases)?
            }
            Format::Yaml => {
                let data = yaml::parse(&file, &self.budget)?;
                self.evaluate_data(&file, data, &bases)?
            }
        };
        dict.retain(|key, _| !key.as_str().is_some_and(|key| key.starts_with("__")));
        Ok((dict, file))
    }

    fn evaluate_python(&mut self, file: &Arc<SourceFile>, statements: &[Stmt]) -> Result<Dict, Error> {
        let bases = match eval::base_expression(statements) {
            Some(expression) => {
                let names = eval::evaluate(file, expression, &self.budget)?;
                self.load_bases(file, &names)?
            }
            None => Dict::new(),
        };
        let mut outcome = eval::run(file, statements, bases, &self.presets, &self.budget)?;
        outcome.own.remove(DEPRECATION);
        merge::merge(outcome.own, outcome.base)
    }

    /// Merges what a file without expressions holds into its bases; `{{ _base_.x }}` stood at `places`.
    fn evaluate_data(
        &mut self,
        file: &Arc<SourceFile>,
        mut value: Value,
        places: &[Range<usize>],
    ) -> Result<Dict, Error> {
        let found = value.kind.python_name();
        let Some(own) = value.as_dict_mut() else {
            return Err(Error::new(format!("a config is a mapping of keys to values, found {found}"))
                .with_span(Some(Span::new(file, 0, 0))));
        };
        let bases = match own.remove(BASE) {
            Some(names) => self.load_bases(file, &names)?,
            None => Dict::new(),
        };
        own.remove(DEPRECATION);
        placeholder::substitute(own, file, places, &bases, &self.budget)?;
        for (name, preset) in &self.presets {
            if let Some(value) = own.get_mut(name) {
                *value = preset.clone();
            }
        }
        merge::merge(std::mem::take(own), bases)
    }

    /// What the bases define together.
    fn load_bases(&mut self, file: &Arc<SourceFile>, names: &Value) -> Result<Dict, Error> {
        let dir = file.path().parent().unwrap_or(Path::new(""));
        self.chain.push(identity(file.path()));
        let mut union = Dict::new();
        for name in base::names(names)? {
            let text = name.as_str().unwrap_or_default();
            let found = base::locate(text, dir, &self.loader.search_path).map_err(|error| error.at(name))?;
            self.check_chain(&found.path).map_err(|error| error.at(name))?;
            let (dict, _) = self
                .read(&found.path)
                .and_then(|text| self.evaluate(&found.path, &text))
                .map_err(|error| {
                    error.at(name).with_context(format!("in base {text:?} of {}", file.path().display()))
                })?;
            for (key, key_span, mut value) in dict.into_spanned() {
                if union.get_key(&key).is_some() {
                    return Err(Error::new(format!("two bases define `{key}`"))
                        .with_span(key_span)
                        .with_context(format!("in base {text:?} of {}", file.path().display())));
                }
                if let Some(scope) = &found.scope {
                    merge::add_scope(&mut value, scope);
                }
                union.insert_spanned(key, key_span, value);
            }
        }
        self.chain.pop();
        Ok(union)
    }

    /// Refuses a base that is being loaded already.
    fn check_chain(&self, path: &Path) -> Result<(), Error> {
        let path = identity(path);
        if let Some(start) = self.chain.iter().position(|link| *link == path) {
            let links = self.chain.iter().skip(start).chain([&path]);
            let links: Vec<_> = links.map(|link| link.display().to_string()).collect();
            return Err(Error::new(format!("a config builds on itself: {}", links.join(" -> "))));
        }
        if self.chain.len() >= self.loader.limits.depth {
            return Err(Error::new(format!("the chain of bases has more than {} links", self.chain.len())));
        }
        Ok(())
    }
}

/// A path that is the same for every way to the file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn parse(file: &Arc<SourceFile>) -> Result<Parsed<ModModule>, Error> {
    nesting::check(file)?;
    ruff_python_parser::parse_module(file.text()).map_err(|error| {
        let (start, len) = (error.range().start().to_usize(), error.range().len().to_usize());
        if start >= file.text().trim_end().len()
            && let Some(error) = nesting::open_at_end(file)
        {
            return error;
        }
        Error::new(format!("syntax error: {}", error.error)).with_span(Some(Span::new(file, start, len)))
    })
}

/// Refuses `{{ _base_.x }}` inside a string, where it would stay text; not inside triple quotes, for
/// docstrings may speak of templates.
fn check_templates(
    file: &Arc<SourceFile>,
    module: &Parsed<ModModule>,
    templates: &[Range<usize>],
) -> Result<(), Error> {
    let tokens = module.tokens();
    for place in templates {
        // Tokens are in order; this is the first that ends behind the template's start.
        let at = tokens.partition_point(|token| token.end().to_usize() <= place.start);
        let inside = tokens.get(at).is_some_and(|token| {
            let text = file.text().get(token.range().to_std_range()).unwrap_or_default();
            let text = text.trim_start_matches(char::is_alphabetic);
            token.kind() == TokenKind::String
                && token.start().to_usize() <= place.start
                && !text.starts_with("'''")
                && !text.starts_with("\"\"\"")
        });
        if inside {
            return Err(Error::new("`{{ _base_.x }}` cannot stand inside a string")
                .with_span(Some(Span::new(file, place.start, place.len())))
                .with_help("it is a value, not text: drop the quotes"));
        }
    }
    Ok(())
}
