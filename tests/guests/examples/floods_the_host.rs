//! Sin: asks the host the same question without end.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("floods_the_host_1").on_any(sin)
}

fn sin(context: Context) {
    loop {
        std::hint::black_box(context.attempt());
    }
}

export_projector!(projector);
