//! Secrets: named by the operator, read by the host when a request leaves, placed into it, and kept from coming back.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// A shorter one would be found in every other answer.
const MIN_SECRET_BYTES: usize = 8;

const MAX_SECRET_BYTES: usize = 8 * 1024;

/// Headers that say how a request is to be read; none of them is a secret, and a second of its kind makes it ambiguous.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a secret is found: in a variable of the host's environment, or in a file. Its value is nowhere but in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secret {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What stands before it in the header, such as `Bearer `.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl Secret {
    /// Whether it can be placed into that header at all; what is wrong, in words.
    pub(super) fn check(&self, header: &str) -> Result<HeaderName, String> {
        let name: HeaderName = header
            .parse()
            .map_err(|_| format!("`{header}` is no name of a header"))?;
        if FRAMING.contains(&name.as_str()) {
            return Err(format!("{name} is set by the host and holds no secret"));
        }
        match (&self.env, &self.file) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => {
                return Err(format!(
                    "{name} needs either `env`, the name of a variable, or `file`, a path"
                ));
            }
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if HeaderValue::from_str(prefix).is_err() {
            return Err(format!("the prefix of {name} is not visible ASCII"));
        }
        Ok(name)
    }

    /// The value, and how the header reads with it. Errors name the place and never what is there.
    fn read(&self) -> Result<(Vec<u8>, HeaderValue), String> {
        let place = self.place();
        let mut value = match (&self.env, &self.file) {
            (Some(variable), _) => {
                let value = env::var_os(variable)
                    .ok_or_else(|| format!("{place} is not set where this host runs"))?;
                value.into_encoded_bytes()
            }
            (None, Some(path)) => {
                let cannot = |error: io::Error| format!("{place} cannot be read: {}", error.kind());
                // A pipe would be waited for without end.
                if !fs::metadata(path).map_err(cannot)?.is_file() {
                    return Err(format!("{place} is no regular file"));
                }
                let mut value = Vec::new();
                let file = File::open(path).map_err(cannot)?;
                let mut file = file.take(MAX_SECRET_BYTES as u64 + 2);
                file.read_to_end(&mut value).map_err(cannot)?;
                value
            }
            (None, None) => return Err("no place is named for it".to_owned()),
        };
        value.truncate(value.trim_ascii_end().len());
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&value.len()) {
            return Err(format!(
                "{place} does not hold {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
            ));
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let header = [prefix.as_bytes(), &value].concat();
        if !value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(format!("{place} holds more than visible ASCII"));
        }
        let mut header = HeaderValue::from_bytes(&header)
            .map_err(|_| format!("{place} cannot be the value of a header"))?;
        header.set_sensitive(true);
        Ok((value, header))
    }

    fn place(&self) -> String {
        match (&self.env, &self.file) {
            (Some(variable), _) => format!("the variable {variable}"),
            (None, Some(path)) => format!("the file {}", path.display()),
            (None, None) => "the secret".to_owned(),
        }
    }
}

/// Places secrets into the headers of a request, and gives back what watches over the answer.
pub(super) fn place<'a>(
    secrets: impl Iterator<Item = (&'a String, &'a Secret)>,
    headers: &mut HeaderMap,
) -> Result<Guard, String> {
    let mut values = Vec::new();
    for (header, secret) in secrets {
        let name = secret.check(header)?;
        let (value, header) = secret.read()?;
        headers.insert(name, header);
        values.push(value);
    }
    Ok(Guard {
        values,
        held: Vec::new(),
    })
}

/// Sees to it that an answer does not carry a secret back. What may be the beginning of one is held until more has come.
pub(super) struct Guard {
    values: Vec<Vec<u8>>,
    held: Vec<u8>,
}

/// The answer holds a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Echoed;

impl Guard {
    pub fn is_idle(&self) -> bool {
        self.values.is_empty()
    }

    /// Looks at headers or trailers, each by itself.
    pub fn look(&self, headers: &HeaderMap) -> Result<(), Echoed> {
        let mut values = headers.values().map(HeaderValue::as_bytes);
        let mut names = headers.keys().map(|name| name.as_str().as_bytes());
        match values.any(|value| self.finds(value)) || names.any(|name| self.finds(name)) {
            true => Err(Echoed),
            false => Ok(()),
        }
    }

    /// What may be passed on of a body, now that this piece of it has come.
    pub fn pass(&mut self, piece: &[u8]) -> Result<Vec<u8>, Echoed> {
        let mut seen = std::mem::take(&mut self.held);
        seen.extend_from_slice(piece);
        if self.finds(&seen) {
            return Err(Echoed);
        }
        let open = self.values.iter().map(|value| begun(&seen, value)).max();
        self.held = seen.split_off(seen.len() - open.unwrap_or_default());
        Ok(seen)
    }

