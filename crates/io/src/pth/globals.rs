//! What a pickle may import, and what that becomes.

use std::rc::Rc;

use super::Fault;
use super::value::{Element, Global, Node, Storage, Value, View};

/// Packages whose classes stand beside weights in checkpoints: settings, histories, dates.
const PACKAGES: &[&str] = &[
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "collections",
    "argparse",
    "datetime",
    "pathlib",
    "decimal",
    "fractions",
    "uuid",
    "enum",
    "types",
    "mmengine",
    "mmcv",
    "mmcls",
    "mmpretrain",
    "mmdet",
    "mmseg",
    "mmrazor",
    "addict",
    "omegaconf",
    "yacs",
    "easydict",
    "pytorch_lightning",
    "lightning",
];

/// Classes and constructors whose names begin like a function's.
const LOWER: &[&str] = &[
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "collections.deque",
    "torch.device",
    "torch.dtype",
    "torch.layout",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch.serialization._get_layout",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
];

/// Types of Python itself.
const BUILTINS: &[&str] = &[
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "int",
    "long",
    "float",
    "bool",
    "str",
    "unicode",
    "bytes",
    "bytearray",
    "complex",
    "slice",
    "range",
    "xrange",
    "object",
];

/// Tensors that are wrapped in a wrapper, at most.
const MAX_WRAPPERS: usize = 8;

/// Longest name of a method that is mentioned, in bytes.
const MAX_NAME: usize = 1000;
/// Most dimensions of a tensor, as PyTorch has it.
const MAX_RANK: usize = 64;

/// Whether making an object by it only makes data.
fn is_plain(global: &Global) -> bool {
    let path = global.path();
    if LOWER.contains(&path.as_str()) {
        return true;
    }
    if matches!(global.module.as_str(), "builtins" | "__builtin__") {
        return BUILTINS.contains(&global.name.as_str());
    }
    let package = global.module.split('.').next().unwrap_or_default();
    let last = global.name.rsplit('.').next().unwrap_or_default();
    PACKAGES.contains(&package) && last.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The error for a call that is not made.
fn refused(global: &Global) -> Fault {
    Fault::Import(global.path())
}

/// A new object of a class, whose contents follow.
pub(super) fn make(class: &Value, nodes: &mut Vec<Node>) -> Result<Value, Fault> {
    match class {
        Value::Global(global) if is_dict(global) => Ok(add(nodes, Node::Dict(Vec::new()))),
        Value::Global(global) if is_plain(global) => Ok(add(nodes, Node::Opaque(global.clone()))),
        Value::Global(global) => Err(refused(global)),
        other => Err(format!("it makes an object of {}, which is no class", kind(other, nodes)).into()),
    }
}

fn is_dict(global: &Global) -> bool {
    matches!(
        (global.module.as_str(), global.name.as_str()),
        ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict")
    )
}

pub(super) fn add(nodes: &mut Vec<Node>, node: Node) -> Value {
    nodes.push(node);
    Value::Node(nodes.len() - 1)
}

/// What calling `callable` with `args` gives.
pub(super) fn call(callable: &Value, args: &Value, nodes: &mut Vec<Node>) -> Result<Value, Fault> {
    call_within(callable, args, nodes, MAX_WRAPPERS)
}

fn call_within(
    callable: &Value,
    args: &Value,
    nodes: &mut Vec<Node>,
    wrappers: usize,
) -> Result<Value, Fault> {
    let Value::Global(global) = callable else {
        return Err(format!("it calls {}", kind(callable, nodes)).into());
    };
    let Value::Node(id) = *args else { return Err("it calls with arguments that are no tuple".into()) };
    let Some(Node::Tuple(args)) = nodes.get(id) else {
        return Err("it calls with arguments that are no tuple".into());
    };
    let first = args.first();
    match (global.module.as_str(), global.name.as_str()) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3")
        | ("torch", "_utils._rebuild_tensor" | "_utils._rebuild_tensor_v2") => {
            let view = tensor(args, nodes).map_err(|e| format!("{}: {e}", global.name))?;
            Ok(add(nodes, Node::Tensor(view)))
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter" | "torch.nn", "Parameter") => {
            first.cloned().ok_or_else(|| format!("{} without a tensor", global.name).into())
        }
        ("torch._tensor", "_rebuild_from_type_v2") => {
            let (Some(inner), Some(list)) = (first.cloned(), args.get(2).cloned()) else {
                return Err("_rebuild_from_type_v2 without a function".into());
            };
            match wrappers.checked_sub(1) {
                Some(left) => call_within(&inner, &list, nodes, left),
                None => Err("its tensors are wrapped too often".into()),
            }
        }
        ("torch", "Size") => first.cloned().ok_or_else(|| "torch.Size without sizes".into()),
        ("builtins" | "__builtin__", "getattr") => match args.as_slice() {
            // A method of a class that is mentioned, as mmengine's histories do; calling it is another thing.
            [Value::Global(class), Value::Str(name)]
                if is_plain(class) && class.name.len() + name.len() < MAX_NAME =>
            {
                Ok(Value::Global(Rc::new(Global {
                    module: class.module.clone(),
                    name: format!("{}.{name}", class.name),
                })))
            }
            _ => Err(refused(global)),
        },
        _ if is_dict(global) => {
            let first = first.cloned();
            let items = first.map_or_else(Vec::new, |items| pairs(&items, nodes));
            Ok(add(nodes, Node::Dict(items)))
        }
        ("copyreg" | "copy_reg", "_reconstructor") => {
            let class = first.cloned().unwrap_or(Value::None);
            make(&class, nodes)
        }
        _ if is_plain(global) => Ok(add(nodes, Node::Opaque(global.clone()))),
        _ => Err(refused(global)),
    }
}

