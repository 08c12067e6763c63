//! Every call of the API in one table, from which both the router and the documentation are made. Knows paths, methods, scopes and
//! shapes; answers nothing.

use super::auth::Scope;

/// What a call does; implemented in `api`, `submit`, `inquiry` and their neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Submit,
    Search,
    Show,
    Cancel,
    Lookup,
    Records,
    Readers,
    Confirm,
    EndReader,
    Inbound,
    InDoubt,
    Resolve,
    Queues,
    Carriers,
    Limits,
    Backup,
    Restored,
    Release,
    OpenApi,
    ErrorIndex,
    ErrorPage,
    Alive,
    Ready,
    Metrics,
}

/// A parameter in the path, the query or a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// `query`, `header` or `path`.
    pub place: &'static str,
    /// Name of the parameter as it is sent.
    pub name: &'static str,
    /// Its JSON schema, as JSON. An `enum` that is a text is the name of a list: see `openapi::names`.
    pub schema: &'static str,
    /// Its text in the OpenAPI document.
    pub doc: &'static str,
}

/// One kind of answer of a call.
#[derive(Clone, Copy, Debug)]
pub struct AnswerDoc {
    /// HTTP status.
    pub status: u16,
    pub media: &'static str,
    /// Name of its schema; empty: plain text.
    pub schema: &'static str,
    pub doc: &'static str,
}

/// One call of the API.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// HTTP method.
    pub method: &'static str,
    /// Path, with parameters in braces.
    pub path: &'static str,
    pub what: What,
    /// The scope that a caller needs.
    pub scope: Scope,
    /// One line for the documentation.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    /// Media types of its body, and the schema of each.
    pub bodies: &'static [(&'static str, &'static str)],
    /// Answers that are not problems.
    pub answers: &'static [AnswerDoc],
    /// HTTP statuses of its problems.
    pub problems: &'static [u16],
}

/// Placeholder in a `pattern` for the expression of a cursor, which depends on the number of shards.
pub const CURSOR: &str = "CURSOR";

const JSON: &str = "application/json";

const ID: Parameter = Parameter {
    place: "path",
    name: "id",
    schema: r#"{"type":"string","format":"uuid"}"#,
    doc: "The id that the message was accepted under.",
};

const TENANT: Parameter = Parameter {
    place: "query",
    name: "tenant",
    schema: r#"{"type":"string"}"#,
    doc: "Messages of this tenant, or `*` for all tenants; each then names its tenant. Needs scope admin. Default: your own.",
};

const SUBMIT_PARAMETERS: &[Parameter] = &[
    Parameter {
        place: "query",
        name: "ack",
        schema: r#"{"type":"string","enum":["full","summary"],"default":"full"}"#,
        doc: "`summary`: counts and errors instead of a result for each message.",
    },
    Parameter {
        place: "header",
        name: "Idempotency-Key",
        schema: r#"{"type":"string","minLength":1,"maxLength":255}"#,
        doc: "For the whole request: the same request sent again gets the same ids; a different body is refused as `key_reused`.",
    },
];

const SEARCH_PARAMETERS: &[Parameter] = &[
    Parameter {
        place: "query",
        name: "to",
        schema: r#"{"type":"string","maxLength":64,"examples":["+4915112345678"]}"#,
        doc: "The recipient, written as in a message.",
    },
    Parameter {
        place: "query",
        name: "since",
        schema: r#"{"type":"string","format":"date-time"}"#,
        doc: "Only messages that were accepted then or later.",
    },
    Parameter {
        place: "query",
        name: "state",
        schema: r#"{"type":"string","enum":"STATE"}"#,
        doc: "Only messages in this state.",
    },
    Parameter {
        place: "query",
        name: "ref",
        schema: r#"{"type":"string","maxLength":256}"#,
        doc: "Only messages with this `ref`.",
    },
    Parameter {
        place: "query",
        name: "limit",
        schema: r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        doc: "The most messages to return.",
    },
    Parameter {
        place: "query",
        name: "cursor",
        schema: r#"{"type":"string","pattern":"^01[0-9a-f]{14}$"}"#,
        doc: "Where an earlier answer ended: its `next`.",
    },
    TENANT,
];

