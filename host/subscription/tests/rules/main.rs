//! The rules as their users see them: one file a behaviour, one binary.

mod descriptors;
mod documents;
mod filters;
mod ids;
mod refreshing;
mod registration;
mod stored_forms;
mod transitions;

use subscription::{Descriptor, Filter, Kind, Pattern, SubscriberId};

fn id(text: &str) -> SubscriberId {
    SubscriberId::parse(text, Kind::Processor).expect("a good id")
}

fn projector(text: &str) -> Descriptor {
    Descriptor::new(id(text), Kind::Projector)
}

fn processor(text: &str) -> Descriptor {
    Descriptor::new(id(text), Kind::Processor)
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    Pattern::parse_all(texts).expect("good patterns")
}

/// One clause that wants these types.
fn types(texts: &[&str]) -> Filter {
    Filter(vec![subscription::Clause {
        types: patterns(texts),
        ..Default::default()
    }])
}
