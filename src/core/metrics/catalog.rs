//! Every metric: its name, unit and labels, what is healthy and when to wake someone. The order is that of the output.
//!
//! Rules kept by the tests: names begin with `stentor_` (those of the process have the names that every exporter uses),
//! counters end in `_total`, times are seconds and sizes bytes, and each metric has a help text.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A count that grows from the start of the process.
    Counter,
    /// The present value.
    Gauge,
    /// How often values fell into each bucket.
    Histogram {
        /// Bounds of the buckets, ascending, in the recorded unit.
        bounds: &'static [u64],
        /// Recorded units per exported unit: 1,000,000 where µs are exported as seconds.
        scale: f64,
    },
}

/// A metric as it is exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Its full name, with unit and `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// What it is, what is healthy, when to wake someone. One line.
    pub help: &'static str,
}

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;

/// Durations recorded in microseconds, exported as seconds.
#[rustfmt::skip] // a table
const SECONDS: Kind = Kind::Histogram {
    bounds: &[
        100, 200, 500,
        MS, 2 * MS, 3 * MS, 5 * MS, 7 * MS, 10 * MS, 15 * MS, 20 * MS, 30 * MS, 50 * MS, 70 * MS,
        100 * MS, 150 * MS, 200 * MS, 300 * MS, 500 * MS, 700 * MS,
        S, 1_500 * MS, 2 * S, 3 * S, 5 * S, 10 * S, 20 * S, 30 * S, 60 * S, 300 * S, 1_800 * S,
    ],
    scale: 1_000_000.0,
};

/// Numbers of messages.
const MESSAGES: Kind = Kind::Histogram {
    bounds: &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000],
    scale: 1.0,
};

macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        /// A metric of the catalog.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// Every metric, in the order of the output.
            pub const ALL: &'static [Self] = &[$(Self::$metric),*];

            /// Name, type, labels and help of the metric.
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$metric => Family { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
                }
            }
        }
    };
}

use Kind::{Counter, Gauge};