    /// What was held, now that nothing more comes.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn finds(&self, text: &[u8]) -> bool {
        let mut values = self.values.iter();
        values.any(|value| text.windows(value.len()).any(|window| window == value))
    }
}

/// How many bytes at the end of the text are the beginning of the value.
fn begun(text: &[u8], value: &[u8]) -> usize {
    let most = text.len().min(value.len() - 1);
    let lengths = (1..=most).rev();
    lengths
        .into_iter()
        .find(|length| text.ends_with(&value[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(values: &[&str]) -> Guard {
        Guard {
            values: values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
            held: Vec::new(),
        }
    }

    fn in_file(text: &str) -> (tempfile::NamedTempFile, Secret) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let secret = Secret {
            file: Some(file.path().to_owned()),
            ..Secret::default()
        };
        (file, secret)
    }

    #[test]
    fn a_secret_is_placed_with_its_prefix_and_shown_nowhere() {
        let (_file, secret) = in_file("very-secret\n");
        let secret = Secret {
            prefix: Some("Bearer ".to_owned()),
            ..secret
        };
        let name = "authorization".to_owned();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("of the guest"));
        let guard = place([(&name, &secret)].into_iter(), &mut headers).expect("placed");
        assert_eq!(headers["authorization"].as_bytes(), b"Bearer very-secret");
        assert_eq!(headers.len(), 1);
        let shown = format!("{headers:?} {secret:?} {}", serde_json::json!(secret));
        assert!(!shown.contains("very-secret"), "{shown}");
        assert!(!guard.is_idle());
    }

    #[test]
    fn what_cannot_be_placed_is_told_without_its_value() {
        for text in ["short", "two\nlines-of-it", "caf\u{e9}-caf\u{e9}", ""] {
            let (_file, secret) = in_file(text);
            let error = secret.read().expect_err(text);
            assert!(error.starts_with("the file "), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let folder = Secret {
            file: Some(env::temp_dir()),
            ..Secret::default()
        };
        let error = folder.read().expect_err("no file");
        assert!(error.ends_with(" is no regular file"), "{error}");
        let missing = Secret {
            env: Some("PROJECTIONIST_NO_SUCH_SECRET".to_owned()),
            ..Secret::default()
        };
        let error = missing.read().expect_err("not set");
        assert_eq!(
            error,
            "the variable PROJECTIONIST_NO_SUCH_SECRET is not set where this host runs"
        );
    }

    #[test]
    fn headers_that_frame_a_request_hold_no_secret() {
        let secret = Secret {
            env: Some("TOKEN".to_owned()),
            ..Secret::default()
        };
        assert!(secret.check("X-Api-Key").is_ok());
        for header in ["Host", "content-length", "Transfer-Encoding", "a b", ""] {
            assert!(secret.check(header).is_err(), "{header}");
        }
        assert!(Secret::default().check("x-api-key").is_err());
    }

    #[test]
    fn a_body_is_passed_on_whole_however_it_is_cut() {
        let text = b"abcabcabdabcabcabcab";
        for size in 1..=text.len() {
            let mut guard = guard(&["abcabcabe", "bdabcabd"]);
            let mut passed = Vec::new();
            for piece in text.chunks(size) {
                passed.extend(guard.pass(piece).expect("no secret"));
            }
            passed.extend(guard.rest());
            assert_eq!(passed, text, "in pieces of {size}");
        }
    }

    #[test]
    fn a_secret_is_seen_however_it_is_cut_and_none_of_it_passes() {
        let text = b"you sent: very-secret, thank you";
        for size in 1..=text.len() {
            let mut guard = guard(&["very-secret"]);
            let mut passed = Vec::new();
            let echoed = text.chunks(size).any(|piece| match guard.pass(piece) {
                Ok(more) => {
                    passed.extend(more);
                    false
                }
                Err(Echoed) => true,
            });
            assert!(echoed, "in pieces of {size}");
            assert!(b"you sent: ".starts_with(&passed[..]), "{passed:?}");
        }
    }

    #[test]
    fn a_secret_is_seen_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-you-sent", HeaderValue::from_static("very-secret!"));
        assert_eq!(guard(&["very-secret"]).look(&headers), Err(Echoed));
        assert_eq!(guard(&["other-secret"]).look(&headers), Ok(()));
    }
}