const RECORDS_PARAMETERS: &[Parameter] = &[
    Parameter {
        place: "query",
        name: "format",
        schema: r#"{"type":"string","enum":["ndjson","csv"]}"#,
        doc: "Default: by `Accept`, else NDJSON.",
    },
    Parameter {
        place: "query",
        name: "formulas",
        schema: r#"{"type":"string","enum":["plain","guard"],"default":"plain"}"#,
        doc: "`guard`: in CSV, a text of a client or carrier that a spreadsheet would take for a formula gets a `'` in front. No effect in NDJSON.",
    },
    Parameter {
        place: "query",
        name: "cursor",
        schema: r#"{"type":"string","pattern":"^CURSOR$"}"#,
        doc: "Where an earlier call ended.",
    },
    Parameter {
        place: "query",
        name: "limit",
        schema: r#"{"type":"integer","minimum":1,"maximum":18446744073709551615}"#,
        doc: "The most records to return. Default: all.",
    },
    Parameter {
        place: "query",
        name: "settled",
        schema: r#"{"type":"boolean","default":false}"#,
        doc: "Stop before messages that are not final yet, so that each record is read once and never changes.",
    },
    Parameter {
        place: "query",
        name: "reader",
        schema: r#"{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"}"#,
        doc: "Begin after the last record that this reader has confirmed; implies `settled=true`; `cursor` and `tenant` are refused as `reader_conflict`.",
    },
    TENANT,
];

const INBOUND_PARAMETERS: &[Parameter] = &[
    Parameter {
        place: "query",
        name: "cursor",
        schema: r#"{"type":"string","pattern":"^iCURSOR$"}"#,
        doc: "Where an earlier call ended.",
    },
    Parameter {
        place: "query",
        name: "limit",
        schema: r#"{"type":"integer","minimum":1,"maximum":18446744073709551615}"#,
        doc: "The most messages to return. Default: all.",
    },
    TENANT,
];

const READER: Parameter = Parameter {
    place: "path",
    name: "name",
    schema: r#"{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"}"#,
    doc: "The name of the reader.",
};

const IN_DOUBT_PARAMETERS: &[Parameter] = &[
    Parameter {
        place: "query",
        name: "tenant",
        schema: r#"{"type":"string"}"#,
        doc: "Only messages of this tenant; `*`: of all tenants, as by default.",
    },
    Parameter {
        place: "query",
        name: "carrier",
        schema: r#"{"type":"string"}"#,
        doc: "Only attempts at this carrier.",
    },
    Parameter {
        place: "query",
        name: "class",
        schema: r#"{"type":"string","enum":"CLASS"}"#,
        doc: "Only messages of this class.",
    },
    Parameter {
        place: "query",
        name: "reason",
        schema: r#"{"type":"string","enum":"REASON"}"#,
        doc: "Only attempts that are in doubt for this reason.",
    },
    Parameter {
        place: "query",
        name: "since",
        schema: r#"{"type":"string","format":"date-time"}"#,
        doc: "Only attempts that came into doubt then or later.",
    },
    Parameter {
        place: "query",
        name: "cursor",
        schema: r#"{"type":"string","pattern":"^CURSOR$"}"#,
        doc: "Where an earlier page ended: its `next`.",
    },
    Parameter {
        place: "query",
        name: "limit",
        schema: r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        doc: "The most entries to return.",
    },
];

const fn answer(status: u16, schema: &'static str, doc: &'static str) -> AnswerDoc {
    AnswerDoc { status, media: JSON, schema, doc }
}

const BARE: Call = Call {
    method: "GET",
    path: "",
    what: What::Alive,
    scope: Scope::Open,
    summary: "",
    parameters: &[],
    bodies: &[],
    answers: &[],
    problems: &[],
};

