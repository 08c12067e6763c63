//! Every error of the API: its code, its status, whether trying again helps, and its page. Answers are RFC 9457
//! `application/problem+json`. Knows no call: the caller chooses the code and adds the detail.

use std::borrow::Cow;

use hyper::{
    Request, Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    http::uri::Authority,
};

use super::{
    body::{BodyError, ResponseBody},
    json::Object,
    memory::NoRoom,
    unread,
};
use stentor_core::model::{Quoted, Refusal};

/// Bytes of failed messages that one answer reports in full; for those after that it gives only the code, or only
/// their number.
pub const ERRORS_BYTES_MAX: usize = 256 << 10;

/// Longest `Host` that is used in an address: name and port, in bytes.
const HOST_BYTES_MAX: usize = 262;

/// Whether the same request may succeed later, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Not before something is changed.
    No,
    /// Yes; with an idempotency key this creates no second message.
    Yes,
}
use Again::{No, Yes};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $status:literal, $again:ident, $title:literal;)*) => {
        /// What went wrong. The text of each code is stable; its page is compiled in, so that none can lack one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* #[doc = $title] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text, as in answers and in the name of its page.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status of a request that ends with this error.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The title in answers.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            const fn again(self) -> Again {
                match self { $(Self::$name => $again,)* }
            }

            /// Its page, as Markdown.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../../docs/errors/", $code, ".md")),)* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json", 400, No, "The JSON is malformed or not of the expected shape";
    InvalidUtf8 = "invalid_utf8", 400, No, "The body is not valid UTF-8";
    UnknownField = "unknown_field", 422, No, "There is no such field";
    DuplicateField = "duplicate_field", 422, No, "A field is given twice";
    InvalidType = "invalid_type", 422, No, "A field's value is of the wrong type";
    MissingField = "missing_field", 422, No, "A field is missing";
    ConflictingFields = "conflicting_fields", 422, No, "Two fields exclude each other";
    LineTooLarge = "line_too_large", 413, No, "One message is too large";
    InvalidRecipient = "invalid_recipient", 422, No, "The recipient is not a phone number";
    CountryNotAllowed = "country_not_allowed", 403, No, "You may not send to the recipient's country";
    RecipientNotAllowed = "recipient_not_allowed", 403, No, "You may not send to this number";
    InvalidSender = "invalid_sender", 422, No, "The sender is not valid";
    SenderNotAllowed = "sender_not_allowed", 403, No, "You may not use this sender";
    ClassNotAllowed = "class_not_allowed", 403, No, "You may not use this class";
    InvalidBody = "invalid_body", 422, No, "The body is empty or too long";
    InvalidData = "invalid_data", 422, No, "The data is not base64, or is empty or too long";
    InvalidUdh = "invalid_udh", 422, No, "The user data header is malformed";
    Unencodable = "unencodable", 422, No, "A character cannot be written in the requested encoding";
    TooManyParts = "too_many_parts", 422, No, "The message takes more parts than allowed";
    InvalidClass = "invalid_class", 422, No, "There is no such class";
    InvalidKey = "invalid_key", 422, No, "The idempotency key is empty or too long";
    InvalidTime = "invalid_time", 422, No, "A time is malformed or out of range";
    InvalidEncoding = "invalid_encoding", 422, No, "There is no such encoding";
    InvalidPartsMax = "invalid_parts_max", 422, No, "The number of parts is out of range";
    InvalidTlvs = "invalid_tlvs", 422, No, "An SMPP parameter is malformed or reserved";
    InvalidRef = "invalid_ref", 422, No, "The reference is too long";
    InvalidTags = "invalid_tags", 422, No, "A tag is malformed or there are too many";
    NoRoute = "no_route", 422, No, "No route leads to the recipient";
    AlreadyExpired = "already_expired", 422, No, "The message would expire before it could be sent";
    KeyReused = "key_reused", 409, No, "The key was already used with different content";
    KeyWindowFull = "key_window_full", 503, Yes, "No more keys can be remembered for now";
    OverQuota = "over_quota", 429, Yes, "Your rate or quota is used up";
    QueueFull = "queue_full", 503, Yes, "The queue is full";
    QueueShareFull = "queue_share_full", 429, Yes, "Your share of the queue is used up";
    KeyShareFull = "key_share_full", 429, Yes, "Your share of the keys that can be remembered is used up";
    OverLimit = "over_limit", 429, Yes, "A limit for such messages is used up";
    LimitsFull = "limits_full", 503, Yes, "No more counters for limits can be kept for now";
    QueueSlow = "queue_slow", 503, Yes, "The message would have to wait too long";
    Draining = "draining", 503, Yes, "The server is stopping";
    DiskFull = "disk_full", 503, Yes, "The disk is full";
    Overloaded = "overloaded", 503, Yes, "The server is busy";
    MalformedRequest = "malformed_request", 400, No, "The request's head is incomplete or ambiguous";
    MalformedBody = "malformed_body", 400, No, "The body ended early or does not decode";
    BodyTimeout = "body_timeout", 408, Yes, "The body came too slowly";
    BodyTooLarge = "body_too_large", 413, No, "The body is too large";
    TooManyMessages = "too_many_messages", 413, No, "The request holds too many messages";
    UnsupportedMediaType = "unsupported_media_type", 415, No, "The body's media type is not supported";
    UnsupportedEncoding = "unsupported_encoding", 415, No, "The body's compression is not supported";
    NoMessages = "no_messages", 422, No, "The request holds no message";
    NothingAccepted = "nothing_accepted", 422, No, "No message was accepted, for different reasons";
    InvalidParameter = "invalid_parameter", 422, No, "A query parameter is unknown or malformed";
    UnknownName = "unknown_name", 404, No, "Nothing in the configuration has this name";
    InvalidCursor = "invalid_cursor", 422, No, "The cursor was not issued by this server";
    InvalidReader = "invalid_reader", 422, No, "The name of a reader is malformed";
    ReaderNotFound = "reader_not_found", 404, No, "There is no such reader";
    TooManyReaders = "too_many_readers", 409, No, "The tenant has the maximum number of readers";
    ReaderConflict = "reader_conflict", 409, No, "The request's parameters conflict with the reader";
    CursorGoesBack = "cursor_goes_back", 409, No, "The reader has already confirmed a later position";
    Unauthorized = "unauthorized", 401, No, "The key is missing or unknown";
    Forbidden = "forbidden", 403, No, "This key, or this client address, may not do that";
    HostNotAllowed = "host_not_allowed", 421, No, "The request is not meant for this server";
    NotFound = "not_found", 404, No, "There is nothing at this path";
    MessageNotFound = "message_not_found", 404, No, "There is no such message";
    MessageGone = "message_gone", 410, No, "The message's history is past its retention";
    MethodNotAllowed = "method_not_allowed", 405, No, "The path does not support this method";
    TooLateToCancel = "too_late_to_cancel", 409, No, "The message is with a carrier or already final";
    NotInDoubt = "not_in_doubt", 409, No, "The message is not in doubt";
    BackupUnderWay = "backup_under_way", 409, Yes, "A backup is already being made";
    Unreadable = "unreadable", 500, Yes, "The store could not be read";
    Internal = "internal", 500, Yes, "The server made a mistake";
}

