//! A limit that was hit: which one, its value, and where an operator sets it.

use subscription::ErrorClass;

use super::documented::limit_named;

/// Ends the call of the guest that went too far.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{did}, more than its limit of {value} {} ({})", self.unit(), self.place())]
pub(crate) struct Exceeded {
    pub name: &'static str,
    /// What the guest did, in words that go on with "more than".
    pub did: String,
    pub value: u64,
}

impl Exceeded {
    /// `name` is one of [`super::LIMITS`], and `value` what holds for this guest.
    pub fn new(name: &'static str, value: u64, did: impl Into<String>) -> Exceeded {
        let did = did.into();
        Exceeded { name, did, value }
    }

    pub fn class(&self) -> ErrorClass {
        match self.name {
            "memory-mib" | "table-entries" | "stack-bytes" => ErrorClass::Memory,
            name if name.ends_with("-timeout-ms") => ErrorClass::Deadline,
            _ => ErrorClass::Trap,
        }
    }

    fn unit(&self) -> &'static str {
        limit_named(self.name).unit
    }

    fn place(&self) -> String {
        limit_named(self.name).place()
    }
}

#[cfg(test)]
mod tests {
    use super::Exceeded;

    #[test]
    fn names_the_limit_its_value_and_its_option() {
        let set = Exceeded::new("memory-mib", 64, "the guest asked for 65 MiB of memory");
        assert_eq!(
            set.to_string(),
            "the guest asked for 65 MiB of memory, more than its limit of 64 MiB (memory-mib under [limits] in the file beside the module)"
        );
        let fixed = Exceeded::new(
            "host-call-mib",
            64,
            "one call of the guest passed more data to the host",
        );
        assert!(
            fixed
                .to_string()
                .ends_with("(host-call-mib, which is fixed)"),
            "{fixed}"
        );
    }
}
