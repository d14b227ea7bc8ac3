//! From files to subscriptions: what a look at the directory means for the rows. Off the event path.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use subscription::{File, Input, Next, Status, SubscriberId, choose, has_successor, missing};

use super::catalog;
use super::directory::{Directory, Files, Found, Look, Marker};
use super::notice::Notice;
use super::registration;
use super::regular::{self, Regular};
use super::shared::Shared;
use crate::guest::limits::MAX_MODULE_BYTES;
use crate::guest::text::{self, MAX_MESSAGE_BYTES};
use crate::guest::{Module, Refusal, Settings};
use crate::store::{Digest, Error, HostFile, Subscription};

/// Keeps the rows of subscriptions in step with a directory.
pub(super) struct Intake {
    shared: Arc<Shared>,
    directory: Option<Directory>,
    /// What became of each content that was judged, so that it is judged once.
    judged: HashMap<String, Judged>,
    /// Ids that this directory held at an earlier look.
    held: BTreeSet<SubscriberId>,
    /// The directory carries our marker: what it lacks from now on is missing.
    marked: bool,
    /// What the directory held when an earlier host looked last.
    earlier: Marker,
    reported_problem: Option<String>,
}

/// A file that was looked into.
struct Judged {
    digest: Option<Digest>,
    /// What stood beside it, if anything. None: that could not be read, so any settings are other ones.
    settings_text: Option<Option<String>>,
    /// The guest, when the file by itself is good.
    guest: Option<(Module, Settings)>,
    /// Why the guest is not taken up, although the file by itself may be good.
    refusal: Option<String>,
    /// Its content changed while this host looked, and that was not taken up yet.
    fresh: bool,
    /// The id that the file holds, also while its newest content is refused.
    id: Option<SubscriberId>,
}

/// Whether the directory should be looked at again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Yes,
    /// A file is being written, or the database or compiler was out of reach.
    NotYet,
}

impl Intake {
    pub fn new(shared: Arc<Shared>, modules: PathBuf) -> Intake {
        Intake {
            shared,
            directory: Some(Directory::new(modules)),
            judged: HashMap::new(),
            held: BTreeSet::new(),
            marked: false,
            earlier: Marker::new(),
            reported_problem: None,
        }
    }

    /// One look at the directory and all that follows from it.
    pub async fn scan(&mut self) -> Result<Settled, Error> {
        let Some(mut directory) = self.directory.take() else {
            return Ok(Settled::NotYet);
        };
        let path = directory.path().to_owned();
        let looked = tokio::task::spawn_blocking(move || {
            let look = directory.look();
            (directory, look)
        })
        .await;
        let Ok((directory, look)) = looked else {
            // A panic in the look: begin again with a fresh one.
            self.directory = Some(Directory::new(path));
            return Ok(Settled::NotYet);
        };
        self.directory = Some(directory);
        match look {
            Look::Unreadable(error) => {
                self.report(Some(format!(
                    "the directory {} cannot be read: {error}; nothing changes until it can",
                    path.display()
                )));
                Ok(Settled::Yes)
            }
            Look::Readable(files) if self.marked && files.marker.is_none() => {
                self.report(Some(format!(
                    "the directory {} has lost its marker file and is taken for unmounted: nothing changes; mount it again, or restart the host if this is right",
                    path.display()
                )));
                Ok(Settled::Yes)
            }
            Look::Readable(files) => self.take_in(&files).await,
        }
    }

    async fn take_in(&mut self, files: &Files) -> Result<Settled, Error> {
        self.report(None);
        if let (false, Some(marker)) = (self.marked, &files.marker) {
            self.earlier.clone_from(marker);
        }
        let mut settled = if files.moving.is_empty() {
            Settled::Yes
        } else {
            Settled::NotYet
        };
        self.judged
            .retain(|name, _| files.stable.contains_key(name) || files.moving.contains(name));
        for (name, found) in &files.stable {
            if self.judge(name, found).await? == Settled::NotYet {
                settled = Settled::NotYet;
            }
        }
        // A host that finds a row with the new code looks up who has it, and puts its own code back if nobody does.
        if self.judged.values().any(|judged| judged.fresh) {
            self.publish_files().await?;
        }
        self.register_all(&files.moving).await?;
        if settled == Settled::Yes {
            settled = self.detach_missing(files).await?;
        }
        self.publish_files().await?;
        Ok(settled)
    }

