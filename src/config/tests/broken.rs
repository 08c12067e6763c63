//! Broken files, and the exact problems reported for each.

use super::{LEAST, parse, with};

/// Checks the problems of the smallest file with `more` in front of it.
fn check(more: &str, expected: &[&str]) {
    let problems = parse(&with(more)).expect_err(more).to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected, "\n{more}");
}

/// Checks the problems of the smallest file with `old` replaced by `new`.
fn check_replaced(old: &str, new: &str, expected: &[&str]) {
    assert!(LEAST.contains(old), "{old}");
    let problems = parse(&LEAST.replace(old, new)).expect_err(new).to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected, "\n{new}");
}

/// Checks the problems of the smallest file with `keys` added to its carrier's table, from line 6 on.
fn check_carrier(keys: &str, expected: &[&str]) {
    check_replaced("system_id = \"me\"", &format!("system_id = \"me\"\n{keys}"), expected);
}

#[test]
fn syntax_is_told_as_far_as_it_can_be_read() {
    check(
        "[node\nid = 5000\n[http]\nlisten = 127.0.0.1\n",
        &["t.toml:1:6: unclosed table, expected `]`", "t.toml:4:15: invalid float, expected nothing"],
    );
    check("[node]\nid = 1\nid = 2\n", &["t.toml:3:1: duplicate key"]);
    check("just words\n", &["t.toml:1:6: key with no value, expected `=`"]);
    check("[http]\nlisten = \"127.0.0.1:80\n", &["t.toml:2:23: invalid basic string, expected `\"`"]);
}

#[test]
fn unknown_keys_get_the_nearest_known_one() {
    check(
        "[node]\nidd = 4\n[htp]\nx = 1\n",
        &[
            "t.toml:2:1: node.idd: unknown key; did you mean `id`?",
            "t.toml:3:2: htp: unknown key; did you mean `http`?",
        ],
    );
    check(
        "[http]\nwindow = 3\nbanana = 4\n",
        &[
            "t.toml:2:1: http.window: unknown key here; it belongs in [[carrier]]",
            "t.toml:3:1: http.banana: unknown key; the known ones are listen, hosts, tls, body_max, inflate_ratio_max, line_max, messages_max, connections_max, header_max, header_timeout, body_timeout, write_timeout, idle_timeout",
        ],
    );
    check(
        "[http]\ntls = { certt = \"c\", key = \"k\" }\n",
        &["t.toml:2:9: http.tls.certt: unknown key; did you mean `cert`?"],
    );
    check(
        "[defaults.in_doubt]\nopt = \"hold\"\n",
        &["t.toml:2:1: defaults.in_doubt.opt: unknown key; did you mean `otp`?"],
    );
    check_replaced("hosts", "hots", &["t.toml:4:1: carrier.one.hots: unknown key; did you mean `hosts`?"]);
    check_carrier(
        "numbering = { national = [2, 1] }",
        &[
            "t.toml:6:15: carrier.one.numbering.national: unknown key; the known ones are international, alphanumeric, short_code, recipient, bind",
        ],
    );
    check_carrier(
        "tlvs = [{ tag = 1, txt = \"x\" }]",
        &["t.toml:6:20: carrier.one.tlvs[0].txt: unknown key; did you mean `text`?"],
    );
}

