//! The model's line of two versions: which one readers see, and what an operator wants them to see.

use std::collections::{BTreeMap, BTreeSet};

use subscription::{Input, Status};

use super::operation::Who;
use super::state::Subscription;

/// What the line says, beside the rows of its versions.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub live: Option<Who>,
    wanted: Option<Who>,
    /// They go live again only when an operator says so.
    were_live: BTreeSet<Who>,
}

type Known = BTreeMap<Who, Subscription>;

impl Line {
    /// Whether a guest that is not known may begin: not below one that is live or attached.
    pub fn admits(&self, who: Who, known: &Known) -> bool {
        let later = known.get(&Who::Later);
        let is_above =
            later.is_some_and(|later| self.live == Some(Who::Later) || is_attached(later));
        who != Who::Beginning || !is_above
    }

    /// Whether its successor is among those that are here, so that it is not missing.
    pub fn succeeded(who: Who, here: impl IntoIterator<Item = Who>) -> bool {
        who == Who::Beginning && here.into_iter().any(|other| other == Who::Later)
    }

    /// Whether readers see it and could see another version instead: it is not torn down then.
    pub fn is_read_and_not_alone(&self, who: Who, known: &Known) -> bool {
        let mut others = Who::VERSIONS.into_iter().filter(|other| *other != who);
        self.live == Some(who) && others.any(|other| known.contains_key(&other))
    }

    /// Whether it takes an operator, or a later version, to show readers another one.
    pub fn is_settled(&self) -> bool {
        self.live.is_some() && self.wanted.is_none()
    }

    pub fn forget(&mut self, who: Who) {
        self.live = self.live.filter(|live| *live != who);
        self.wanted = self.wanted.filter(|wanted| *wanted != who);
        self.were_live.remove(&who);
    }

    pub fn want(&mut self, who: Who) {
        self.wanted = Some(who).filter(|who| self.live != Some(*who));
    }

    /// Supersedes what is overtaken; the version that is to go live now, if there is one.
    pub fn due(&self, known: &mut Known) -> Option<Who> {
        let is_ready = |who: &Who, known: &Known| {
            let status = known.get(who).map(|version| version.status);
            matches!(status, Some(Status::Active | Status::Finished))
        };
        if let Some(wanted) = self.wanted {
            return is_ready(&wanted, known).then_some(wanted);
        }
        let above: Vec<Who> = Who::VERSIONS
            .into_iter()
            .filter(|who| known.get(who).is_some_and(is_attached))
            .filter(|who| self.live.is_none_or(|live| *who > live))
            .collect();
        let may = |who: &Who, known: &Known| is_ready(who, known) && !self.were_live.contains(who);
        if self.live.is_none()
            && let Some(first) = above.iter().rfind(|who| may(who, known))
        {
            return Some(*first);
        }
        let (newest, overtaken) = above.split_last()?;
        for who in overtaken.iter().filter(|who| !self.were_live.contains(who)) {
            if let Some(version) = known.get_mut(who) {
                version.input(Input::Superseded);
            }
        }
        may(newest, known).then_some(*newest)
    }

    /// Switches to the version that is to go live, if it is not behind. Whether it did.
    pub fn switch(&mut self, known: &mut Known) -> bool {
        let Some(to) = self.due(known) else {
            return false;
        };
        let position = |who: Who| known.get(&who).map_or(0, |version| version.checkpoint);
        if self.live.is_some_and(|live| position(to) < position(live)) {
            return false;
        }
        if let Some(from) = self.live
            && let Some(version) = known.get_mut(&from)
        {
            version.input(Input::Superseded);
        }
        self.live = Some(to);
        self.wanted = None;
        self.were_live.insert(to);
        true
    }
}

fn is_attached(version: &Subscription) -> bool {
    !matches!(version.status, Status::Detached(_))
}
