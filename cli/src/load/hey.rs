//! hey's own spelling of flags, where this program's is another.
//!
//! hey's -n and -A mean the number of requests and a header; here they choose namespaces, as kubectl has
//! it. A URL is in no namespace, so after `load URL` they mean what hey means. Its words of several
//! letters after one dash are no flags to a parser that lets short flags be joined.

use std::ffi::OsString;

/// hey's flags that have a value, and what they are called here.
const WITH_VALUE: [(&str, &str); 3] = [("-n", "--requests"), ("-A", "--accept"), ("-host", "--host")];

/// hey's flags that ask for what is so here anyway, with a value or without: one CPU is used, answers are not
/// unpacked, and redirects are not followed.
const IDLE: [(&str, bool); 3] =
    [("-cpus", true), ("-disable-compression", false), ("-disable-redirects", false)];

/// The command line as this program spells it. What is not `load` of a URL stays as it is.
pub(crate) fn spelled(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let args: Vec<OsString> = args.collect();
    let is_url =
        |arg: &OsString| arg.to_str().is_some_and(|arg| arg.starts_with("http") && arg.contains("://"));
    if args.get(1).is_none_or(|command| command != "load") || !args.iter().any(is_url) {
        return args;
    }
    let mut spelled = Vec::with_capacity(args.len());
    // hey's flags may have their value behind an equals sign.
    let parted = args.into_iter().flat_map(|arg| match arg.to_str().and_then(|arg| arg.split_once('=')) {
        Some((flag, value)) if WITH_VALUE.into_iter().any(|(hey, _)| hey == flag) => {
            vec![flag.into(), value.into()]
        }
        _ => vec![arg],
    });
    let mut args = parted;
    while let Some(arg) = args.next() {
        let ours = WITH_VALUE.into_iter().find(|(hey, _)| arg == *hey);
        let idle = IDLE.into_iter().find(|(hey, _)| arg == *hey);
        match (ours, idle) {
            (Some((_, ours)), _) => spelled.push(ours.into()),
            (None, Some((_, has_value))) => drop(has_value.then(|| args.next())),
            (None, None) => spelled.push(arg),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let words = spelled(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn after_a_url_heys_flags_mean_what_they_mean_there() {
        let ours = "berth load --requests 200 -c 50 --accept text/plain --host model http://127.0.0.1:1/";
        assert_eq!(
            told("berth load -n 200 -c 50 -cpus 2 -A text/plain -host model http://127.0.0.1:1/"),
            ours
        );
        assert_eq!(told("berth load -disable-redirects http://a/ -m GET"), "berth load http://a/ -m GET");
        assert_eq!(told("berth load -n=9 http://a/?b=c"), "berth load --requests 9 http://a/?b=c");
    }

    #[test]
    fn of_anything_else_nothing_changes() {
        for line in ["berth load svc/model -n shop", "berth report -n shop -A", "berth load", "berth"] {
            assert_eq!(told(line), line);
        }
    }
}
