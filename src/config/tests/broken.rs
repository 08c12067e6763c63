//! Broken files and what exactly is said about each.

use super::{LEAST, parse, with};

/// `more` before the smallest file.
fn check(more: &str, expected: &[&str]) {
    let problems = parse(&with(more)).expect_err(more).to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected, "\n{more}");
}

/// `old` replaced by `new` in the smallest file.
fn check_replaced(old: &str, new: &str, expected: &[&str]) {
    assert!(LEAST.contains(old), "{old}");
    let problems = parse(&LEAST.replace(old, new)).expect_err(new).to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected, "\n{new}");
}

/// Lines of a carrier's table, from line 6 on.
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
            "t.toml:2:1: http.window: unknown key here; it belongs into [[carrier]]",
            "t.toml:3:1: http.banana: unknown key; known are listen, hosts, tls, body_max, inflate_ratio_max, line_max, messages_max, connections_max, header_max, header_timeout, body_timeout, write_timeout, idle_timeout",
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
            "t.toml:6:15: carrier.one.numbering.national: unknown key; known are international, alphanumeric, short_code, recipient, bind",
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
            "t.toml:2:10: retry.transient.jitter: invalid value: integer `2`, expected a share from 0 to 1",
            "t.toml:3:16: retry.transient.attempts_max: invalid value: integer `0`, expected a whole number from 1 to 100",
        ],
    );
}

#[test]
fn values_of_the_wrong_kind_in_carriers_and_routes() {
    check_carrier(
        "window = 0\nbinds = 257\nrate = 0\nbind_rate = \"5/m\"\nbind = \"pear\"\nsplitting = \"none\"",
        &[
            "t.toml:6:10: carrier.one.window: invalid value: integer `0`, expected a whole number from 1 to 65536",
            "t.toml:7:9: carrier.one.binds: invalid value: integer `257`, expected a whole number from 0 to 256",
            "t.toml:8:8: carrier.one.rate: invalid value: integer `0`, expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:9:13: carrier.one.bind_rate: invalid value: string \"5/m\", expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:10:8: carrier.one.bind: \"pear\" is not one of transceiver, pair, transmitter",
            "t.toml:11:13: carrier.one.splitting: \"none\" is not one of udh8, udh16, sar, payload",
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
            "t.toml:8:19: route.all.when.prefix: invalid type: integer `49`, expected a text or a list of texts",
            "t.toml:8:30: route.all.when.tag[0]: invalid type: integer `1`, expected a string",
        ],
    );
}

#[test]
fn values_out_of_bounds() {
    check(
        "[http]\nidle_timeout = \"1ms\"\nbody_max = \"2GiB\"\nlisten = []\n",
        &[
            "t.toml:2:16: http.idle_timeout: 1ms is out of bounds: from 100ms to 1d",
            "t.toml:3:12: http.body_max: 2GiB is out of bounds: from 1KiB to 1GiB",
            "t.toml:4:10: http.listen: no address to listen on",
        ],
    );
    check(
        "[http]\nlisten = [\"127.0.0.1:80\", \"localhost:80\", \"127.0.0.1:80\"]\n",
        &[
            "t.toml:2:10: http.listen: \"localhost:80\" is not an address to listen on, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            "t.toml:2:10: http.listen: 127.0.0.1:80 stands there twice",
        ],
    );
    check(
        "[http]\nbody_max = \"1KiB\"\n",
        &["t.toml:2:12: http.body_max: `line_max` is larger than `body_max`: no such line can ever come in"],
    );
    check(
        "[limits]\nkey_window = \"23h\"\nqueue = 10\nqueue_per_shard = 11\nkeys = 0\n",
        &[
            "t.toml:2:14: limits.key_window: 23h is out of bounds: from 1d to 30d",
            "t.toml:4:19: limits.queue_per_shard: more than `queue` allows in all (10)",
            "t.toml:5:8: limits.keys: invalid value: integer `0`, expected a whole number from 1 to 1000000000000",
        ],
    );
    check(
        "[defaults]\ncountry = \"Germany\"\nfrom = \"much too long\"\nexpires_in = \"30d\"\n",
        &[
            "t.toml:2:11: defaults.country: \"Germany\" is no country: two capital letters (ISO 3166) such as \"DE\"",
            "t.toml:3:8: defaults.from: \"much too long\" is no sender: 15 digits, or 11 characters of ASCII without @`[]{}\\^|~, a letter or digit among them",
            "t.toml:4:14: defaults.expires_in: 30d is out of bounds: from 1s to 14d",
        ],
    );
    check(
        "[retry.session]\nbackoff_min = \"5m\"\n[retry.unknown]\nbackoff_max = \"1s\"\n",
        &[
            "t.toml:2:15: retry.session.backoff_min: `backoff_min` (5m) is longer than `backoff_max` (1m)",
            "t.toml:4:15: retry.unknown.backoff_max: `backoff_min` (30s) is longer than `backoff_max` (1s)",
        ],
    );
}

