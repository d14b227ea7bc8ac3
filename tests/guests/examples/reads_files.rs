//! Sin: looks for files, directories and secrets of the machine that it runs on.

use std::fs;

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("reads_files_1").on_any(sin)
}

fn sin() -> Result {
    let found = [
        format!(
            "{:?}",
            fs::read_to_string("/etc/passwd").map_err(|error| error.kind())
        ),
        format!(
            "{:?}",
            fs::read_dir("/")
                .map(Iterator::count)
                .map_err(|error| error.kind())
        ),
        format!(
            "{:?}",
            fs::write("/tmp/escaped", b"x").map_err(|error| error.kind())
        ),
        format!("{:?}", std::env::var("PATH")),
        format!("{:?}", std::env::args().count()),
        format!("{:?}", std::io::stdin().lines().count()),
    ];
    Err(Failure::stop(found.join("; ")))
}

export_projector!(projector);