#[test]
fn values_of_the_wrong_kind() {
    check(
        "[node]\nid = 5000\nshards = 300\ncores = \"all\"\ndata_dir = 3\n",
        &[
            "t.toml:2:6: node.id: invalid value: integer `5000`, expected a whole number from 0 to 1023",
            "t.toml:3:10: node.shards: invalid value: integer `300`, expected \"auto\" or a whole number from 1 to 256",
            "t.toml:4:9: node.cores: invalid value: string \"all\", expected \"auto\" or a whole number from 1 to 256",
            "t.toml:5:12: node.data_dir: invalid type: integer `3`, expected a string",
        ],
    );
    check(
        "[node]\nid = \"1\"\nshards = 0\ncores = 1.5\n",
        &[
            "t.toml:2:6: node.id: invalid type: string \"1\", expected a whole number from 0 to 1023",
            "t.toml:3:10: node.shards: invalid value: integer `0`, expected \"auto\" or a whole number from 1 to 256",
            "t.toml:4:9: node.cores: invalid type: floating point `1.5`, expected \"auto\" or a whole number from 1 to 256",
        ],
    );
    check("node = 3\n", &["t.toml:1:8: node: invalid type: integer `3`, expected a table"]);
    check(
        "[http]\nidle_timeout = 75\nbody_timeout = \"75\"\nbody_max = \"16MB\"\nline_max = 5\n",
        &[
            "t.toml:2:16: http.idle_timeout: invalid value: integer `75`, expected a duration such as \"250ms\", \"10s\", \"5m\", \"72h\" or \"30d\"",
            "t.toml:3:16: http.body_timeout: invalid value: string \"75\", expected a duration such as \"250ms\", \"10s\", \"5m\", \"72h\" or \"30d\"",
            "t.toml:4:12: http.body_max: invalid value: string \"16MB\", expected a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"",
            "t.toml:5:12: http.line_max: invalid value: integer `5`, expected a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"",
        ],
    );
    check(
        "[defaults]\nclass = \"opt\"\nparts_max = 256\nin_doubt = { otp = \"frop\" }\n",
        &[
            "t.toml:2:9: defaults.class: \"opt\" is not one of emergency, otp, transactional, marketing; did you mean \"otp\"?",
            "t.toml:3:13: defaults.parts_max: invalid value: integer `256`, expected a whole number from 1 to 255",
            "t.toml:4:20: defaults.in_doubt.otp: \"frop\" is not one of resend, hold, drop; did you mean \"drop\"?",
        ],
    );
    check(
        "[retry.transient]\njitter = 2\nattempts_max = 0\n",
        &[
            "t.toml:2:10: retry.transient.jitter: invalid value: integer `2`, expected a number from 0 to 1 such as 0.2",
            "t.toml:3:16: retry.transient.attempts_max: invalid value: integer `0`, expected a whole number from 1 to 100",
        ],
    );
}

#[test]
fn values_of_the_wrong_kind_in_carriers_and_routes() {
    check_carrier(
        "window = 0\nbinds = 257\nrate = 0\nbind_rate = \"5/m\"\nbind = \"pear\"\nsplitting = \"none\"\nclass_ceiling = 49",
        &[
            "t.toml:6:10: carrier.one.window: invalid value: integer `0`, expected a whole number from 1 to 65536",
            "t.toml:7:9: carrier.one.binds: invalid value: integer `257`, expected a whole number from 0 to 256",
            "t.toml:8:8: carrier.one.rate: invalid value: integer `0`, expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:9:13: carrier.one.bind_rate: invalid value: string \"5/m\", expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:10:8: carrier.one.bind: \"pear\" is not one of transceiver, pair, transmitter",
            "t.toml:11:13: carrier.one.splitting: \"none\" is not one of udh8, udh16, sar, payload",
            "t.toml:12:17: carrier.one.class_ceiling: invalid value: integer `49`, expected a whole number from 50 to 100",
        ],
    );
    check_carrier(
        "transliterate = \"yes\"\nregistered_delivery = 32\nport = 0\ntls = \"on\"",
        &[
            "t.toml:6:17: carrier.one.transliterate: invalid type: string \"yes\", expected a boolean",
            "t.toml:7:23: carrier.one.registered_delivery: invalid value: integer `32`, expected a whole number from 0 to 31",
            "t.toml:8:8: carrier.one.port: invalid value: integer `0`, expected a whole number from 1 to 65535",
            "t.toml:9:7: carrier.one.tls: invalid type: string \"on\", expected a table",
        ],
    );
    check_carrier(
        "numbering = { recipient = [1, 256] }\nerrors = { \"0x58\" = \"throtle\" }",
        &[
            "t.toml:6:31: carrier.one.numbering.recipient[1]: invalid value: integer `256`, expected a whole number from 0 to 255",
            "t.toml:7:21: carrier.one.errors.0x58: \"throtle\" is not one of throttle, transient, session, credential, permanent, our_bug, unknown; did you mean \"throttle\"?",
        ],
    );
    check_replaced(
        "\"127.0.0.1\"",
        "\"127.0.0.1\", 7",
        &["t.toml:4:23: carrier.one.hosts[1]: invalid type: integer `7`, expected a string"],
    );
    check_replaced(
        "carriers = [{ name = \"one\" }]",
        "carriers = [\"one\"]",
        &["t.toml:8:13: route.all.carriers[0]: invalid type: string \"one\", expected a table"],
    );
    check_replaced(
        "carriers = [{",
        "when = { class = \"opt\" }\ncarriers = [{",
        &[
            "t.toml:8:18: route.all.when.class: \"opt\" is not one of emergency, otp, transactional, marketing; did you mean \"otp\"?",
        ],
    );
    check_replaced(
        "carriers = [{",
        "when = { prefix = 49, tag = [1] }\ncarriers = [{",
        &[
            "t.toml:8:19: route.all.when.prefix: invalid type: integer `49`, expected a string or a list of strings",
            "t.toml:8:30: route.all.when.tag[0]: invalid type: integer `1`, expected a string",
        ],
    );
}

