//! mmengine's rules for a config that builds on another.

use crate::{Dict, Error, Key, Kind, Value};

/// The key that makes a dict replace the base's instead of being merged into it.
const DELETE: &str = "_delete_";

/// The key that switches the registry scope of a component.
const SCOPE: &str = "_scope_";

/// Merges `own` into `base`.
///
/// Dicts are merged into dicts at every level, unless they hold `_delete_=True`; everything else
/// replaces what is there. `_delete_` is taken out only where there is something to delete: that is
/// what mmengine does.
///
/// # Errors
/// A dict without `_delete_` meets a base value that is no dict.
pub(crate) fn merge(own: Dict, base: Dict) -> Result<Dict, Error> {
    let mut merged = base;
    for (key, key_span, value) in own.into_spanned() {
        let value = match merged.get_key_mut(&key) {
            Some(base) => merge_value(&key, value, std::mem::take(base))?,
            None => value,
        };
        merged.insert_spanned(key, key_span, value);
    }
    Ok(merged)
}

/// What stands under `key` when the base has `base` there.
pub(crate) fn merge_value(key: &Key, own: Value, base: Value) -> Result<Value, Error> {
    let Value { kind: Kind::Dict(mut dict), span } = own else {
        return Ok(own);
    };
    if dict.remove(DELETE).is_some_and(|delete| is_true(&delete)) {
        return Ok(Value::from(dict).with_span(span));
    }
    match base.kind {
        Kind::Dict(base) => Ok(Value::from(merge(dict, base)?).with_span(span)),
        other => {
            let found = other.python_name();
            let message = format!("`{key}` is a dict here but of type {found} in the base config");
            Err(Error::new(message)
                .with_span(span)
                .with_help("add `_delete_=True` to the dict to replace the base's value"))
        }
    }
}

/// Python's truth of a value.
fn is_true(value: &Value) -> bool {
    match &value.kind {
        Kind::None => false,
        Kind::Bool(truth) => *truth,
        Kind::Int(number) => *number != 0,
        Kind::Float(number) => *number != 0.0,
        Kind::Str(text) => !text.is_empty(),
        Kind::List(items) | Kind::Tuple(items) => !items.is_empty(),
        Kind::Dict(dict) => !dict.is_empty(),
    }
}

/// Marks the components of a base file of another project: every outermost dict with a `type` gets
/// `_scope_`, unless it has one.
pub(crate) fn add_scope(value: &mut Value, scope: &str) {
    match &mut value.kind {
        Kind::Dict(dict) => {
            if !dict.contains("type") {
                for (_, value) in dict.iter_mut() {
                    add_scope(value, scope);
                }
            } else if dict.get(SCOPE).is_none_or(Value::is_none) {
                dict.insert(SCOPE, Value::from(scope));
            }
        }
        Kind::List(items) | Kind::Tuple(items) => {
            for item in items {
                add_scope(item, scope);
            }
        }
        _ => {}
    }
}
