//! `[http]` in `NAME.toml`: where a processor's requests may go, and the secrets that the host places into them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::address::{Network, special};
use super::origin::Origin;
use super::secret::Secret;

/// What the operator lists for one processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where requests may go. An origin written with an address lists that address, too.
    pub allow: Vec<Origin>,
    /// Addresses besides the public ones that names of allowed origins may stand for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<Network>,
    /// A file of certificates in PEM that are trusted besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// By origin and header.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Origin, BTreeMap<String, Secret>>,
}

impl HttpSettings {
    /// What is wrong with it, in words.
    pub(in crate::guest) fn check(&self) -> Result<(), String> {
        for (origin, secrets) in &self.secrets {
            if !self.allow.contains(origin) {
                return Err(format!(
                    "there are secrets for {origin}, which is not in `allow`"
                ));
            }
            for (header, secret) in secrets {
                secret.check(header)?;
            }
        }
        Ok(())
    }

    /// The headers that the guest neither sets nor sees, wherever its request goes.
    pub(super) fn secret_headers(&self) -> BTreeSet<String> {
        let names = self.secrets.values().flat_map(BTreeMap::keys);
        let parsed = names.filter_map(|name| name.parse::<HeaderName>().ok());
        parsed.map(|name| name.as_str().to_owned()).collect()
    }

    /// The addresses that a request to this origin may be connected to, of those that its name stands for.
    ///
    /// # Errors
    /// None of them may be; which they are, and what to do, in words.
    pub(super) fn admit(
        &self,
        origin: &Origin,
        found: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, String> {
        let is_listed = |address: IpAddr| {
            origin.address() == Some(address)
                || self.private.iter().any(|network| network.contains(address))
        };
        let refused = |address: IpAddr| special(address).filter(|_| !is_listed(address));
        let (admitted, rest): (Vec<SocketAddr>, Vec<SocketAddr>) = found
            .iter()
            .partition(|address| refused(address.ip()).is_none());
        match (admitted.is_empty(), rest.first()) {
            (false, _) => Ok(admitted),
            (true, None) => Err("its name stands for no address".to_owned()),
            (true, Some(address)) => {
                let address = address.ip();
                let kind = refused(address).unwrap_or("other");
                Err(format!(
                    "its name stands for {address}, which is not public ({kind}); if it may be reached, put it into `private` under [http] in the file beside the module"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> HttpSettings {
        let settings: HttpSettings = toml::from_str(text).expect("good");
        settings.check().expect("good");
        settings
    }

    fn admitted(
        settings: &HttpSettings,
        origin: &str,
        found: &[&str],
    ) -> Result<Vec<String>, String> {
        let found: Vec<SocketAddr> = found
            .iter()
            .map(|address| SocketAddr::new(address.parse().expect("an address"), 80))
            .collect();
        let origin = origin.parse().expect("an origin");
        let admitted = settings.admit(&origin, &found)?;
        Ok(admitted
            .iter()
            .map(|address| address.ip().to_string())
            .collect())
    }

    #[test]
    fn a_name_leads_to_public_addresses_and_to_those_that_are_listed() {
        let none = settings("allow = [\"http://a.example\"]");
        let some = settings("allow = [\"http://a.example\"]\nprivate = [\"10.0.0.0/8\"]");
        let name = "http://a.example";
        assert_eq!(
            admitted(&none, name, &["8.8.8.8"]),
            Ok(vec!["8.8.8.8".to_owned()])
        );
        assert_eq!(
            admitted(&none, name, &["10.0.0.1", "8.8.8.8"]),
            Ok(vec!["8.8.8.8".to_owned()])
        );
        assert_eq!(
            admitted(&some, name, &["10.0.0.1"]),
            Ok(vec!["10.0.0.1".to_owned()])
        );
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "::1",
            "::ffff:8.8.8.8",
            "169.254.169.254",
        ] {
            let error = admitted(&none, name, &[address]).expect_err(address);
            assert!(
                error.contains(address) && error.contains("`private`"),
                "{error}"
            );
        }
        assert!(admitted(&some, name, &["127.0.0.1", "::ffff:10.0.0.1"]).is_err());
        assert!(admitted(&none, name, &[]).is_err());
    }

    #[test]
    fn an_origin_with_an_address_lists_that_address_alone() {
        let listed = settings("allow = [\"http://127.0.0.1:8025\"]");
        let origin = "http://127.0.0.1:8025";
        assert_eq!(
            admitted(&listed, origin, &["127.0.0.1"]),
            Ok(vec!["127.0.0.1".to_owned()])
        );
        assert!(admitted(&listed, "http://a.example", &["127.0.0.1"]).is_err());
    }

    #[test]
    fn it_is_stored_as_it_is_read() {
        let text = "allow = [\"https://a.example\"]\nprivate = [\"10.0.0.0/8\"]\nca = \"/etc/ca.pem\"\n[secrets.\"https://a.example\"]\nauthorization = { env = \"TOKEN\", prefix = \"Bearer \" }\nx-key = { file = \"/run/key\" }\n";
        let read = settings(text);
        let stored = serde_json::to_value(&read).expect("JSON");
        assert_eq!(
            serde_json::from_value::<HttpSettings>(stored).expect("back"),
            read
        );
        assert_eq!(
            read.secret_headers().into_iter().collect::<Vec<_>>(),
            ["authorization", "x-key"]
        );
    }
}