#[test]
fn values_out_of_bounds() {
    check(
        "[http]\nidle_timeout = \"1ms\"\nbody_max = \"2GiB\"\nlisten = []\n",
        &[
            "t.toml:2:16: http.idle_timeout: 1ms is out of range: write a value from 100ms to 1d",
            "t.toml:3:12: http.body_max: 2GiB is out of range: write a value from 1KiB to 1GiB",
            "t.toml:4:10: http.listen: the list is empty: write at least one address such as \"127.0.0.1:8080\"",
        ],
    );
    check(
        "[http]\nlisten = [\"127.0.0.1:80\", \"localhost:80\", \"127.0.0.1:80\"]\n",
        &[
            "t.toml:2:10: http.listen: \"localhost:80\" is not a listen address: write an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            "t.toml:2:10: http.listen: 127.0.0.1:80 is listed twice: remove one",
        ],
    );
    check(
        "[http]\nbody_max = \"1KiB\"\n",
        &[
            "t.toml:2:12: http.body_max: `line_max` is larger than `body_max`, so no such line could arrive: lower it or raise `body_max`",
        ],
    );
    check(
        "[limits]\nkey_window = \"23h\"\nqueue = 10\nqueue_per_shard = 11\nkeys = 0\n",
        &[
            "t.toml:2:14: limits.key_window: 23h is out of range: write a value from 1d to 30d",
            "t.toml:4:19: limits.queue_per_shard: is larger than `queue` (10): lower it or raise `queue`",
            "t.toml:5:8: limits.keys: invalid value: integer `0`, expected a whole number from 1 to 1000000000000",
        ],
    );
    check(
        "[defaults]\ncountry = \"Germany\"\nfrom = \"much too long\"\nexpires_in = \"30d\"\n",
        &[
            "t.toml:2:11: defaults.country: \"Germany\" is not a country code: write two capital letters (ISO 3166) such as \"DE\"",
            "t.toml:3:8: defaults.from: \"much too long\" is not a valid sender: use up to 15 digits, or up to 11 ASCII characters other than @`[]{}\\^|~ with a letter or digit among them",
            "t.toml:4:14: defaults.expires_in: 30d is out of range: write a value from 1s to 14d",
        ],
    );
    check(
        "[retry.session]\nbackoff_min = \"5m\"\n[retry.unknown]\nbackoff_max = \"1s\"\n",
        &[
            "t.toml:2:15: retry.session.backoff_min: `backoff_min` (5m) is longer than `backoff_max` (1m): lower `backoff_min` or raise `backoff_max`",
            "t.toml:4:15: retry.unknown.backoff_max: `backoff_min` (30s) is longer than `backoff_max` (1s): lower `backoff_min` or raise `backoff_max`",
        ],
    );
    check(
        "[limits.class_wait]\notp = \"20d\"\nemergency = \"1m\"\n",
        &[
            "t.toml:2:7: limits.class_wait.otp: 20d is out of range: write a value from 1s to 14d",
            "t.toml:3:1: limits.class_wait.emergency: unknown key; the known ones are otp, transactional, marketing",
        ],
    );
    check(
        "[retry.otp]\nbackoff_min = \"1m\"\n[retry.marketing]\nattempts_max = 0\n",
        &[
            "t.toml:2:15: retry.otp.backoff_min: `backoff_min` (1m) is longer than `backoff_max` (30s): lower `backoff_min` or raise `backoff_max`",
            "t.toml:4:16: retry.marketing.attempts_max: invalid value: integer `0`, expected a whole number from 1 to 100",
        ],
    );
}

