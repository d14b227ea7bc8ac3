//! The database of a command: the one that is named, or the private server of this machine.

use anyhow::Context;

use crate::embedded::{self, Cluster};
use crate::store::{DEFAULT_CONNECTIONS, Store};

#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseArguments {
    /// The PostgreSQL database to use. Without it: a private server, which is started for the command and stopped after it.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
}

/// An open database. The private server runs as long as this is kept.
pub struct Opened {
    pub store: Store,
    cluster: Option<Cluster>,
}

/// Connects to the named database as it is. The private server is started if need be, and always has the newest schema, since
/// nobody else looks after it.
pub async fn open(arguments: &DatabaseArguments) -> anyhow::Result<Opened> {
    if let Some(url) = &arguments.database_url {
        let store = Store::connect(url, DEFAULT_CONNECTIONS).await?;
        return Ok(Opened {
            store,
            cluster: None,
        });
    }
    let options = embedded::Options {
        attach: embedded::Attach::Allowed,
        ..embedded::Options::default()
    };
    let cluster = Cluster::acquire(options)
        .await
        .context("starting the private PostgreSQL server")?;
    let store = Store::connect(cluster.url(), DEFAULT_CONNECTIONS).await?;
    store.migrate().await?;
    Ok(Opened {
        store,
        cluster: Some(cluster),
    })
}

impl Opened {
    /// Closes the connections, and stops the private server if this command started it.
    pub async fn close(self) -> anyhow::Result<()> {
        self.store.pool().close().await;
        if let Some(cluster) = self.cluster {
            cluster
                .shutdown()
                .await
                .context("stopping the private PostgreSQL server")?;
        }
        Ok(())
    }
}
