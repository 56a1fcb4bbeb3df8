//! The one place that takes a URL apart.
//!
//! Strict: `scheme://host[:port][rest]`, no user, no fragment, printable ASCII. Deliberately absent:
//! every other form of RFC 3986; nobody addresses a server or a model by one.

/// A URL in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// With its port, if it has one.
    pub(crate) authority: &'a str,
    /// A name or an address; of IPv6 in brackets.
    pub(crate) host: &'a str,
    /// If one is named; never 0.
    pub(crate) port: Option<u16>,
    /// Path and query; may be empty.
    pub(crate) rest: &'a str,
}

impl<'a> Url<'a> {
    /// `None` for what is not such a URL.
    pub(crate) fn split(url: &'a str) -> Option<Self> {
        let (scheme, after) = url.split_once("://")?;
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port_number(port)?)),
            Some(_) | None => (authority, None),
        };
        let is_printable = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let is_known = matches!(scheme, "http" | "https");
        (is_known && is_host(host) && is_printable).then_some(Self { scheme, authority, host, port, rest })
    }

    /// Whether the host is this machine, by its name alone.
    pub(crate) fn is_loopback(&self) -> bool {
        let is_v4 = |host: &str| {
            let parts: Option<Vec<u8>> = host.split('.').map(|part| part.parse().ok()).collect();
            parts.is_some_and(|parts| matches!(parts[..], [127, _, _, _]))
        };
        matches!(self.host, "localhost" | "[::1]") || is_v4(self.host)
    }
}

fn port_number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.contains(':') && v6.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => !host.is_empty() && host.bytes().all(is_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart_into_host_port_and_rest() {
        for (url, host, port, rest) in [
            ("http://model:5111/predict", "model", Some(5111), "/predict"),
            ("https://model", "model", None, ""),
            ("http://[::1]:80/v1?x=1", "[::1]", Some(80), "/v1?x=1"),
            ("http://[::1]", "[::1]", None, ""),
            ("http://model?x=http://y", "model", None, "?x=http://y"),
        ] {
            let parts = Url::split(url).unwrap();
            assert_eq!((parts.host, parts.port, parts.rest), (host, port, rest), "{url}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for url in [
            "",
            "model:5111",
            "ftp://model/",
            "HTTP://model/",
            "http://",
            "http:///x",
            "http://:80/",
            "http://me@model/",
            "http://me:word@model:80/",
            "http://model:/",
            "http://model:0/",
            "http://model:+1/",
            "http://model:65536/",
            "http://::1/",
            "http://[]:80/",
            "http://a b/",
            "http://model/a b",
            "http://model/#part",
            "http://model/\u{e9}",
            "http://mod\u{e9}l/",
        ] {
            assert_eq!(Url::split(url), None, "{url}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is_loopback = |host: &str| Url::split(&format!("http://{host}:1")).unwrap().is_loopback();
        for host in ["127.0.0.1", "127.9.8.7", "localhost", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["128.0.0.1", "127.0.0.1.example", "127.0.0.1.1", "127.0.1", "localhost.example", "[::2]"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
