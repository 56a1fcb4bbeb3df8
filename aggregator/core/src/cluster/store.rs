//! The objects of one kind, from the news of a watch.
//!
//! Invariant: whatever was repeated, came in another order or never came, once a list has come
//! through the objects are those of the server, and old news that still comes changes nothing. An
//! object's version decides what is old: it rises with each change of any object of the kind, and
//! deleting is a change. Deliberately absent: the watch itself, which begins anew with each list.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::objects::{Object, Place};

/// Deletions that are remembered, for older news that comes after them. A watch tells things in
/// their order, so a handful would do.
const DELETIONS: usize = 1_024;

/// What a watch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// A list begins; what is known stays until it is complete.
    Init,
    /// An object of the list.
    InitApply(Object<T>),
    /// The list is complete: it replaces what was known.
    InitDone,
    /// An object is new, or has changed.
    Apply(Object<T>),
    /// An object is gone.
    Delete(Object<T>),
}

impl<T> Event<T> {
    /// The object that is told of.
    pub(super) fn object_mut(&mut self) -> Option<&mut Object<T>> {
        match self {
            Self::Init | Self::InitDone => None,
            Self::InitApply(object) | Self::Apply(object) | Self::Delete(object) => Some(object),
        }
    }
}

/// What was at a place, and what is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change<T> {
    pub(super) before: Option<Arc<Object<T>>>,
    pub(super) after: Option<Arc<Object<T>>>,
}

type Objects<T> = BTreeMap<Place, Arc<Object<T>>>;

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Store<T> {
    objects: Objects<T>,
    /// The list that is not complete yet.
    listed: Option<Objects<T>>,
    /// Whatever is not older than this and not here is gone.
    complete_to: u64,
    /// Where something was deleted, and the version of that, oldest first.
    deleted: VecDeque<(Place, u64)>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listed: None, complete_to: 0, deleted: VecDeque::new() }
    }
}

impl<T: PartialEq> Store<T> {
    pub(super) fn get(&self, place: &Place) -> Option<&Object<T>> {
        self.objects.get(place).map(AsRef::as_ref)
    }

    /// Every one.
    pub(super) fn all(&self) -> impl Iterator<Item = &Object<T>> {
        self.objects.values().map(AsRef::as_ref)
    }

    /// Those of a namespace.
    pub(super) fn within(&self, namespace: &str) -> impl Iterator<Item = &Object<T>> {
        let first = Place { namespace: namespace.to_owned(), name: String::new() };
        let rest = self.objects.range(first..).map(|(_, object)| object.as_ref());
        rest.take_while(move |object| object.place.namespace == namespace)
    }

    /// Takes news in; tells what is different now.
    pub(super) fn take(&mut self, event: Event<T>) -> Vec<Change<T>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                put(self.listed.get_or_insert_default(), Arc::new(object));
                Vec::new()
            }
            Event::InitDone => self.swap(),
            Event::Apply(object) if self.is_over(&object) => Vec::new(),
            Event::Apply(object) => put(&mut self.objects, Arc::new(object)).into_iter().collect(),
            Event::Delete(object) => self.delete(&object).into_iter().collect(),
        }
    }

    /// Old news of what is gone by now. A version of 0 tells nothing.
    fn is_over(&self, object: &Object<T>) -> bool {
        let gone = || {
            let deleted = self.deleted.iter().filter(|(place, _)| *place == object.place);
            deleted.map(|(_, version)| *version).chain([self.complete_to]).max()
        };
        object.version != 0
            && !self.objects.contains_key(&object.place)
            && gone().is_some_and(|gone| object.version <= gone)
    }

    fn delete(&mut self, object: &Object<T>) -> Option<Change<T>> {
        if self.deleted.len() == DELETIONS {
            self.deleted.pop_front();
        }
        self.deleted.push_back((object.place.clone(), object.version));
        // Another of the same name may be there by now.
        let is_it = |there: &Object<T>| there.uid == object.uid || there.version < object.version;
        self.objects.get(&object.place).filter(|there| is_it(there))?;
        self.objects.remove(&object.place).map(|before| Change { before: Some(before), after: None })
    }

    fn swap(&mut self) -> Vec<Change<T>> {
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let mut gone = std::mem::replace(&mut self.objects, listed);
        let mut changes = Vec::new();
        for (place, object) in &self.objects {
            self.complete_to = self.complete_to.max(object.version);
            let before = gone.remove(place);
            if differs(before.as_deref(), object) {
                changes.push(Change { before, after: Some(Arc::clone(object)) });
            }
        }
        for (_, before) in gone {
            // It was deleted before the list was made.
            self.complete_to = self.complete_to.max(before.version);
            changes.push(Change { before: Some(before), after: None });
        }
        changes
    }
}

fn differs<T: PartialEq>(before: Option<&Object<T>>, after: &Object<T>) -> bool {
    before.is_none_or(|before| before.uid != after.uid || before.fields != after.fields)
}

/// Puts an object in its place, unless something newer is there.
fn put<T: PartialEq>(objects: &mut Objects<T>, object: Arc<Object<T>>) -> Option<Change<T>> {
    let before = objects.get(&object.place).cloned();
    if before.as_ref().is_some_and(|before| before.version > object.version) {
        return None;
    }
    let changed = differs(before.as_deref(), &object);
    objects.insert(object.place.clone(), Arc::clone(&object));
    changed.then_some(Change { before, after: Some(object) })
}
