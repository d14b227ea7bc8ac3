//! From a builder to the exports of a component.

use crate::bindings::exports::projectionist::guest::{
    batch, chunk_handler, description, handler, lifecycle, recovery,
};
use crate::bindings::projectionist::events::types::{Chunk, Event};
use crate::bindings::projectionist::guest::types::{Descriptor, Failure, Verdict};
use crate::extract::Delivery;
use crate::in_hand;
use crate::subscriber::Subscriber;

/// A type that stands for the component. The export macros make one.
pub trait Definition {
    /// Where its handlers are called.
    type Source: Delivery + 'static;

    /// Builds the guest. It is called for every export anew: nothing may outlive a call.
    fn define() -> Subscriber<Self::Source>;
}

impl<D: Definition> description::Guest for D {
    fn describe() -> Descriptor {
        D::define().describe()
    }
}

impl<D: Definition> handler::Guest for D {
    fn handle(events: Vec<Event>) -> Result<(), Failure> {
        D::define().handle(events)
    }
}

impl<D: Definition> chunk_handler::Guest for D {
    fn handle_chunk(events: Chunk) -> Result<(), Failure> {
        D::define().handle_chunk(events)
    }
}

impl<D: Definition> batch::Guest for D {
    fn finish() -> Result<(), Failure> {
        // The host looks for the event of a failure.
        in_hand::flush().map_err(|failure| failure.into_wire(0))
    }
}

impl<D: Definition> lifecycle::Guest for D {
    fn setup() -> Result<(), String> {
        D::define().set_up().map_err(|failure| failure.to_string())
    }

    fn teardown() -> Result<(), String> {
        D::define()
            .tear_down()
            .map_err(|failure| failure.to_string())
    }
}

impl<D: Definition> recovery::Guest for D {
    fn on_failure(event: Event, error: String, attempt: u32) -> Verdict {
        D::define().recover(event, error, attempt)
    }
}

/// Makes the function that builds a [`Projector`](crate::Projector) this crate's component.
#[macro_export]
macro_rules! export_projector {
    ($define:expr) => {
        $crate::__export!($define, $crate::Projection);
    };
}

/// Makes the function that builds a [`Processor`](crate::Processor) this crate's component.
#[macro_export]
macro_rules! export_processor {
    ($define:expr) => {
        $crate::__export!($define, $crate::Reaction);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($define:expr, $source:ty) => {
        struct __Component;

        impl $crate::Definition for __Component {
            type Source = $source;

            fn define() -> $crate::Subscriber<$source> {
                $define()
            }
        }

        // Elsewhere, as in `cargo test`, linkers refuse the names of these exports; the constant keeps what is exported
        // from being called dead there.
        const _: fn() -> $crate::Subscriber<$source> = <__Component as $crate::Definition>::define;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export_component!(__Component with_types_in $crate::bindings);
    };
}
