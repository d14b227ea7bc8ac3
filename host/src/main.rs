//! The thin binary: parses, calls the library, prints.

fn main() {}
