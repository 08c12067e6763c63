//! Which request heads are refused before anything else of the request is looked at. Pure.
//!
//! - Heads that two readers could understand differently (RFC 9112, 3.2 and 6.1): no `Host` or two, two keys, a transfer coding
//!   other than `chunked` alone.
//! - Where no key is needed, requests that a browser may have been tricked into sending: by a page of another site whose name is
//!   made to resolve to this machine (DNS rebinding), or by a page of another program on this machine. Such a request carries the
//!   site's name in `Host` or in `Origin`. Only the configuration knows which names are this server's.

use std::net::{IpAddr, Ipv6Addr};

use hyper::{
    Version,
    header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING},
    http::request::Parts,
};

use super::problem::{Code, Problem};
use stentor_core::model::Quoted;

/// Refuses a head that can be read in two ways.
///
/// # Errors
/// [`Code::MalformedRequest`].
pub fn check(head: &Parts) -> Result<(), Problem> {
    let wrong = |detail: &str| Err(Problem::new(Code::MalformedRequest, detail));
    match count(head, HOST) {
        0 if head.version > Version::HTTP_10 => return wrong("`Host` is missing"),
        0 | 1 => {}
        _ => return wrong("`Host` is given more than once"),
    }
    if count(head, AUTHORIZATION) > 1 {
        return wrong("`Authorization` is given more than once");
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        (Some(_), _) => {
            wrong("`Transfer-Encoding` must be `chunked` or absent; use `Content-Encoding` for a compressed body")
        }
    }
}

fn count(head: &Parts, name: HeaderName) -> usize {
    head.headers.get_all(name).iter().count()
}

/// Names under which this server is called, besides any IP address and `localhost`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Authority>);

/// Name or address, in lower case, and the port if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Hosts {
    /// Those of `names` that can be parsed; each is `name` (with any port) or `name:port`.
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().filter_map(|name| Authority::parse(name)).collect())
    }

    /// Whether a name can be parsed.
    pub fn understands(name: &str) -> bool {
        Authority::parse(name).is_some()
    }

    /// Refuses a request that is meant for another server, or was sent by a page of another site. Used where no key is needed.
    ///
    /// # Errors
    /// [`Code::HostNotAllowed`].
    pub fn judge(&self, head: &Parts) -> Result<(), Problem> {
        // If the request line names a host, it counts instead of `Host` (RFC 9112, 3.2.2).
        let of_line = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let named = of_line.or_else(|| head.headers.get(HOST).map(HeaderValue::as_bytes));
        let host = match named {
            // HTTP/1.0, which browsers do not speak.
            None => None,
            Some(named) => Some(self.ours(named).ok_or_else(|| not_ours("Host", named))?),
        };
        let mut origins = head.headers.get_all(ORIGIN).iter();
        match origins.find(|origin| !self.is_known(origin, host.as_ref())) {
            Some(foreign) => Err(not_ours("Origin", foreign.as_bytes())),
            None => Ok(()),
        }
    }

    fn ours(&self, named: &[u8]) -> Option<Authority> {
        let named = Authority::parse(std::str::from_utf8(named).ok()?)?;
        // An address cannot be made to resolve elsewhere, and browsers do not look `localhost` up.
        let is_ours = named.host == "localhost" || named.is_address() || self.holds(&named);
        is_ours.then_some(named)
    }

    fn holds(&self, named: &Authority) -> bool {
        self.0.iter().any(|known| known.host == named.host && (known.port.is_none() || known.port == named.port))
    }

    /// Whether the page is this server's own, or of a configured name. `null`, which any page can be made to send, is not.
    fn is_known(&self, origin: &HeaderValue, host: Option<&Authority>) -> bool {
        let parts = origin.to_str().ok().and_then(|origin| origin.trim().split_once("://"));
        let Some((scheme, page)) = parts.and_then(|(scheme, page)| Some((scheme, Authority::parse(page)?))) else {
            return false;
        };
        let usual = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let with_port = |named: &Authority| (named.host.clone(), named.port.or(usual));
        host.is_some_and(|host| with_port(host) == with_port(&page)) || self.holds(&page)
    }
}

impl Authority {
    /// Parses `name`, `name:port`, `address:port`, `[v6]` and `[v6]:port`.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<Ipv6Addr>().ok()?;
            (inside, after)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let (host, after) = text.split_at(end);
            let host = host.strip_suffix('.').unwrap_or(host);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if host.is_empty() || !host.bytes().all(is_plain) {
                return None;
            }
            (host, after)
        };
        let port = match port {
            "" | ":" => None,
            port => {
                let digits =
                    port.strip_prefix(':').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
                Some(digits.parse().ok()?)
            }
        };
        Some(Self { host: host.to_ascii_lowercase(), port })
    }

    fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

