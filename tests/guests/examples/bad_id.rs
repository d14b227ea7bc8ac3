//! Sin: an id that no schema can have.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("Bad Id!").on_any(|| ())
}

export_projector!(projector);
