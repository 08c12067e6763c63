//! Limits of every kind, and messages that keep each of them busy for the whole run. Knows the configuration and the
//! public message format; sends nothing.

use super::Options;

/// Recipients of each country are numbered from here.
const COUNTRIES: [(&str, u64); 3] = [("DE", 4_915_110_000_000), ("FR", 33_612_000_000), ("GB", 447_400_000_000)];
/// The limit by the calendar month, which is spent once and then raised.
pub(super) const MONTH: &str = "month";
/// The limit over which messages are refused.
pub(super) const REFUSED: &str = "refused";
/// More messages than the month allows.
const MONTH_LETTERS: u64 = 40;

/// One limit of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub name: &'static str,
    when: &'static str,
    per: &'static str,
    pub of: &'static str,
    pub amount: u64,
    /// Seconds; 0: a month of the calendar.
    pub span_s: u64,
    over: &'static str,
}

/// A counter: a limit, and the value for which it counts.
pub(super) type Counter = (&'static str, &'static str);

/// One message; it has a recipient of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Letter {
    pub to: u64,
    pub tenant: u32,
    pub parts: u64,
    /// The counters on which it counts.
    pub counters: Vec<Counter>,
    /// Further fields, as JSON.
    fields: &'static str,
    country: usize,
}

/// Everything that is sent in one run.
#[derive(Debug)]
pub(super) struct Plan {
    pub limits: Vec<Limit>,
    /// Sent at the beginning, so that most of them wait.
    pub letters: Vec<Letter>,
    /// Sent little by little, to the limit that refuses.
    pub offers: Vec<Letter>,
}

impl Limit {
    /// Its table in the configuration.
    fn table(&self) -> String {
        let Self { name, when, per, of, over, .. } = self;
        let rate = self.rate(self.amount);
        format!(
            "\n[[limit]]\nname = \"{name}\"\nwhen = {{ {when} }}\nper = \"{per}\"\nof = \"{of}\"\n{rate}\nover = \"{over}\"\n"
        )
    }

    /// The line with its rate, if that were the amount.
    pub(super) fn rate(&self, amount: u64) -> String {
        match self.span_s {
            0 => format!("rate = \"{amount} per month\""),
            1 => format!("rate = \"{amount}/s\""),
            span => format!("rate = \"{amount} per {span}s\""),
        }
    }

    /// Its span in microseconds.
    pub(super) fn span_us(&self) -> u64 {
        self.span_s * 1_000_000
    }
}

impl Letter {
    /// The message as JSON.
    pub(super) fn json(&self) -> String {
        let length = [0, 60, 200, 400][self.parts.min(3) as usize];
        format!("{{\"to\":\"+{}\",\"body\":\"{:.<length$}\"{}}}", self.to, self.to, self.fields)
    }

    fn of(fields: &'static str, counters: &[Counter]) -> Self {
        Self { fields, counters: counters.to_vec(), parts: 1, ..Self::default() }
    }

    fn in_parts(self, parts: u64) -> Self {
        Self { parts, ..self }
    }

    fn by(self, tenant: u32) -> Self {
        Self { tenant, ..self }
    }

    fn for_country(self, country: usize) -> Self {
        Self { country, ..self }
    }
}

impl Plan {
    /// The limits and messages of a run of that length.
    pub(super) fn new(options: &Options) -> Self {
        let long = options.span.max(1);
        let spans = |span_s: u64| options.seconds / span_s + 1;
        let each = |count: u64, letter: fn(u64) -> Letter| (0..count).map(letter).collect::<Vec<_>>();
        let groups = [
            each(20 * spans(1), everything),
            each(2 * 20 * spans(2), by_tenant),
            each(15 * spans(long), by_carrier),
            each(2 * 15 * spans(long), by_sender),
            each(3 * 12 * spans(long), by_country),
            each(18 * spans(long), by_tag),
            each(2 * spans(long), several),
            each(spans(long), |_| Letter::of(",\"tags\":[\"s\"]", &[("slow", "")])),
            each(MONTH_LETTERS, |_| Letter::of(",\"tags\":[\"m\"]", &[(MONTH, "")])),
        ];
        let mut letters = in_turn(groups.into());
        // Far more than the limit lets pass, two batches a second.
        let mut offers = each(20 * options.seconds, |_| Letter::of(",\"tags\":[\"r\"]", &[(REFUSED, "")]));
        for (number, letter) in (0..).zip(letters.iter_mut().chain(&mut offers)) {
            letter.to = COUNTRIES[letter.country].1 + number;
        }
        Self { limits: limits(long), letters, offers }
    }

    /// What the configuration needs for it.
    pub(super) fn tables(&self) -> String {
        self.limits.iter().map(Limit::table).collect()
    }