/// The pairs of a list of pairs, which is left empty, so that calling with it again costs nothing; anything else has none.
fn pairs(items: &Value, nodes: &mut [Node]) -> Vec<(Value, Value)> {
    let Value::Node(id) = *items else { return Vec::new() };
    let items = match nodes.get_mut(id) {
        Some(Node::List(items) | Node::Tuple(items)) => std::mem::take(items),
        _ => return Vec::new(),
    };
    let pair = |item: &Value| match item {
        Value::Node(id) => match nodes.get(*id) {
            Some(Node::List(pair) | Node::Tuple(pair)) => match pair.as_slice() {
                [key, value] => Some((key.clone(), value.clone())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    items.iter().filter_map(pair).collect()
}

/// `storage, offset, sizes, strides, ..`; the third form gives the element type at the end.
fn tensor(args: &[Value], nodes: &[Node]) -> Result<View, String> {
    let [storage, offset, shape, strides, rest @ ..] = args else {
        return Err("fewer than four arguments".into());
    };
    let Value::Node(id) = storage else { return Err("no storage".into()) };
    let Some(Node::Storage(storage)) = nodes.get(*id) else { return Err("no storage".into()) };
    let sizes = |value: &Value, what: &str| -> Result<Vec<u64>, String> {
        let Value::Node(id) = value else { return Err(format!("{what} are no tuple")) };
        let Some(Node::Tuple(items) | Node::List(items)) = nodes.get(*id) else {
            return Err(format!("{what} are no tuple"));
        };
        if items.len() > MAX_RANK {
            return Err(format!("{what} are {}, more than {MAX_RANK}", items.len()));
        }
        let number = |item: &Value| match item {
            Value::Int(n) => u64::try_from(*n).map_err(|_| format!("{what} have {n}")),
            other => Err(format!("{what} have {}", kind(other, nodes))),
        };
        items.iter().map(number).collect()
    };
    let Value::Int(offset) = *offset else { return Err("the offset is no integer".into()) };
    let offset = u64::try_from(offset).map_err(|_| format!("the offset is {offset}"))?;
    let (shape, strides) = (sizes(shape, "the sizes")?, sizes(strides, "the strides")?);
    if shape.len() != strides.len() {
        return Err(format!("{} sizes but {} strides", shape.len(), strides.len()));
    }
    let named = rest.iter().find_map(|value| match value {
        Value::Global(g) if g.module == "torch" => Some(Element::of_dtype(&g.name)),
        _ => None,
    });
    if let Some(bit) = rest.iter().find_map(|value| pending(value, nodes)) {
        return Err(format!(
            "a tensor is kept with `{bit}` still to be done; save `x.resolve_{bit}()` of it"
        ));
    }
    let dtype = named.or_else(|| storage.dtype.clone()).ok_or("no element type")?;
    Ok(View { storage: storage.clone(), dtype, offset, shape, strides })
}

/// What PyTorch has put off doing to the elements, where the metadata of a tensor says so: `conj` or `neg`.
fn pending<'a>(metadata: &'a Value, nodes: &'a [Node]) -> Option<&'a str> {
    let Value::Node(id) = metadata else { return None };
    let Some(Node::Dict(items)) = nodes.get(*id) else { return None };
    // Metadata has few entries; a dict of many, given again and again, must not cost much.
    items.iter().take(8).find_map(|item| match item {
        (Value::Str(name), Value::Bool(true)) if matches!(&**name, "conj" | "neg") => Some(&**name),
        _ => None,
    })
}

/// What a persistent id stands for: `('storage', class, key, location, elements, view)`.
pub(super) fn persistent(id: &Value, nodes: &mut Vec<Node>) -> Result<Value, Fault> {
    let Value::Node(node) = *id else { return Err("a persistent id is no tuple".into()) };
    let Some(Node::Tuple(parts)) = nodes.get(node) else { return Err("a persistent id is no tuple".into()) };
    match parts.as_slice() {
        [Value::Str(kind), Value::Global(class), key, _, _, rest @ ..] if &**kind == "storage" => {
            let key: Rc<str> = match key {
                Value::Str(key) => key.clone(),
                Value::Int(key) => key.to_string().into(),
                _ => return Err("a storage has no key".into()),
            };
            let name = class.name.rsplit('.').next().unwrap_or_default();
            if !name.ends_with("Storage") || !class.module.starts_with("torch") {
                return Err(refused(class));
            }
            let offset = match rest.first() {
                Some(Value::Node(view)) => match nodes.get(*view) {
                    Some(Node::Tuple(view)) => match view.get(1) {
                        Some(Value::Int(n)) => u64::try_from(*n).map_err(|_| "a storage begins below 0")?,
                        _ => return Err("a view of a storage has no offset".into()),
                    },
                    _ => 0,
                },
                _ => 0,
            };
            let storage = Storage { key, dtype: Element::of_storage(name), offset };
            Ok(add(nodes, Node::Storage(storage)))
        }
        // The source of a module, which legacy files carry: `('module', class, file, source)`.
        [Value::Str(kind), class, ..] if &**kind == "module" => Ok(class.clone()),
        _ => Err("a persistent id is no storage".into()),
    }
}

/// What a value is, for errors.
pub(super) fn kind(value: &Value, nodes: &[Node]) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(_) => "a bool".into(),
        Value::Int(_) | Value::Long(_) => "an int".into(),
        Value::Float => "a float".into(),
        Value::Str(_) => "a str".into(),
        Value::Bytes => "bytes".into(),
        Value::Global(g) => format!("`{}`", g.path()),
        Value::Node(id) => match nodes.get(*id) {
            Some(Node::Tuple(_)) => "a tuple".into(),
            Some(Node::List(_)) => "a list".into(),
            Some(Node::Dict(_)) => "a dict".into(),
            Some(Node::Storage(_)) => "a storage".into(),
            Some(Node::Tensor(_)) => "a tensor".into(),
            Some(Node::Opaque(class)) => format!("an object of `{}`", class.path()),
            None => "nothing".into(),
        },
    }
}
