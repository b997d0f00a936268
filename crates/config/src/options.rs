//! Overrides from the command line: `--cfg-options model.backbone.depth=34`.

use std::sync::Arc;

use indexmap::IndexMap;
use ruff_python_ast::Expr;

use crate::eval::{self, Budget};
use crate::{Dict, Error, Key, Kind, Limits, SourceFile, Span, Value, merge, nesting};

/// Applies overrides `path=value` in order.
///
/// The path is dotted; numbers index lists (see [`Value::set`]). The value is read as
///
/// 1. a Python literal: `0.1`, `None`, `'text'`, `[1, (2, 3)]`, `{'a': 1}`, `dict(type='SGD')`;
/// 2. several values between commas, with or without brackets, strings without quotes: `1,2,3`,
///    `[a,b]`, `(a,[1,b])`; without brackets they are a list;
/// 3. `true` or `false`, in whatever case;
/// 4. a string.
///
/// A dict is merged into a dict that is there, as one config is merged into another. Paths that do
/// not exist are made.
///
/// # Errors
/// An option has no `=`, or its path leads into a value that is neither a dict nor a list, or past
/// the end of a list. Then `config` is as it was.
pub fn apply_options(config: &mut Value, options: &[String]) -> Result<(), Error> {
    let mut changed = config.clone();
    for option in options {
        apply(&mut changed, option)?;
    }
    *config = changed;
    Ok(())
}

/// The overrides of whole variables by values that are neither dicts nor lists.
pub(crate) fn scalars(options: &[String]) -> Result<IndexMap<String, Value>, Error> {
    let mut found = IndexMap::new();
    for option in options {
        let mut dict = Value::from(Dict::new());
        apply(&mut dict, option)?;
        for (key, value) in dict.as_dict().into_iter().flat_map(Dict::iter) {
            let plain = !matches!(value.kind, Kind::Dict(_) | Kind::List(_) | Kind::Tuple(_));
            if let (true, Some(name)) = (plain, key.as_str()) {
                found.insert(name.to_owned(), value.clone());
            }
        }
    }
    Ok(found)
}

fn apply(config: &mut Value, option: &str) -> Result<(), Error> {
    let file = Arc::new(SourceFile::new("--cfg-options", option));
    let whole = Some(Span::new(&file, 0, option.len()));
    let Some((path, text)) = option.split_once('=') else {
        return Err(Error::new(format!("expected `key=value`, found {option:?}")).with_span(whole));
    };
    let span = Some(Span::new(&file, path.len() + 1, text.len()));
    let new = read(text, &span)?.with_span(span);
    let path = path.trim();
    let new = match config.get(path) {
        Some(old) => merge::merge_value(&Key::from(path), new, old.clone()).map_err(|error| {
            let message = error.message().replace("in the base config", "in the config");
            error.with_message(message)
        })?,
        None => new,
    };
    config.set(path, new).map_err(|error| {
        // What matters is the option, and what the config has there is said by the message.
        Error::new(error.message()).with_span(whole)
    })
}

fn read(text: &str, span: &Option<Span>) -> Result<Value, Error> {
    match literal(text) {
        Some(value) => Ok(value),
        None => loose(text, 0).map_err(|error| error.with_span(span.clone())),
    }
}

/// The value of a Python literal; `None` if the text is none.
fn literal(text: &str) -> Option<Value> {
    let file = Arc::new(SourceFile::new("option", text.trim()));
    nesting::check(&file).ok()?;
    let expression = ruff_python_parser::parse_expression(file.text()).ok()?;
    let expression = expression.expr();
    if !is_literal(expression) {
        return None;
    }
    let mut value = eval::evaluate(&file, expression, &Budget::new(Limits::default())).ok()?;
    if let (Expr::Tuple(tuple), Kind::Tuple(items)) = (expression, &mut value.kind)
        && !tuple.parenthesized
    {
        value.kind = Kind::List(std::mem::take(items));
    }
    forget_places(&mut value);
    Some(value)
}

