//! Sin: lines that would clear a terminal, forge another line, and turn the direction of reading.

use projectionist_sdk::log;
use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("logs_escapes_1").on_any(sin)
}

fn sin() {
    log::warn!(["na\x1b[31mme" => "val\nue"], "\x1b[2Jcleared\nforged_1 is fine\u{202e}\0");
    eprintln!("\x1b[2Jcleared by stderr");
    panic!("\x1b[2Jcleared by a panic\r\nforged_1 failed");
}

export_projector!(projector);
