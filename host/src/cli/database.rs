//! The database of a command: the one that is named, or the private server of this machine.

use std::path::PathBuf;

use anyhow::Context;

use crate::embedded::{self, Cluster};
use crate::store::{DEFAULT_CONNECTIONS, Store, Walls};

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
    /// Run the SQL of guests with the rights of the host's own database role instead of roles of their own: for guests that you
    /// trust with all of them, where the host may not make roles.
    #[arg(long, global = true, env = "PROJECTIONIST_WITHOUT_ROLES")]
    pub without_roles: bool,
}

impl DatabaseArguments {
    /// What the SQL of guests runs as.
    pub fn walls(&self) -> Walls {
        if self.without_roles {
            Walls::None
        } else {
            Walls::Roles
        }
    }
}

/// An open database. The private server runs as long as this is kept.
pub struct Opened {
    pub store: Store,
    cluster: Option<Cluster>,
}

/// Connects to the named database as it is. The private server is started if need be, and always has the newest schema, since
/// nobody else looks after it.
pub async fn open(arguments: &DatabaseArguments) -> anyhow::Result<Opened> {
    let opened = connect(arguments).await?;
    Ok(opened.with_walls(arguments.walls(), None))
}

async fn connect(arguments: &DatabaseArguments) -> anyhow::Result<Opened> {
    if let Some(url) = &arguments.database_url {
        let store = Store::connect(url, DEFAULT_CONNECTIONS).await?;
        return Ok(Opened {
            store,
            cluster: None,
        });
    }
    Opened::private(embedded::Attach::Allowed).await
}

impl Opened {
    /// The private server of this machine, migrated.
    pub async fn private(attach: embedded::Attach) -> anyhow::Result<Opened> {
        let options = embedded::Options {
            attach,
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

    /// The same as [`Store::with_walls`].
    pub fn with_walls(self, walls: Walls, role_connections: Option<u32>) -> Opened {
        Opened {
            store: self.store.with_walls(walls, role_connections),
            ..self
        }
    }

    /// Where compiled modules are kept unless somebody says otherwise.
    pub fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let root = match &self.cluster {
            Some(cluster) => cluster.data_root().to_owned(),
            None => {
                embedded::default_data_root().context("finding a place for compiled modules")?
            }
        };
        Ok(root.join("cache"))
    }

    /// What the database is, for people. Never the URL: it may hold a password.
    pub fn describe(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!("a private PostgreSQL in {}", cluster.data_root().display()),
            None => "the PostgreSQL of the given URL".to_owned(),
        }
    }

    /// A command line that opens the database in psql.
    pub fn psql_hint(&self) -> Option<String> {
        self.cluster.as_ref().map(Cluster::psql_hint)
    }

    /// Closes the connections, and stops the private server if this command started it.
    pub async fn close(self) -> anyhow::Result<()> {
        self.store.close().await;
        if let Some(cluster) = self.cluster {
            cluster
                .shutdown()
                .await
                .context("stopping the private PostgreSQL server")?;
        }
        Ok(())
    }
}