#[test]
fn values_out_of_bounds_in_carriers_and_routes() {
    check_carrier(
        "group = \"Group\"\nsource_ip = \"here\"\nservice_type = \"käse\"",
        &[
            "t.toml:6:9: carrier.one.group: \"Group\" is not a valid name: use 1 to 32 characters from a-z, 0-9, - and _, without two _ in a row",
            "t.toml:7:13: carrier.one.source_ip: \"here\" is not an IP address such as \"192.0.2.1\" or \"2001:db8::1\"",
            "t.toml:8:16: carrier.one.service_type: contains a character that this field cannot carry: use printable ASCII only",
        ],
    );
    check_carrier(
        "reconnect_min = \"2m\"\nenquire_link = \"1ms\"\nnumbering = { recipient = [1] }",
        &[
            "t.toml:6:17: carrier.one.reconnect_min: `reconnect_min` (2m) is longer than `reconnect_max` (1m): lower `reconnect_min` or raise `reconnect_max`",
            "t.toml:7:16: carrier.one.enquire_link: 1ms is out of range: write a value from 1s to 1h",
            "t.toml:8:27: carrier.one.numbering.recipient: write exactly two numbers: [type of number, numbering plan]",
        ],
    );
    check_carrier(
        "errors = { \"0\" = \"throttle\", \"0xZZ\" = \"throttle\", \"88\" = \"session\", \"0x58\" = \"throttle\" }",
        &[
            "t.toml:6:18: carrier.one.errors.0: command status 0 means success: remove it",
            "t.toml:6:39: carrier.one.errors.0xZZ: `0xZZ` is not a command status: write a number such as \"0x58\" or \"88\"",
            "t.toml:6:58: carrier.one.errors.88: command status 88 (0x58) is listed twice: remove one",
        ],
    );
    check_carrier(
        "tlvs = [{ tag = 0x0424, text = \"x\" }, { tag = 5 }, { tag = 6, text = \"a\", hex = \"00\" }, { tag = 7, hex = \"abc\" }, { text = \"x\" }, { tag = 8, text = \"\" }, { tag = 8, text = \"\" }]",
        &[
            "t.toml:6:9: carrier.one.tlvs[0]: tag 0x0424 (message_payload) is set by Stentor itself: remove it",
            "t.toml:6:39: carrier.one.tlvs[1]: write exactly one of `text` and `hex`",
            "t.toml:6:52: carrier.one.tlvs[2]: write exactly one of `text` and `hex`",
            "t.toml:6:106: carrier.one.tlvs[3].hex: is not hexadecimal: write two digits for each byte, such as \"00ff\"",
            "t.toml:6:115: carrier.one.tlvs[4]: `tag` is missing",
            "t.toml:6:155: carrier.one.tlvs[6]: tag 0x0008 is listed twice: remove one",
        ],
    );
}

