//! Sin: the id of `counts_rows`, but it wants to run once.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("counts_rows_1")
        .run_mode(RunMode::Once)
        .on_any(|| ())
}

export_projector!(projector);
