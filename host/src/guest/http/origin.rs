//! Where a request may go: scheme, host and port, as an operator lists them and as a request names them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};
use serde::{Deserialize, Serialize};

/// An origin in one form: letters are small, a port that the scheme implies is not written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    pub(super) is_tls: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin that a request names.
    pub(super) fn of(uri: &Uri) -> Result<Origin, String> {
        let scheme = uri.scheme().ok_or("it has no scheme")?;
        let is_tls = match scheme {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return Err("its scheme is neither http nor https".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it carries a user name; a secret is placed by the host".to_owned());
        }
        let port = port_of(authority)?.unwrap_or(default_port(is_tls));
        Ok(Origin {
            is_tls,
            host: host_of(authority)?,
            port,
        })
    }

    /// The address that the origin is written with, when it has no name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Host, and port where it is not the usual one: what the header `host` says.
    pub(super) fn authority(&self) -> String {
        let host = match self.address() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        match self.port {
            port if port == default_port(self.is_tls) => host,
            port => format!("{host}:{port}"),
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

fn port_of(authority: &Authority) -> Result<Option<u16>, String> {
    // What follows the host but is no port, such as `host:` or `host:99999`, is no origin.
    let rest = authority.as_str().strip_prefix(authority.host());
    match rest.unwrap_or_default() {
        "" => Ok(None),
        _ => match authority.port_u16() {
            Some(port) if port > 0 => Ok(Some(port)),
            _ => Err("its port is not a number from 1 to 65535".to_owned()),
        },
    }
}

fn host_of(authority: &Authority) -> Result<String, String> {
    let host = authority.host();
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|text| text.parse().ok());
        return match address {
            Some(IpAddr::V6(address)) => Ok(address.to_string()),
            _ => Err("its host is not an address".to_owned()),
        };
    }
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name {
        Ok(host.to_ascii_lowercase())
    } else {
        Err("its host is neither a name in ASCII letters nor an address".to_owned())
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Origin, String> {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or_default();
        let bad = |why: &str| {
            format!(
                "`{shown}` is no origin: {why}; write it as https://mail.example.com or http://127.0.0.1:8025"
            )
        };
        let uri: Uri = text.parse().map_err(|_| bad("it cannot be read"))?;
        if uri.scheme().is_some() && (!matches!(uri.path(), "" | "/") || uri.query().is_some()) {
            return Err(bad("a path is not part of it"));
        }
        Origin::of(&uri).map_err(|why| bad(&why))
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Origin, String> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(out, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_has_one_form() {
        for (text, form) in [
            ("https://mail.example.com", "https://mail.example.com"),
            ("HTTPS://Mail.Example.COM:443/", "https://mail.example.com"),
            ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
            ("http://localhost:80", "http://localhost"),
            ("https://localhost:80", "https://localhost:80"),
            ("http://[0:0::1]:81", "http://[::1]:81"),
        ] {
            let origin: Origin = text.parse().expect(text);
            assert_eq!(origin.to_string(), form);
            assert_eq!(form.parse::<Origin>(), Ok(origin));
        }
    }

    #[test]
    fn scheme_host_and_port_tell_origins_apart() {
        let origin = |text: &str| text.parse::<Origin>().expect(text);
        let one = origin("https://a.example");
        for other in [
            "http://a.example",
            "https://a.example:444",
            "https://b.example",
            "https://a.example.com",
            "https://a.example.",
        ] {
            assert_ne!(one, origin(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_told_with_the_reason() {
        let messages: Vec<String> = [
            "",
            "mail.example.com",
            "/path",
            "ftp://a.example",
            "https://a.example/path",
            "https://a.example?x=1",
            "https://user@a.example",
            "https://user:secret@a.example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "https://[::1",
            "https://*.example.com",
            "https://bücher.example",
            "https://",
        ]
        .iter()
        .map(|text| text.parse::<Origin>().expect_err(text))
        .collect();
        insta::assert_snapshot!(messages.join("\n"));
    }
}
