//! Targets behind TLS.

use std::time::Duration;

use berth_loadgen::{ErrorClass, LoadError, SpecDraft, TlsDraft};
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::server::ModelServer;
use crate::{draft, outcome_of, row};

const RUN: Duration = Duration::from_millis(300);

fn certified(name: &str) -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn spec(server: &ModelServer, tls: TlsDraft) -> SpecDraft {
    SpecDraft { tls, ..draft(server.secure_url(), 50.0, RUN) }
}

#[tokio::test]
async fn a_target_is_verified_by_the_ca_that_was_given() {
    let certified_key = certified("localhost");
    let server = ModelServer::secure(&certified_key).await;
    let ca_pem = Some(certified_key.cert.pem().into_bytes());
    let (outcome, _) =
        outcome_of(spec(&server, TlsDraft { ca_pem, ..TlsDraft::default() }), row()).await.unwrap();
    let tally = outcome.totals.tally();
    assert_eq!((tally.counts.completed, tally.counts.errors.total()), (15, 0));
}

#[tokio::test]
async fn one_that_nobody_vouches_for_is_refused_before_the_run_and_taken_when_asked() {
    let server = ModelServer::secure(&certified("another")).await;
    let ca_pem = Some(certified("localhost").cert.pem().into_bytes());
    let refused = outcome_of(spec(&server, TlsDraft { ca_pem, ..TlsDraft::default() }), row()).await;
    assert!(matches!(refused, Err(LoadError::Untrusted { .. })), "{refused:?}");
    assert_eq!(*server.seen.requests.borrow(), 0);
    let insecure = TlsDraft { insecure: true, ..TlsDraft::default() };
    let (outcome, _) = outcome_of(spec(&server, insecure), row()).await.unwrap();
    assert_eq!(outcome.totals.tally().counts.completed, 15);
}

#[tokio::test]
async fn a_target_that_stops_to_speak_tls_is_an_error_of_its_own_class() {
    let certified_key = certified("localhost");
    let server = ModelServer::secure_once(&certified_key).await;
    let insecure = TlsDraft { insecure: true, ..TlsDraft::default() };
    let (outcome, _) = outcome_of(spec(&server, insecure), row()).await.unwrap();
    let counts = outcome.totals.tally().counts;
    assert_eq!((counts.errors.of(ErrorClass::Tls), counts.completed), (15, 0), "{counts:?}");
}
