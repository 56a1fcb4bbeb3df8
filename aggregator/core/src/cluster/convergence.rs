//! A store against a plain map: a server that changes, and a channel that repeats, reorders and
//! loses what it says.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    objects::{Object, Place},
    store::{Change, Event, Store},
};

/// So far apart may two events change their order.
const WINDOW: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// Creates the object, or changes it.
    Write(u8, u8),
    Remove(u8),
    /// The next event arrives, or one of those soon after it.
    Deliver(Index),
    Lose(Index),
    /// Something arrives that arrived before.
    Repeat(Index),
    /// The watch begins anew, after this many of the listed objects the list may break off.
    List {
        breaks_after: Option<usize>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..3_u8;
    prop_oneof![
        4 => (name.clone(), 0..3_u8).prop_map(|(name, fields)| Step::Write(name, fields)),
        2 => name.prop_map(Step::Remove),
        6 => any::<Index>().prop_map(Step::Deliver),
        2 => any::<Index>().prop_map(Step::Lose),
        2 => any::<Index>().prop_map(Step::Repeat),
        1 => proptest::option::of(0..3_usize).prop_map(|breaks_after| Step::List { breaks_after }),
    ]
}

#[derive(Debug, Default)]
struct World {
    version: u64,
    /// What the server has.
    truth: BTreeMap<Place, Object<u8>>,
    /// What it said that nobody has heard.
    queue: Vec<Event<u8>>,
    heard: Vec<Event<u8>>,
    store: Store<u8>,
    /// What a reader makes of the changes that it is told of.
    followed: BTreeMap<Place, Object<u8>>,
}

fn place(name: u8) -> Place {
    Place { namespace: "shop".to_owned(), name: format!("pod-{name}") }
}

impl World {
    fn write(&mut self, name: u8, fields: u8) {
        self.version += 1;
        let (place, version) = (place(name), self.version);
        let uid = self
            .truth
            .get(&place)
            .map_or_else(|| format!("uid-{version}").into(), |known| Arc::clone(&known.uid));
        let object = Object { place: place.clone(), uid, version, fields };
        self.truth.insert(place, object.clone());
        self.queue.push(Event::Apply(object));
    }

    fn remove(&mut self, name: u8) {
        let Some(object) = self.truth.remove(&place(name)) else { return };
        self.version += 1;
        self.queue.push(Event::Delete(Object { version: self.version, ..object }));
    }

    fn next(&mut self, index: Index) -> Option<Event<u8>> {
        let soon = self.queue.len().min(WINDOW);
        (soon > 0).then(|| self.queue.remove(index.index(soon)))
    }

    fn hear(&mut self, event: Event<u8>) {
        for Change { before, after } in self.store.take(event) {
            let known = before.map(|before| self.followed.remove(&before.place));
            assert_ne!(known, Some(None), "told of a change of what was never told of");
            self.followed.extend(after.map(|after| (after.place.clone(), (*after).clone())));
        }
    }

    fn list(&mut self, breaks_after: Option<usize>) {
        // The new watch begins where the list ends.
        self.queue.clear();
        self.hear(Event::Init);
        let objects: Vec<_> = self.truth.values().cloned().collect();
        for object in objects.into_iter().take(breaks_after.unwrap_or(usize::MAX)) {
            self.hear(Event::InitApply(object));
        }
        if breaks_after.is_none() {
            self.hear(Event::InitDone);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(name, fields) => self.write(*name, *fields),
            Step::Remove(name) => self.remove(*name),
            Step::Deliver(index) => {
                if let Some(event) = self.next(*index) {
                    self.heard.push(event.clone());
                    self.hear(event);
                }
            }
            Step::Lose(index) => drop(self.next(*index)),
            Step::Repeat(index) => {
                if !self.heard.is_empty() {
                    self.hear(index.get(&self.heard).clone());
                }
            }
            Step::List { breaks_after } => self.list(*breaks_after),
        }
    }

    fn stored(&self) -> BTreeMap<Place, Object<u8>> {
        self.store.within("shop").map(|object| (object.place.clone(), object.clone())).collect()
    }
}

/// Versions aside: a change of nothing that is kept is not told.
fn fields(objects: &BTreeMap<Place, Object<u8>>) -> Vec<(&Place, &str, u8)> {
    objects.iter().map(|(place, object)| (place, &*object.uid, object.fields)).collect()
}

proptest! {
    #[test]
    fn after_a_list_the_store_is_the_server_whatever_was_lost_repeated_or_reordered(
        before in vec(step(), 0..60),
        late in vec(any::<Index>(), 0..6),
    ) {
        let mut world = World::default();
        for step in before {
            world.step(&step);
            let stored = world.stored();
            prop_assert_eq!(fields(&world.followed), fields(&stored));
        }
        world.list(None);
        for index in late {
            world.step(&Step::Repeat(index));
        }
        prop_assert_eq!(world.stored(), world.truth);
    }

    #[test]
    fn without_losses_reordered_and_repeated_events_converge_without_a_list(
        before in vec(step(), 0..60),
    ) {
        let mut world = World::default();
        let lossless = |step: &Step| !matches!(step, Step::Lose(_) | Step::List { .. });
        for step in before.into_iter().filter(lossless) {
            world.step(&step);
        }
        for event in std::mem::take(&mut world.queue) {
            world.hear(event);
        }
        prop_assert_eq!(world.stored(), world.truth);
    }
}

#[test]
fn what_a_list_does_not_hold_any_more_is_told_as_gone() {
    let mut world = World::default();
    world.write(0, 1);
    let event = world.queue.remove(0);
    world.hear(event);
    world.remove(0);
    world.list(Some(0));
    assert_eq!(world.stored().len(), 1, "a list that broke off changes nothing");
    world.list(None);
    assert_eq!((world.stored().len(), world.followed.len()), (0, 0));
}

#[test]
fn where_versions_are_no_numbers_the_last_news_holds() {
    let object = |uid: &str, fields| Object { place: place(0), uid: uid.into(), version: 0, fields };
    let mut store = Store::default();
    for event in [Event::Init, Event::InitApply(object("a", 1)), Event::InitDone] {
        store.take(event);
    }
    store.take(Event::Delete(object("a", 1)));
    assert!(store.get(&place(0)).is_none());
    store.take(Event::Apply(object("b", 2)));
    store.take(Event::Delete(object("a", 1)));
    assert_eq!(store.get(&place(0)).map(|object| object.fields), Some(2));
}
