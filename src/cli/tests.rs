//! The command line as a table: what is accepted, what is refused.

use clap::CommandFactory;

use super::*;

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn arguments_are_read_or_refused() {
    let table: [(&str, bool); 52] = [
        ("dev", true),
        ("dev --listen 127.0.0.1:9000 --data ./x --fresh", true),
        ("dev --listen localhost", false),
        ("dev extra", false),
        ("serve --config a.toml", true),
        ("serve", false),
        ("check a.toml", true),
        ("check a.toml --json", true),
        ("check", true),
        ("check --config a.toml --no-secrets", true),
        ("check a.toml --config b.toml", false),
        ("check --data d --no-secrets", false),
        ("check --data d --config b.toml", false),
        ("in-doubt --resolve drop --all --dry-run", true),
        ("in-doubt --resolve drop a b --dry-run", true),
        ("in-doubt --resolve drop a --all", false),
        ("in-doubt --all", false),
        ("in-doubt --dry-run", false),
        ("restored --json", true),
        ("restored --resolve resend --class otp --all --dry-run", true),
        ("restored --all", false),
        ("restored --resolve explode", false),
        ("restored --resolve drop --class vip", false),
        ("doctor --config a.toml", true),
        ("doctor --config a.toml --bind --json", true),
        ("doctor", false),
        ("send --to +491 --body x", true),
        ("send --to +491 --to +492 --from A --body x --class otp --key k --json", true),
        ("send --to +491 --body -", true),
        ("send --to +491 --body x --wait --timeout 5", true),
        ("send --to +491 --body x --timeout 5", false),
        ("send --to +491 --body x --class urgent", false),
        ("send --to +491", false),
        ("send --body x", false),
        ("status", true),
        ("status a b --json --url http://h:1 --api-key k", true),
        ("status --ready --url http://h:1", true),
        ("status --ready a", false),
        ("status --ready --json", false),
        ("status --to +491 --since 2026-07-01T00:00:00Z --tenant shop", true),
        ("status --to +491 a", false),
        ("status --wait", false),
        ("backup b", true),
        ("backup b --json --url http://h:1", true),
        ("backup", false),
        ("restore b --to d", true),
        ("restore b --to d --unsent resend --json", true),
        ("restore b --check", true),
        ("restore b", false),
        ("restore b --check --to d", false),
        ("", false),
        ("explode", false),
    ];
    for (typed, taken) in table {
        let words = std::iter::once("stentor").chain(typed.split_whitespace());
        let read = Arguments::try_parse_from(words);
        assert_eq!(read.is_ok(), taken, "{typed}");
        if let Err(error) = read {
            assert_eq!(error.exit_code(), 2, "{typed}");
        }
    }
}
