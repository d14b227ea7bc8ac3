//! Sin: uses up what its setting `what` names, at a `Sin`. What does not fail by itself fails with what came of it.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("uses_up_1").on("Sin", sin)
}

fn sin(config: Config, context: Context, reader: Reader, sql: Sql) -> Result {
    match config.get("what").unwrap_or_default().as_str() {
        "statements" => loop {
            sql.execute("SELECT 1", &[])?;
        },
        "statements by many" => {
            sql.execute_many("SELECT $1", &vec![params![1_i32]; 1_000])?;
        }
        "answers" => loop {
            let _: Vec<(String,)> = sql.query("SELECT repeat('x', 1048576)", &[])?;
        },
        "earlier events" => loop {
            reader.read_stream("large", 1, u32::MAX)?;
        },
        "the reader" => {
            let count = |stream| {
                reader
                    .read_stream(stream, 1, u32::MAX)
                    .map(|read| read.len())
            };
            let (many, large) = (count("many")?, count("large")?);
            return Err(Failure::stop(format!("{many} of many, {large} of large")));
        }
        "timers" => loop {
            let hour_ns = 3_600_000_000_000;
            // SAFETY: it takes a number and returns the handle of a timer, which is never dropped.
            std::hint::black_box(unsafe { subscribe_duration(hour_ns) });
        },
        "a statement" => {
            sql.execute(&format!("SELECT {}1", " ".repeat(70_000)), &[])?;
        }
        "the retry context" => context.set_retry_context(&"x".repeat(5_000)),
        other => return Err(Failure::stop(format!("nothing is called {other:?}"))),
    }
    Ok(())
}

// What the standard library sleeps by; there, a timer goes before there is another.
#[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.0")]
unsafe extern "C" {
    #[link_name = "subscribe-duration"]
    fn subscribe_duration(nanoseconds: u64) -> i32;
}

export_projector!(projector);