impl Code {
    /// Whether the same request may succeed later, unchanged.
    pub const fn retryable(self) -> bool {
        match self.again() {
            No => false,
            Yes => true,
        }
    }

    /// The code with exactly this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.text() == text)
    }

    /// The path of its page on this server.
    pub fn doc_url(self) -> String {
        format!("/docs/errors/{}", self.text())
    }
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::QueueFull => Self::QueueFull,
            Refusal::KeyWindowFull => Self::KeyWindowFull,
            Refusal::KeyReused => Self::KeyReused,
            Refusal::AlreadyExpired => Self::AlreadyExpired,
            Refusal::Draining => Self::Draining,
            Refusal::NoRoute => Self::NoRoute,
            Refusal::OverQuota => Self::OverQuota,
            Refusal::DiskFull => Self::DiskFull,
            Refusal::QueueShareFull => Self::QueueShareFull,
            Refusal::KeyShareFull => Self::KeyShareFull,
            Refusal::OverLimit => Self::OverLimit,
            Refusal::LimitsFull => Self::LimitsFull,
            Refusal::QueueSlow => Self::QueueSlow,
        }
    }
}

/// What is wrong with one message. Not an error type: a refused message is an outcome of the request, not its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub code: Code,
    /// The field that is to blame, if one is.
    pub field: Option<Cow<'static, str>>,
    /// What is wrong and what would be right; for people.
    pub detail: Cow<'static, str>,
    /// What else is wrong with the same message; their own `also` is empty.
    pub also: Vec<Flaw>,
}

