//! `import`: the log as a file, taken in by this host and by COPY.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use super::check;
use crate::Bench;
use crate::contender::Contender;
use crate::events::Events;
use crate::report::{Report, Rounds};
use crate::server::copy_line;

const ROUNDS: u32 = 3;

/// A part of the events of the other workloads: the server's work for each of them is the same.
const SLICE: u64 = 2;

pub async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const WORKLOAD: &str = "import";
    let place = bench.server.place();
    let (lines, rows) = (place.join("events.jsonl"), place.join("events.copy"));
    let mut line_file = BufWriter::new(File::create(&lines)?);
    let mut row_file = BufWriter::new(File::create(&rows)?);
    let count = bench.events / SLICE;
    for event in Events::new(count) {
        let (stream, event_type, data) = (&event.stream, event.event_type, &event.data);
        writeln!(
            line_file,
            r#"{{"stream":"{stream}","type":"{event_type}","data":{data}}}"#
        )?;
        row_file.write_all(copy_line(&event).as_bytes())?;
    }
    line_file.flush()?;
    row_file.flush()?;
    std::fs::set_permissions(&rows, std::fs::Permissions::from_mode(0o644))?;

    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds(ROUNDS) {
        for (contender, file) in [
            (Contender::NativeCopy, &rows),
            (Contender::HostImport, &lines),
        ] {
            let database = bench.server.empty(WORKLOAD).await?;
            let sample = bench.sample(WORKLOAD, contender, &database, file).await?;
            rounds.add(contender, sample);
            let counted = "SELECT count(*) FROM projectionist.events";
            check::count(bench, &database, counted, count).await?;
            bench.server.drop(&database).await?;
        }
    }
    report.add(WORKLOAD, &rounds);
    report.ratio(
        "import_vs_copy",
        rounds.ratio(Contender::HostImport, Contender::NativeCopy),
    );
    Ok(())
}
