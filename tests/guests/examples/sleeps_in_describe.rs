//! Sin: takes an hour to say what it is.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    std::thread::sleep(std::time::Duration::from_secs(3_600));
    Projector::new("sleeps_in_describe_1").on_any(|| ())
}

export_projector!(projector);