    /// Looks into a file whose content is new.
    async fn judge(&mut self, name: &str, found: &Found) -> Result<Settled, Error> {
        let (digest, path, settings) = match found {
            Found::Refused { digest, refusal } => {
                self.refuse_file(name, *digest, None, refusal.to_string());
                return Ok(Settled::Yes);
            }
            Found::Module {
                digest,
                path,
                settings,
            } => (digest, path, settings),
        };
        if self.judged.get(name).is_some_and(|judged| {
            judged.digest == Some(*digest) && judged.settings_text.as_ref() == Some(settings)
        }) {
            return Ok(Settled::Yes);
        }
        match self.load(name, digest, path, settings.as_deref()).await {
            Ok((module, parsed)) => {
                if let Some(directory) = &mut self.directory {
                    directory.is_whole(*digest);
                }
                let id = Some(module.descriptor().id.clone());
                let guest = Some((module, parsed));
                let fresh = self.judged.contains_key(name);
                self.judged.insert(
                    name.to_owned(),
                    Judged {
                        fresh,
                        digest: Some(*digest),
                        settings_text: Some(settings.clone()),
                        guest,
                        refusal: None,
                        id,
                    },
                );
                Ok(Settled::Yes)
            }
            Err(catalog::Error::Refused(refusal)) => {
                let settings = Some(settings.clone());
                self.refuse_file(name, Some(*digest), settings, refusal.to_string());
                Ok(Settled::Yes)
            }
            Err(catalog::Error::Store(error)) => Err(error),
            Err(other) => {
                tracing::error!(
                    file = name,
                    "{name} cannot be looked into for now: {:#}",
                    anyhow::Error::from(other)
                );
                Ok(Settled::NotYet)
            }
        }
    }