fn not_ours(header: &str, value: &[u8]) -> Problem {
    let value = String::from_utf8_lossy(value);
    let ours = match header {
        "Host" => "an IP address, `localhost`",
        _ => "the same as `Host`",
    };
    let detail = format!(
        "`{header}` is {}; without keys it must be {ours} or a name in `http.hosts` of the configuration",
        Quoted(&value)
    );
    Problem::new(Code::HostNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(version: Version, uri: &str, headers: &[(HeaderName, &str)]) -> Parts {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let checked = |version, headers: &[(HeaderName, &str)]| {
            check(&head(version, "/", headers)).map_err(|problem| (problem.status, problem.code))
        };
        let wrong = Err((400, Code::MalformedRequest));
        let host = (HOST, "a");
        let coded = |coding: &'static str| (TRANSFER_ENCODING, coding);
        for (headers, judged) in [
            (vec![host.clone()], Ok(())),
            (vec![(HOST, "")], Ok(())),
            (vec![], wrong),
            (vec![host.clone(), (HOST, "b")], wrong),
            (vec![host.clone(), host.clone()], wrong),
            (vec![host.clone(), (AUTHORIZATION, "Bearer a")], Ok(())),
            (vec![host.clone(), (AUTHORIZATION, "Bearer a"), (AUTHORIZATION, "Bearer a")], wrong),
            (vec![host.clone(), coded("chunked")], Ok(())),
            (vec![host.clone(), coded("Chunked ")], Ok(())),
            (vec![host.clone(), coded("gzip, chunked")], wrong),
            (vec![host.clone(), coded("gzip"), coded("chunked")], wrong),
            (vec![host.clone(), coded("chunked"), coded("chunked")], wrong),
            (vec![host.clone(), coded("identity")], wrong),
        ] {
            assert_eq!(checked(Version::HTTP_11, &headers), judged, "{headers:?}");
        }
        assert_eq!(checked(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_10, &[host.clone(), host]), wrong);
    }

    #[test]
    fn who_is_called_by_another_name_or_from_a_foreign_page_refuses() {
        let hosts = Hosts::new(&["Stentor.example".to_owned(), "sms.example:8080".to_owned()]);
        let none = "-";
        for (host, origin, is_ours) in [
            ("127.0.0.1:8080", none, true),
            ("[::1]:8080", none, true),
            ("192.0.2.1", none, true),
            ("localhost", none, true),
            ("LOCALHOST.:8080", none, true),
            ("stentor.EXAMPLE:9", none, true),
            ("sms.example:8080", none, true),
            ("sms.example", none, false),
            ("sms.example:8081", none, false),
            ("attacker.example:8080", none, false),
            ("localhost.attacker.example", none, false),
            ("127.0.0.1.attacker.example", none, false),
            ("127.1", none, false),
            ("[::1", none, false),
            ("localhost:80:80", none, false),
            ("user@localhost", none, false),
            ("", none, false),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "https://127.0.0.1:8080", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("localhost", "http://localhost:80", true),
            ("localhost:443", "https://localhost", true),
            ("localhost", "https://localhost:80", false),
            ("localhost:8080", "http://localhost:3000", false),
            ("localhost:8080", "http://127.0.0.1:8080", false),
            ("localhost:8080", "http://attacker.example", false),
            ("localhost:8080", "http://stentor.example:3000", true),
            ("localhost:8080", "null", false),
            ("localhost:8080", "", false),
            ("localhost:8080", "http://localhost:8080/", false),
            ("attacker.example", "http://attacker.example", false),
        ] {
            let mut headers = vec![(HOST, host)];
            headers.extend(Some((ORIGIN, origin)).filter(|_| origin != none));
            let judged = hosts.judge(&head(Version::HTTP_11, "/", &headers));
            assert_eq!(judged.is_ok(), is_ours, "{host} {origin}: {judged:?}");
            if let Err(problem) = judged {
                assert!(problem.status == 421 && problem.detail.contains("http.hosts"), "{}", problem.detail);
            }
        }
    }

    #[test]
    fn what_the_request_line_names_counts() {
        let judged = |version, uri: &str, headers: &[(HeaderName, &str)]| {
            Hosts::default().judge(&head(version, uri, headers)).map_err(|problem| problem.code)
        };
        let foreign = Err(Code::HostNotAllowed);
        assert_eq!(judged(Version::HTTP_11, "http://attacker.example/", &[(HOST, "localhost")]), foreign);
        assert_eq!(judged(Version::HTTP_11, "http://localhost/", &[(HOST, "attacker.example")]), Ok(()));
        assert_eq!(judged(Version::HTTP_10, "/", &[]), Ok(()), "no browser");
        assert_eq!(judged(Version::HTTP_10, "/", &[(ORIGIN, "http://localhost")]), foreign);
        let two = [(HOST, "localhost"), (ORIGIN, "http://localhost"), (ORIGIN, "http://attacker.example")];
        assert_eq!(judged(Version::HTTP_11, "/", &two), foreign);
    }
}
