//! Bytes and texts that are almost good: a few random changes, the same for the same seed.

use super::raw::{Section, sections};

/// Sets where random changes begin; printed with every failure.
const SEED_VARIABLE: &str = "PROJECTIONIST_FUZZ_SEED";

/// Sections of a component in which changes do most: types, imports, exports.
const TARGETS: [u8; 3] = [7, 10, 11];

const CORE_MODULE: u8 = 1;
const CORE_CODE: u8 = 10;

/// Changes to one copy at most.
const CHANGES_MAX: u64 = 4;

/// Numbers that look random and are not.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Dice {
        Dice(seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % end.max(1)
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The seed in use.
pub fn seed() -> u64 {
    let text = std::env::var(SEED_VARIABLE).unwrap_or_default();
    text.parse().unwrap_or(1)
}

/// A component with its places that are worth changing.
pub struct Original {
    pub bytes: Vec<u8>,
    targets: Vec<(usize, usize)>,
}

impl Original {
    pub fn of_component(bytes: Vec<u8>) -> Original {
        let mut targets = Vec::new();
        for section in sections(&bytes) {
            let Section { id, begin, end } = section;
            if TARGETS.contains(&id) {
                targets.push((begin, end));
            }
            if id == CORE_MODULE {
                let inner = sections(&bytes[begin..end]);
                let code = inner.iter().filter(|inner| inner.id == CORE_CODE);
                targets.extend(code.map(|code| (begin + code.begin, begin + code.end)));
            }
        }
        Original { bytes, targets }
    }

    pub fn of_text(text: &str) -> Original {
        Original {
            bytes: text.as_bytes().to_vec(),
            targets: vec![(0, text.len())],
        }
    }

    /// A changed copy, and whether the first change hit one of the places that are worth it.
    pub fn mutated(&self, dice: &mut Dice) -> (Vec<u8>, bool) {
        let mut bytes = self.bytes.clone();
        let aimed = !dice.one_in(4);
        let first = if aimed {
            let (begin, end) = self.targets[dice.below(self.targets.len())];
            begin + dice.below(end - begin)
        } else {
            dice.below(bytes.len())
        };
        let hit = self
            .targets
            .iter()
            .any(|(begin, end)| (*begin..*end).contains(&first));
        change(&mut bytes, first, dice);
        for _ in 0..dice.below(usize::try_from(CHANGES_MAX).expect("few")) {
            let at = if bytes.is_empty() {
                0
            } else {
                dice.below(bytes.len())
            };
            change(&mut bytes, at, dice);
        }
        (bytes, hit)
    }
}

fn change(bytes: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    const EDGES: [u8; 8] = [0, 1, 0x0b, 0x40, 0x7f, 0x80, 0xfe, 0xff];
    if at >= bytes.len() {
        bytes.push(EDGES[dice.below(EDGES.len())]);
        return;
    }
    let end = (at + 1 + dice.below(8)).min(bytes.len());
    match dice.below(7) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = EDGES[dice.below(EDGES.len())],
        2 => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes[at] = bytes[at].wrapping_sub(1),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let from = dice.below(bytes.len());
            bytes[at] = bytes[from];
        }
    }
}
