//! The pages as the daemon asks for them, and the embedded assets against the policy that fences them in.

use serde_json::Value;

use super::super::handset::TEXT_CHARS_MAX;
use super::*;
use crate::host::clock::Clock;

struct Site {
    pages: Extra,
}

impl Site {
    fn new() -> Self {
        Self { pages: pages(Arc::new(Exchange::new(Clock::start(), 7, None))).expect("random numbers") }
    }

    fn ask(&self, method: &Method, path: &str, query: &str, body: &str) -> Option<(u16, String)> {
        let answer = (self.pages)(method, path, query, body.as_bytes())?;
        Some((answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    fn json(&self, path: &str, query: &str) -> Value {
        let (status, body) = self.ask(&Method::GET, path, query, "").expect("a page");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

#[test]
fn paths_and_methods() {
    let (site, endless) = (Site::new(), "x".repeat(20_000));
    let status = |method, path, query, body| site.ask(&method, path, query, body).map(|(status, _)| status);
    assert_eq!(status(Method::GET, "/", "", ""), Some(200));
    assert_eq!(status(Method::HEAD, "/inbox", "x=y", ""), Some(200));
    assert_eq!(status(Method::POST, "/", "", ""), Some(405));
    assert_eq!(status(Method::GET, "/dev/inbox.js", "", ""), Some(200));
    assert_eq!(status(Method::GET, "/dev/messages", "after=3", ""), Some(200));
    assert_eq!(status(Method::GET, "/dev/messages", "after=x", ""), Some(422));
    assert_eq!(status(Method::GET, "/dev/behaviour", "", ""), Some(405));
    assert_eq!(status(Method::POST, "/dev/behaviour", "", "{"), Some(422));
    assert_eq!(status(Method::POST, "/dev/behaviour", "", &endless), Some(413));
    assert_eq!(status(Method::GET, "/dev/handset", "", ""), Some(405));
    assert_eq!(status(Method::POST, "/dev/handset", "", "{"), Some(422));
    assert_eq!(status(Method::POST, "/dev/handset", "", &endless), Some(413));
    assert_eq!(status(Method::GET, "/dev/preview", "", ""), Some(405));
    assert_eq!(status(Method::POST, "/dev/preview", "", "{\"text\":1}"), Some(422));
    assert_eq!(status(Method::POST, "/dev/preview", "", &endless), Some(413));
    for elsewhere in ["/v1/messages", "/dev", "/dev/", "/dev/inbox.html", "/dev/../inbox"] {
        assert_eq!(status(Method::GET, elsewhere, "", ""), None, "{elsewhere}");
    }
}

#[test]
fn every_answer_is_fenced_in() {
    let site = Site::new();
    for (path, method) in [
        ("/", Method::GET),
        ("/dev/messages", Method::GET),
        ("/dev/behaviour", Method::POST),
        ("/dev/handset", Method::POST),
    ] {
        let answer = (site.pages)(&method, path, "", b"").expect("a page");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn switching_needs_the_token_of_this_process() {
    let site = Site::new();
    let told = site.json("/dev/sandbox", "");
    let token = told["token"].as_str().expect("token");
    let post = |token: &str, chaos: &str| {
        let body = format!("{{\"token\":\"{token}\",\"chaos\":{chaos}}}");
        site.ask(&Method::POST, "/dev/behaviour", "", &body).map(|(status, _)| status)
    };
    assert_eq!(post("0", "{\"throttle\":true}"), Some(403));
    assert_eq!(site.json("/dev/messages", "")["chaos"]["throttle"], false);
    assert_eq!(post(token, "{\"throttle\":true}"), Some(200));
    assert_eq!(site.json("/dev/messages", "")["chaos"]["throttle"], true);
    assert_eq!(post(token, "{\"unknown\":true}"), Some(422));
    assert_eq!(Site::new().json("/dev/sandbox", "")["token"].as_str().map(str::len), Some(32));
    assert_ne!(Site::new().json("/dev/sandbox", "")["token"], told["token"]);
}

#[test]
fn a_phone_writes_and_what_it_wrote_stands_in_the_inbox() {
    let site = Site::new();
    let told = site.json("/dev/sandbox", "");
    let token = told["token"].as_str().expect("token");
    let post = |token: &str, from: &str, to: &str, text: &str| {
        let body = json!({"token": token, "from": from, "to": to, "text": text}).to_string();
        site.ask(&Method::POST, "/dev/handset", "", &body).expect("a page").0
    };
    assert_eq!(post("0", "+4915112340000", "72345", "STOP"), 403);
    assert_eq!(post(token, "+4915112340000", "Stentor", "STOP"), 422);
    assert_eq!(site.json("/dev/messages", "")["messages"], json!([]));
    assert_eq!(post(token, "+4915112340000", "72345", "STOP"), 200);
    let shown = &site.json("/dev/messages", "")["messages"][0];
    assert_eq!(
        [&shown["written"], &shown["from"], &shown["to"], &shown["text"]],
        [true.into(), json!("+4915112340000"), json!("72345"), json!("STOP")].each_ref()
    );
    // The longest text fits, however its characters are escaped.
    assert_eq!(post(token, "+4915112340000", "72345", &"\u{1F44B}".repeat(TEXT_CHARS_MAX)), 200);
    let too_often = (0..100).map(|_| post(token, "+4915112340000", "72345", "STOP")).find(|status| *status != 200);
    assert_eq!(too_often, Some(429));
}

#[test]
fn a_text_is_measured_while_it_is_typed() {
    let body = json!({"text": "5\u{20AC}"}).to_string();
    let (status, told) = Site::new().ask(&Method::POST, "/dev/preview", "", &body).expect("a page");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, &told["units"], &told["parts"]), (200, &json!(3), &json!(1)));
}

#[test]
fn the_page_is_told_all_switches_and_all_magic_numbers() {
    let told = Site::new().json("/dev/sandbox", "");
    assert_eq!(told["switches"].as_array().map(Vec::len), Some(SWITCHES.len()));
    let magic = told["magic"].as_array().expect("magic numbers");
    assert_eq!(magic.len(), Magic::ALL.len());
    for (entry, magic) in magic.iter().zip(Magic::ALL) {
        let digits = entry["digits"].as_str().expect("digits");
        assert_eq!(Magic::of(digits.as_bytes()), Some(magic));
    }
}

/// The browser forbids what the policy does not allow, so the assets must not contain it, and files that they name must exist.
#[test]
fn assets_are_self_contained_and_consistent() {
    let [html, css, script] = ["/", "/dev/inbox.css", "/dev/inbox.js"]
        .map(|path| TEXTS.iter().find(|(known, ..)| *known == path).map(|(.., text)| *text).expect("asset"));
    for (text, forbidden) in [
        (html, &["style=", " onclick", "<style", "http://", "https://", "//cdn"][..]),
        (css, &["@import", "url(", "http:", "https:"]),
        (script, &["innerHTML", "outerHTML", "insertAdjacent", "eval(", "document.write", "http:", "https:", ".style"]),
    ] {
        for word in forbidden {
            assert!(!text.contains(word), "{word}");
        }
    }
    for (attribute, text) in [("src=\"", html), ("href=\"", html)] {
        for path in text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            let of_api = crate::http::openapi::document(1).contains(&format!("\"{path}\":{{"));
            // Not in the API's document: the sandbox's own paths, and those about the API itself.
            let beside = ["/dev/messages", "/v1/openapi.json", "/metrics"];
            let here = TEXTS.iter().any(|(known, ..)| *known == path) || beside.contains(&path);
            assert!(here || of_api, "{path}");
        }
    }
    assert!(html.contains(&format!("maxlength=\"{TEXT_CHARS_MAX}\"")), "as long as a phone may write");
    for id in script.split("at(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for id in html.split("for=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(html.contains(&format!("id=\"{id}\"")), "label for {id}");
    }
}