/// All calls.
pub const CALLS: &[Call] = &[
    Call {
        method: "POST",
        path: "/v1/messages",
        what: What::Submit,
        scope: Scope::Tenant,
        summary: "Send one or more messages. Answered once they are on stable storage.",
        parameters: SUBMIT_PARAMETERS,
        bodies: &[(JSON, "MessageOrMessages"), ("application/x-ndjson", "Message")],
        answers: &[answer(202, "Accepted", "At least one was accepted; results in the order of the request.")],
        problems: &[400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503],
    },
    Call {
        path: "/v1/messages",
        what: What::Search,
        scope: Scope::Tenant,
        summary: "Messages to a recipient, the newest first.",
        parameters: SEARCH_PARAMETERS,
        answers: &[answer(200, "FoundMessages", "The messages found so far, and where to go on.")],
        problems: &[401, 403, 404, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/messages/{id}",
        what: What::Show,
        scope: Scope::Tenant,
        summary: "The state of a message.",
        parameters: &[ID, TENANT],
        answers: &[answer(200, "MessageStatus", "State, attempts, timeline.")],
        problems: &[401, 403, 404, 410, 422, 500, 503],
        ..BARE
    },
    Call {
        method: "DELETE",
        path: "/v1/messages/{id}",
        what: What::Cancel,
        scope: Scope::Tenant,
        summary: "Cancel a message that has not been sent yet.",
        parameters: &[ID],
        answers: &[answer(200, "Cancelled", "It will not be sent.")],
        problems: &[401, 403, 404, 409, 410, 500, 503],
        ..BARE
    },
    Call {
        method: "POST",
        path: "/v1/messages/lookup",
        what: What::Lookup,
        scope: Scope::Tenant,
        summary: "The state of many messages.",
        parameters: &[TENANT],
        bodies: &[(JSON, "LookupRequest")],
        answers: &[answer(200, "LookupAnswer", "One entry for each id, in order.")],
        problems: &[400, 401, 403, 404, 408, 413, 415, 422, 500, 503],
    },
    Call {
        path: "/v1/records",
        what: What::Records,
        scope: Scope::Tenant,
        summary: "Detail records of every message, for billing and archives; resumable.",
        parameters: RECORDS_PARAMETERS,
        answers: &[
            AnswerDoc {
                media: "application/x-ndjson",
                ..answer(200, "RecordOrCursor", "Records, and a cursor after each page.")
            },
            AnswerDoc { media: "text/csv", ..answer(200, "", "The same as a table; its last column is the cursor.") },
        ],
        problems: &[401, 403, 404, 409, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/records/readers",
        what: What::Readers,
        scope: Scope::Tenant,
        summary: "The tenant's readers of records, and the position of each.",
        answers: &[answer(200, "Readers", "In the order of their names.")],
        problems: &[401, 403, 422, 500],
        ..BARE
    },
    Call {
        method: "POST",
        path: "/v1/records/readers/{name}",
        what: What::Confirm,
        scope: Scope::Tenant,
        summary: "Confirm what a reader has read, up to a cursor, or create a reader. Answered once that is on stable storage.",
        parameters: &[READER],
        bodies: &[(JSON, "Confirmation")],
        answers: &[answer(200, "Reader", "The reader, with the cursor where it goes on.")],
        problems: &[400, 401, 403, 408, 409, 413, 415, 422, 500, 503],
    },
    Call {
        method: "DELETE",
        path: "/v1/records/readers/{name}",
        what: What::EndReader,
        scope: Scope::Tenant,
        summary: "Delete a reader.",
        parameters: &[READER],
        answers: &[answer(200, "Reader", "The reader as it was.")],
        problems: &[401, 403, 404, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/inbound",
        what: What::Inbound,
        scope: Scope::Tenant,
        summary: "Messages from handsets; resumable.",
        parameters: INBOUND_PARAMETERS,
        answers: &[AnswerDoc {
            media: "application/x-ndjson",
            ..answer(200, "InboundOrCursor", "Messages, and a cursor after each page.")
        }],
        problems: &[401, 403, 404, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/in-doubt",
        what: What::InDoubt,
        scope: Scope::Admin,
        summary: "Messages in doubt: it is not known whether the carrier has them. Of all tenants.",
        parameters: IN_DOUBT_PARAMETERS,
        answers: &[answer(200, "InDoubtPage", "Entries in the order of shards and admission.")],
        problems: &[401, 403, 404, 422, 500, 503],
        ..BARE
    },
    Call {
        method: "POST",
        path: "/v1/in-doubt/resolve",
        what: What::Resolve,
        scope: Scope::Admin,
        summary: "Resolve messages in doubt: send again, drop, or mark as sent. Answered once that is on stable storage.",
        bodies: &[(JSON, "ResolveRequest")],
        answers: &[answer(200, "ResolveAnswer", "One result for each message, in order.")],
        problems: &[400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/queues",
        what: What::Queues,
        scope: Scope::Admin,
        summary: "Waiting messages, by route and class.",
        answers: &[answer(200, "Queues", "The state at most a second ago.")],
        problems: &[401, 403, 422],
        ..BARE
    },
    Call {
        path: "/v1/carriers",
        what: What::Carriers,
        scope: Scope::Admin,
        summary: "The state of carriers.",
        answers: &[answer(200, "Carriers", "The state at most a second ago.")],
        problems: &[401, 403, 422],
        ..BARE
    },
    Call {
        path: "/v1/limits",
        what: What::Limits,
        scope: Scope::Tenant,
        summary: "What is used of each limit, and what waits for it. A tenant sees what counts it alone.",
        answers: &[answer(200, "Limits", "One entry for each counter, in the order of names and values.")],
        problems: &[401, 403, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/backup",
        what: What::Backup,
        scope: Scope::Admin,
        summary: "A backup of everything that was acknowledged before this call; `stentor restore` reads it.",
        answers: &[AnswerDoc {
            media: "application/octet-stream",
            ..answer(200, "", "It is complete only if the answer is: check it with `stentor restore --check`.")
        }],
        problems: &[401, 403, 409, 422, 500],
        ..BARE
    },
    Call {
        path: "/v1/restored",
        what: What::Restored,
        scope: Scope::Admin,
        summary: "Messages that were unsent in the backup that this installation was restored from.",
        answers: &[answer(200, "Restored", "The state at most a second ago.")],
        problems: &[401, 403, 422],
        ..BARE
    },
    Call {
        method: "POST",
        path: "/v1/restored/resolve",
        what: What::Release,
        scope: Scope::Admin,
        summary: "Decide on the messages that were unsent in the backup: send, give up, or hold them.",
        bodies: &[(JSON, "Release")],
        answers: &[answer(
            200,
            "Released",
            "The decision is on stable storage; the number of messages that it changed.",
        )],
        problems: &[400, 401, 403, 408, 413, 415, 422, 500, 503],
        ..BARE
    },
    Call {
        path: "/v1/openapi.json",
        what: What::OpenApi,
        summary: "This document.",
        answers: &[answer(200, "Any", "OpenAPI 3.1.")],
        ..BARE
    },
    Call {
        path: "/docs/errors",
        what: What::ErrorIndex,
        summary: "Every error code, with its status and its page.",
        answers: &[AnswerDoc { media: "text/markdown", ..answer(200, "", "The list.") }],
        ..BARE
    },
    Call {
        path: "/docs/errors/{code}",
        what: What::ErrorPage,
        summary: "What an error code means and what to do.",
        parameters: &[Parameter { name: "code", schema: r#"{"type":"string"}"#, doc: "The code.", ..ID }],
        answers: &[AnswerDoc { media: "text/markdown", ..answer(200, "", "The page.") }],
        problems: &[404],
        ..BARE
    },
    Call {
        path: "/livez",
        what: What::Alive,
        summary: "Whether the process is running.",
        answers: &[AnswerDoc { media: "text/plain", ..answer(200, "", "It is running.") }],
        ..BARE
    },
    Call {
        path: "/readyz",
        what: What::Ready,
        summary: "Whether messages can be accepted, or why not.",
        answers: &[answer(200, "Ready", "They can."), answer(503, "Ready", "They cannot: see `reasons`.")],
        ..BARE
    },
    Call {
        path: "/metrics",
        what: What::Metrics,
        summary: "Metrics for Prometheus (text format 0.0.4); without a key only from this machine, else with scope admin.",
        answers: &[AnswerDoc { media: "text/plain", ..answer(200, "", "All metrics.") }],
        problems: &[401, 403],
        ..BARE
    },
];
