//! Components found by the `type` of their config.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::{Error, Value, suggest};

/// Makes a component from its config; the registry builds the components inside it.
pub type Build<T> = fn(&Value, &Registry) -> Result<Box<T>, Error>;

/// Tables from a component's name to the function that builds it, one a kind of component.
///
/// A kind is a trait: `register::<dyn Backbone>("backbone", "ResNet", build)` makes
/// `build::<dyn Backbone>(&value)` know `dict(type='ResNet')`.
#[derive(Default)]
pub struct Registry {
    tables: IndexMap<TypeId, Table>,
}

struct Table {
    kind: &'static str,
    /// Each entry is a `Build<T>` of the table's `T`.
    builders: BTreeMap<&'static str, Box<dyn Any + Send + Sync>>,
}

impl Registry {
    /// A registry that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `name` known among the components `T`, which error messages call `kind`. A later
    /// registration of a name replaces the former, so that users can override what is built in.
    pub fn register<T: ?Sized + 'static>(&mut self, kind: &'static str, name: &'static str, build: Build<T>) {
        self.tables
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Table { kind, builders: BTreeMap::new() })
            .builders
            .insert(name, Box::new(build));
    }

    /// [Registers](Self::register) a table of components.
    pub fn register_all<T: ?Sized + 'static>(
        &mut self,
        kind: &'static str,
        table: &[(&'static str, Build<T>)],
    ) {
        for &(name, build) in table {
            self.register(kind, name, build);
        }
    }

    /// Builds the component that `value` describes: a dict whose `type`, without its registry scope,
    /// is a registered name.
    ///
    /// # Errors
    /// `value` is no dict with a `type`, the type is unknown, or the component's own builder fails;
    /// then the error gets the component's place, unless it has one, and its name as context.
    pub fn build<T: ?Sized + 'static>(&self, value: &Value) -> Result<Box<T>, Error> {
        let table = self.table::<T>()?;
        let kind = table.kind;
        let Some(dict) = value.as_dict() else {
            let found = value.kind.python_name();
            let message = format!("expected the config of a {kind}, a dict with a `type`, found {found}");
            return Err(Error::new(message).at(value));
        };
        let Some(type_value) = dict.get("type") else {
            return Err(Error::new(format!("the config of a {kind} needs a `type`"))
                .at(value)
                .with_help(table.known()));
        };
        let Some(name) = value.type_name() else {
            let found = type_value.kind.python_name();
            let message = format!("the `type` of a {kind} must be a str, found {found}");
            return Err(Error::new(message).at(type_value));
        };
        let build = table
            .builders
            .get(name)
            .and_then(|build| build.downcast_ref::<Build<T>>())
            .ok_or_else(|| table.unknown(name).at(type_value).at(value))?;
        build(value, self)
            .map_err(|error| error.at(value).with_context(format!("while building {kind} {name:?}")))
    }

    /// The names known among the components `T`, sorted.
    pub fn names<T: ?Sized + 'static>(&self) -> Vec<&'static str> {
        self.tables.get(&TypeId::of::<T>()).map(Table::names).unwrap_or_default()
    }

    /// Each kind of component and the names known of it, in order of first registration.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
        self.tables.values().map(|table| (table.kind, table.names()))
    }

    /// The kinds that have a component called `name`.
    pub fn kinds_of(&self, name: &str) -> Vec<&'static str> {
        let has = self.tables.values().filter(|table| table.builders.contains_key(name));
        has.map(|table| table.kind).collect()
    }

    /// The name of any kind that is nearest to `name`.
    pub fn suggest(&self, name: &str) -> Option<&'static str> {
        suggest(name, self.tables.values().flat_map(|table| table.builders.keys().copied()))
    }

    fn table<T: ?Sized + 'static>(&self) -> Result<&Table, Error> {
        self.tables.get(&TypeId::of::<T>()).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            Error::new(format!("no component of the kind `{name}` is registered"))
        })
    }
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.builders.keys().copied().collect()
    }

    fn known(&self) -> String {
        format!("known {}s: {}", self.kind, self.names().join(", "))
    }

    fn unknown(&self, name: &str) -> Error {
        let help = match suggest(name, self.builders.keys().copied()) {
            Some(meant) => format!("did you mean {meant:?}? {}", self.known()),
            None => self.known(),
        };
        Error::new(format!("unknown {} {name:?}", self.kind)).with_help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    trait Backbone {
        fn depth(&self) -> i64;
    }

    #[derive(Debug)]
    struct Net(i64);

    impl Backbone for Net {
        fn depth(&self) -> i64 {
            self.0
        }
    }

    fn build(value: &Value, _: &Registry) -> Result<Box<dyn Backbone>, Error> {
        let depth = value.get("depth").ok_or_else(|| Error::new("no depth"))?;
        let depth = depth.as_i64().ok_or_else(|| Error::new("depth must be an int").at(depth))?;
        Ok(Box::new(Net(depth)))
    }

    fn fixed(_: &Value, _: &Registry) -> Result<Box<dyn Backbone>, Error> {
        Ok(Box::new(Net(-1)))
    }

    fn registry() -> Registry {
        let mut registry = Registry::new();
        registry.register_all::<dyn Backbone>("backbone", &[("ResNet", build), ("VGG", build)]);
        registry
    }

    fn build_text(registry: &Registry, text: &str) -> Result<i64, Error> {
        let config = Loader::new().load_str("a.py", text)?;
        let backbone = config.get("x").ok_or_else(|| Error::new("no x"))?;
        registry.build::<dyn Backbone>(backbone).map(|net| net.depth())
    }

    #[test]
    fn builds_by_name_with_or_without_scope() {
        let registry = registry();
        for name in ["ResNet", "mmcls.ResNet", "occam.VGG"] {
            let text = format!("x = dict(type='{name}', depth=5)");
            assert_eq!(build_text(&registry, &text).expect("builds"), 5);
        }
    }

    #[test]
    fn later_registration_wins() {
        let mut registry = registry();
        registry.register::<dyn Backbone>("backbone", "VGG", fixed);
        assert_eq!(build_text(&registry, "x = dict(type='VGG')").expect("builds"), -1);
        assert_eq!(registry.names::<dyn Backbone>(), ["ResNet", "VGG"]);
        let kinds: Vec<_> = registry.kinds().collect();
        assert_eq!(kinds, [("backbone", vec!["ResNet", "VGG"])]);
        assert_eq!(registry.kinds_of("VGG"), ["backbone"]);
        assert!(registry.kinds_of("Swin").is_empty());
        assert_eq!(registry.suggest("ResNte"), Some("ResNet"));
    }

    #[test]
    fn explains_what_it_cannot_build() {
        let registry = registry();
        let texts = [
            "x = 3",
            "x = dict(depth=5)",
            "x = dict(type=5)",
            "x = dict(type='ResNte')",
            "x = dict(type='other.ResNet')",
            "x = dict(type='ResNet')",
            "x = dict(type='ResNet', depth='5')",
        ];
        let errors: Vec<_> = texts
            .iter()
            .map(|text| format!("{:?}", build_text(&registry, text).expect_err("fails")))
            .collect();
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
