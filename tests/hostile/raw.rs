//! Components that no toolchain makes: a good one with more sections behind its own.

use crate::support::modules::bytes_of;

const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;
const IMPORT: u8 = 10;

/// A good component that also instantiates a core module of this text, so many times.
pub fn with_core_module(text: &str, instances: usize) -> Vec<u8> {
    let mut bytes = bytes_of("records");
    let index = sections(&bytes)
        .iter()
        .filter(|section| section.id == CORE_MODULE)
        .count();
    let module = wat::parse_str(text).expect("the text of a module");
    append(&mut bytes, CORE_MODULE, &module);
    let mut made = leb128(instances);
    for _ in 0..instances {
        made.push(0);
        made.extend(leb128(index));
        made.extend(leb128(0));
    }
    append(&mut bytes, CORE_INSTANCE, &made);
    bytes
}

/// A good component that also imports an interface of this name, whatever is in it.
pub fn with_import(name: &str) -> Vec<u8> {
    let mut bytes = bytes_of("records");
    // The first type of a component that was made from WIT is the instance of its first import.
    let mut import = vec![1, 0];
    import.extend(leb128(name.len()));
    import.extend(name.as_bytes());
    import.extend([5, 0]);
    append(&mut bytes, IMPORT, &import);
    bytes
}

/// The component with every appearance of a text replaced by another one of the same length.
pub fn replaced(guest: &str, from: &str, to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths are part of the encoding");
    let mut bytes = bytes_of(guest);
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// Guests that differ in their ids alone, each with its id.
pub fn copies(guest: &str, line: &str, count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count)
        .map(|number| {
            let mut name = line.as_bytes().to_vec();
            let letter = u8::try_from(number).expect("a few");
            name[0] = b'a' + letter;
            let bytes = replaced(guest, line, &name);
            let id = format!("{}_1", String::from_utf8(name).expect("letters"));
            (id, bytes)
        })
        .collect()
}

/// A section of a component at the top: what it is, and where its content stands.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub id: u8,
    pub begin: usize,
    pub end: usize,
}

/// The sections of a good component.
pub fn sections(bytes: &[u8]) -> Vec<Section> {
    let mut found = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let id = bytes[at];
        let (size, begin) = read_leb128(bytes, at + 1);
        found.push(Section {
            id,
            begin,
            end: begin + size,
        });
        at = begin + size;
    }
    found
}

fn read_leb128(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[at];
        value |= usize::from(byte & 0x7f) << shift;
        at += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value, at);
        }
    }
}

fn append(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb128(content.len()));
    bytes.extend(content);
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