    async fn load(
        &self,
        name: &str,
        digest: &Digest,
        path: &Path,
        settings: Option<&str>,
    ) -> Result<(Module, Settings), catalog::Error> {
        let settings_file = Path::new(name).with_extension("toml").display().to_string();
        let settings = Settings::parse(&settings_file, settings.unwrap_or_default())?;
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = Regular::open(&path)?.read(MAX_MODULE_BYTES)?;
            Ok::<_, regular::Error>(bytes)
        });
        let bytes = match reading.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(regular::Error::Io(error))) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Refusal::Broken {
                    reason: "the file has just gone".to_owned(),
                }
                .into());
            }
            Ok(Err(error)) => {
                return Err(Refusal::Broken {
                    reason: error.to_string(),
                }
                .into());
            }
            Err(broken) => {
                return Err(Refusal::Broken {
                    reason: broken.to_string(),
                }
                .into());
            }
        };
        let module = self.shared.catalog.load(digest, &bytes).await?;
        if module.digest() != digest {
            // The file changed between the two looks and now: the next look sees it.
            return Err(Refusal::Broken {
                reason: "the file changed while it was read".to_owned(),
            }
            .into());
        }
        module.check_settings(&settings)?;
        Ok((module, settings))
    }

    /// The file by itself is not usable; the id that it held before stays held.
    fn refuse_file(
        &mut self,
        name: &str,
        digest: Option<Digest>,
        settings_text: Option<Option<String>>,
        reason: String,
    ) {
        let earlier = self.judged.remove(name);
        let known = earlier.as_ref().and_then(|judged| judged.refusal.clone());
        let id = earlier
            .and_then(|judged| judged.id)
            .or_else(|| self.held_earlier(name));
        self.judged.insert(
            name.to_owned(),
            Judged {
                fresh: false,
                digest,
                settings_text,
                guest: None,
                refusal: known,
                id,
            },
        );
        self.set_refusal(name, Some(text::block(&reason, MAX_MESSAGE_BYTES)));
    }

    /// The id that a file held when an earlier host looked: it broke while no host ran, and still holds it.
    fn held_earlier(&self, name: &str) -> Option<SubscriberId> {
        let (id, _) = self.earlier.iter().find(|(_, file)| *file == name)?;
        SubscriberId::try_from(id.clone()).ok()
    }

    /// Notes why a guest is not taken up, and says it when it is news.
    fn set_refusal(&mut self, name: &str, refusal: Option<String>) {
        let Some(judged) = self.judged.get_mut(name) else {
            return;
        };
        if judged.refusal == refusal {
            return;
        }
        judged.refusal.clone_from(&refusal);
        if let Some(reason) = refusal {
            tracing::warn!(file = name, "{name} is refused: {reason}");
            self.shared.notify(Notice::Refused {
                file: name.to_owned(),
                reason,
            });
        }
    }

    /// Of all files with one id one speaks for it; the others are reported. One that is being changed, or its settings, still speaks,
    /// but what it held is not taken up any more.
    async fn register_all(&mut self, moving: &[String]) -> Result<(), Error> {
        let mut by_id: BTreeMap<SubscriberId, Vec<File>> = BTreeMap::new();
        for (name, judged) in &self.judged {
            if let Some((module, _)) = &judged.guest {
                let id = module.descriptor().id.clone();
                by_id.entry(id).or_default().push(File {
                    name: name.clone(),
                    digest: *module.digest(),
                });
            }
        }
        let rows = self.shared.store.subscriptions().await?;
        for (id, files) in by_id {
            let stored = rows.iter().find(|row| row.id == id.as_str());
            let Some(chosen) = choose(&files, stored.map(|row| &row.module)) else {
                continue;
            };
            for other in &chosen.others {
                let reason = format!(
                    "{id} is also in {}, which is used; remove one of the two",
                    chosen.file.name
                );
                self.set_refusal(&other.name, Some(reason));
            }
            let name = chosen.file.name.clone();
            if moving.contains(&name) {
                continue;
            }
            let Some(judged) = self.judged.get(&name) else {
                continue;
            };
            let Some((module, settings)) = judged.guest.clone() else {
                continue;
            };
            let found = registration::Found {
                fresh: judged.fresh,
                path: self.path_of(&name),
                file: &name,
                module,
                settings,
            };
            let taken_up = registration::take_up(&self.shared, &found, stored, &rows).await?;
            if let Some(judged) = self.judged.get_mut(&name) {
                judged.fresh = false;
            }
            let refusal = taken_up.err();
            self.set_refusal(&name, refusal);
        }
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        let directory = self.directory.as_ref().map(Directory::path);
        directory.unwrap_or(Path::new(".")).join(name)
    }

    /// Detaches what the directory held and holds no more, when all evidence says so.
    async fn detach_missing(&mut self, files: &Files) -> Result<Settled, Error> {
        let rows = self.shared.store.subscriptions().await?;
        let row_of = |id: &str| rows.iter().find(|row| row.id == id);
        let here: BTreeSet<SubscriberId> = self
            .judged
            .values()
            .filter_map(|judged| judged.id.clone())
            .collect();
        if !self.marked {
            let earlier = self.earlier.keys().filter_map(|id| row_of(id));
            self.held
                .extend(earlier.map(|row| row.descriptor.id.clone()));
        }
        let attached: BTreeSet<SubscriberId> = rows
            .iter()
            .filter(|row| !matches!(row.status, Status::Detached(_)))
            .map(|row| row.descriptor.id.clone())
            .collect();
        let look = match files.marker {
            Some(_) => subscription::Look::Holds(here.clone()),
            None => subscription::Look::Unmarked,
        };
        let elsewhere = self.held_elsewhere(&rows).await?;
        // Whose place a later version took in this directory runs on from its stored bytes, and is not this directory's any more.
        self.held
            .retain(|id| here.contains(id) || !has_successor(id, &here));
        // What another host detached is not missing here either: an operator may bring it back without its file.
        self.held
            .retain(|id| here.contains(id) || attached.contains(id));
        let mut settled = Settled::Yes;
        for id in missing(&attached, &self.held, &look, &elsewhere) {
            let Some(row) = row_of(id.as_str()) else {
                continue;
            };
            let Ok(Next::Status(next)) = row.status.on(Input::GuestMissing, row.run_mode) else {
                continue;
            };
            if !self
                .shared
                .store
                .change_status(&row.id, row.status, next)
                .await?
            {
                // It has another status by now: it is still held here, and looked at again soon.
                settled = Settled::NotYet;
            } else {
                self.held.remove(&id);
                tracing::info!(
                    subscription = row.id,
                    "{} is detached: its file is gone",
                    row.id
                );
                self.shared.notify(Notice::Status {
                    subscription: row.id.clone(),
                    status: next,
                });
                self.shared.hint_changes();
            }
        }
        self.held.extend(here);
        self.mark(files);
        Ok(settled)
    }

    /// Ids in the directories of other live hosts.
    async fn held_elsewhere(&self, rows: &[Subscription]) -> Result<BTreeSet<SubscriberId>, Error> {
        let files = self.shared.store.host_files().await?;
        let others = files
            .into_iter()
            .filter(|(host, _)| *host != self.shared.host)
            .filter_map(|(_, file)| file.subscription);
        Ok(others
            .filter_map(|id| rows.iter().find(|row| row.id == id))
            .map(|row| row.descriptor.id.clone())
            .collect())
    }

    /// Keeps the marker in step with what the directory holds. A directory that never held a guest is not marked: it
    /// may be a mount point without its file system.
    fn mark(&mut self, files: &Files) {
        let held: Marker = self
            .held
            .iter()
            .map(|id| (id.to_string(), self.file_of(id)))
            .collect();
        if files.marker.as_ref() == Some(&held) {
            self.marked = true;
        } else if files.marker.is_some() || !held.is_empty() {
            match self
                .directory
                .as_ref()
                .map(|directory| directory.mark(&held))
            {
                Some(Ok(())) => self.marked = true,
                // A read-only directory is fine: it is only that nothing of it is ever taken for missing.
                Some(Err(error)) => {
                    tracing::debug!("the directory of modules cannot be marked: {error}")
                }
                None => {}
            }
        }
    }

    /// The file that holds an id here, the first by name; none when only another host has it.
    fn file_of(&self, id: &SubscriberId) -> String {
        let files = self.judged.iter();
        let holding = files.filter(|(_, judged)| judged.id.as_ref() == Some(id));
        holding
            .map(|(name, _)| name.clone())
            .min()
            .unwrap_or_default()
    }

    /// What `status` shows of this host's directory, and other hosts go by.
    async fn publish_files(&self) -> Result<(), Error> {
        let files: Vec<HostFile> = self
            .judged
            .iter()
            .map(|(name, judged)| HostFile {
                file: name.clone(),
                digest: judged.digest,
                subscription: judged.id.as_ref().map(ToString::to_string),
                refusal: judged.refusal.clone(),
            })
            .collect();
        self.shared
            .store
            .keep_host_files(self.shared.host, &files)
            .await
    }

    /// Says a problem of the whole directory once, and again when it changed.
    fn report(&mut self, problem: Option<String>) {
        if self.reported_problem == problem {
            return;
        }
        match &problem {
            Some(problem) => tracing::warn!("{problem}"),
            None => tracing::info!("the directory of modules is back"),
        }
        self.shared.notify(Notice::Directory {
            problem: problem.clone(),
        });
        self.reported_problem = problem;
    }
}
