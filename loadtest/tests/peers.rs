//! The SMSC simulator with a foreign client: smpplib for Python, fetched by its script. If Python or the package is not
//! available, a message says so; with `CI` in the environment that is a failure.

mod stage;

use std::path::Path;
use std::process::Command;

use stage::process::Smsc;

#[test]
fn smpplib_gets_a_response_and_a_receipt_for_each_part() {
    let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !has_pip.is_ok_and(|output| output.status.success()) && std::env::var_os("CI").is_none() {
        eprintln!("SKIPPED: there is no python3 with pip");
        return;
    }
    let smsc = Smsc::start(&["--receipt-delay", "0-50"]);
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/smpplib-client.sh"))
        .args(["127.0.0.1", &smsc.listening.port().to_string(), "200"])
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("200 messages, 300 parts, 300 receipts"));
    let stats = smsc.stop();
    assert_eq!((&stats["submits"]["malformed"], &stats["connections"]["broken"]), (&0.into(), &0.into()));
}
