//! What the host knows besides the event: circumstances, settings, earlier events.

use crate::bindings::projectionist::config::store;
use crate::bindings::projectionist::events::reader;
use crate::bindings::projectionist::guest::context;
use crate::extract::{Extract, WithEvent};
use crate::failure::{Failure, Result};
use crate::message::Message;
use crate::parts::Parts;
use std::fmt::Display;
use std::str::FromStr;

/// The circumstances of this delivery.
#[derive(Debug)]
pub struct Context {
    position: u64,
}

impl<S: WithEvent> Extract<S> for Context {
    const PARTS: Parts = Parts::NONE;

    fn extract(source: &S) -> Result<Self> {
        Ok(Context {
            position: source.message().position(),
        })
    }
}

impl Context {
    /// The id under which this guest runs.
    pub fn subscriber_id(&self) -> String {
        context::subscriber_id()
    }

    /// 1 on the first delivery of this event, counted per failing event, kept across restarts.
    pub fn attempt(&self) -> u32 {
        context::attempt()
    }

    /// False until the subscription has been at the end of the log once.
    pub fn live(&self) -> bool {
        context::live()
    }

    /// True while a version rebuilds its state from history: what it appends is dropped, what it would send is refused.
    pub fn muted(&self) -> bool {
        context::attribute("muted").as_deref() == Some("true")
    }

    /// The text that an earlier attempt at this event left.
    pub fn retry_context(&self) -> Option<String> {
        context::retry_context()
    }

    /// Leaves a small text for the next attempt at this event.
    pub fn set_retry_context(&self, text: &str) {
        context::set_retry_context(text);
    }

    /// Something that a later host knows about the call, by name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        context::attribute(name)
    }

    /// Something that a later host knows about the event in hand, by name.
    pub fn event_attribute(&self, name: &str) -> Option<String> {
        context::event_attribute(self.position, name)
    }
}

/// The operator's settings for this guest, from `NAME.toml` beside `NAME.wasm`.
#[derive(Debug)]
pub struct Config(());

impl<S> Extract<S> for Config {
    const PARTS: Parts = Parts::NONE;

    fn extract(_: &S) -> Result<Self> {
        Ok(Config(()))
    }
}

impl Config {
    /// The setting as text.
    pub fn get(&self, key: &str) -> Option<String> {
        store::get(key)
    }

    /// The setting read as `T`, or `default` where it is not set.
    ///
    /// # Errors
    /// It is set to something that is no `T`; the subscription stops, since no retry mends a setting.
    pub fn parse_or<T: FromStr<Err: Display>>(&self, key: &str, default: T) -> Result<T> {
        match store::get(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|error| {
                Failure::stop(format!(
                    "setting `{key}` is `{text}`: {error}; correct it in the module's .toml file"
                ))
            }),
        }
    }

    /// All settings.
    pub fn all(&self) -> Vec<(String, String)> {
        store::get_all()
    }
}

/// Earlier events of a stream, never past the event in hand: what it answers is the same in every rebuild.
#[derive(Debug)]
pub struct Reader(());

impl<S: WithEvent> Extract<S> for Reader {
    const PARTS: Parts = Parts::NONE;

    fn extract(_: &S) -> Result<Self> {
        Ok(Reader(()))
    }
}

impl Reader {
    /// At most `limit` events of `stream`, beginning with version `from_version` (from 1).
    ///
    /// # Errors
    /// The host could not read them.
    pub fn read_stream(&self, stream: &str, from_version: u64, limit: u32) -> Result<Vec<Message>> {
        let events = reader::read_stream(stream, from_version, limit);
        let events = events.map_err(|error| {
            Failure::retry(0, format!("cannot read stream `{stream}`: {error}"))
        })?;
        Ok(events.into_iter().map(Message::from).collect())
    }
}
