//! How a tenant's limits are told in headers: `RateLimit-Policy` says what each limit is, `RateLimit` how it stands
//! (draft-ietf-httpapi-ratelimit-headers-10; lists of RFC 9651). Knows no call and no meter.

use std::fmt::Write;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use stentor_core::admission::{Limit, Standing, Standings};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Adds the headers for the limits that the tenant has; a tenant without limits gets none.
pub(super) fn tell(standings: &Standings, headers: &mut HeaderMap) {
    let Standings { rate, quota } = standings;
    let (mut policy, mut state) = (String::new(), String::new());
    for (limit, standing) in [(Limit::Rate, rate), (Limit::Quota, quota)] {
        let Some(Standing { messages, window_s, left, renewed_in_s }) = standing else { continue };
        let (name, comma) = (limit.name(), if policy.is_empty() { "" } else { ", " });
        // Writing to a string cannot fail. The unit is not one of the draft's, which knows requests and bytes.
        let _ = write!(policy, "{comma}\"{name}\";q={messages};w={window_s};qu=\"messages\"");
        let _ = write!(state, "{comma}\"{name}\";r={left};t={renewed_in_s}");
    }
    for (name, text) in [(POLICY, policy), (STATE, state)] {
        if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(standings: Standings) -> Vec<String> {
        let mut headers = HeaderMap::new();
        tell(&standings, &mut headers);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("a text"))).collect()
    }

    #[test]
    fn each_limit_is_an_item_with_its_name() {
        let rate = Some(Standing { messages: 200, window_s: 1, left: 150, renewed_in_s: 1 });
        let quota = Some(Standing { messages: 5_000, window_s: 86_400, left: 0, renewed_in_s: 3_600 });
        let both = [
            r#"ratelimit-policy: "rate";q=200;w=1;qu="messages", "quota";q=5000;w=86400;qu="messages""#,
            r#"ratelimit: "rate";r=150;t=1, "quota";r=0;t=3600"#,
        ];
        assert_eq!(told(Standings { rate, quota }), both);
        let one = [r#"ratelimit-policy: "quota";q=5000;w=86400;qu="messages""#, r#"ratelimit: "quota";r=0;t=3600"#];
        assert_eq!(told(Standings { rate: None, quota }), one);
        assert_eq!(told(Standings::default()), [""; 0]);
    }
}
