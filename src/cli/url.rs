//! The URL of a server: `http://host[:port][/path]`, `https://…`, or `unix:/path` of a socket. Parses and writes it; opens nothing.

use std::fmt;
use std::path::PathBuf;

use stentor_core::model::Quoted;

/// A server's URL. See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Url {
    /// Over TCP.
    Net {
        /// Whether TLS is used.
        is_secure: bool,
        /// A name, an IPv4 address, or an IPv6 address in brackets.
        host: String,
        /// At least 1.
        port: u16,
        /// Put before every path that is requested; without a slash at its end.
        path: String,
    },
    /// The path of a socket on this machine.
    Unix(PathBuf),
}

impl Url {
    /// Parses what was typed. The error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let such =
                "is not a URL such as http://127.0.0.1:8080, https://sms.example or unix:/run/stentor/admin.sock";
            format!("{} {such}", Quoted(text))
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let (is_secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) | None => return Err(wrong()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            Some(_) | None => (authority, if is_secure { 443 } else { 80 }),
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        let path_byte = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if host.is_empty() || !host.bytes().all(named) || !path.bytes().all(path_byte) {
            return Err(wrong());
        }
        Ok(Self::Net { is_secure, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// The value of `Host`, and the prefix of every path.
    pub(super) fn head(&self) -> (String, &str) {
        match self {
            Self::Net { host, port, path, .. } => (format!("{host}:{port}"), path),
            Self::Unix(_) => ("localhost".to_owned(), ""),
        }
    }

    /// Whether it is a Unix socket.
    pub(super) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net { is_secure, host, port, path } => {
                let scheme = if *is_secure { "https" } else { "http" };
                write!(out, "{scheme}://{host}:{port}{path}")
            }
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_or_refused() {
        let net = |is_secure, host: &str, port, path: &str| {
            Ok(Url::Net { is_secure, host: host.into(), port, path: path.into() })
        };
        assert_eq!(Url::parse("http://127.0.0.1:8080"), net(false, "127.0.0.1", 8080, ""));
        assert_eq!(Url::parse("http://sms.example/"), net(false, "sms.example", 80, ""));
        assert_eq!(Url::parse("https://sms.example"), net(true, "sms.example", 443, ""));
        assert_eq!(Url::parse("https://sms.example:8443/a"), net(true, "sms.example", 8443, "/a"));
        assert_eq!(Url::parse("http://[::1]:81/a/b/"), net(false, "[::1]", 81, "/a/b"));
        assert_eq!(Url::parse("http://[::1]"), net(false, "[::1]", 80, ""));
        for socket in ["unix:/run/a b.sock", "unix:///run/a b.sock"] {
            assert_eq!(Url::parse(socket), Ok(Url::Unix("/run/a b.sock".into())));
        }
        for wrong in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "https://",
            "http://a:b",
            "http://a:70000",
            "http://a b",
            "unix:a",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Url::parse("http://a/\r\nevil: 1").is_err());
    }

    #[test]
    fn it_is_written_as_it_can_be_typed() {
        for text in ["http://[::1]:81/a", "https://sms.example:443", "unix:/run/stentor/admin.sock"] {
            assert_eq!(Url::parse(text).expect("read").to_string(), text);
        }
    }
}
