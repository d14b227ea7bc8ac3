//! The model's directory: which files there are, what they hold, and which ids were seen in it.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use super::operation::{File, Guest, Who};

/// Files, and what looks at them have found.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// `None`: it holds no module.
    files: BTreeMap<File, Option<Guest>>,
    /// The same as of the last look of the present host.
    looked: BTreeMap<File, Option<Guest>>,
    /// The id that each file held when it was last looked at; one that broke since still holds it.
    judged: BTreeMap<File, Who>,
    /// Ids that were seen, with the first file of each. It outlives the host, as a file of the directory.
    marker: BTreeMap<Who, File>,
    /// The marker as the present host found it.
    earlier: Option<BTreeMap<Who, File>>,
}

impl Directory {
    pub fn put(&mut self, file: File, guest: Guest) {
        self.files.insert(file, Some(guest));
    }

    /// Only a file that is there can break.
    pub fn spoil(&mut self, file: File) {
        if let Some(content) = self.files.get_mut(&file) {
            *content = None;
        }
    }

    pub fn take(&mut self, file: File) {
        self.files.remove(&file);
    }

    /// The host forgets what it saw.
    pub fn restart(&mut self) {
        self.judged.clear();
        self.looked.clear();
        self.earlier = None;
    }

    /// What a first look makes of the files: one that changed is not taken up yet, so what it held speaks still. Guests by id,
    /// each in the order of their files, and whether the file holds it now.
    pub fn earlier_guests(&self) -> BTreeMap<Who, Vec<(Guest, bool)>> {
        let mut guests: BTreeMap<Who, Vec<(Guest, bool)>> = BTreeMap::new();
        for (file, content) in &self.files {
            if let Some(Some(guest)) = self.looked.get(file) {
                let is_there = *content == Some(*guest);
                guests
                    .entry(guest.who)
                    .or_default()
                    .push((*guest, is_there));
            }
        }
        guests
    }

    /// The look after that: guests by id, each in the order of their files.
    pub fn guests(&mut self) -> BTreeMap<Who, Vec<Guest>> {
        self.looked.clone_from(&self.files);
        let earlier = self.earlier.get_or_insert_with(|| self.marker.clone());
        self.judged.retain(|file, _| self.files.contains_key(file));
        let mut guests: BTreeMap<Who, Vec<Guest>> = BTreeMap::new();
        for (file, content) in &self.files {
            let held_earlier = || earlier.iter().find(|(_, held)| *held == file);
            match content {
                Some(guest) => {
                    self.judged.insert(*file, guest.who);
                    guests.entry(guest.who).or_default().push(*guest);
                }
                None => {
                    if let (None, Some((who, _))) = (self.judged.get(file), held_earlier()) {
                        self.judged.insert(*file, *who);
                    }
                }
            }
        }
        guests
    }

    /// The ids that are gone. What is here now is held from now on.
    pub fn missing(&mut self, attached: &BTreeSet<Who>) -> Vec<Who> {
        let mut here = BTreeMap::new();
        for (file, who) in &self.judged {
            here.entry(*who).or_insert(*file);
        }
        let held = self.marker.keys().filter(|who| attached.contains(who));
        let gone = held.filter(|who| !here.contains_key(who));
        let missing = gone.filter(|who| !Line::succeeded(**who, here.keys().copied()));
        let missing = missing.copied().collect();
        self.marker = here;
        missing
    }
}
