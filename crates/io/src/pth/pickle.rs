//! The stack machine of pickles, protocols 0 to 5, without its power to call.

use std::collections::HashMap;
use std::rc::Rc;

use super::Fault;
use super::globals::{add, call, kind, make, persistent};
use super::value::{Global, Node, Value};

/// What a pickle gave.
#[derive(Debug)]
pub(super) struct Program {
    pub nodes: Vec<Node>,
    pub result: Value,
}

impl Program {
    pub fn node(&self, value: &Value) -> Option<&Node> {
        match value {
            Value::Node(id) => self.nodes.get(*id),
            _ => None,
        }
    }

    pub fn dict(&self, value: &Value) -> Option<&[(Value, Value)]> {
        match self.node(value) {
            Some(Node::Dict(items)) => Some(items),
            _ => None,
        }
    }

    pub fn list(&self, value: &Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::List(items) | Node::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    pub fn kind(&self, value: &Value) -> String {
        kind(value, &self.nodes)
    }
}

/// Runs the pickle at the beginning of `bytes`; gives what it left and its length.
///
/// Memory is bounded by the length: an instruction makes one value, and values are shared, never copied.
pub(super) fn run(bytes: &[u8]) -> Result<(Program, usize), Fault> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
    };
    loop {
        let at = machine.at;
        let op = machine.byte()?;
        match machine.step(op) {
            Ok(Some(result)) => return Ok((Program { nodes: machine.nodes, result }, machine.at)),
            Ok(None) => {}
            Err(Fault::Malformed(message)) => {
                return Err(format!("its pickle is damaged at byte {at}: {message}").into());
            }
            Err(other) => return Err(other),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at which marks stand.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    nodes: Vec<Node>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let part = usize::try_from(length).ok().and_then(|n| rest.get(..n)).ok_or_else(|| {
            format!("its pickle is cut off: {length} bytes wanted at {}, {} left", self.at, rest.len())
        })?;
        self.at += part.len();
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let part = self.take(N as u64)?;
        part.first_chunk::<N>().copied().ok_or_else(|| "cut off".into())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[b]| b)
    }

    fn u32(&mut self) -> Result<u64, Fault> {
        self.array().map(|b| u64::from(u32::from_le_bytes(b)))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// Up to the end of the line, which is passed.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').ok_or("a line does not end")?;
        let line = self.take(length as u64)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "a line is no text".into())
    }

    fn text(&mut self, length: u64) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(self.take(length)?);
        self.push(Value::Str(text.into()));
        Ok(())
    }

    fn opaque_bytes(&mut self, length: u64) -> Result<(), Fault> {
        self.take(length)?;
        self.push(Value::Bytes);
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn node(&mut self, node: Node) {
        let value = add(&mut self.nodes, node);
        self.push(value);
    }

    /// The topmost value, above the last mark.
    fn pop(&mut self) -> Result<Value, Fault> {
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err("a value is wanted where a mark stands".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn top(&self) -> Result<&Value, Fault> {
        self.stack.last().ok_or_else(|| "the stack is empty".into())
    }

    fn last<const N: usize>(&mut self) -> Result<Vec<Value>, Fault> {
        let mut items = (0..N).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    /// What lies above the last mark, which goes too.
    fn marked(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn memoize(&mut self, index: u64) -> Result<(), Fault> {
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), Fault> {
        let value = self.memo.get(&index).cloned().ok_or_else(|| format!("nothing is kept as {index}"))?;
        self.push(value);
        Ok(())
    }

    fn long(&mut self, length: u64) -> Result<(), Fault> {
        let bytes = self.take(length)?;
        let value = match bytes.len() {
            0 => Value::Int(0),
            n @ 1..=8 => {
                let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [sign; 8];
                for (to, from) in wide.iter_mut().take(n).zip(bytes) {
                    *to = *from;
                }
                Value::Int(i64::from_le_bytes(wide))
            }
            _ => Value::Long(bytes.into()),
        };
        self.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) {
        self.push(Value::Global(Rc::new(Global { module: module.into(), name: name.into() })));
    }

    /// Adds pairs to the dict on top; other objects take them without keeping them.
    fn set(&mut self, items: Vec<Value>) -> Result<(), Fault> {
        if !items.len().is_multiple_of(2) {
            return Err("a key has no value".into());
        }
        let Value::Node(id) = *self.top()? else { return Err("items are set on what has none".into()) };
        match self.nodes.get_mut(id) {
            Some(Node::Dict(dict)) => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    dict.push((key, value));
                }
                Ok(())
            }
            Some(Node::Opaque(_)) => Ok(()),
            _ => Err("items are set on what is no dict".into()),
        }
    }

    /// Adds to the list on top.
    fn append(&mut self, items: Vec<Value>) -> Result<(), Fault> {
        let Value::Node(id) = *self.top()? else {
            return Err("something is appended to what is no list".into());
        };
        match self.nodes.get_mut(id) {
            Some(Node::List(list)) => {
                list.extend(items);
                Ok(())
            }
            Some(Node::Opaque(_)) => Ok(()),
            _ => Err("something is appended to what is no list".into()),
        }
    }

    fn reduce(&mut self, callable: &Value, args: &Value) -> Result<(), Fault> {
        let value = call(callable, args, &mut self.nodes)?;
        self.push(value);
        Ok(())
    }

    fn instance(&mut self, class: &Value) -> Result<(), Fault> {
        let value = make(class, &mut self.nodes)?;
        self.push(value);
        Ok(())
    }

    /// One instruction; the result, where it is the last.
    fn step(&mut self, op: u8) -> Result<Option<Value>, Fault> {
        match op {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let version = self.byte()?;
                if version > 5 {
                    return Err(format!("protocol {version} is not known").into());
                }
            }
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last().is_some_and(|&mark| mark == self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.marked()?),
            b'2' => self.push(self.top()?.clone()),

            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let n = self.byte()?;
                self.push(Value::Int(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(n.into()));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(n.into()));
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let value = match (op, line) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    _ => match line.trim_end_matches('L').parse() {
                        Ok(n) => Value::Int(n),
                        Err(_) => return Err(format!("{line:?} is no integer of 64 bits").into()),
                    },
                };
                self.push(value);
            }
            0x8a => {
                let n = self.byte()?;
                self.long(n.into())?;
            }
            0x8b => {
                let n = self.u32()?;
                self.long(n)?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Float);
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Float);
            }

            b'S' => {
                let line = self.line()?;
                let text = line.trim_matches(['\'', '"']);
                self.push(Value::Str(text.into()));
            }
            b'V' => {
                let line = self.line()?;
                self.push(Value::Str(line.into()));
            }
            b'U' | 0x8c => {
                let n = self.byte()?;
                self.text(n.into())?;
            }
            b'T' | b'X' => {
                let n = self.u32()?;
                self.text(n)?;
            }
            0x8d => {
                let n = self.u64()?;
                self.text(n)?;
            }
            b'C' => {
                let n = self.byte()?;
                self.opaque_bytes(n.into())?;
            }
            b'B' => {
                let n = self.u32()?;
                self.opaque_bytes(n)?;
            }
            0x8e | 0x96 => {
                let n = self.u64()?;
                self.opaque_bytes(n)?;
            }

            b')' => self.node(Node::Tuple(Vec::new())),
            0x85 => {
                let items = self.last::<1>()?;
                self.node(Node::Tuple(items));
            }
            0x86 => {
                let items = self.last::<2>()?;
                self.node(Node::Tuple(items));
            }
            0x87 => {
                let items = self.last::<3>()?;
                self.node(Node::Tuple(items));
            }
            b't' => {
                let items = self.marked()?;
                self.node(Node::Tuple(items));
            }
            b']' => self.node(Node::List(Vec::new())),
            b'l' => {
                let items = self.marked()?;
                self.node(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b'}' => self.node(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.marked()?;
                self.node(Node::Dict(Vec::new()));
                self.set(items)?;
            }
            b's' => {
                let items = self.last::<2>()?;
                self.set(items)?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set(items)?;
            }
            // Sets: nothing that is read is kept in one.
            0x8f => self.node(Node::List(Vec::new())),
            0x90 => {
                let items = self.marked()?;
                self.append(items)?;
            }
            0x91 => {
                let items = self.marked()?;
                self.node(Node::List(items));
            }

            b'p' => {
                let line = self.line()?;
                let index = line.parse().map_err(|_| format!("{line:?} is no place"))?;
                self.memoize(index)?;
            }
            b'q' => {
                let index = self.byte()?;
                self.memoize(index.into())?;
            }
            b'r' => {
                let index = self.u32()?;
                self.memoize(index)?;
            }
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'g' => {
                let line = self.line()?;
                let index = line.parse().map_err(|_| format!("{line:?} is no place"))?;
                self.recall(index)?;
            }
            b'h' => {
                let index = self.byte()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = self.u32()?;
                self.recall(index)?;
            }

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name);
            }
            0x93 => {
                let items = self.last::<2>()?;
                let [Value::Str(module), Value::Str(name)] = items.as_slice() else {
                    return Err("an import has no name".into());
                };
                self.global(module, name);
            }
            b'R' => {
                let items = self.last::<2>()?;
                if let [callable, args] = items.as_slice() {
                    self.reduce(callable, args)?;
                }
            }
            0x81 => {
                let items = self.last::<2>()?;
                if let Some(class) = items.first() {
                    self.instance(class)?;
                }
            }
            0x92 => {
                let items = self.last::<3>()?;
                if let Some(class) = items.first() {
                    self.instance(class)?;
                }
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.marked()?;
                let class = Value::Global(Rc::new(Global { module: module.into(), name: name.into() }));
                self.instance(&class)?;
            }
            b'o' => {
                let items = self.marked()?;
                let class = items.first().ok_or("an object has no class")?;
                self.instance(class)?;
            }
            // State of an object that is not built, or `_metadata` of an OrderedDict.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                let value = persistent(&id, &mut self.nodes)?;
                self.push(value);
            }
            other => return Err(format!("instruction 0x{other:02x} is not read").into()),
        }
        Ok(None)
    }
}
