//! Sin: panics when it is asked what it is.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    panic!("not telling what this is")
}

export_projector!(projector);