metrics! {
    Ready = "stentor_ready", Gauge, [],
        "1 if messages can be taken. Healthy: 1. Wake someone after a minute of 0; /readyz says why";
    Build = "stentor_build_info", Gauge, ["version"],
        "Always 1; the version that runs. More than one version for longer than a rollout takes: finish the rollout";

    CatalogVersion = "stentor_catalog_version", Gauge, [],
        "Version of the routes and names in use. Healthy: grows by one with each change";

    Accepted = "stentor_messages_accepted_total", Counter, ["class"],
        "Messages made durable and acknowledged. Healthy: as you expect; wake someone when it stops while clients send";
    Duplicates = "stentor_messages_duplicate_total", Counter, [],
        "Messages that repeated a key and were answered with the first id. Healthy: few; many are a client's retry \
         loop";
    Refused = "stentor_messages_refused_total", Counter, ["code"],
        "Messages that a shard did not take, by code. Healthy: key_reused at most; wake someone for queue_full, \
         disk_full. queue_share_full and key_share_full: one tenant sends more than its share while little is left. \
         limits_full: a limit counts by a value of which there are too many. queue_slow: a class gets less through than it is \
         sent";
    Submitted = "stentor_messages_submitted_total", Counter, [],
        "Messages that a carrier took whole. Healthy: follows the accepted ones; wake someone when it stops and \
         queues grow";
    Final = "stentor_messages_final_total", Counter, ["state"],
        "Messages that reached a final state. Healthy: mostly delivered; wake someone when the share of dead or \
         rejected jumps";
    Attempts = "stentor_attempts_total", Counter, [],
        "Attempts recorded before their bytes left. Healthy: little above the submitted messages";
    Retried = "stentor_attempts_refused_total", Counter, [],
        "Attempts that a carrier refused and that are tried again. Healthy: near 0; a steady rate means trouble at a \
         carrier";
    InDoubt = "stentor_in_doubt_total", Counter, [],
        "Attempts written and never answered. Healthy: 0 but after a crash or a lost link; each is in its message's \
         timeline";

    QueueDepth = "stentor_queue_depth_messages", Gauge, ["class", "shard"],
        "Messages ready for a carrier. Healthy: near 0 for emergency and otp; wake someone when these stay above 0 \
         for minutes";
    QueueOldest = "stentor_queue_oldest_age_seconds", Gauge, [],
        "Age of the oldest ready message at the head of a lane. Healthy: seconds; wake someone when it nears your \
         expires_in";
    Scheduled = "stentor_scheduled_messages", Gauge, ["shard"],
        "Messages that wait for their send_at, a backoff or until a doubt is settled. Healthy: what you scheduled; watch \
         for growth";
    TenantWaiting = "stentor_tenant_waiting_messages", Gauge, ["tenant"],
        "Messages of the tenant that wait to be sent, ready or for their time; other: of all tenants but the 50 with the most. \
         Healthy: what the tenant scheduled and a little more; ever growing: it sends more than leaves, and messages expire";
    LimitUsed = "stentor_limit_used_ratio", Gauge, ["limit"],
        "Part of the limit that is used, 0 to 1; of several counters, that of the fullest one. Healthy: below 1; at 1 \
         messages wait or are refused (GET /v1/limits), so watch stentor_limit_parked_messages";
    LimitParked = "stentor_limit_parked_messages", Gauge, ["limit"],
        "Messages under the limit that wait for room, at this limit or at another one that they are under. Healthy: what \
         you expect; ever growing: more comes in than the limits let pass, and messages expire";
    Open = "stentor_attempts_open", Gauge, ["shard"],
        "Attempts without an outcome. Healthy: at most windows and prepared places of all links";
    Doubts = "stentor_in_doubt_messages", Gauge, ["carrier", "class", "reason"],
        "Messages of which it is unknown whether the carrier has them. Healthy: 0; wake someone if it stays: with \
         hold they wait for you (GET /v1/in-doubt)";
    DoubtsResolved = "stentor_in_doubt_resolved_total", Counter, ["by"],
        "Messages that left the ledger of messages in doubt, by what settled them. Healthy: 0 but after a crash or a \
         lost link; many late_answer mean that the carrier's response_timeout is too short";
    Keys = "stentor_idempotency_keys", Gauge, ["shard"],
        "Keys remembered. Healthy: well under limits.keys; at its limit keyed messages are refused with \
         key_window_full";

    Receipts = "stentor_receipts_total", Counter, [],
        "Receipts matched with their message. Healthy: follows the submitted parts; wake someone when it stops while \
         parts leave";
    ReceiptsLate = "stentor_receipts_late_total", Counter, [],
        "Receipts that came after a final state, or were not asked for. Healthy: few; many mean that the carrier sends \
         receipts twice, or although receipt = false";
    ReceiptsStrange = "stentor_receipts_strange_number_total", Counter, [],
        "Receipts whose id is that of a message to another number: they are kept but settle nothing. Healthy: few; if \
         all are, the carrier writes numbers in its own way (dialect.number)";
    Quarantined = "stentor_segments_quarantined_total", Counter, [],
        "Damaged segments that were found and moved to quarantine/. Healthy: 0. Wake someone at the first: their \
         messages cannot be read or sent.";
    SegmentsRead = "stentor_segments_read_total", Counter, [],
        "How often messages of one segment were read back from disk because they are next, having left memory. Healthy: 1 or 2 for \
         each 100 of stentor_messages_submitted_total while a backlog is sent, 0 without one.";
    ReceiptsParked = "stentor_receipts_parked_total", Counter, [],
        "Receipts whose id was unknown, kept for `receipt_wait`. Healthy: few; many mean that the carrier's dialect \
         is not understood";
    ReceiptsWaiting = "stentor_receipts_waiting", Gauge, ["shard"],
        "Parts in memory whose receipt is missing. Healthy: rate times the carrier's delay; ever growing: no receipts \
         come";
    Orphans = "stentor_receipts_parked", Gauge, ["shard"],
        "Parked receipts, of 65,536 at most in the process. Healthy: few and falling";
    QueriesFull = "stentor_queries_full_total", Counter, [],
        "Parts about which their carrier is not queried, as 65,536 are queried already. Healthy: 0; else they end with \
         no_receipt, and query_rate is too low";
    ReceiptsDropped = "stentor_receipts_dropped_total", Counter, ["origin"],
        "Parked receipts given up for lack of room; foreign: no message to their number was under way. Healthy: 0 unless \
         another program uses the account; wake someone for origin possible";
    ReceiptsRepeated = "stentor_receipts_repeated_total", Counter, [],
        "Receipts answered but not stored, as their message had 64 like it. Healthy: 0; a steady rate: the carrier \
         delivers the same one again and again";
    HandsetsKept = "stentor_mobile_originated_messages_total", Counter, ["owner"],
        "Messages from handsets that were kept, with their parts joined, by whether a tenant owns the number that \
         they were sent to. Healthy: as you expect. With tenants, owner none stays 0; if it grows, GET \
         /v1/inbound?tenant=* shows numbers that no tenant has";
    Handsets = "stentor_mobile_originated_kept_messages", Gauge, ["shard"],
        "Messages from handsets kept for defaults.retention, of 262,144 at most in the process, including those that \
         lack parts. Healthy: what you expect within the retention";
    HandsetBytes = "stentor_mobile_originated_kept_bytes", Gauge, ["shard"],
        "Bytes of kept messages from handsets, of 64 MiB at most in the process. Healthy: well under that; at the \
         limit carriers are asked to deliver them later";
    HandsetsRefused = "stentor_mobile_originated_refused_total", Counter, [],
        "Times that a message from a handset was refused for lack of room. Healthy: 0; wake someone when it grows: the \
         carrier keeps them only for a limited time";

    HandsetsIncomplete = "stentor_mobile_originated_incomplete_messages", Gauge, ["shard"],
        "Messages from handsets of which parts are missing, of 16,384 at most in the process. Healthy: few, and others a \
         minute later";
    HandsetsJoined = "stentor_mobile_originated_joined_total", Counter, [],
        "Messages from handsets that were joined from several parts. Healthy: a share of all";
    HandsetsGivenUp = "stentor_mobile_originated_given_up_total", Counter, [],
        "Messages from handsets kept without parts that did not come within 24 h, or for which there was no room to \
         wait. Healthy: few; many: the carrier loses parts, or numbers them wrongly";

    Held = "stentor_shard_held", Gauge, ["shard", "reason"],
        "1 while only the most urgent messages are sent from the shard; ledger_full: 114,688 attempts are open or in \
         doubt. Healthy: 0; wake someone for 1: resolve the messages in doubt, or free the disk";
    PartsForgotten = "stentor_parts_forgotten_total", Counter, [],
        "Messages of several parts that wait for receipts and whose place in memory was needed: the receipts come too \
         late, and the message stays submitted. Healthy: 0; else the carrier sends no receipts";
    PartsUnnoted = "stentor_parts_unnoted_total", Counter, [],
        "Parts taken of messages that there was no room to remember: parts of them that are refused are not tried again. \
         Healthy: 0; wake someone: hundreds of thousands are sent in part";
    AttemptsUncounted = "stentor_attempts_uncounted_total", Counter, [],
        "Attempts used up that there was no room to count: such a message is tried more often. Healthy: 0; else a \
         million messages wait to be tried again";
    CancellationsRefused = "stentor_cancellations_refused_total", Counter, [],
        "Cancellations answered with overloaded, as half a million cancelled messages are in the queue. Healthy: 0";
    CheckpointsTooLarge = "stentor_checkpoints_left_out_total", Counter, [],
        "Checkpoints that would not fit into one record. Healthy: 0; wake someone: starts become longer, and ask for \
         help";
    Rerouted = "stentor_rerouted_total", Counter, [],
        "Messages that waited for a route that was renamed or removed, and were moved to another one. Healthy: 0 but \
         after such a change";
    Unroutable = "stentor_unroutable_total", Counter, [],
        "Messages that ended with no_route, as their route was removed and no other takes them. Healthy: 0; wake \
         someone: a route is missing";
    RecordsUnread = "stentor_records_unread_total", Counter, [],
        "Records dropped at their retention that a reader of its tenant had not confirmed. Healthy: 0; wake someone: the \
         reader is stuck, and billing misses these records; the log names it";

    DiskFree = "stentor_disk_free_bytes", Gauge, [],
        "Bytes that may still be written to the file system with the data. Healthy: well above the floor; wake someone \
         when it nears it";
    DiskFloor = "stentor_disk_floor_bytes", Gauge, [],
        "Free space under which new messages are refused with disk_full. Healthy: does not change";
    DiskFull = "stentor_disk_full", Gauge, [],
        "1 while new messages are refused for lack of room. Healthy: 0; wake someone for 1: free space; \
         acknowledged messages are still sent";
    DiskBallastGone = "stentor_disk_ballast_gone", Gauge, [],
        "1 when the reserved space has been released. Healthy: 0; wake someone at once for 1: when it is used up, \
         nothing is sent, and carriers keep what they have";

    CertificateEnd = "stentor_certificate_not_after_seconds", Gauge, ["of"],
        "When the certificate under this key of the configuration expires, seconds since 1970. Healthy: more than \
         14 days ahead; wake someone for 3 days: renew it and reload";

    CommitSeconds = "stentor_commit_seconds", SECONDS, [],
        "From handing a batch to the disk until it is durable. Healthy: p99 under 20 ms; wake someone above 1 s: the \
         disk fails or starves";
    CommitMessages = "stentor_commit_batch_messages", MESSAGES, [],
        "Messages admitted by one batch. Healthy: grows with the load, as messages that arrive during a commit go \
         into the next";
    AcceptToSubmit = "stentor_accept_to_submit_seconds", SECONDS, [],
        "From acceptance (or send_at) until the message was written to its carrier. Healthy: tens of ms if there is no \
         queue";

    LinkState = "stentor_link_state", Gauge, ["carrier", "state"],
        "Links of the carrier in each state. Healthy: all up; wake someone for down or breaker_open";
    LinkBinds = "stentor_link_binds", Gauge, ["carrier"],
        "Connections that are bound. Healthy: as many as stentor_link_binds_wanted";
    LinkBindsWanted = "stentor_link_binds_wanted", Gauge, ["carrier"],
        "Connections that the link keeps open. Wake someone when none of them is bound for minutes";
    LinkWindow = "stentor_link_window_parts", Gauge, ["carrier"],
        "Submits that may be unanswered at a time. Healthy: binds times the window of the contract";
    LinkWindowUsed = "stentor_link_window_used_parts", Gauge, ["carrier"],
        "Unanswered submits. Healthy: under the window; full at a rate below the permitted one: the carrier is \
         slow";
    LinkRate = "stentor_link_rate_parts", Gauge, ["carrier"],
        "Parts sent within the last second. Healthy: at most the allowed rate, near it while messages wait";
    LinkRateAllowed = "stentor_link_rate_allowed_parts", Gauge, ["carrier"],
        "Parts that may be sent in a second at present. Healthy: the configured rate; less means that the carrier \
         throttled";
    LinkPrepared = "stentor_link_prepared_messages", Gauge, ["carrier"],
        "Messages handed to the link but not completely written. Healthy: at most a quarter of a second's rate";
    LinkSent = "stentor_link_sent_parts_total", Counter, ["carrier"],
        "Parts handed to a session. Healthy: follows the messages submitted; wake someone when it stops and queues \
         grow";
    LinkAccepted = "stentor_link_accepted_parts_total", Counter, ["carrier"],
        "Parts that the carrier took. Healthy: nearly all that were sent";
    LinkRefused = "stentor_link_refused_parts_total", Counter, ["carrier", "status"],
        "Parts not taken, by command status, throttling included. Healthy: few; wake someone for RINVPASWD, \
         RINVSYSID, RINVCMDLEN";
    LinkThrottled = "stentor_link_throttled_parts_total", Counter, ["carrier"],
        "Parts refused for coming too fast. Healthy: 0; a steady rate: the configured rate is above the contract's";
    LinkUnanswered = "stentor_link_unanswered_parts_total", Counter, ["carrier"],
        "Parts whose outcome is unknown. Healthy: 0 but after lost sessions";
    LinkUnencodable = "stentor_link_unencodable_messages_total", Counter, ["carrier"],
        "Messages that could not be encoded for the carrier. Healthy: 0; check encoding and default_alphabet";
    LinkLate = "stentor_link_late_responses_total", Counter, ["carrier"],
        "Answers to submits that had been given up. Healthy: 0; many: response_timeout is too short for this carrier";
    LinkUnknown = "stentor_link_unknown_responses_total", Counter, ["carrier"],
        "Answers that belong to no submit. Healthy: 0; tell the carrier";
    LinkMalformed = "stentor_link_malformed_pdus_total", Counter, ["carrier"],
        "PDUs that could not be parsed. Healthy: 0; tell the carrier";
    LinkStrange = "stentor_link_strange_requests_total", Counter, ["carrier"],
        "Requests of a kind that SMPP 3.4 does not know, or at the wrong time; each was refused. Healthy: 0; tell the \
         carrier";
    LinkNoisy = "stentor_link_sessions_noisy_total", Counter, ["carrier"],
        "Sessions ended because they brought meaningless PDUs without end. Healthy: 0; wake someone: the carrier, \
         or a system in between, is faulty or hostile";
    LinkSessions = "stentor_link_sessions_total", Counter, ["carrier"],
        "Sessions that were bound. Healthy: one per bind and start";
    LinkLost = "stentor_link_sessions_lost_total", Counter, ["carrier"],
        "Sessions that ended otherwise than by our own unbinding. Healthy: a few a day; wake someone when it grows \
         every minute";
    LinkReceipts = "stentor_link_receipts_total", Counter, ["carrier"],
        "Receipts that came in. Healthy: follows the parts accepted";
    LinkReceiptsAskedAll = "stentor_link_receipts_asked_all_total", Counter, ["carrier"],
        "Receipts for which every shard was asked. Healthy: a small share; more: receipts come very late, or with \
         other ids";
    LinkQueriesWaiting = "stentor_link_queries_waiting", Gauge, ["carrier"],
        "Messages about which a carrier without receipts is queried. Healthy: steady; growing: query_rate is too low, or \
         the carrier does not answer";
    LinkQueries = "stentor_link_queries_total", Counter, ["carrier"],
        "Queries that were sent (query_sm). Healthy: a few for each message";
    LinkQueriesSettled = "stentor_link_queries_settled_total", Counter, ["carrier"],
        "Answers to queries that told a message's final state. Healthy: follows the parts accepted";
    LinkQueriesOpen = "stentor_link_queries_open_total", Counter, ["carrier"],
        "Answers to queries that told no final state: the query is repeated. Healthy: fewer than those that did; all of \
         them: the carrier does not know our ids, or does not support query_sm";
    LinkQueriesDropped = "stentor_link_queries_dropped_total", Counter, ["carrier"],
        "Messages that are not queried for lack of room, or because their id cannot be written. Healthy: 0; they end \
         with no_receipt";
    LinkMobile = "stentor_link_mobile_originated_total", Counter, ["carrier"],
        "Messages from handsets that came in; each part counts, and counts again when the carrier delivers it again. \
         Healthy: follows stentor_mobile_originated_messages_total; GET /v1/inbound reads what is kept";
    LinkDeferred = "stentor_link_deferred_total", Counter, ["carrier"],
        "Receipts and messages from handsets that the carrier was asked to deliver later (ESME_RX_T_APPN). Healthy: 0; \
         wake someone: the disk is full, or too much from handsets is kept";

    NameLookups = "stentor_name_lookups_total", Counter, ["end"],
        "Lookups of carriers' names, by how they ended. Healthy: found; failed ones: look at the name server; \
         refused: more than 1,024 names are being looked up";
    NamesOutdated = "stentor_names_outdated_total", Counter, [],
        "Connections begun with the last good addresses of a name, as its lookup failed or took longer than 1 s. \
         Healthy: 0; look at the name server";

    HttpRequests = "stentor_http_requests_total", Counter, ["status"],
        "Requests by class of status. Healthy: 2xx; wake someone for a share of 5xx that is not 503 queue_full or \
         draining";
    HttpMessages = "stentor_http_messages_total", Counter, ["end"],
        "Messages in requests, by outcome. Healthy: mostly accepted; rejected ones are the \
         clients' mistakes";
    HttpRequestSeconds = "stentor_http_request_seconds", SECONDS, [],
        "From a request's headers until its answer's. Healthy: p99 of submits a few commits long";
    HttpConnections = "stentor_http_connections", Gauge, [],
        "Open connections. Healthy: under http.connections_max";
    HttpAccepted = "stentor_http_connections_accepted_total", Counter, [],
        "Connections accepted. Healthy: few per request; as many as requests: clients do not reuse connections";
    HttpTurnedAway = "stentor_http_connections_turned_away_total", Counter, [],
        "Connections closed because too many were open and all of them busy. Healthy: 0; wake someone when it grows: \
         clients get 503";
    HttpEvicted = "stentor_http_connections_evicted_total", Counter, [],
        "Idle connections closed to make room for others: the longest idle one of the client address with most. \
         Healthy: 0; when it grows, one address holds many: find out whose it is, or raise http.connections_max";
    HttpOverShare = "stentor_http_over_share_total", Counter, [],
        "Requests refused because their tenant has more than its share of connections and few are left. Healthy: 0; one \
         tenant opens far more connections than it needs";
    HttpPadded = "stentor_http_bodies_padded_total", Counter, [],
        "Bodies refused because they had more chunk framing than content. Healthy: 0; a hostile client, or one that \
         sends chunks of a few bytes";
    HttpHurried = "stentor_http_slow_cut_total", Counter, [],
        "Bodies and answers cut off for moving slower than 64 KiB/s for 10 s while others waited for memory. Healthy: 0; \
         hostile clients, or limits.memory is too small";
    HttpMemory = "stentor_http_memory_bytes", Gauge, ["of"],
        "Memory that requests (until their messages are on stable storage) and answers (until the client has read \
         them) hold. Healthy: well under stentor_http_memory_shared_bytes";
    HttpMemoryShared = "stentor_http_memory_shared_bytes", Gauge, [],
        "Memory that requests and answers share; beside it, one request for each core is lent what it needs. Healthy: \
         does not change; limits.memory raises it";
    HttpMemoryWaiting = "stentor_http_memory_waiting", Gauge, [],
        "Requests that are not read further, or answers that are not made, until others give back memory. Healthy: 0; if \
         above it for minutes: raise limits.memory, or the disk is slow";
    HttpMemoryWaits = "stentor_http_memory_waits_total", Counter, [],
        "Times that a request or an answer had to wait for memory. Healthy: 0 but when large requests meet";
    HttpMemoryRefused = "stentor_http_memory_refused_total", Counter, [],
        "Times that memory was not free within 30 s: 503 overloaded. Healthy: 0; wake someone when it grows: the disk \
         hangs, or limits.memory is far too small";
    HttpBackoffs = "stentor_http_accept_backoffs_total", Counter, [],
        "Times that accepting failed for lack of descriptors or memory. Healthy: 0; raise LimitNOFILE";
    HttpHandshakes = "stentor_http_handshakes_failed_total", Counter, [],
        "TLS handshakes that failed. Healthy: scanners; many at once: the certificate has expired";
    HttpBroken = "stentor_http_connections_broken_total", Counter, [],
        "Connections closed because of invalid input, or lost in the middle of a request. Healthy: few";
    HttpOverdue = "stentor_http_deadlines_total", Counter, ["deadline"],
        "Deadlines that connections missed. Healthy: mostly idle; header, body and write are slow or hostile clients";

    Polls = "stentor_executor_poll_seconds", SECONDS, ["core"],
        "CPU time of single polls of tasks: meanwhile nothing else on that core ran. Healthy: nearly all under 1 ms";
    PollLongest = "stentor_executor_poll_longest_seconds", Gauge, ["core"],
        "CPU time of the longest poll since the start. Healthy: under 10 ms; above it the log names the task: report it";
    PollTail = "stentor_executor_poll_tail_seconds", Gauge, ["core"],
        "CPU time that 999 of 1,000 polls since the start did not exceed. Healthy: under 2 ms; report more";

    Panics = "stentor_panics_survived_total", Counter, [],
        "Panics of tasks of single connections. Healthy: 0; each is a bug, its backtrace is in the log";
    LogDropped = "stentor_log_lines_dropped_total", Counter, [],
        "Lines of the log that could not be written, or not fast enough. Healthy: 0; look at the program that reads \
         stderr";
    Uptime = "stentor_uptime_seconds", Gauge, [],
        "Time since the process started. Healthy: grows; wake someone when the process restarts by itself";
    ProcessCpu = "process_cpu_seconds_total", Counter, [],
        "CPU time used, whole seconds. Healthy: its rate stays under the number of cores";
    ProcessResident = "process_resident_memory_bytes", Gauge, [],
        "Memory in RAM. Healthy: flat, near limits.memory; wake someone when it grows for hours";
    ProcessFds = "process_open_fds", Gauge, [],
        "Open descriptors. Healthy: flat, well under process_max_fds";
    ProcessFdsMax = "process_max_fds", Gauge, [],
        "Descriptors that the process may open. Healthy: http.connections_max and 1,000 more";
    ProcessThreads = "process_threads", Gauge, [],
        "Number of threads. Healthy: does not change after the start";
    ProcessStart = "process_start_time_seconds", Gauge, [],
        "When the process started, since the Unix epoch. Healthy: does not change";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.family().name).collect();
        for metric in Metric::ALL {
            let Family { name, kind, labels, help } = metric.family();
            let ours = name.starts_with("stentor_") || name.starts_with("process_");
            assert!(ours && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Counter, "{name}");
            assert!(["_count", "_sum", "_bucket"].iter().all(|end| !name.ends_with(end)), "{name}");
            assert!(!labels.contains(&"le") && !labels.contains(&"quantile"), "{name}");
            assert!(!help.contains(['\n', '\\', '"']) && help.len() > 20, "{name}");
            if let Kind::Histogram { bounds, scale } = kind {
                assert!(bounds.is_sorted_by(|a, b| a < b) && scale >= 1.0, "{name}");
            }
        }
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "two metrics of one name");
    }

    #[test]
    fn the_order_is_that_of_the_catalog() {
        assert!(Metric::ALL.is_sorted());
        assert_eq!(Metric::ALL.first(), Some(&Metric::Ready));
    }
}