    /// The limit of that name.
    pub(super) fn limit(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.name == name)
    }
}

fn limits(long: u64) -> Vec<Limit> {
    let limit = |name, when, per, of, amount, span_s| Limit { name, when, per, of, amount, span_s, over: "wait" };
    let refused = limit(REFUSED, "tag = \"r\"", "all", "messages", 12, long);
    vec![
        limit("everything", "class = \"marketing\"", "all", "parts", 40, 1),
        limit("tenants", "tag = \"t\"", "tenant", "messages", 20, 2),
        limit("carriers", "tag = \"c\", carrier = \"bench\"", "carrier", "parts", 30, long),
        limit("senders", "sender = \"SHOP*\"", "sender", "messages", 15, long),
        limit("countries", "tag = \"k\", country = [\"DE\", \"FR\", \"GB\"]", "country", "parts", 24, long),
        limit("tags", "sender = \"TAGGED\"", "tag", "messages", 10, long),
        limit("slow", "tag = \"s\"", "all", "messages", 1, long),
        limit(MONTH, "tag = \"m\"", "all", "messages", 25, 0),
        Limit { over: "refuse", ..refused },
    ]
}

fn everything(number: u64) -> Letter {
    Letter::of(",\"class\":\"marketing\"", &[("everything", "")]).in_parts(1 + number % 3)
}

fn by_tenant(number: u64) -> Letter {
    let tenant = number % 2;
    Letter::of(",\"tags\":[\"t\"]", &[("tenants", ["t0", "t1"][tenant as usize])]).by(tenant as u32)
}

fn by_carrier(_: u64) -> Letter {
    Letter::of(",\"tags\":[\"c\"]", &[("carriers", "bench")]).in_parts(2)
}

fn by_sender(number: u64) -> Letter {
    match number % 2 {
        0 => Letter::of(",\"from\":\"SHOP1\"", &[("senders", "SHOP1")]),
        _ => Letter::of(",\"from\":\"SHOP2\"", &[("senders", "SHOP2")]).by(1),
    }
}

fn by_country(number: u64) -> Letter {
    let country = (number % 3) as usize;
    Letter::of(",\"tags\":[\"k\"]", &[("countries", COUNTRIES[country].0)]).in_parts(2).for_country(country)
}

/// Each of the two tags counts ten times in eighteen messages.
fn by_tag(number: u64) -> Letter {
    match number % 9 {
        0..4 => Letter::of(",\"from\":\"TAGGED\",\"tags\":[\"red\"]", &[("tags", "red")]),
        4..8 => Letter::of(",\"from\":\"TAGGED\",\"tags\":[\"blue\"]", &[("tags", "blue")]),
        _ => Letter::of(",\"from\":\"TAGGED\",\"tags\":[\"red\",\"blue\"]", &[("tags", "red"), ("tags", "blue")]),
    }
}

/// A message that needs room on many counters at once.
fn several(_: u64) -> Letter {
    let counters =
        [("everything", ""), ("tenants", "t0"), ("carriers", "bench"), ("senders", "SHOP1"), ("countries", "DE")];
    Letter::of(",\"class\":\"marketing\",\"from\":\"SHOP1\",\"tags\":[\"t\",\"c\",\"k\"]", &counters)
}

/// One of each group, again and again, so that every counter is busy from the beginning.
fn in_turn(groups: Vec<Vec<Letter>>) -> Vec<Letter> {
    let mut groups: Vec<_> = groups.into_iter().map(Vec::into_iter).collect();
    let mut letters = Vec::new();
    loop {
        let before = letters.len();
        letters.extend(groups.iter_mut().filter_map(Iterator::next));
        if letters.len() == before {
            return letters;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn messages_are_json_and_their_recipients_their_own() {
        let letters = in_turn(vec![vec![several(0)], (0..9).map(by_tag).collect(), (0..3).map(by_country).collect()]);
        assert_eq!(letters.len(), 13);
        for letter in &letters {
            let json: serde_json::Value = serde_json::from_str(&letter.json()).unwrap();
            let length = json["body"].as_str().unwrap().len();
            assert!((length > 160) == (letter.parts > 1), "{json}");
        }
        let bases: BTreeSet<u64> = COUNTRIES.iter().map(|(_, base)| *base).collect();
        assert_eq!(bases.len(), COUNTRIES.len());
    }

    #[test]
    fn rates_are_written_as_the_configuration_wants_them() {
        let rates: Vec<_> = limits(10).iter().map(|limit| limit.rate(limit.amount)).collect();
        assert_eq!((rates[0].as_str(), rates[7].as_str()), ("rate = \"40/s\"", "rate = \"25 per month\""));
        assert_eq!(rates[6], "rate = \"1 per 10s\"");
    }
}
