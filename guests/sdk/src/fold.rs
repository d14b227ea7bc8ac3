//! State that the handlers of one call of `handle` share.

use crate::extract::{Extract, InChunk};
use crate::failure::Result;
use crate::parts::Parts;
use std::any::{Any, TypeId};
use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

/// A value that lives as long as one call of `handle`: it begins as `T::default()`, handlers fold events into it, and the
/// handler given to [`after_chunk`](crate::Subscriber::after_chunk) writes it out, once for many events. There is one per
/// type and call.
///
/// Where a call begins and ends is the host's business, so what is left in it is lost.
#[derive(Debug)]
pub struct Fold<T>(Rc<RefCell<T>>);

impl<T: Default> Fold<T> {
    /// The value, to read or change. Don't hold it across a call that takes it again.
    pub fn get(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }

    /// Takes the value out and leaves `T::default()`.
    pub fn take(&self) -> T {
        self.0.take()
    }
}

impl<S: InChunk, T: Default + 'static> Extract<S> for Fold<T> {
    const PARTS: Parts = Parts::NONE;

    fn extract(source: &S) -> Result<Self> {
        Ok(Fold(source.chunk().state()))
    }
}

/// What the handlers of one call share: one value per type.
#[derive(Clone, Default)]
pub struct Chunk(Rc<RefCell<States>>);

type States = Vec<(TypeId, Rc<dyn Any>)>;

impl Chunk {
    fn state<T: Default + 'static>(&self) -> Rc<RefCell<T>> {
        let mut states = self.0.borrow_mut();
        let known = states
            .iter()
            .find(|(id, _)| *id == TypeId::of::<T>())
            .map(|(_, state)| state.clone());
        let state = known.unwrap_or_else(|| {
            let fresh: Rc<dyn Any> = Rc::new(RefCell::new(T::default()));
            states.push((TypeId::of::<T>(), fresh.clone()));
            fresh
        });
        state
            .downcast()
            .expect("states are stored under the id of their type")
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Chunk({} states)", self.0.borrow().len())
    }
}
