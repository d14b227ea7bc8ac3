//! Write projectors and processors for Projectionist in Rust.
//!
//! A guest is a function from events to rows (a *projector*) or to further events (a *processor*). It says what it is and
//! registers a handler per event type; a handler takes what it needs by type, in any order:
//!
//! ```
//! use projectionist_sdk::prelude::*;
//! use serde::Deserialize;
//!
//! #[derive(Table, Default)]
//! #[table(name = "account")]
//! struct Account {
//!     #[key]
//!     id: String,
//!     balance: i64,
//! }
//! #[derive(Deserialize)]
//! struct Opened { account: String }
//! #[derive(Deserialize)]
//! struct Deposited { account: String, amount: i64 }
//!
//! fn projector() -> Projector {
//!     Projector::new("accounts_1").table::<Account>().on("AccountOpened", opened).on("MoneyDeposited", deposited)
//! }
//! fn opened(event: Event<Opened>, accounts: Table<Account>) -> Result {
//!     accounts.put(&Account { id: event.account.clone(), balance: 0 })
//! }
//! fn deposited(event: Event<Deposited>, accounts: Table<Account>) -> Result {
//!     accounts.update(&event.account, |account| account.balance += event.amount)
//! }
//! export_projector!(projector);
//! ```
//!
//! `crate-type = ["cdylib"]` and `cargo build --target wasm32-wasip2 --release` make it a component.
//!
//! **What a handler may ask for** ([`Extract`]): [`Event<T>`](Event), [`Message`], [`StreamId`], [`RecordedAt`],
//! [`Metadata`], [`Position`], [`Context`], [`Table<T>`](struct@Table), [`Sql`], [`Fold<T>`](Fold), [`Reader`], [`Config`], and
//! in processors [`Append`] and [`Http`]. At most eight of them.
//!
//! **What a handler may return**: nothing, or a `Result` whose error becomes a [`Failure`]. `?` works on every error: the
//! event is then tried again by the policy of host and guest. [`Failure::skip`], [`Failure::stop`] and
//! [`Failure::retry`] say otherwise. For an event at which a handler panics or runs into a limit, [`on_failure`](Subscriber::on_failure) decides.
//!
//! **What a handler may rely on**: events come in the order of their positions; what it writes commits together with the
//! checkpoint, so a projector sees every event exactly once in its tables; nothing in the guest's memory outlives a call.

#[cfg(all(feature = "allocator", target_family = "wasm"))]
mod allocator;
mod append;
pub mod bindings;
mod component;
mod context;
mod ddl;
mod delivery;
mod event;
mod extract;
mod failure;
mod filter;
mod fold;
mod handler;
mod http;
mod in_hand;
pub mod log;
mod message;
mod parts;
mod recovery;
mod row;
pub mod sql;
mod subscriber;
mod table;
mod time;
mod value;

pub use append::{Append, Appending, ExpectedVersion};
pub use component::Definition;
pub use context::{Config, Context, Reader};
pub use ddl::create_statements;
pub use event::{Event, Metadata, Position, RecordedAt, StreamId};
pub use extract::{
    ChunkEnd, Delivery, Extract, InBatch, InChunk, Projection, Reaction, Setup, WithEvent,
};
pub use failure::{Failure, Outcome, Result};
pub use filter::Clause;
pub use fold::Fold;
pub use handler::Handler;
pub use http::{Answer, ErrorCode, Http, HttpError, Request};
pub use message::{DecodeError, Message, Payload, PayloadRef};
pub use parts::Parts;
pub use projectionist_sdk_derive::Table;
pub use recovery::{FailedAttempt, Recovery, Verdict};
pub use row::{ColumnDef, FromRow, KeyValues, Row, TableRow};
pub use sql::Sql;
pub use subscriber::{Processor, Projector, RunMode, Subscriber};
pub use table::{Keys, Table};
pub use time::{Date, Timestamp};
pub use value::{Column, FromValue, Numeric, ToValue, Uuid, Value, ValueError};

/// Everything that a guest usually names.
pub mod prelude {
    pub use crate::{
        Append, Clause, Config, Context, Date, Event, FailedAttempt, Failure, Fold, Http, Message,
        Metadata, Numeric, Position, Processor, Projector, Reader, RecordedAt, Result, RunMode,
        Sql, StreamId, Table, Timestamp, Uuid, Verdict, export_processor, export_projector, params,
    };
}

/// The guests that the READMEs show compile.
#[cfg(doctest)]
mod readmes {
    #[doc = include_str!("../../../README.md")]
    struct OfTheRepository;
    #[doc = include_str!("../../README.md")]
    struct OfTheGuests;
}
