use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Kind, Loader, Value};

/// The value of `x` in a config.
fn value(text: &str) -> Value {
    let config = Loader::new().load_str("a.py", text).expect("loads");
    config.get("x").expect("has x").clone()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    value(text).parse()
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reduction {
    Mean,
    Sum,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Scale {
    One(i64),
    Ratio(f64),
    Many(Vec<f64>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    size: u8,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Loss {
    tau: f32,
    reduction: Reduction,
    weight: Option<f64>,
    mean: [f64; 3],
    pair: (i64, String),
    scale: Scale,
    inner: Option<Inner>,
    table: HashMap<String, bool>,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            tau: 1.0,
            reduction: Reduction::Mean,
            weight: None,
            mean: [0.0; 3],
            pair: (0, String::new()),
            scale: Scale::One(1),
            inner: None,
            table: HashMap::new(),
        }
    }
}

#[test]
fn reads_a_component() {
    let text = "x = dict(type='mmrazor.Loss', _scope_='mmrazor', tau=4, reduction='sum', weight=None,
        mean=(1, 2.5, 3), pair=[1, 'a'], scale=[1, 2], inner=dict(size=3), table=dict(a=True))";
    let loss: Loss = parse(text).expect("parses");
    let expected = Loss {
        tau: 4.0,
        reduction: Reduction::Sum,
        weight: None,
        mean: [1.0, 2.5, 3.0],
        pair: (1, "a".to_owned()),
        scale: Scale::Many(vec![1.0, 2.0]),
        inner: Some(Inner { size: 3 }),
        table: [("a".to_owned(), true)].into(),
    };
    assert_eq!(loss, expected);
    assert_eq!(parse::<Loss>("x = dict(scale=0.5)").expect("parses").scale, Scale::Ratio(0.5));
    assert_eq!(parse::<Loss>("x = dict()").expect("parses"), Loss::default());
}

#[test]
fn a_field_may_be_called_type() {
    #[derive(Deserialize)]
    struct Tagged {
        r#type: String,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", deny_unknown_fields)]
    enum Any {
        Step { size: i64 },
    }
    assert_eq!(parse::<Tagged>("x = dict(type='A')").expect("parses").r#type, "A");
    assert_eq!(parse::<Any>("x = dict(type='Step', size=2)").expect("parses"), Any::Step { size: 2 });
}

#[test]
fn reads_enums_with_content() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Action {
        Stop,
        Wait(i64),
        Move { by: f64 },
        Pair(i64, i64),
    }
    for (text, expected) in [
        ("x = 'Stop'", Action::Stop),
        ("x = dict(Wait=3)", Action::Wait(3)),
        ("x = {'Move': dict(by=1)}", Action::Move { by: 1.0 }),
        ("x = dict(Pair=(1, 2))", Action::Pair(1, 2)),
    ] {
        assert_eq!(parse::<Action>(text).expect("parses"), expected);
    }
}

#[test]
fn values_in_structs_keep_their_places() {
    #[derive(Deserialize)]
    struct Holder {
        one: Value,
        maybe: Option<Value>,
        none: Option<Value>,
        many: Vec<Value>,
        named: IndexMap<String, Value>,
    }
    let text = "x = dict(one=(1, 2),\n maybe=3, none=None, many=[4], named=dict(\nb={0: 5}, a=6))";
    let holder: Holder = parse(text).expect("parses");
    let shown = |value: &Value| value.span.as_ref().map(ToString::to_string);
    assert!(matches!(holder.one.kind, Kind::Tuple(_)), "a tuple stays one");
    assert_eq!(shown(&holder.one).as_deref(), Some("a.py:1:14"));
    assert_eq!(shown(&holder.maybe.expect("is there")).as_deref(), Some("a.py:2:8"));
    assert_eq!(holder.none, None);
    assert_eq!(shown(holder.many.first().expect("is there")).as_deref(), Some("a.py:2:28"));
    let named: Vec<_> = holder.named.iter().map(|(key, value)| (key.as_str(), shown(value))).collect();
    assert_eq!(named, [("b", Some("a.py:3:3".to_owned())), ("a", Some("a.py:3:13".to_owned()))]);
}

#[test]
fn values_can_be_read_from_and_written_to_other_formats() {
    let json = r#"{"a":[1,2.5,null,true,"x"],"b":{"c":-1}}"#;
    let value: Value = serde_json::from_str(json).expect("reads");
    assert_eq!(value.get("b.c"), Some(&Value::from(-1)));
    assert_eq!(serde_json::to_string(&value).expect("writes"), json);
    assert!(serde_json::from_str::<Value>("18446744073709551615").is_err());
}

#[test]
fn explains_what_does_not_fit() {
    #[derive(Debug, Deserialize)]
    struct Needs {
        #[allow(dead_code, reason = "only parsed")]
        size: usize,
    }
    let losses = [
        "x = 3",
        "x = dict(tau='abc')",
        "x = dict(tau=True)",
        "x = dict(tau=None)",
        "x = dict(\n    taw=1)",
        "x = dict(zzzzz=1)",
        "x = dict(reduction='maen')",
        "x = dict(reduction=1)",
        "x = dict(mean=[1, 2])",
        "x = dict(mean=[1, 2, 3, 4])",
        "x = dict(mean=[1, 'a', 3])",
        "x = dict(scale='x')",
        "x = dict(inner=dict(size=300))",
        "x = dict(inner=dict(size=-1))",
        "x = dict(inner=dict(size=1.0))",
        "x = dict(inner=dict(type='Inner', size=1))",
        "x = dict(inner=dict())",
        "x = dict(table=dict(a=1))",
        "x = dict(table=[1])",
        "x = {0: 1}",
    ];
    let mut errors: Vec<_> =
        losses.iter().map(|text| format!("{text}\n{:?}", parse::<Loss>(text).expect_err(text))).collect();
    for text in ["x = dict()", "x = dict(size=-1)", "x = dict(size=2.0)"] {
        errors.push(format!("{text}\n{:?}", parse::<Needs>(text).expect_err(text)));
    }
    insta::assert_snapshot!(errors.join("\n\n"));
}
