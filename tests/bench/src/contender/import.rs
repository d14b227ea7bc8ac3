//! A file into the log: by the import of this host, and by COPY of a file that needs no work.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use projectionist::admin::import::{self, Input};
use projectionist::store::Store;
use sqlx::{Connection as _, PgConnection};

use super::begin;
use crate::sample::Sample;
use crate::server::copy_statement;

const CONNECTIONS: u32 = 4;

/// Bytes of the file that are sent at a time.
const CHUNK_BYTES: usize = 256 * 1024;

pub async fn import(url: &str, file: &Path) -> anyhow::Result<Sample> {
    let store = Store::connect(url, CONNECTIONS).await?;
    let began = begin()?;
    let written = import::import(&store, &Input::File(file.to_owned()), |_| {}).await?;
    let sample = Sample::since(&began, written.imported)?;
    store.pool().close().await;
    Ok(sample)
}

pub async fn copy(url: &str, file: &Path) -> anyhow::Result<Sample> {
    let mut connection = PgConnection::connect(url).await?;
    let mut file =
        std::fs::File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let began = begin()?;
    let mut copy = connection.copy_in_raw(copy_statement()).await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        copy.send(&chunk[..length]).await?;
    }
    let rows = copy.finish().await?;
    let sample = Sample::since(&began, rows)?;
    connection.close().await?;
    Ok(sample)
}