#[test]
fn values_out_of_bounds_in_carriers_and_routes() {
    check_carrier(
        "group = \"Group\"\nsource_ip = \"here\"\nservice_type = \"käse\"",
        &[
            "t.toml:6:9: carrier.one.group: a name has 1 to 32 of a-z, 0-9, - and _ (never two _ in a row), not \"Group\"",
            "t.toml:7:13: carrier.one.source_ip: \"here\" is not an IP address",
            "t.toml:8:16: carrier.one.service_type: only printable ASCII can be sent in this field",
        ],
    );
    check_carrier(
        "reconnect_min = \"2m\"\nenquire_link = \"1ms\"\nnumbering = { recipient = [1] }",
        &[
            "t.toml:6:17: carrier.one.reconnect_min: `reconnect_min` (2m) is longer than `reconnect_max` (1m)",
            "t.toml:7:16: carrier.one.enquire_link: 1ms is out of bounds: from 1s to 1h",
            "t.toml:8:27: carrier.one.numbering.recipient: two numbers are needed: [type of number, numbering plan]",
        ],
    );
    check_carrier(
        "errors = { \"0\" = \"throttle\", \"0xZZ\" = \"throttle\", \"88\" = \"session\", \"0x58\" = \"throttle\" }",
        &[
            "t.toml:6:18: carrier.one.errors.0: command status 0 is success",
            "t.toml:6:39: carrier.one.errors.0xZZ: `0xZZ` is not a command status such as \"0x58\" or 88",
            "t.toml:6:58: carrier.one.errors.88: command status 88 stands there twice",
        ],
    );
    check_carrier(
        "tlvs = [{ tag = 0x0424, text = \"x\" }, { tag = 5 }, { tag = 6, text = \"a\", hex = \"00\" }, { tag = 7, hex = \"abc\" }, { text = \"x\" }, { tag = 8, text = \"\" }, { tag = 8, text = \"\" }]",
        &[
            "t.toml:6:9: carrier.one.tlvs[0]: tag 0x0424 (message_payload) is set by Stentor itself",
            "t.toml:6:39: carrier.one.tlvs[1]: one of `text` and `hex` is needed",
            "t.toml:6:52: carrier.one.tlvs[2]: one of `text` and `hex` is needed",
            "t.toml:6:106: carrier.one.tlvs[3].hex: pairs of hexadecimal digits are needed",
            "t.toml:6:115: carrier.one.tlvs[4]: `tag` is missing",
            "t.toml:6:155: carrier.one.tlvs[6]: tag 0x0008 stands there twice",
        ],
    );
    check_replaced(
        "\"127.0.0.1\"",
        "\"\", \"h:0\", \"h:99999\", \"::1\", \"[::1\", \"[x]:1\", \"a b\", \"h:1\", \"h:1\"",
        &[
            "t.toml:4:10: carrier.one.hosts[0]: \"\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:14: carrier.one.hosts[1]: \"h:0\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:21: carrier.one.hosts[2]: \"h:99999\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:32: carrier.one.hosts[3]: \"::1\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:39: carrier.one.hosts[4]: \"[::1\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:47: carrier.one.hosts[5]: \"[x]:1\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:56: carrier.one.hosts[6]: \"a b\" is not \"host:port\" (IPv6: \"[2001:db8::1]:2775\")",
            "t.toml:4:70: carrier.one.hosts[8]: h:1 stands there twice",
        ],
    );
    check_replaced("[\"127.0.0.1\"]", "[]", &["t.toml:4:9: carrier.one.hosts: no host to connect to"]);
    check_replaced(
        "name = \"all\"",
        "name = \"All!\"",
        &["t.toml:7:8: route.All!.name: a name has 1 to 32 of a-z, 0-9, - and _ (never two _ in a row), not \"All!\""],
    );
    check_replaced(
        "name = \"all\"",
        "name = \"a__b\"\nfrom = \"@home\"",
        &[
            "t.toml:7:8: route.a__b.name: a name has 1 to 32 of a-z, 0-9, - and _ (never two _ in a row), not \"a__b\"",
            "t.toml:8:8: route.a__b.from: \"@home\" is no sender: 15 digits, or 11 characters of ASCII without @`[]{}\\^|~, a letter or digit among them",
        ],
    );
}

