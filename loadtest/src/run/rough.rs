//! Scenario `rough`: a carrier with every bad habit at once: throttling, temporary errors, lost answers, closed
//! connections, and receipts that are early, doubled, foreign, on another bind or in another spelling than the
//! response. Everything acknowledged is delivered all the same, and messages that come twice were in doubt.

use std::time::Duration;

use super::figure::{Value, quantiles_ms};
use super::ground::{Ground, GroundOptions};
use super::prometheus::IN_DOUBT;
use super::result::ScenarioResult;

const HABITS: &str = r#"{
    "response_delay": { "min_us": 0, "max_us": 20000 },
    "receipt_delay": { "min_us": 0, "max_us": 200000 },
    "throttled_ppm": 2000, "transient_ppm": 2000,
    "answer_lost_ppm": 50, "swallowed_ppm": 50, "disconnect_ppm": 20, "taken_disconnect_ppm": 20,
    "receipt_twice_ppm": 20000, "receipt_first_ppm": 20000, "receipt_unknown_ppm": 1000,
    "intermediate_ppm": 20000, "regress_ppm": 10000, "receipt_elsewhere_ppm": 100000,
    "id_dialect": "hex_then_decimal", "receipt_form": "text_and_tlvs"
}"#;

/// Sizes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Messages offered per second
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Behaviour of the simulator as JSON, instead of the built-in habits
    #[arg(long, value_name = "JSON", default_value = HABITS, hide_default_value = true)]
    behaviour: String,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.set_carrier("RESPONSE_TIMEOUT", "2s");
    ground.set("DEFAULTS__IN_DOUBT_WAIT", "1s");
    let mut smsc = ground.start_smsc(&["--behaviour", &options.behaviour])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let (count, rate) = (options.count.to_string(), options.rate.to_string());
    let mut generator = ground.start_generator(&["--count", &count, "--rate", &rate, "--retry"])?;
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    stentor.check_alive()?;
    let in_doubt = ground.metrics().sum(IN_DOUBT);
    let stats = smsc.stats(Some(options.count))?;

    let mut result = ScenarioResult::new("rough");
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("submits", stats.submits.received);
    result.figure("throttled", stats.submits.throttled);
    result.figure("refused", stats.submits.refused);
    result.figure("never answered", stats.submits.unanswered);
    result.figure("connections closed on us", stats.connections.closed_by_us);
    result.figure("submitted again", stats.messages.repeats);
    result.figure("in doubt", in_doubt.map_or(Value::from("?"), Value::from));
    result.figure("receipts", stats.receipts.acknowledged);
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.claim("every message was acknowledged", report.is_complete());
    result.claim("every message was submitted", stats.messages.missing == Some(0));
    result.claim("no more came twice than was in doubt", stats.messages.repeats as f64 <= in_doubt.unwrap_or(0.0));
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    result.claim("no PDU was malformed", stats.submits.malformed == 0 && stats.connections.broken == 0);
    Ok(result)
}
