//! The command line, and the way to the aggregator.

use std::net::TcpListener;

use crate::aggregator::{Aggregator, Script, port};
use crate::program::{berth, kubectl_berth, run};
use crate::sample;
use tonic::transport::Identity;

fn script() -> Script {
    Script { models: vec![sample::quiet_model()], ..Script::default() }
}

#[test]
fn an_aggregator_that_is_not_there_is_named_in_one_line_with_the_mend() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in [&["report"][..], &["explain", "1"], &["advise"], &["top"], &["roles"], &["report", "-w"]]
    {
        let ended = run(berth(&[command, &["--server", &format!("http://{address}")]].concat()));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{command:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(&address.to_string()), "{}", ended.stderr);
        assert!(ended.stderr.contains("is it running? Try `berth demo --keep`"), "{}", ended.stderr);
    }
}

#[test]
fn a_wrong_command_line_exits_2() {
    for args in [&["report", "--nonsense"][..], &["explain"], &["fly"], &[], &["report", "-o", "xml"]] {
        assert_eq!(run(berth(args)).code, Some(2), "{args:?}");
    }
}

#[test]
fn help_goes_to_stdout_and_documents_the_exit_codes() {
    let ended = run(berth(&["--help"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("6    stopped with Ctrl-C"), "{}", ended.stdout);
}

#[test]
fn the_plugin_speaks_of_itself_as_kubectl_finds_it() {
    let ended = run(kubectl_berth(&["report", "--help"]));
    assert!(ended.stdout.contains("Usage: kubectl berth report"), "{}", ended.stdout);
    assert!(ended.stdout.contains("  kubectl berth report -w -n refmodels"), "{}", ended.stdout);
}

#[test]
fn the_plugin_asks_a_server_where_one_is_named() {
    let aggregator = Aggregator::start(script());
    let mut command = kubectl_berth(&["report"]);
    command.env("BERTH_SERVER", aggregator.url());
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn an_https_server_is_trusted_by_the_certificate_that_signed_it_and_by_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let signed = |name: &str| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (file, pem) = (dir.path().join(name), made.cert.pem());
        std::fs::write(&file, &pem).unwrap();
        (file.to_str().unwrap().to_owned(), Identity::from_pem(pem, made.signing_key.serialize_pem()))
    };
    let (ca_file, identity) = signed("ca.pem");
    let (other_file, _) = signed("other.pem");
    let aggregator = Aggregator::on(&port(), script(), Some(identity));
    let report = |ca_file: &str| run(berth(&["report", "--server", aggregator.url(), "--ca-file", ca_file]));
    assert_eq!(report(&ca_file).code, Some(0), "{}", report(&ca_file).stderr);
    let refused = report(&other_file);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
}