/// Whether an expression is nothing but data.
fn is_literal(expression: &Expr) -> bool {
    match expression {
        Expr::NoneLiteral(_) | Expr::BooleanLiteral(_) | Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {
            true
        }
        Expr::UnaryOp(operation) => matches!(&*operation.operand, Expr::NumberLiteral(_)),
        Expr::List(list) => list.elts.iter().all(is_literal),
        Expr::Tuple(tuple) => tuple.elts.iter().all(is_literal),
        Expr::Dict(dict) => {
            dict.items.iter().all(|item| item.key.as_ref().is_some_and(is_literal) && is_literal(&item.value))
        }
        Expr::Call(call) => {
            matches!(&*call.func, Expr::Name(name) if name.id == "dict")
                && call.arguments.args.is_empty()
                && call
                    .arguments
                    .keywords
                    .iter()
                    .all(|keyword| keyword.arg.is_some() && is_literal(&keyword.value))
        }
        _ => false,
    }
}

/// The parts of an option's value are not places in any file that a user could open.
fn forget_places(value: &mut Value) {
    value.span = None;
    match &mut value.kind {
        Kind::List(items) | Kind::Tuple(items) => items.iter_mut().for_each(forget_places),
        Kind::Dict(dict) => {
            let forgotten = std::mem::take(dict).into_spanned().map(|(key, _, mut value)| {
                forget_places(&mut value);
                (key, value)
            });
            *dict = forgotten.collect();
        }
        _ => {}
    }
}

/// Deepest nesting of brackets around unquoted strings.
const MAX_DEPTH: usize = 32;

/// A value with unquoted strings, as mmengine's `DictAction` reads it.
fn loose(text: &str, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(format!("nested more than {MAX_DEPTH} levels deep")));
    }
    let text = text.trim().trim_matches(['\'', '"']);
    let inside = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    let items = |inner: &str| -> Result<Vec<Value>, Error> {
        split(inner)?
            .into_iter()
            .map(|part| literal(part).map_or_else(|| loose(part, depth + 1), Ok))
            .collect()
    };
    if let Some(inner) = inside('(', ')') {
        return items(inner).map(|items| Value::new(Kind::Tuple(items)));
    }
    if let Some(inner) = inside('[', ']') {
        return items(inner).map(Value::from);
    }
    if text.contains(',') {
        return items(text).map(Value::from);
    }
    Ok(match text.to_ascii_lowercase().as_str() {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => Value::from(text),
    })
}

