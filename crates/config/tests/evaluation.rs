//! What single config files evaluate to.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Error, Limits, Loader, Value};

fn load(text: &str) -> Result<Value, Error> {
    Loader::new().load_str("a.py", text)
}

/// Checks that each expression evaluates to the same as its simple counterpart; the results are
/// CPython's.
fn check(expressions: &[(&str, &str)]) {
    for (expression, expected) in expressions {
        let config = load(&format!("x = {expression}\ny = {expected}\n"));
        assert!(config.is_ok(), "{expression}: {config:?}");
        let config = config.unwrap_or_default();
        assert_eq!(config.get("x"), config.get("y"), "{expression} is not {expected}");
    }
}

#[test]
fn arithmetic_is_python_s() {
    check(&[
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 // -2", "3"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("7.5 // 2", "3.0"),
        ("-7.5 % 2", "0.5"),
        ("1 // 0.1", "9.0"),
        ("6 / 3", "2.0"),
        ("1 / 3", "0.3333333333333333"),
        ("2 ** 10", "1024"),
        ("2 ** -1", "0.5"),
        ("2 ** 0.5", "1.4142135623730951"),
        ("-2 ** 2", "-4"),
        ("(-1) ** 9223372036854775807", "-1"),
        ("True + 1", "2"),
        ("-True", "-1"),
        ("1 + 2.0", "3.0"),
        ("~5", "-6"),
        ("1 << 4 | 1", "17"),
        ("-5 >> 1", "-3"),
        ("6 & 3 ^ 1", "3"),
        ("-9223372036854775808", "-9223372036854775807 - 1"),
        ("1e-3", "0.001"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("[1, 2] + [3]", "[1, 2, 3]"),
        ("(1,) + (2,)", "(1, 2)"),
        ("'a' + 'b' 'c'", "'abc'"),
        ("[0] * 3", "[0, 0, 0]"),
        ("2 * 'ab'", "'abab'"),
        ("[1] * -1", "[]"),
    ]);
}

#[test]
fn comparisons_and_logic_are_python_s() {
    check(&[
        ("1 == 1.0", "True"),
        ("True == 1", "True"),
        ("'1' == 1", "False"),
        ("1 < 2 < 3", "True"),
        ("1 < 3 < 2", "False"),
        ("[1, 2] < [1, 3]", "True"),
        ("'a' <= 'b'", "True"),
        ("dict(a=1, b=2) == {'b': 2, 'a': 1.0}", "True"),
        ("[1] != (1,)", "True"),
        ("None is None", "True"),
        ("[] is not None", "True"),
        ("2 in [1, 2]", "True"),
        ("'a' in dict(a=1)", "True"),
        ("'b' not in 'abc'", "False"),
        ("0 or [] or 'x'", "'x'"),
        ("1 and 0 and 2", "0"),
        ("not []", "True"),
        ("1 if [] else 2", "2"),
        ("float('nan') == float('nan')", "False"),
    ]);
}

#[test]
fn functions_are_python_s() {
    check(&[
        ("round(0.5)", "0"),
        ("round(1.5)", "2"),
        ("round(-2.5)", "-2"),
        ("round(2.675, 2)", "2.67"),
        ("round(3, 1)", "3"),
        ("int(-2.9)", "-2"),
        ("int('12')", "12"),
        ("float('1e3')", "1000.0"),
        ("float(2)", "2.0"),
        ("str(1e-5)", "'1e-05'"),
        ("str([1, 'a', None, (1,)])", "\"[1, 'a', None, (1,)]\""),
        ("bool('')", "False"),
        ("len('äb')", "2"),
        ("len(dict(a=1))", "1"),
        ("min(3, 1, 2)", "1"),
        ("max([1, 2.5])", "2.5"),
        ("max([], default=0)", "0"),
        ("sum([1, 2.5])", "3.5"),
        ("sum([[1], [2]], [])", "[1, 2]"),
        ("abs(-2)", "2"),
        ("list(range(3))", "[0, 1, 2]"),
        ("list(range(5, 0, -2))", "[5, 3, 1]"),
        ("tuple('ab')", "('a', 'b')"),
        ("sorted([3, 1, 2], reverse=True)", "[3, 2, 1]"),
        ("list(reversed([1, 2]))", "[2, 1]"),
        ("list(zip([1, 2], 'ab'))", "[(1, 'a'), (2, 'b')]"),
        ("list(enumerate('ab', start=1))", "[(1, 'a'), (2, 'b')]"),
        ("any(i > 1 for i in [1, 2])", "True"),
        ("all([])", "True"),
        ("dict([('a', 1)], b=2)", "{'a': 1, 'b': 2}"),
        ("dict({0: 'batch'}, a=1)", "{0: 'batch', 'a': 1}"),
        ("dict(**{'a': 1}, b=2)", "{'a': 1, 'b': 2}"),
        ("{**dict(a=1), 'a': 2}", "{'a': 2}"),
        ("[*[1, 2], 3]", "[1, 2, 3]"),
        ("f'a{1 + 1}b{[1]}'", "'a2b[1]'"),
    ]);
}

#[test]
fn formats_are_python_s() {
    check(&[
        ("'{}-{}'.format(1, 'a')", "'1-a'"),
        ("'{1}{0}{1}'.format('a', 2)", "'2a2'"),
        ("'{x:.2f} {{}}'.format(x=1)", "'1.00 {}'"),
        ("'{!r}'.format('a')", "\"'a'\""),
        ("f'{7:03d}|{-7:04}|{7:+d}|{7:>4}|{7:<4}|{7:^4}|{7:*^5}'", "'007|-007|+7|   7|7   | 7  |**7**'"),
        ("f'{255:x} {255:#X} {5:b} {8:o} {True:d}'", "'ff 0XFF 101 10 1'"),
        ("f'{1234567:,} {1234567.5:,.1f} {65535:_x}'", "'1,234,567 1,234,567.5 ffff'"),
        ("f'{0.000123:.2e} {1500:.0e} {1e10:E}'", "'1.23e-04 2e+03 1.000000E+10'"),
        ("f'{0.0001:g} {0.00001:g} {123456789:g} {1.50:g} {100:g}'", "'0.0001 1e-05 1.23457e+08 1.5 100'"),
        ("f'{0.256:.1%} {2.5:.0f} {3.5:.0f} {-0.0:.1f}'", "'25.6% 2 4 -0.0'"),
        (
            "f'{\"abc\":>5}{\"abc\":.2}{\"a\":-<3}{1.5:8}|{1.5:<8}|{-1.5:=8}'",
            "'  abcaba--     1.5|1.5     |-    1.5'",
        ),
        ("f'{[1]!r} {\"a\"!r:>5} {1e-5}'", "\"[1]   'a' 1e-05\""),
        ("f'{float(\"inf\"):.1f} {float(\"nan\"):5}'", "'inf   nan'"),
    ]);
}

#[test]
fn methods_and_subscripts_are_python_s() {
    check(&[
        ("[1, 2, 3, 4][:-2]", "[1, 2]"),
        ("[1, 2, 3][::-1]", "[3, 2, 1]"),
        ("(1, 2, 3)[-1]", "3"),
        ("'abc'[1:]", "'bc'"),
        ("dict(a=1)['a']", "1"),
        ("dict(a=1).get('b', 2)", "2"),
        ("list(dict(a=1).items())", "[('a', 1)]"),
        ("list(dict(a=1).keys())", "['a']"),
        ("list(dict(a=1).values())", "[1]"),
        ("dict(a=1).pop('a')", "1"),
        ("[1, 2].index(2)", "1"),
        ("[1, 2, 1].count(1)", "2"),
        ("','.join(['a', 'b'])", "'a,b'"),
        ("'a/b'.split('/')", "['a', 'b']"),
        ("' x '.strip()", "'x'"),
        ("'abc'.replace('b', '')", "'ac'"),
        ("'abc'.startswith('ab')", "True"),
        ("[i / 2 for i in range(4) if i % 2]", "[0.5, 1.5]"),
        ("list(i + j for i in (1, 2) for j in (10, 20))", "[11, 21, 12, 22]"),
        ("{k: v * 2 for k, v in dict(a=1).items()}", "{'a': 2}"),
    ]);
}

#[test]
fn statements_change_shared_objects() {
    let config = load(
        "'''A docstring.'''
a = b = [1]
b.append(2)
a += [3]
c: int = len(a)
d, (e, f) = 1, [2, 3]
g = dict(x=dict(y=1))
h = g['x']
h['y'] = 2
g.update(z=3)
del g['z']
if not b:
    i = 1
elif c == 3:
    i = 2
else:
    i = 3
assert i == 2, 'i'
j = [1, 2]
j[0], j[-1] = j[-1], j[0]
j.insert(0, 9)
j.extend(range(2))
k = [dict(a=1)] * 2
k[0]['a'] = 5
l = 'x'
l *= 3
pass
",
    )
    .expect("loads");
    for (name, expected) in [
        ("a", "[1, 2, 3]"),
        ("b", "[1, 2, 3]"),
        ("f", "3"),
        ("g", "dict(x=dict(y=2))"),
        ("i", "2"),
        ("j", "[9, 2, 1, 0, 1]"),
        ("k", "[dict(a=5), dict(a=5)]"),
        ("l", "'xxx'"),
    ] {
        let expected = load(&format!("x = {expected}")).expect(expected);
        assert_eq!(config.get(name), expected.get("x"), "{name}");
    }
}

#[test]
fn explains_what_it_cannot_evaluate() {
    let texts = [
        "x = (1",
        "import os\nx = os.environ['HOME']",
        "import os.path as osp\nx = osp.join('a', 'b')",
        "from a import b\nx = b(1)",
        "from a import b\nx = dict(type=b)",
        "from a import *",
        "from .base import model",
        "import copy\nx = copy.x(1)",
        "for i in []:\n    pass",
        "def f():\n    pass",
        "x = lambda: 1",
        "x = {1, 2}",
        "x = f'{1:0.2d}'",
        "x = f'{1:{2}}'",
        "x = f'{1=}'",
        "x = f'{1:q}'",
        "x = '%d' % 3",
        "x = '{}'.format()",
        "x = '{'.format(1)",
        "x = '{a.b}'.format(a=1)",
        "x = y",
        "lr = 1\nx = [l, lrr]",
        "x = open('f')",
        "x = dict(a=1).b",
        "x = dict(abc=1)\ny = x.abc",
        "x = dict(abc=1)['abd']",
        "x = [1][1]",
        "x = [1]['a']",
        "x = 1 / 0",
        "x = 9223372036854775807 + 1",
        "x = 99999999999999999999",
        "x = 10.0 ** 400",
        "x = (-1) ** 0.5",
        "x = 1 + 'a'",
        "x = 1 < 'a'",
        "x = round(float('inf'))",
        "x = int('a')",
        "x = range(3)",
        "x = len",
        "x = [1].update(2)",
        "x = (1)()",
        "x = dict(a=1, **dict(a=2))",
        "x = {1.5: 2}",
        "a, b = [1]",
        "x = [1]\nx.append(x)",
        "assert 1 == 2, 'no'",
        "x = dict(a=1).get()",
        "x = max()",
        "x = sorted([1], key=len)",
        "filename = 'a'",
        "x = '{{ _base_.y }}'",
        "x = '{{ $HOME: }}'",
        "_base_ = 3",
        "_base_ = ['nowhere.py']",
        "_base_ = 'mmcls::x.py'",
        "x = _base_.y",
        "x = b'a'",
        "x = 1j",
        "x = 'a' is 'a'",
    ];
    let errors: Vec<_> = texts
        .iter()
        .map(|text| {
            let error = Loader::new().load_str("a.py", text).expect_err(text);
            format!("{text}\n{error:?}")
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn work_is_bounded() {
    let nested = |open: &str, close: &str| format!("x = {}{}", open.repeat(100_000), close.repeat(100_000));
    let texts = [
        "x = [0] * 10**12".to_owned(),
        "x = 'a' * 10**12".to_owned(),
        "x = list(range(10**15))".to_owned(),
        "x = 10 ** 10**10".to_owned(),
        "x = f'{1:999999999999d}'".to_owned(),
        "x = '{:.999999999f}'.format(1.0)".to_owned(),
        format!("x = {}", "'{0}{0}'.format(".repeat(60) + "'a'" + &")".repeat(60)),
        "x = 1 << 10**10".to_owned(),
        "x = [[] for a in range(10**4) for b in range(10**4)]".to_owned(),
        format!("a = [0]\n{}", "a = [a] * 10\n".repeat(20)),
        format!("a = [0]\n{}b = a == a[:]", "a = [a[:], a[:]]\n".repeat(60)),
        format!("a = 'a'\n{}", "a = a + a\n".repeat(60)),
        format!("a = [0]\n{}", "a = a + a\n".repeat(60)),
        format!("a = [0]\n{}", "a += a\n".repeat(60)),
        format!("a = dict(x=0)\n{}", "a = dict(x=a, y=a)\n".repeat(60)),
        format!("a = 'aaaa'\n{}", "a = a.replace('a', a)\n".repeat(20)),
        format!("a = []\n{}", "a = [a]\n".repeat(100_000)),
        nested("(", ")"),
        nested("[", "]"),
        nested("f(", ")"),
        nested("-", "1"),
        nested("{'a':", "}"),
        "x = 1".to_owned() + &" + 1".repeat(100_000),
        "x = a".to_owned() + &".a".repeat(100_000),
        "x = f\"".to_owned() + &"{f'".repeat(10_000),
        "x = ".to_owned() + &"(".repeat(100_000),
        "x = ".to_owned() + &"lambda a, b: ".repeat(100_000) + "1",
        "x = ".to_owned() + &"1 if 1 else ".repeat(100_000) + "1",
        "a = ".repeat(100_000) + "1",
        (0..2000).map(|n| " ".repeat(n) + "if 1:\n").collect(),
    ];
    for text in texts {
        Loader::new().load_str("a.py", &text).expect_err(text.get(..60.min(text.len())).unwrap_or_default());
    }
}

/// Files that build on others must not multiply, nor form a chain without end.
#[test]
fn files_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: String, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    write("two_0.py".into(), String::new());
    write("one_0.py".into(), "x = 1\n".into());
    for n in 1..100 {
        write(format!("two_{n}.py"), format!("_base_ = ['two_{0}.py', './two_{0}.py']\n", n - 1));
        write(format!("one_{n}.py"), format!("_base_ = 'one_{}.py'\n", n - 1));
    }
    let load = |name: &str| Loader::new().load(&dir.path().join(name));
    load("one_60.py").expect("is short enough");
    assert!(load("one_99.py").unwrap_err().message().contains("the chain of bases has more than 64 links"));
    assert!(load("two_30.py").unwrap_err().message().contains("more than 1000 base files"));
    std::fs::write(dir.path().join("latin.py"), b"x = '\xe4'\n").unwrap();
    assert!(load("latin.py").unwrap_err().message().contains("is not UTF-8"));
    assert!(load("x.txt").unwrap_err().message().contains("cannot read"));
    assert!(load(".").unwrap_err().message().contains("cannot read"));
}

/// Large but honest files must not take quadratic time; nor must nonsense.
#[test]
fn time_grows_with_the_size_of_the_file_only() {
    let texts = [
        format!("x = [{}]", "1, ".repeat(300_000)),
        format!("x = [{}]", "{{ _base_ ".repeat(100_000)),
        "{".repeat(2_000_000),
        format!("_base_ = []\nx = [{}1]", "{{_base_.update}}, ".repeat(50_000)),
        format!("x = [0] * 1000000\n{}", "del x[0]\n".repeat(100_000)),
        format!("x = [0] * 500000\ny = [1] * 500000\n{}", "x == y\n".repeat(100_000)),
        format!("x = 'a' * 1000000\ny = x + ''\n{}", "x == y\n".repeat(100_000)),
        format!("x = {}\n", "a".repeat(4_000_000)),
        "x = '".to_owned() + &"\\".repeat(1_000_000),
    ];
    let start = std::time::Instant::now();
    for text in texts {
        let _ = Loader::new().load_str("a.py", &text);
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn time_of_data_files_grows_with_their_size_only() {
    let size = 1 << 20;
    let texts = [
        ("flow", "[".repeat(size)),
        ("flow maps", "{a: ".repeat(size / 4)),
        ("sequences", "- ".repeat(size / 2)),
        ("keys", "? ".repeat(size / 2)),
        ("colons", "a: ".repeat(size / 3)),
        ("items", "- a\n".repeat(size / 4)),
        ("anchors", (0..size / 16).map(|n| format!("- &a{n} x\n")).collect()),
        ("unknown aliases", "*a ".repeat(size / 3)),
        ("word", format!("a: {}", "x".repeat(size))),
        ("words", format!("a: {}", "x ".repeat(size / 2))),
        ("lines", format!("a:\n{}", "  x\n".repeat(size / 4))),
        ("quoted", format!("a: '{}'", "''".repeat(size / 2))),
        ("escapes", format!("a: \"{}\"", "\\n".repeat(size / 2))),
        ("block", format!("a: |\n{}", "  x\n".repeat(size / 4))),
        ("blank", "\n".repeat(size)),
        ("indent", " ".repeat(size)),
        ("comments", "#\n".repeat(size / 2)),
        ("tags", "!a ".repeat(size / 3)),
        ("wide", format!("a: [{}]", "{b: c}, ".repeat(size / 8))),
        ("one line", format!("{{{}}}", "\"k\": [\"ü\"], ".repeat(size / 14))),
        ("templates", format!("a: [{}]", "{{ _base_.x }}, ".repeat(size / 16))),
        ("documents", "--- a\n".repeat(size / 6)),
    ];
    for (what, text) in texts {
        for name in ["a.yaml", "a.json"] {
            let start = std::time::Instant::now();
            let _ = Loader::new().load_str(name, &text);
            assert!(start.elapsed().as_secs() < 20, "{what} as {name}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn limits_can_be_set() {
    let limits = Limits { file_bytes: 10, ..Limits::default() };
    let loader = Loader::new().with_limits(limits);
    loader.load_str("a.py", "x = 1").expect("is short");
    let error = loader.load_str("a.py", "x = 1234567").expect_err("is long");
    assert_eq!(error.message(), "`a.py` is larger than 10 bytes");
}

/// The deepest nesting that is allowed must fit a thread's stack of 2 MiB, tests' default.
#[test]
fn allowed_nesting_does_not_overflow_the_stack() {
    load(&format!("x = {}1{}", "-(".repeat(90), ")".repeat(90))).expect("is shallow enough");
    load(&format!("x = {}{}", "[".repeat(60), "]".repeat(60))).expect("is shallow enough");
    load(&format!("x = {}1", "1 + ".repeat(150))).expect("is shallow enough");
    load(&format!("f = 1\nx = {}1{}", "max(1, ".repeat(90), ")".repeat(90))).expect("is shallow enough");
    load(&format!("x = {}1{}", "list(i for i in [".repeat(35), "])".repeat(35))).expect("is shallow enough");
}
