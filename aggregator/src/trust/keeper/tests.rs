use std::sync::{Mutex, MutexGuard};

use super::{
    super::certificate::{CA_KEY, Pems, TLS_CRT, TLS_KEY, pair},
    *,
};

/// Both objects, and what happens between a read and the write that follows.
#[derive(Debug, Default)]
struct Memory {
    secret: Mutex<Kept>,
    config_map: Mutex<Kept>,
    writes: Mutex<Vec<Object>>,
    is_away: Mutex<bool>,
    meddler: Mutex<Option<Kept>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Memory {
    fn of(&self, object: Object) -> &Mutex<Kept> {
        match object {
            Object::Secret => &self.secret,
            Object::ConfigMap => &self.config_map,
        }
    }

    fn set(&self, object: Object, data: Pems) {
        let mut kept = self.of(object).lock().unwrap();
        let version = format!("{}'", kept.version);
        *kept = Kept { data, version };
    }

    fn data(&self, object: Object) -> Pems {
        self.of(object).lock().unwrap().data.clone()
    }

    fn writes(&self) -> Vec<Object> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }
}

#[tonic::async_trait]
impl Vault for Memory {
    async fn read(&self, object: Object) -> Result<Kept, VaultError> {
        if *held(&self.is_away) {
            return Err(VaultError::Unusable(object, "connection refused".into()));
        }
        Ok(held(self.of(object)).clone())
    }

    async fn write(&self, object: Object, kept: Kept) -> Result<(), VaultError> {
        if let Some(theirs) = held(&self.meddler).take() {
            self.set(object, theirs.data);
        }
        if held(self.of(object)).version != kept.version {
            return Err(VaultError::Conflict(object));
        }
        let mut data = self.data(object);
        data.extend(kept.data);
        self.set(object, data);
        held(&self.writes).push(object);
        Ok(())
    }
}

fn keeper() -> (Keeper, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let vault: Arc<dyn Vault> = Arc::<Memory>::clone(&memory);
    let names = vec!["localhost".to_owned()];
    (Keeper::new(vault, Arc::default(), names, Clock::start()), memory)
}

#[tokio::test]
async fn the_first_look_makes_keeps_publishes_and_serves_and_the_next_does_nothing() {
    let (mut keeper, memory) = keeper();
    memory.set(Object::Secret, [("note".to_owned(), "kept".to_owned())].into());
    keeper.look().await.unwrap();
    assert_eq!(memory.writes(), [Object::Secret, Object::ConfigMap]);
    let secret = memory.data(Object::Secret);
    assert_eq!(secret["note"], "kept");
    assert_eq!(memory.data(Object::ConfigMap)[CA_CRT], secret[CA_CRT]);
    assert!(keeper.serving.is_ready());
    keeper.look().await.unwrap();
    assert_eq!(memory.writes(), []);
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_not_written_over() {
    let (mut keeper, memory) = keeper();
    let (mut other, theirs) = self::keeper();
    other.look().await.unwrap();
    let theirs = theirs.data(Object::Secret);
    *memory.meddler.lock().unwrap() = Some(Kept { data: theirs.clone(), version: String::new() });
    let error = keeper.look().await.unwrap_err();
    assert!(matches!(error, KeepError::Vault(VaultError::Conflict(Object::Secret))), "{error}");
    assert!(!keeper.serving.is_ready());
    keeper.look().await.unwrap();
    assert_eq!(memory.data(Object::Secret), theirs);
    assert_eq!(memory.data(Object::ConfigMap)[CA_CRT], theirs[CA_CRT]);
}

#[tokio::test]
async fn a_new_authority_is_published_beside_the_old_one_before_its_certificate_is_served() {
    let (mut keeper, memory) = keeper();
    keeper.look().await.unwrap();
    let before = memory.data(Object::Secret);
    let old = keeper.serving.clone();
    memory.set(Object::Secret, Pems::new());
    keeper.look().await.unwrap();
    let after = memory.data(Object::Secret);
    assert_ne!(after[CA_KEY], before[CA_KEY]);
    let both = format!("{}{}", after[CA_CRT], before[CA_CRT]).replace("\r\n", "\n");
    assert_eq!(memory.data(Object::ConfigMap)[CA_CRT].replace("\r\n", "\n"), both);
    let new = pair(after[TLS_CRT].as_bytes(), after[TLS_KEY].as_bytes()).unwrap();
    assert!(!old.is(&new), "nobody has heard of it yet");
    keeper.published = Some(keeper.clock.now() - PUBLISHED_AHEAD);
    keeper.look().await.unwrap();
    assert!(old.is(&new));
}

#[tokio::test]
async fn a_certificate_of_the_same_authority_is_served_at_once() {
    let (mut keeper, memory) = keeper();
    keeper.look().await.unwrap();
    let mut pems = memory.data(Object::Secret);
    pems.remove(TLS_CRT);
    memory.set(Object::Secret, pems);
    keeper.look().await.unwrap();
    let pems = memory.data(Object::Secret);
    let new = pair(pems[TLS_CRT].as_bytes(), pems[TLS_KEY].as_bytes()).unwrap();
    assert!(keeper.serving.is(&new));
}

#[tokio::test]
async fn what_is_served_is_served_while_the_api_server_is_away_or_the_secret_is_torn() {
    let (mut keeper, memory) = keeper();
    keeper.look().await.unwrap();
    *memory.is_away.lock().unwrap() = true;
    assert!(keeper.look().await.is_err());
    *memory.is_away.lock().unwrap() = false;
    memory.set(Object::Secret, [(TLS_CRT.to_owned(), "half".to_owned())].into());
    let error = keeper.look().await.unwrap_err();
    assert!(with_sources(&error).contains("ca.crt is missing"), "{error}");
    assert!(keeper.serving.is_ready());
    assert_eq!(memory.writes(), [Object::Secret, Object::ConfigMap], "of the first look");
}

#[test]
fn at_most_two_authorities_are_published_and_none_twice() {
    let pem = |name: &str| format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    let one = published("", &pem("a")).unwrap();
    assert_eq!(one, pem("a"));
    let two = published(&one, &pem("b")).unwrap();
    assert_eq!(two, pem("b") + &pem("a"));
    assert_eq!((published(&two, &pem("a")), published(&two, &pem("b"))), (None, None));
    assert_eq!(published(&two, &pem("c")).unwrap(), pem("c") + &pem("b"));
}