/// The parts between the commas that stand in no bracket.
fn split(text: &str) -> Result<Vec<&str>, Error> {
    let mut parts = Vec::new();
    let (mut round, mut square, mut start) = (0_i64, 0_i64, 0);
    for (at, sign) in text.char_indices() {
        match sign {
            '(' => round += 1,
            ')' => round -= 1,
            '[' => square += 1,
            ']' => square -= 1,
            ',' if round == 0 && square == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    if round != 0 || square != 0 {
        return Err(Error::new(format!("the brackets do not match in {text:?}")));
    }
    parts.extend(text.get(start..).filter(|rest| !rest.trim().is_empty()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    const CONFIG: &str = "
optimizer = dict(type='SGD', lr=0.1, betas=(0.9, 0.999))
pipeline = [dict(type='Load'), dict(type='Flip', prob=0.5)]
axes = {0: 'batch'}
scheduler = None
";

    fn config() -> Value {
        Loader::new().load_str("a.py", CONFIG).expect("loads")
    }

    #[test]
    fn reads_values_as_mmengine_does() {
        for (text, expected) in [
            ("1", "1"),
            ("1e-3", "0.001"),
            ("-5", "-5"),
            ("None", "None"),
            ("True", "True"),
            ("true", "True"),
            ("FALSE", "False"),
            ("abc", "'abc'"),
            ("'1'", "'1'"),
            ("", "''"),
            ("a/b.pth", "'a/b.pth'"),
            ("hello world", "'hello world'"),
            ("1,2,3", "[1, 2, 3]"),
            ("a,b", "['a', 'b']"),
            ("1,", "[1]"),
            ("[a, b, c]", "['a', 'b', 'c']"),
            ("[(1, 2, 3), [a, b], c]", "[(1, 2, 3), ['a', 'b'], 'c']"),
            ("(a,1.5,None)", "('a', 1.5, None)"),
            ("[]", "[]"),
            ("()", "()"),
            ("{'a': 1}", "{'a': 1}"),
            ("dict(type='SGD', lr=0.1)", "{'type': 'SGD', 'lr': 0.1}"),
            ("lr*2", "'lr*2'"),
            ("dict(**x)", "'dict(**x)'"),
        ] {
            assert_eq!(read(text, &None).expect("reads").repr(), expected, "{text}");
        }
    }

    #[test]
    fn sets_what_the_path_names() {
        let mut config = config();
        let options = [
            "optimizer.lr=0.01",
            "optimizer.betas.1=0.99",
            "pipeline.1.prob=1.0",
            "axes.0=n",
            "new.deep.key=1",
            "optimizer={'weight_decay': 1e-4}",
            "text=a=b",
        ]
        .map(str::to_owned);
        apply_options(&mut config, &options).expect("applies");
        for (path, expected) in [
            ("optimizer", "{'type': 'SGD', 'lr': 0.01, 'betas': (0.9, 0.99), 'weight_decay': 0.0001}"),
            ("pipeline.1", "{'type': 'Flip', 'prob': 1.0}"),
            ("axes", "{0: 'n'}"),
            ("new", "{'deep': {'key': 1}}"),
            ("text", "'a=b'"),
        ] {
            assert_eq!(config.get(path).expect(path).repr(), expected);
        }
    }

    #[test]
    fn explains_what_it_cannot_set() {
        let options = [
            "lr",
            "=1",
            "optimizer.lr.x=1",
            "scheduler.x=1",
            "pipeline.7.prob=1",
            "pipeline.first=1",
            "optimizer.lr={'a': 1}",
            "x=[1,(2]",
        ];
        let errors: Vec<_> = options
            .iter()
            .map(|option| {
                let mut config = config();
                let error = apply_options(&mut config, &[(*option).to_owned()]).expect_err(option);
                assert_eq!(config, self::config());
                format!("{error:?}")
            })
            .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn a_variable_is_overridden_before_it_is_used() {
        let dir = std::env::temp_dir().join(format!("occam-options-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("base.py"), "root = 'a/'\ndata = dict(train=root + 'train', n=1)\n").unwrap();
        std::fs::write(dir.join("child.py"), "_base_ = 'base.py'\ntest = _base_.root + 'test'\n").unwrap();
        let options = ["root=b/".to_owned(), "data.n=2".to_owned()];
        let config = crate::Loader::new().load_with_options(&dir.join("child.py"), &options).unwrap();
        std::fs::write(dir.join("base.yaml"), "root: a/\nkept: 1\n").unwrap();
        std::fs::write(dir.join("over_yaml.py"), "_base_ = 'base.yaml'\ntest = _base_.root + 'test'\n")
            .unwrap();
        let over_yaml = crate::Loader::new().load_with_options(&dir.join("over_yaml.py"), &options).unwrap();
        assert_eq!(over_yaml.get("test").and_then(Value::as_str), Some("b/test"));
        std::fs::remove_dir_all(&dir).unwrap();
        let text = |path: &str| config.get(path).unwrap().as_str().unwrap().to_owned();
        assert_eq!(
            (text("data.train"), text("test"), text("root")),
            ("b/train".into(), "b/test".into(), "b/".into())
        );
        assert_eq!(config.get("data.n").unwrap().as_i64(), Some(2));
    }
}