#[test]
fn hosts_and_names_that_cannot_be_meant() {
    check_replaced(
        "\"127.0.0.1\"",
        "\"\", \"h:0\", \"h:99999\", \"::1\", \"[::1\", \"[x]:1\", \"a b\", \"h:1\", \"h:1\"",
        &[
            "t.toml:4:10: carrier.one.hosts[0]: \"\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:14: carrier.one.hosts[1]: \"h:0\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:21: carrier.one.hosts[2]: \"h:99999\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:32: carrier.one.hosts[3]: \"::1\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:39: carrier.one.hosts[4]: \"[::1\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:47: carrier.one.hosts[5]: \"[x]:1\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:56: carrier.one.hosts[6]: \"a b\" is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"",
            "t.toml:4:70: carrier.one.hosts[8]: h:1 is listed twice: remove one",
        ],
    );
    check_replaced(
        "[\"127.0.0.1\"]",
        "[]",
        &[
            "t.toml:4:9: carrier.one.hosts: the list is empty: write at least one host such as \"smpp.example.com:2775\"",
        ],
    );
    check_replaced(
        "name = \"all\"",
        "name = \"All!\"",
        &[
            "t.toml:7:8: route.All!.name: \"All!\" is not a valid name: use 1 to 32 characters from a-z, 0-9, - and _, without two _ in a row",
        ],
    );
    check_replaced(
        "name = \"all\"",
        "name = \"a__b\"\nfrom = \"@home\"",
        &[
            "t.toml:7:8: route.a__b.name: \"a__b\" is not a valid name: use 1 to 32 characters from a-z, 0-9, - and _, without two _ in a row",
            "t.toml:8:8: route.a__b.from: \"@home\" is not a valid sender: use up to 15 digits, or up to 11 ASCII characters other than @`[]{}\\^|~ with a letter or digit among them",
        ],
    );
}

#[test]
fn what_cannot_go_together() {
    check(
        "[http]\nlisten = [\"127.0.0.1:80\", \"0.0.0.0:80\"]\n",
        &[
            "t.toml:2:10: http.listen: without a [[tenant]] there is no authentication, so only loopback addresses are allowed: listen on 127.0.0.1 or [::1], or add a [[tenant]]",
        ],
    );
    check("[http]\ntls = {}\n", &["t.toml:2:7: http.tls: `cert` is missing", "t.toml:2:7: http.tls: `key` is missing"]);
    check_carrier(
        "binds = 3\nbind_rate = 10\nrate = 31",
        &[
            "t.toml:8:8: carrier.one.rate: 3 binds of 10/s each cannot reach 31/s: lower `rate`, or raise `binds` or `bind_rate`",
        ],
    );
    check_carrier(
        "tls = { insecure = true, ca = \"/ca.pem\" }",
        &[
            "t.toml:6:7: carrier.one.tls: `insecure` accepts any certificate, so `ca`, `server_name` and `pin` have no effect: remove it, or remove them",
        ],
    );
    check_carrier(
        "source_ip = \"::1\"",
        &[
            "t.toml:6:13: carrier.one.source_ip: 127.0.0.1 cannot be reached from ::1: use addresses that are all IPv4 or all IPv6",
        ],
    );
}

#[test]
fn routes_that_lead_nowhere() {
    check_replaced(
        "name = \"one\" }",
        "name = \"on\" }",
        &["t.toml:8:22: route.all.carriers.on.name: there is no carrier `on`; did you mean `one`?"],
    );
    check_replaced(
        "name = \"one\" }",
        "name = \"one\" }, { name = \"one\" }",
        &["t.toml:8:31: route.all.carriers.one: carrier `one` is listed twice: remove one"],
    );
    check_replaced(
        "name = \"one\" }",
        "name = \"one\", weight = 0 }",
        &["t.toml:8:12: route.all.carriers: no carrier has a weight above 0: give at least one of them such a weight"],
    );
    check_replaced(
        "name = \"one\" }",
        "name = \"one\", weight = 2 }, { name = \"on\" }",
        &[
            "t.toml:8:12: route.all.carriers: in this version the carriers of a route share evenly: make all weights above 0 equal",
            "t.toml:8:52: route.all.carriers.on.name: there is no carrier `on`; did you mean `one`?",
        ],
    );
    check_replaced(
        "carriers = [{ name = \"one\" }]",
        "carriers = []\nfailover = true",
        &[
            "t.toml:8:12: route.all.carriers: no carrier has a weight above 0: give at least one of them such a weight",
            "t.toml:9:12: route.all.failover: trying another carrier after a failure is not supported in this version: write `false` or omit it",
        ],
    );
    check_replaced(
        "carriers = [{",
        "when = { prefix = [], sender = [] }\ncarriers = [{",
        &[
            "t.toml:8:19: route.all.when.prefix: an empty list matches nothing; leave `prefix` out to match everything",
            "t.toml:8:32: route.all.when.sender: an empty list matches nothing; leave `sender` out to match everything",
        ],
    );
    check_replaced(
        "carriers = [{",
        "when = { prefix = [\"\", \"+\", \"4x\"], tenant = \"shop\" }\ncarriers = [{",
        &[
            "t.toml:8:19: route.all.when.prefix: \"\" is not a prefix: write 1 to 15 digits such as \"49\"",
            "t.toml:8:19: route.all.when.prefix: \"+\" is not a prefix: write 1 to 15 digits such as \"49\"",
            "t.toml:8:19: route.all.when.prefix: \"4x\" is not a prefix: write 1 to 15 digits such as \"49\"",
            "t.toml:8:45: route.all.when.tenant: there is no tenant `shop`: no [[tenant]] is configured",
        ],
    );
}

