//! What a host shows to the functions of `pj_batch`: a hash over what is to be done that a guest on the same connection cannot
//! compute. The words are put together here and in the migration in the same way.

use sha2::{Digest as _, Sha256};

/// On whose behalf a connection speaks.
#[derive(Clone, Debug)]
pub(super) enum Authority {
    /// The host's own connection: the subscription is named, nothing has to be proven.
    Host { subscription: String },
    /// A connection of a subscription's role: nothing is named, everything is proven.
    Role { secret: Vec<u8>, backend: i32 },
}

impl Authority {
    /// The parameter `subscription` of the functions.
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Authority::Host { subscription } => Some(subscription),
            Authority::Role { .. } => None,
        }
    }

    /// The parameter `proof` of the functions.
    pub fn proof(&self, words: &[&str]) -> Option<Vec<u8>> {
        match self {
            Authority::Host { .. } => None,
            Authority::Role { secret, .. } => {
                let mut hash = Sha256::new();
                hash.update(secret);
                hash.update(words.join("|"));
                hash.update(secret);
                Some(hash.finalize().to_vec())
            }
        }
    }
}

/// A text of a guest's or operator's making as a word of a proof.
pub(super) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
