//! CIFAR's files for Python: a reader of exactly what they hold.
//!
//! They are pickles, programs of a stack machine. Of its instructions, this reader follows those that put numbers,
//! texts, lists and dicts together; it imports nothing and calls nothing: what a program would call is noted as an
//! object with the state that is given to it, and of these only the bytes of one array are ever looked at.

use std::collections::HashMap;
use std::ops::Range;

/// The images of one file, as planes, and their labels.
pub(super) struct Batch<'a> {
    pub(super) images: &'a [u8],
    pub(super) labels: Vec<i64>,
}

/// Reads the content of one file, with images of `size` bytes.
///
/// # Errors
/// Says what is no part of a file of CIFAR.
pub(super) fn parse(content: &[u8], size: usize) -> Result<Batch<'_>, String> {
    let mut machine =
        Machine { content, at: 0, items: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
    let root = machine.run()?;
    let entry = |name: &str| machine.entry(root, name);
    let labels = entry("labels").or_else(|| entry("fine_labels")).ok_or("there are no `labels`")?;
    let Some(Item::List(labels)) = machine.items.get(labels) else {
        return Err("`labels` is no list".to_owned());
    };
    let labels = labels.iter().map(|&label| match machine.items.get(label) {
        Some(Item::Int(label)) => Ok(*label),
        _ => Err("a label is no number".to_owned()),
    });
    let labels = labels.collect::<Result<Vec<_>, _>>()?;
    let data = entry("data").ok_or("there are no `data`")?;
    let images = machine.array(data).ok_or("`data` is no array of bytes, row by row")?;
    if images.len() != labels.len().saturating_mul(size) {
        return Err(format!("{} labels for {} bytes of images", labels.len(), images.len()));
    }
    Ok(Batch { images, labels })
}

/// A value. Others are named by their position, so that nothing is nested and dropping them needs no stack.
enum Item {
    Int(i64),
    Bool(bool),
    /// A text or bytes, as a part of the content.
    Bytes(Range<usize>),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    /// What a program would make by a call, and the state given to it.
    Object(Option<usize>),
    /// What is not looked at.
    Other,
}

struct Machine<'a> {
    content: &'a [u8],
    at: usize,
    items: Vec<Item>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<usize, String> {
        loop {
            let place = self.at;
            let instruction = self.byte()?;
            match instruction {
                b'.' => return self.pop(),
                0x80 => {
                    self.byte()?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'}' => self.push(Item::Dict(vec![])),
                b']' => self.push(Item::List(vec![])),
                b')' => self.push(Item::Tuple(vec![])),
                b'N' => self.push(Item::Other),
                0x88 => self.push(Item::Bool(true)),
                0x89 => self.push(Item::Bool(false)),
                b'K' => {
                    let value = self.byte()?;
                    self.push(Item::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.bytes()?);
                    self.push(Item::Int(value.into()));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.bytes()?);
                    self.push(Item::Int(value.into()));
                }
                b'U' | b'C' => {
                    let length = self.byte()?;
                    self.text(length.into())?;
                }
                b'T' | b'X' | b'B' => {
                    let length = u32::from_le_bytes(self.bytes()?);
                    self.text(length as usize)?;
                }
                // An import: two lines of text.
                b'c' => {
                    for _ in 0..2 {
                        while self.byte()? != b'\n' {}
                    }
                    self.push(Item::Other);
                }
                b'q' => {
                    let name = self.byte()?;
                    self.keep(name.into())?;
                }
                b'r' => {
                    let name = u32::from_le_bytes(self.bytes()?);
                    self.keep(name)?;
                }
                b'h' => {
                    let name = self.byte()?;
                    self.recall(name.into())?;
                }
                b'j' => {
                    let name = u32::from_le_bytes(self.bytes()?);
                    self.recall(name)?;
                }
                b't' => {
                    let items = self.above_mark()?;
                    self.push(Item::Tuple(items));
                }
                0x85..=0x87 => {
                    let count = usize::from(instruction - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or_else(|| broken(place))?;
                    let items = self.stack.split_off(start);
                    self.push(Item::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item], place)?;
                }
                b'e' => {
                    let items = self.above_mark()?;
                    self.extend(items, place)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(vec![key, value], place)?;
                }
                b'u' => {
                    let items = self.above_mark()?;
                    self.insert(items, place)?;
                }
                // A call: its result is unknown.
                b'R' => {
                    self.pop()?;
                    self.pop()?;
                    self.push(Item::Object(None));
                }
                // The state of an object.
                b'b' => {
                    let state = self.pop()?;
                    match self.stack.last().and_then(|&top| self.items.get_mut(top)) {
                        Some(Item::Object(slot)) => *slot = Some(state),
                        _ => return Err(broken(place)),
                    }
                }
                other => {
                    return Err(format!(
                        "instruction {other:#04x} at byte {place} is none of a file of CIFAR"
                    ));
                }
            }
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.content.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at += N;
        bytes.copied().ok_or_else(|| "it is cut short".to_owned())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.content.len());
        let end = end.ok_or("it is cut short")?;
        self.push(Item::Bytes(self.at..end));
        self.at = end;
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.stack.push(self.items.len());
        self.items.push(item);
    }

    fn pop(&mut self) -> Result<usize, String> {
        self.stack.pop().ok_or_else(|| broken(self.at))
    }

    fn above_mark(&mut self) -> Result<Vec<usize>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        mark.map(|mark| self.stack.split_off(mark)).ok_or_else(|| broken(self.at))
    }

    fn keep(&mut self, name: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(|| broken(self.at))?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn recall(&mut self, name: u32) -> Result<(), String> {
        let item = *self.memo.get(&name).ok_or_else(|| broken(self.at))?;
        self.stack.push(item);
        Ok(())
    }

    fn extend(&mut self, more: Vec<usize>, place: usize) -> Result<(), String> {
        match self.stack.last().and_then(|&top| self.items.get_mut(top)) {
            Some(Item::List(items)) => items.extend(more),
            _ => return Err(broken(place)),
        }
        Ok(())
    }

    fn insert(&mut self, more: Vec<usize>, place: usize) -> Result<(), String> {
        match self.stack.last().and_then(|&top| self.items.get_mut(top)) {
            Some(Item::Dict(items)) => {
                items.extend(more.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)))
            }
            _ => return Err(broken(place)),
        }
        Ok(())
    }

    /// The value of a dict's key.
    fn entry(&self, dict: usize, name: &str) -> Option<usize> {
        let Item::Dict(entries) = self.items.get(dict)? else { return None };
        let named = |key: usize| match self.items.get(key) {
            Some(Item::Bytes(range)) => self.content.get(range.clone()) == Some(name.as_bytes()),
            _ => false,
        };
        entries.iter().find(|&&(key, _)| named(key)).map(|&(_, value)| value)
    }

    /// The bytes of an array: the last part of its state, whose part before says that it lies row by row.
    fn array(&self, object: usize) -> Option<&'a [u8]> {
        let Item::Object(Some(state)) = self.items.get(object)? else { return None };
        let Item::Tuple(parts) = self.items.get(*state)? else { return None };
        let &[_, _, _, by_columns, bytes] = parts.as_slice() else { return None };
        match (self.items.get(by_columns)?, self.items.get(bytes)?) {
            (Item::Bool(false), Item::Bytes(range)) => self.content.get(range.clone()),
            _ => None,
        }
    }
}