#[test]
fn what_is_missing() {
    check_replaced(
        "name = \"one\"\nhosts = [\"127.0.0.1\"]\nsystem_id = \"me\"\n",
        "",
        &[
            "t.toml:2:1: carrier[0]: `name` is missing",
            "t.toml:2:1: carrier[0]: `system_id` is missing",
            "t.toml:2:1: carrier[0]: `hosts` is missing",
        ],
    );
    check_replaced(
        "name = \"all\"\ncarriers = [{ name = \"one\" }]\n",
        "",
        &["t.toml:6:1: route[0]: `name` is missing", "t.toml:6:1: route[0]: `carriers` is missing"],
    );
    check_replaced("name = \"one\" }", "weight = 1 }", &["t.toml:8:13: route.all.carriers[0]: `name` is missing"]);
}

#[test]
fn names_and_keys_that_stand_twice() {
    check(
        "[[carrier]]\nname = \"one\"\nhosts = [\"h\"]\nsystem_id = \"x\"\n",
        &["t.toml:6:1: carrier.one: another carrier already has this name: rename one of them"],
    );
    check(
        "[[carrier]]\nname = \"a-b\"\nhosts = [\"h\"]\nsystem_id = \"x\"\n[[carrier]]\nname = \"a_b\"\nhosts = [\"h\"]\nsystem_id = \"x\"\n",
        &[
            "t.toml:5:1: carrier.a_b: differs from carrier `a-b` only in - and _, which environment variables cannot tell apart: rename one of them",
        ],
    );
    check(
        "[[route]]\nname = \"first\"\ncarriers = [{ name = \"one\" }]\n",
        &[
            "t.toml:9:1: route.all: never reached: route `first` above already takes every message that this one matches: move the narrower route up, or remove one",
        ],
    );
    check(
        "[[route]]\nname = \"x\"\nwhen = { class = \"otp\" }\ncarriers = [{ name = \"one\" }]\n[[route]]\nname = \"x\"\nwhen = { class = \"otp\" }\ncarriers = [{ name = \"one\" }]\n",
        &[
            "t.toml:5:1: route.x: another route already has this name: rename one of them",
            "t.toml:5:1: route.x: never reached: route `x` above already takes every message that this one matches: move the narrower route up, or remove one",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"0123456789abcdef\"]\n[[tenant]]\nname = \"b\"\nkeys = [\"fedcba9876543210\"]\nadmin_keys = [\"0123456789abcdef\"]\n",
        &["t.toml:7:15: tenant.b.admin_keys[0]: this key is already in use at tenant `a`: generate another one"],
    );
}

#[test]
fn lists_of_recipients() {
    let number = "is not a number: write it with its country code, such as \"+4915112345678\", or its beginning and *, such as \"+4990*\"";
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"0123456789abcdef\"]\nrecipients = { allow = [\"+49*\", \"0151*\"], block = [] }\n[recipients]\nallow = []\nblock = [\"*\"]\n",
        &[
            &format!("t.toml:4:33: tenant.a.recipients.allow[1]: \"0151*\" {number}"),
            "t.toml:6:9: recipients.allow: an empty list allows no number; leave `allow` out to allow every number",
            &format!("t.toml:7:10: recipients.block[0]: \"*\" {number}"),
        ],
    );
}