impl Flaw {
    /// A flaw of a field.
    pub fn of(code: Code, field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, field: Some(field.into()), detail: detail.into(), also: Vec::new() }
    }

    /// A flaw of the message as a whole.
    pub fn whole(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, field: None, detail: detail.into(), also: Vec::new() }
    }

    /// The flaw for a shard's refusal.
    pub fn refused(refusal: Refusal) -> Self {
        let code = Code::from(refusal);
        let field = match refusal {
            Refusal::KeyReused | Refusal::KeyWindowFull | Refusal::KeyShareFull => Some("key"),
            Refusal::NoRoute => Some("to"),
            Refusal::AlreadyExpired => Some("expires_at"),
            Refusal::QueueFull
            | Refusal::QueueShareFull
            | Refusal::Draining
            | Refusal::OverQuota
            | Refusal::OverLimit
            | Refusal::LimitsFull
            | Refusal::QueueSlow
            | Refusal::DiskFull => None,
        };
        Self { field: field.map(Cow::Borrowed), ..Self::whole(code, code.title()) }
    }

    /// One flaw for all that is wrong with a message: the first, with the others in `also`; `None` if there are none.
    pub fn all(flaws: Vec<Self>) -> Option<Self> {
        let mut flaws = flaws.into_iter();
        let first = flaws.next()?;
        Some(Self { also: flaws.collect(), ..first })
    }

    /// This flaw and those in `also`.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.also)
    }

    /// All of it as one sentence: each detail with its field.
    pub fn told(&self) -> String {
        let tell = |flaw: &Self| match &flaw.field {
            Some(field) => format!("`{field}`: {}", flaw.detail),
            None => flaw.detail.to_string(),
        };
        self.each().map(tell).collect::<Vec<_>>().join("; ")
    }

    /// Bytes of its texts and of those in `also`.
    pub fn text_bytes(&self) -> usize {
        let texts = |flaw: &Self| flaw.detail.len() + flaw.field.as_ref().map_or(0, |field| field.len());
        self.each().map(texts).sum::<usize>() + self.also.len() * size_of::<Self>()
    }

    /// Drops the details, keeps the codes.
    pub fn in_short(&self) -> Self {
        Self { detail: Cow::Borrowed(""), also: Vec::new(), code: self.code, field: self.field.clone() }
    }

    /// Writes its members into an object that may hold others, and `also`.
    pub fn write(&self, object: &mut Object<'_>) {
        self.write_whole(0, object);
    }

    /// Like [`Self::write`], in an answer that has already reported `told` bytes of flaws.
    pub fn write_whole(&self, told: usize, object: &mut Object<'_>) {
        self.write_within(told, object);
        if told < ERRORS_BYTES_MAX && !self.also.is_empty() {
            object.list("also", &self.also, |out, flaw| {
                let mut item = Object::begin(out);
                flaw.write_within(told, &mut item);
                item.end();
            });
        }
    }

    /// Writes its own members in an answer that has already reported `told` bytes of flaws; above [`ERRORS_BYTES_MAX`] the
    /// detail is empty.
    pub fn write_within(&self, told: usize, object: &mut Object<'_>) {
        object.text("code", self.code.text());
        if let Some(field) = &self.field {
            object.text("field", field);
        }
        let detail = if told < ERRORS_BYTES_MAX { &*self.detail } else { "" };
        object.text("detail", detail).truth("retryable", self.code.retryable());
    }
}

/// The failure of a whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// HTTP status: the code's, except where it results from several messages.
    pub status: u16,
    /// What is wrong with this request; for people.
    pub detail: String,
    /// The messages that failed, by index; if they are many, only the first.
    pub items: Vec<(usize, Flaw)>,
    /// Number of messages that failed and are not listed.
    pub items_omitted: usize,
    /// Seconds until a retry makes sense; 0: not stated.
    pub retry_after_s: u32,
    /// The methods that the path supports, for 405.
    pub allow: Option<String>,
}

