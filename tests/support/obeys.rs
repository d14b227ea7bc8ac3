//! Guests whose script a test writes: the letters are changed in the bytes of one build, so nothing is built for another id.

use super::modules::{Modules, bytes_of};

/// What the obeying guests are told in their bytes. All texts have the width that the built script has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub guest: &'static str,
    /// Ten letters: `obeys_aa_1`, `answers_aa`.
    pub id: String,
    /// `beginning`, `now`, `once` or `after-7`.
    pub mode: &'static str,
    /// `every`, or `ticks` for the types `Tick` and `Poison` alone. A processor's `every` is `Command` and `Poison`.
    pub filter: &'static str,
    pub code: char,
    pub setup: Manners,
    pub teardown: Manners,
}

/// How an export of the guest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Good,
    Fails,
}

impl Script {
    /// A projector of everything from the beginning, with good manners.
    pub fn projector(id: &str) -> Script {
        Script {
            guest: "obeys",
            id: id.to_owned(),
            mode: "beginning",
            filter: "every",
            code: 'a',
            setup: Manners::Good,
            teardown: Manners::Good,
        }
    }

    /// A processor from now on that answers each `Command` with `Done`.
    pub fn processor(id: &str) -> Script {
        Script {
            guest: "obeys_and_answers",
            mode: "now",
            ..Script::projector(id)
        }
    }

    /// The component.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = bytes_of(self.guest);
        let begins = b"script id=";
        let at = find(&bytes, begins).expect("the script stands in the bytes");
        let length = find(&bytes[at..], b" .").expect("the script ends") + 2;
        let text = self.text();
        assert_eq!(text.len(), length, "`{text}` is as long as what was built");
        bytes[at..at + length].copy_from_slice(text.as_bytes());
        let again = find(&bytes[at + length..], begins);
        assert!(again.is_none(), "the script stands there once");
        bytes
    }

    fn text(&self) -> String {
        let manners = |manners| match manners {
            Manners::Good => "good",
            Manners::Fails => "fail",
        };
        format!(
            "script id={} mode={:_<9} filter={} code={} setup={} teardown={} .",
            self.id,
            self.mode,
            self.filter,
            self.code,
            manners(self.setup),
            manners(self.teardown)
        )
    }
}

impl Modules {
    /// Puts an obeying guest into a file, at once.
    pub fn put_script(&self, file: &str, script: &Script) {
        self.put_bytes(file, &script.bytes());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
