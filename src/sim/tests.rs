use super::*;

/// Seeds that a test run takes, and from which: `STENTOR_SIM_SEEDS` and `STENTOR_SIM_FROM`; `STENTOR_SIM_SEED` runs one
/// and shows its trace.
fn wanted(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn sim_seeds() {
    if let Some(seed) = std::env::var("STENTOR_SIM_SEED").ok().and_then(|text| text.parse().ok()) {
        match run(seed, &SimOptions { lines_max: wanted("STENTOR_SIM_LINES", 2_000) as usize, ..SimOptions::default() })
        {
            Ok(report) => println!("{report:#?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let (from, seeds) = (wanted("STENTOR_SIM_FROM", 1), wanted("STENTOR_SIM_SEEDS", 50));
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for seed in from..from + seeds {
        match run(seed, &SimOptions::default()) {
            Ok(report) => tally.merge(&report.tally),
            Err(failure) => failures.push(failure),
        }
    }
    println!("{tally:?}");
    for failure in &failures {
        println!("{failure}\n");
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds failed", failures.len());
}