impl Problem {
    /// A problem without items. If a retry may help, it is suggested after one second, unless set otherwise.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = code.status();
        let retry_after_s = u32::from(matches!(status, 429 | 503));
        Self { code, status, detail: detail.into(), items: Vec::new(), items_omitted: 0, retry_after_s, allow: None }
    }

    /// A document that is not what was `wanted`. Says why, and quotes no more of it than may be quoted.
    pub fn unread(wanted: &str, document: &[u8], error: &serde_json::Error) -> Self {
        Self::new(Code::MalformedJson, format!("expected {wanted}: {}", unread::why(document, error)))
    }

    /// A body of another media type than `known`.
    pub fn media_type(came: Option<&HeaderValue>, known: &str) -> Self {
        let came = match came {
            Some(media) => format!("Content-Type: {} came", Quoted(&String::from_utf8_lossy(media.as_bytes()))),
            None => "Content-Type is missing".to_owned(),
        };
        Self::new(Code::UnsupportedMediaType, format!("{came}; this call takes {known}"))
    }

    /// The path exists, but does not support the method.
    pub fn method_not_allowed(allow: String) -> Self {
        let problem = Self::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        Self { allow: Some(allow), ..problem }
    }

    /// The only message of a request was refused.
    pub fn of_one(flaw: Flaw) -> Self {
        let problem = Self::new(flaw.code, flaw.told());
        Self { items: vec![(0, flaw)], ..problem }
    }

    /// The document of RFC 9457. `type` is the same for every host; `doc_url` is the full address of the page.
    pub fn write(&self, request_id: &str, asked_at: &AskedAt, out: &mut Vec<u8>) {
        let page = self.code.doc_url();
        let doc_url = asked_at.origin() + &page;
        let mut object = Object::begin(out);
        object.text("type", &page).text("title", self.code.title()).number("status", self.status);
        object.text("detail", &self.detail).text("code", self.code.text());
        let retryable = self.code.retryable() || matches!(self.status, 429 | 503);
        object.truth("retryable", retryable).text("request_id", request_id).text("doc_url", &doc_url);
        if !self.items.is_empty() {
            let each = self.items.iter().flat_map(|(index, flaw)| flaw.each().map(|flaw| (*index, flaw)));
            object.list("errors", each, |out, (index, flaw)| {
                let mut item = Object::begin(out);
                item.number("index", index as u64);
                flaw.write_within(0, &mut item);
                item.end();
            });
        }
        if self.items_omitted > 0 {
            object.number("errors_omitted", self.items_omitted as u64);
        }
        object.end();
    }

    /// The HTTP answer.
    pub fn answer(&self, request_id: &str, asked_at: &AskedAt) -> Response<ResponseBody> {
        let mut body = Vec::with_capacity(512);
        self.write(request_id, asked_at, &mut body);
        let mut answer = Response::new(ResponseBody::from(body));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.retry_after_s > 0 {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == Code::MalformedRequest {
            // It is just as unclear where the next request begins, so the connection is closed.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        answer
    }
}

/// Marks a request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Secure;

/// The address that a client used, so that links to pages have an address that the client can open.
#[derive(Clone, Debug, Default)]
pub struct AskedAt {
    host: Option<HeaderValue>,
    is_secure: bool,
}

impl AskedAt {
    /// From the request's `Host`; a proxy in front may report that it ended TLS.
    pub fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let ended = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let is_secure = ended || request.extensions().get::<Secure>().is_some();
        Self { host: headers.get(HOST).cloned(), is_secure }
    }

    /// Scheme and host; empty if the request named no usable host.
    fn origin(&self) -> String {
        let text = self.host.as_ref().and_then(|host| host.to_str().ok()).filter(|host| host.len() <= HOST_BYTES_MAX);
        let plain = |host: &&str| !host.contains('@') && host.parse::<Authority>().is_ok();
        let scheme = if self.is_secure { "https" } else { "http" };
        text.filter(plain).map_or_else(String::new, |host| format!("{scheme}://{host}"))
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge { .. } | BodyError::TooManyMembers { .. } => Code::BodyTooLarge,
            BodyError::Truncated | BodyError::Malformed | BodyError::BadEncoding => Code::MalformedBody,
            BodyError::UnsupportedEncoding => Code::UnsupportedEncoding,
            BodyError::Timeout | BodyError::OthersWait => Code::BodyTimeout,
            BodyError::NoRoom => Code::Overloaded,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NoRoom> for Problem {
    fn from(_: NoRoom) -> Self {
        Self::new(Code::Overloaded, "no memory became free in time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_core::model::DeadLetterReason;

    #[test]
    fn every_code_has_a_page_under_its_own_name() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# `{}`\n", code.text())), "{}", code.text());
            assert!(page.contains(&format!("HTTP {}", code.status())), "{}: the status", code.text());
            let retry = if code.retryable() { "Retry: yes" } else { "Retry: no" };
            assert!(page.contains(retry), "{}: {retry}", code.text());
            assert_eq!(Code::from_text(code.text()), Some(*code));
        }
    }

    #[test]
    fn every_reason_of_the_end_has_a_page() {
        for reason in (0..=u8::MAX).filter_map(DeadLetterReason::from_index) {
            let page = super::super::openapi::page(reason.code()).expect("page");
            assert!(page.starts_with(&format!("# `{}`\n", reason.code())), "{}", reason.code());
        }
    }

    #[test]
    fn a_refusal_says_the_same_on_both_floors() {
        for refusal in Refusal::ALL {
            let code = Code::from(refusal);
            let says = (code.text(), code.status(), code.retryable());
            assert_eq!(says, (refusal.code(), refusal.status(), refusal.retryable()));
        }
    }

    #[test]
    fn a_problem_is_a_whole_document() {
        let flaw = Flaw::of(Code::InvalidRecipient, "to", "no \"number\"");
        let mut out = Vec::new();
        Problem::of_one(flaw).write("r1", &AskedAt::default(), &mut out);
        let expected = concat!(
            r#"{"type":"/docs/errors/invalid_recipient","title":"The recipient is not a phone number","status":422,"#,
            r#""detail":"`to`: no \"number\"","code":"invalid_recipient","retryable":false,"request_id":"r1","#,
            r#""doc_url":"/docs/errors/invalid_recipient","errors":[{"index":0,"code":"invalid_recipient","#,
            r#""field":"to","detail":"no \"number\"","retryable":false}]}"#
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn a_page_is_told_by_an_address_that_the_client_can_open() {
        let doc_url = |headers: &[(&str, &str)], is_secure: bool| {
            let mut request = Request::new(());
            for (name, value) in headers {
                let name: hyper::header::HeaderName = name.parse().expect("a name");
                request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            if is_secure {
                request.extensions_mut().insert(Secure);
            }
            let mut out = Vec::new();
            Problem::new(Code::NoRoute, "").write("r", &AskedAt::of(&request), &mut out);
            let document: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(document["type"], "/docs/errors/no_route");
            document["doc_url"].as_str().expect("a text").to_owned()
        };
        let page = "/docs/errors/no_route";
        assert_eq!(doc_url(&[("host", "sms.example:8080")], false), format!("http://sms.example:8080{page}"));
        assert_eq!(doc_url(&[("host", "[::1]:8443")], true), format!("https://[::1]:8443{page}"));
        let proxy = [("host", "sms.example"), ("x-forwarded-proto", "https")];
        assert_eq!(doc_url(&proxy, false), format!("https://sms.example{page}"));
        for none in ["", "user@host", "a b", "a/b", &"x".repeat(300)] {
            assert_eq!(doc_url(&[("host", none)], false), page, "{none}");
        }
        assert_eq!(doc_url(&[], true), page);
    }

    #[test]
    fn what_is_ours_or_your_quota_says_when_to_come_back() {
        for code in Code::ALL {
            let headers = Problem::new(*code, "").answer("r", &AskedAt::default()).headers().clone();
            assert_eq!(headers.contains_key(RETRY_AFTER), matches!(code.status(), 429 | 503), "{code:?}");
            assert_eq!(headers.contains_key(WWW_AUTHENTICATE), code.status() == 401);
        }
        let answer = Problem::method_not_allowed("GET, DELETE".to_owned()).answer("r", &AskedAt::default());
        assert_eq!(answer.headers()[ALLOW], "GET, DELETE");
    }
}