#[test]
fn what_cannot_go_together() {
    check(
        "[http]\nlisten = [\"127.0.0.1:80\", \"0.0.0.0:80\"]\n",
        &[
            "t.toml:2:10: http.listen: without a [[tenant]] there is no authentication, so only loopback addresses may be listened on",
        ],
    );
    check("[http]\ntls = {}\n", &["t.toml:2:7: http.tls: `cert` is missing", "t.toml:2:7: http.tls: `key` is missing"]);
    check_carrier(
        "binds = 3\nbind_rate = 10\nrate = 31",
        &["t.toml:8:8: carrier.one.rate: 31/s can never be reached by 3 binds of 10/s each"],
    );
    check_carrier(
        "tls = { insecure = true, ca = \"/ca.pem\" }",
        &[
            "t.toml:6:7: carrier.one.tls: `insecure` takes any certificate, so `ca`, `server_name` and `pin` mean nothing",
        ],
    );
    check_carrier("source_ip = \"::1\"", &["t.toml:6:13: carrier.one.source_ip: 127.0.0.1 cannot be reached from ::1"]);
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
        &["t.toml:8:31: route.all.carriers.one: carrier `one` stands there twice"],
    );
    check_replaced(
        "name = \"one\" }",
        "name = \"one\", weight = 0 }",
        &["t.toml:8:12: route.all.carriers: no carrier with a weight above 0"],
    );
    check_replaced(
        "name = \"one\" }",
        "name = \"one\", weight = 2 }, { name = \"on\" }",
        &[
            "t.toml:8:12: route.all.carriers: carriers of a route share evenly in this version: weights above 0 must be equal",
            "t.toml:8:52: route.all.carriers.on.name: there is no carrier `on`; did you mean `one`?",
        ],
    );
    check_replaced(
        "carriers = [{ name = \"one\" }]",
        "carriers = []\nfailover = true",
        &[
            "t.toml:8:12: route.all.carriers: no carrier with a weight above 0",
            "t.toml:9:12: route.all.failover: trying another carrier after a failure is not in this version; only `false` is taken",
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
            "t.toml:8:19: route.all.when.prefix: \"\" is no prefix: 1 to 15 digits such as \"49\"",
            "t.toml:8:19: route.all.when.prefix: \"+\" is no prefix: 1 to 15 digits such as \"49\"",
            "t.toml:8:19: route.all.when.prefix: \"4x\" is no prefix: 1 to 15 digits such as \"49\"",
            "t.toml:8:45: route.all.when.tenant: there is no tenant `shop`",
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
        &["t.toml:6:1: carrier.one: there are two carriers of this name"],
    );
    check(
        "[[carrier]]\nname = \"a-b\"\nhosts = [\"h\"]\nsystem_id = \"x\"\n[[carrier]]\nname = \"a_b\"\nhosts = [\"h\"]\nsystem_id = \"x\"\n",
        &["t.toml:5:1: carrier.a_b: the environment could not tell it from carrier `a-b`"],
    );
    check(
        "[[route]]\nname = \"first\"\ncarriers = [{ name = \"one\" }]\n",
        &["t.toml:9:1: route.all: never reached: route `first` before it takes every message that it would"],
    );
    check(
        "[[route]]\nname = \"x\"\nwhen = { class = \"otp\" }\ncarriers = [{ name = \"one\" }]\n[[route]]\nname = \"x\"\nwhen = { class = \"otp\" }\ncarriers = [{ name = \"one\" }]\n",
        &[
            "t.toml:5:1: route.x: there are two routes of this name",
            "t.toml:5:1: route.x: never reached: route `x` before it takes every message that it would",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"0123456789abcdef\"]\n[[tenant]]\nname = \"b\"\nkeys = [\"fedcba9876543210\"]\nadmin_keys = [\"0123456789abcdef\"]\n",
        &["t.toml:7:15: tenant.b.admin_keys[0]: the same key stands a second time, first at tenant `a`"],
    );
}

#[test]
fn tenants_and_tests() {
    check(
        "[[tenant]]\n",
        &[
            "t.toml:1:1: tenant[0]: `name` is missing",
            "t.toml:1:1: tenant[0]: `keys` is missing: nobody could come in as this tenant",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = []\nquota = \"7/week\"\nrate = 0\nshares = 0\n",
        &[
            "t.toml:3:8: tenant.a.keys: an empty list of keys",
            "t.toml:4:9: tenant.a.quota: invalid value: string \"7/week\", expected a quota such as \"5000/hour\", \"100000/day\" or \"1000000/month\"",
            "t.toml:5:8: tenant.a.rate: invalid value: integer `0`, expected a rate from 1 to 1000000 such as 5000 or \"5000/s\"",
            "t.toml:6:10: tenant.a.shares: invalid value: integer `0`, expected a whole number from 1 to 1000000",
        ],
    );
    check(
        "[[tenant]]\nname = \"a\"\nkeys = [\"short\", \"with a space in it\"]\nsenders = [\"A*\", \"*\", \"@\"]\nfrom = \"B\"\ncountries = [\"de\"]\n",
        &[
            "t.toml:3:9: tenant.a.keys[0]: a key of 5 octets can be guessed; 16 are needed",
            "t.toml:3:18: tenant.a.keys[1]: only printable ASCII without spaces can stand in an HTTP header",
            "t.toml:4:23: tenant.a.senders[2]: \"@\" is no sender: 15 digits, or 11 characters of ASCII without @`[]{}\\^|~, a letter or digit among them",
            "t.toml:6:14: tenant.a.countries[0]: \"de\" is no country: two capital letters (ISO 3166) such as \"DE\"",
        ],
    );
    check(
        "[[test]]\n[[test]]\ngiven = {}\nexpect = {}\n",
        &[
            "t.toml:1:1: test[0]: `given` is missing",
            "t.toml:1:1: test[0]: `expect` is missing",
            "t.toml:3:9: test[1].given: `to` is missing",
            "t.toml:4:10: test[1].expect: either `reject`, or `route` and/or `encoding`",
        ],
    );
    check(
        "[[test]]\ngiven = { to = \"1\", tenant = \"x\" }\nexpect = { route = \"al\", reject = \"y\" }\n",
        &[
            "t.toml:2:30: test[0].given.tenant: there is no tenant `x`",
            "t.toml:3:10: test[0].expect: either `reject`, or `route` and/or `encoding`",
            "t.toml:3:20: test[0].expect.route: there is no route `al`; did you mean `all`?",
        ],
    );
    check(
        "[[test]]\ngiven = { to = \"1\" }\nexpect = { encoding = \"gsm7\" }\n[[test]]\ngiven = { to = \"1\", body = \"\" }\nexpect = { encoding = \"auto\" }\n",
        &[
            "t.toml:3:10: test[0].expect: an encoding can only be expected of a message with a `body`",
            "t.toml:6:10: test[1].expect: `auto` is no encoding in which a message leaves",
        ],
    );
}