#[test]
fn tenants_and_tests() {
    check(
        "[[tenant]]\n",
        &[
            "t.toml:1:1: tenant[0]: `name` is missing",
            "t.toml:1:1: tenant[0]: `keys` is missing, so no client could authenticate as this tenant: add `keys` or `admin_keys`",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = []\nquota = \"7/week\"\nrate = 0\nshares = 0\nweight = 0\n",
        &[
            "t.toml:3:8: tenant.a.keys: the list is empty: write at least one key",
            "t.toml:4:9: tenant.a.quota: invalid value: string \"7/week\", expected a quota such as \"5000/hour\", \"100000/day\" or \"1000000/month\"",
            "t.toml:5:8: tenant.a.rate: invalid value: integer `0`, expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:6:10: tenant.a.shares: invalid value: integer `0`, expected a whole number from 1 to 1000000",
            "t.toml:7:10: tenant.a.weight: invalid value: integer `0`, expected a whole number from 1 to 10000",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"short\", \"with a space in it\"]\nsenders = [\"A*\", \"*\", \"@\"]\nfrom = \"B\"\ncountries = [\"de\"]\n",
        &[
            "t.toml:3:9: tenant.a.keys[0]: a key of 5 bytes can be guessed: use at least 16",
            "t.toml:3:18: tenant.a.keys[1]: contains a character that an HTTP header cannot carry: use printable ASCII without spaces",
            "t.toml:4:23: tenant.a.senders[2]: \"@\" is not a valid sender: use up to 15 digits, or up to 11 ASCII characters other than @`[]{}\\^|~ with a letter or digit among them",
            "t.toml:6:14: tenant.a.countries[0]: \"de\" is not a country code: write two capital letters (ISO 3166) such as \"DE\"",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"0123456789abcdef\"]\nclasses = [\"otp\", \"urgent\"]\nweight = 10001\n[[tenant]]\nname = \"b\"\nkeys = [\"fedcba9876543210\"]\nclasses = []\n",
        &[
            "t.toml:4:19: tenant.a.classes[1]: \"urgent\" is not one of emergency, otp, transactional, marketing",
            "t.toml:5:10: tenant.a.weight: invalid value: integer `10001`, expected a whole number from 1 to 10000",
            "t.toml:9:11: tenant.b.classes: the list is empty: write at least one class, or leave `classes` out",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"0123456789abcdef\"]\nclasses = [\"otp\", \"marketing\", \"otp\"]\n",
        &["t.toml:4:32: tenant.a.classes[2]: class `otp` is listed twice: remove one"],
    );
    check(
        "[[test]]\n[[test]]\ngiven = {}\nexpect = {}\n",
        &[
            "t.toml:1:1: test[0]: `given` is missing",
            "t.toml:1:1: test[0]: `expect` is missing",
            "t.toml:3:9: test[1].given: `to` is missing",
            "t.toml:4:10: test[1].expect: write either `reject`, or `route` and/or `encoding`",
        ],
    );
    check(
        "[[test]]\ngiven = { to = \"1\", tenant = \"x\" }\nexpect = { route = \"al\", reject = \"y\" }\n",
        &[
            "t.toml:2:30: test[0].given.tenant: there is no tenant `x`: no [[tenant]] is configured",
            "t.toml:3:10: test[0].expect: write either `reject`, or `route` and/or `encoding`",
            "t.toml:3:20: test[0].expect.route: there is no route `al`; did you mean `all`?",
        ],
    );
    check(
        "[[test]]\ngiven = { to = \"1\" }\nexpect = { encoding = \"gsm7\" }\n[[test]]\ngiven = { to = \"1\", body = \"\" }\nexpect = { encoding = \"auto\" }\n",
        &[
            "t.toml:3:10: test[0].expect: `encoding` can only be expected of a message with a `body`: add `body` to `given`",
            "t.toml:6:10: test[1].expect: no message is sent in `auto`: write `gsm7`, `latin1` or `ucs2`",
        ],
    );
}
