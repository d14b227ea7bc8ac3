//! No sin but slowness: as `slow`, through history once.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("slow_once_1")
        .run_mode(RunMode::Once)
        .on_any(|config: Config| -> Result {
            test_guests::busy_for_ms(config.parse_or("delay-ms", 0)?);
            Ok(())
        })
}

export_projector!(projector);
