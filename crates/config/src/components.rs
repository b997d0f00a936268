//! The components that a config names.

use crate::{Kind, Span, Value};

/// A dict with a `type`.
#[derive(Debug, Clone)]
pub struct Component<'a> {
    /// Dotted path from where the search began.
    pub path: String,
    /// Its `type`, without the registry scope.
    pub name: &'a str,
    /// Where the `type` was written.
    pub span: Option<&'a Span>,
}

impl Value {
    /// All components in this value, itself included, those around others first.
    pub fn components(&self) -> Vec<Component<'_>> {
        let mut found = Vec::new();
        collect(self, &mut String::new(), &mut found);
        found
    }
}

fn collect<'a>(value: &'a Value, path: &mut String, found: &mut Vec<Component<'a>>) {
    if let Some(name) = value.type_name() {
        let own = value.as_dict().and_then(|dict| dict.get("type")).and_then(|own| own.span.as_ref());
        found.push(Component { path: path.clone(), name, span: own.or(value.span.as_ref()) });
    }
    let mut inside = |segment: &str, value: &'a Value| {
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(segment);
        collect(value, path, found);
        path.truncate(before);
    };
    match &value.kind {
        Kind::Dict(dict) => dict.iter().for_each(|(key, value)| inside(&key.to_string(), value)),
        Kind::List(items) | Kind::Tuple(items) => {
            items.iter().enumerate().for_each(|(at, value)| inside(&at.to_string(), value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::Loader;

    #[test]
    fn finds_components_at_every_level() {
        let text =
            "model = dict(type='A', parts=[dict(type='mmcls.B', n={0: dict(type='C')}), 3])\nx = dict(y=1)\n";
        let config = Loader::new().load_str("a.py", text).unwrap();
        let found: Vec<_> = config
            .components()
            .iter()
            .map(|c| format!("{} {} {}", c.path, c.name, c.span.unwrap()))
            .collect();
        assert_eq!(
            found,
            ["model A a.py:1:19", "model.parts.0 B a.py:1:41", "model.parts.0.n.0 C a.py:1:68"]
        );
    }
}