fn broken(place: usize) -> String {
    format!("the instructions before byte {place} make no sense")
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file as Python 2 wrote them.
    pub(in crate::datasets) fn file(key: &str, labels: &[u8], images: &[u8]) -> Vec<u8> {
        let text = |text: &str| [vec![b'U', text.len() as u8], text.into()].concat();
        let numbers = labels.iter().flat_map(|&label| [b'K', label]).collect();
        let mut file = vec![0x80, 2, b'}', b'q', 1, b'('];
        file.extend([text("batch_label"), text("training batch 1 of 5"), b"q\x02".to_vec()].concat());
        file.extend([text(key), b"]q\x03(".to_vec(), numbers, b"e".to_vec()].concat());
        file.extend(text("data"));
        file.extend(
            b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01b\x87R",
        );
        file.extend(b"(K\x01M\x02\x00M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R");
        file.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        file.extend((images.len() as u32).to_le_bytes());
        file.extend([images, b"tbu."].concat());
        file
    }

    #[test]
    fn finds_images_and_labels() {
        let content = file("labels", &[3, 1], &[1, 2, 3, 4]);
        let batch = parse(&content, 2).unwrap();
        assert_eq!((batch.labels, batch.images), (vec![3, 1], [1, 2, 3, 4].as_slice()));
        assert!(parse(&file("fine_labels", &[3], &[1]), 1).is_ok());
        assert!(parse(&file("coarse_labels", &[3], &[1]), 1).err().unwrap().contains("no `labels`"));
        assert!(parse(&content, 3).err().unwrap().contains("2 labels for 4 bytes"));
        for cut in 0..content.len() {
            assert!(parse(&content[..cut], 2).is_err(), "{cut}");
        }
    }

    #[test]
    fn calls_nothing() {
        let evil = b"cos\nsystem\n(U\x04exittR.";
        assert!(parse(evil, 1).is_err());
        // Nested a million times.
        let deep = [vec![b')'], vec![0x85; 1_000_000], vec![b'.']].concat();
        assert!(parse(&deep, 1).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(place in 0usize..200, byte: u8, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut content = file("labels", &[3, 1], &[1, 2, 3, 4]);
            let at = place.min(content.len() - 1);
            content[at] = byte;
            let _ = parse(&content, 2);
            content.splice(at.., rest.iter().copied());
            let _ = parse(&content, 2);
            let _ = parse(&rest, 2);
        }
    }
}
