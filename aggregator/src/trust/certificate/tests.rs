use super::*;

/// 2026-01-01.
const NOW: Duration = Duration::from_secs(1_767_225_600);

fn names() -> Vec<String> {
    ["berth-aggregator.berth-system.svc", "localhost"].map(str::to_owned).into()
}

fn made() -> Pems {
    settle(&Pems::new(), &names(), NOW).unwrap().write.unwrap()
}

fn without(pems: &Pems, name: &str) -> Pems {
    pems.iter().filter(|(key, _)| *key != name).map(|(key, pem)| (key.clone(), pem.clone())).collect()
}

#[test]
fn from_nothing_an_authority_and_a_certificate_are_made_and_then_left_alone() {
    // Empty values are what an edit by hand leaves.
    let empty = [CA_CRT, TLS_KEY].map(|name| (name.to_owned(), "\n".to_owned())).into();
    let made = settle(&empty, &names(), NOW).unwrap();
    let pems = made.write.unwrap();
    assert_eq!(pems.keys().map(String::as_str).collect::<Vec<_>>(), [CA_CRT, CA_KEY, TLS_CRT, TLS_KEY]);
    let again = settle(&pems, &names(), NOW).unwrap();
    assert_eq!((again.key.cert, again.write), (made.key.cert, None));
    assert_eq!(again.ca, pems[CA_CRT]);
}

#[test]
fn a_client_believes_it_under_its_names_only_and_while_it_lasts() {
    let pems = made();
    let key = pair(pems[TLS_CRT].as_bytes(), pems[TLS_KEY].as_bytes()).unwrap();
    let (ca, other) = (&pems[CA_CRT], made().remove(CA_CRT).unwrap());
    let is_believed = |ca: &str, name: &str, at| believed(ca, &key, &[name.to_owned()], at).is_ok();
    assert!(is_believed(ca, "localhost", NOW) && is_believed(ca, "localhost", NOW.saturating_sub(DAY / 2)));
    assert!(!is_believed(&other, "localhost", NOW), "another authority of the same name");
    assert!(!is_believed(ca, "example.com", NOW));
    assert!(!is_believed(ca, "localhost", NOW.saturating_sub(2 * DAY)));
    assert!(!is_believed(ca, "localhost", NOW + LIFETIME + DAY));
}

#[test]
fn a_month_before_its_end_the_same_authority_signs_a_new_one() {
    let pems = made();
    let last = (NOW + LIFETIME).saturating_sub(RENEWED_BEFORE);
    assert_eq!(settle(&pems, &names(), last.saturating_sub(DAY)).unwrap().write, None);
    let renewed = settle(&pems, &names(), last + DAY).unwrap().write.unwrap();
    assert_eq!((&renewed[CA_CRT], &renewed[CA_KEY]), (&pems[CA_CRT], &pems[CA_KEY]));
    assert_ne!(renewed[TLS_CRT], pems[TLS_CRT]);
}

#[test]
fn what_does_not_serve_is_signed_anew() {
    let (pems, other) = (made(), made());
    let more = [names(), vec!["berth.example".to_owned()]].concat();
    let mut foreign = pems.clone();
    foreign.extend([TLS_CRT, TLS_KEY].map(|name| (name.to_owned(), other[name].clone())));
    let mut torn = pems.clone();
    torn.insert(TLS_KEY.to_owned(), other[TLS_KEY].clone());
    for (what, kept, names) in [
        ("a name more", &pems, &more),
        ("signed by another authority", &foreign, &names()),
        ("a key of another certificate", &torn, &names()),
        ("no key", &without(&pems, TLS_KEY), &names()),
    ] {
        let settled = settle(kept, names, NOW).unwrap();
        let written = settled.write.unwrap_or_else(|| panic!("{what}"));
        assert_eq!(written[CA_KEY], pems[CA_KEY], "{what}");
        assert_eq!(settle(&written, names, NOW).unwrap().write, None, "{what}");
    }
}

#[test]
fn a_certificate_that_somebody_else_keeps_is_served_as_it_is() {
    let theirs = without(&made(), CA_KEY);
    // Even when it has ended: whoever made it renews it.
    let settled = settle(&theirs, &names(), NOW + 2 * LIFETIME).unwrap();
    assert_eq!((settled.write, settled.ca), (None, theirs[CA_CRT].clone()));
}

#[test]
fn a_key_of_somebody_elses_is_never_written_over() {
    let (pems, other) = (made(), made());
    let with = |name: &str, pem: &str| {
        let mut pems = pems.clone();
        pems.insert(name.to_owned(), pem.to_owned());
        pems
    };
    for (kept, said) in [
        (with(CA_KEY, &other[CA_KEY]), "leave"),
        (without(&pems, CA_CRT), "ca.crt is missing"),
        (without(&without(&pems, CA_KEY), TLS_KEY), "ca.key is missing"),
        (without(&with(TLS_KEY, &other[TLS_KEY]), CA_KEY), "do not serve"),
        (without(&with(TLS_CRT, "garbage"), CA_KEY), "do not serve"),
    ] {
        match settle(&kept, &names(), NOW) {
            // The serving certificate still works, so the authority's key is not needed yet.
            Ok(settled) => assert_eq!((said, settled.write), ("leave", None)),
            Err(error) => assert!(error.to_string().contains(said), "{error}"),
        }
    }
    let unusable = with(CA_KEY, &other[CA_KEY]);
    let error = settle(&unusable, &names(), NOW + LIFETIME).unwrap_err();
    assert!(error.to_string().contains("empty both"), "{error}");
}
