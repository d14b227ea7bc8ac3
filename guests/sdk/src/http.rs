//! Sending HTTP requests, for processors.

mod url;
mod wire;

use crate::extract::{Extract, Reaction};
use crate::failure::Result;
use crate::parts::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::str;
use std::time::Duration;
pub use wasip2::http::types::ErrorCode;

/// Sends HTTP requests, to the origins that the operator lists under `[http]` in `NAME.toml`. What proves who we are (tokens, keys)
/// is placed into requests by the host, and never in the hands of the guest. Redirects are not followed.
///
/// A processor is given an event at least once, so a request may be sent again after a failure: give the other side something to
/// know it by, such as the event's id. While a new version rebuilds its state from history
/// ([`Context::muted`](crate::Context::muted)), every request is refused.
///
/// ```no_run
/// use projectionist_sdk::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Opened { email: String }
/// #[derive(Serialize)]
/// struct Mail<'a> { to: &'a str, subject: &'a str }
///
/// fn welcome(event: Event<Opened>, message: Message, http: Http) -> Result {
///     let mail = Mail { to: &event.email, subject: "Welcome" };
///     let request = http.post("https://mail.example.com/send").header("idempotency-key", message.id()).json(&mail);
///     request.send()?.successful()?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Http(());

impl Extract<Reaction> for Http {
    const PARTS: Parts = Parts::NONE;

    fn extract(_: &Reaction) -> Result<Self> {
        Ok(Http(()))
    }
}

impl Http {
    /// Begins a GET request. Nothing happens before [`send`](Request::send).
    pub fn get(&self, url: impl Into<String>) -> Request {
        self.request("GET", url)
    }

    /// Begins a POST request.
    pub fn post(&self, url: impl Into<String>) -> Request {
        self.request("POST", url)
    }

    /// Begins a PUT request.
    pub fn put(&self, url: impl Into<String>) -> Request {
        self.request("PUT", url)
    }

    /// Begins a DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> Request {
        self.request("DELETE", url)
    }

    /// Begins a request of any method.
    pub fn request(&self, method: impl Into<String>, url: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: None,
            broken: None,
        }
    }
}

/// A request that is not sent yet.
#[derive(Debug)]
#[must_use = "nothing is sent before send()"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    timeout: Option<Duration>,
    broken: Option<serde_json::Error>,
}

impl Request {
    /// Adds a header. Those that frame the request, and those for which the host has a secret, are refused.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to JSON, and says so in `content-type`.
    pub fn json<T: Serialize>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.broken.get_or_insert(error);
                self
            }
        }
    }

    /// Waits no longer than this for a connection, for the answer to begin, and between two pieces of it. The host's own limits hold
    /// in any case.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it, and waits for the whole answer, whatever its status is.
    ///
    /// # Errors
    /// There is no answer: the request cannot be sent as it is, the host refuses it, or the server does not keep to the limits.
    pub fn send(self) -> Result<Answer, HttpError> {
        if let Some(error) = self.broken {
            return Err(HttpError::BadBody(error));
        }
        let parts = url::parts(&self.url).ok_or(HttpError::BadUrl(self.url.clone()))?;
        let target = wire::Target {
            method: &self.method,
            url: &self.url,
            parts,
        };
        wire::send(&target, self.headers, self.body, self.timeout)
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer again when its status is 200 to 299.
    ///
    /// # Errors
    /// It has another status: by `?`, the event is tried again.
    pub fn successful(self) -> Result<Answer, HttpError> {
        match self.status {
            200..=299 => Ok(self),
            status => Err(HttpError::Status(status)),
        }
    }

    /// The first header of that name, when it is text. Names may be written in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// All headers, in no particular order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// It is no UTF-8.
    pub fn text(&self) -> Result<&str, HttpError> {
        str::from_utf8(&self.body).map_err(HttpError::NotText)
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// It is not JSON, or not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(HttpError::NotJson)
    }
}

/// Why there is no answer, or none that is of use. The host adds its own reason to the message of the failure: which limit it was, and
/// what the operator can do.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The address of the request is not of the form `https://host/path`.
    BadUrl(String),
    /// This header is not the guest's to set, or is written wrongly.
    BadHeader(String),
    /// The body cannot be written as JSON.
    BadBody(serde_json::Error),
    /// The request was not sent, or not answered.
    NoAnswer(ErrorCode),
    /// The answer has another status than 200 to 299.
    Status(u16),
    /// The body of the answer is not text.
    NotText(str::Utf8Error),
    /// The body of the answer is not JSON of the shape that was asked for.
    NotJson(serde_json::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::BadUrl(url) => {
                write!(out, "`{url}` is no address of the form https://host/path")
            }
            HttpError::BadHeader(name) => write!(
                out,
                "the header `{name}` cannot be set: it frames the request, holds a secret of the host, or is written wrongly"
            ),
            HttpError::BadBody(_) => out.write_str("the body cannot be written as JSON"),
            HttpError::NoAnswer(ErrorCode::HttpRequestDenied) => {
                out.write_str("the host refused the request")
            }
            HttpError::NoAnswer(ErrorCode::DestinationIpProhibited) => {
                out.write_str("the host refused the address that the name stands for")
            }
            HttpError::NoAnswer(ErrorCode::InternalError(Some(why))) => {
                write!(out, "no answer: {why}")
            }
            HttpError::NoAnswer(code) => write!(out, "no answer: {code:?}"),
            HttpError::Status(status) => write!(out, "the server answered with status {status}"),
            HttpError::NotText(_) => out.write_str("the answer is not text"),
            HttpError::NotJson(_) => out.write_str("the answer is not the JSON that was expected"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HttpError::BadBody(error) | HttpError::NotJson(error) => Some(error),
            HttpError::NotText(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type".to_owned(), b"text/plain".to_vec())],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn an_answer_is_read_as_what_it_is() {
        let good = answer(201, "[1, 2]");
        assert_eq!(good.header("content-TYPE"), Some("text/plain"));
        assert_eq!(good.header("location"), None);
        assert_eq!(good.json::<Vec<i64>>().expect("JSON"), [1, 2]);
        assert_eq!(good.clone().successful().expect("2xx"), good);
    }

    #[test]
    fn what_is_of_no_use_is_a_failure_with_its_reason() {
        let moved = answer(302, "").successful().expect_err("3xx");
        assert_eq!(moved.to_string(), "the server answered with status 302");
        let bad = answer(200, "{").json::<Vec<i64>>().expect_err("no JSON");
        let failure = crate::Failure::from(bad);
        let message = failure.message();
        assert!(
            message.starts_with("the answer is not the JSON that was expected: "),
            "{message}"
        );
    }
}
