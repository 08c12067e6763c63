//! The switches on the page that make the carrier misbehave: each switch, its words, and the behaviour that it means.
//! Knows no page and no internals of the carrier. Magic numbers keep their outcome with any switch on, except for the throttle.

use serde::{Deserialize, Serialize};

use stentor_core::sim::carrier::{Behaviour, Delay};

/// Which switches are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Chaos {
    throttle: bool,
    errors: bool,
    silence: bool,
    disconnect: bool,
    unreachable: bool,
    lost_receipts: bool,
    slow: bool,
}

/// One switch as the page shows it; `name` is its field in [`Chaos`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Switch {
    pub(super) name: &'static str,
    label: &'static str,
    explanation: &'static str,
}

const fn switch(name: &'static str, label: &'static str, explanation: &'static str) -> Switch {
    Switch { name, label, explanation }
}

/// All switches, in the order of the page.
pub(super) const SWITCHES: [Switch; 7] = [
    switch("throttle", "Throttle", "accepts two parts per second and answers the rest 0x58, ESME_RTHROTTLED"),
    switch("errors", "System errors", "answers every other part 0x08, ESME_RSYSERR: the daemon tries again"),
    switch("silence", "Silence", "never answers one part in three: those are in doubt"),
    switch("disconnect", "Disconnects", "closes the connection instead of answering one part in five"),
    switch("unreachable", "Phones off", "accepts everything, and receipts say UNDELIV"),
    switch("lost_receipts", "Lost receipts", "accepts everything, and no receipt ever comes"),
    switch("slow", "Slow answers", "answers after half a second to two, receipts after five to ten"),
];

/// Parts per second while throttling.
const THROTTLED_RATE: u32 = 2;

const ALWAYS_PPM: u32 = 1_000_000;

impl Chaos {
    /// The carrier's behaviour with these switches on.
    pub(super) fn behaviour(self) -> Behaviour {
        let calm = Behaviour::showcase();
        let ppm = |on: bool, ppm: u32| if on { ppm } else { 0 };
        let between = |min_us, max_us| Delay { min_us, max_us };
        Behaviour {
            rate_max: if self.throttle { THROTTLED_RATE } else { 0 },
            transient_ppm: ppm(self.errors, ALWAYS_PPM / 2),
            swallowed_ppm: ppm(self.silence, ALWAYS_PPM / 3),
            disconnect_ppm: ppm(self.disconnect, ALWAYS_PPM / 5),
            undelivered_ppm: ppm(self.unreachable, ALWAYS_PPM),
            receipt_lost_ppm: ppm(self.lost_receipts, ALWAYS_PPM),
            response_delay: if self.slow { between(500_000, 2_000_000) } else { calm.response_delay },
            receipt_delay: if self.slow { between(5_000_000, 10_000_000) } else { calm.receipt_delay },
            ..calm
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn only(name: &str) -> Chaos {
        serde_json::from_str(&format!("{{\"{name}\":true}}")).expect("a switch of that name")
    }

    #[test]
    fn every_switch_is_a_field_and_does_something_of_its_own() {
        let all: BTreeMap<String, bool> =
            serde_json::from_value(serde_json::to_value(Chaos::default()).expect("JSON")).expect("fields");
        assert_eq!(all.len(), SWITCHES.len());
        for (index, switch) in SWITCHES.iter().enumerate() {
            let behaviour = only(switch.name).behaviour();
            assert_ne!(behaviour, Behaviour::showcase(), "{}", switch.name);
            assert!(SWITCHES[..index].iter().all(|other| only(other.name).behaviour() != behaviour));
        }
    }

    #[test]
    fn nothing_on_is_the_showcase() {
        assert_eq!(Chaos::default().behaviour(), Behaviour::showcase());
        assert!(serde_json::from_str::<Chaos>("{\"fire\":true}").is_err());
    }
}
