//! The choice of a carrier's host for a connection: first its own host, then the next one when a host fails.
//!
//! Knows counts. Refuses to know names and addresses. The code that resolves names uses [`Way::turn`], the number of rounds
//! through all hosts, to begin with another address of a name that has several.

/// After this many short sessions in a row the connection leaves its host.
pub const SHORT_SESSIONS_MAX: u8 = 3;

/// The destination of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Index into the carrier's hosts.
    pub host: u16,
    /// How often this connection has gone through all hosts.
    pub turn: u32,
}

/// The choice of host of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostChoice {
    /// How many times the connection went on to the next host.
    passed: u32,
    /// Short sessions in a row at the current host.
    short: u8,
}

impl HostChoice {
    /// The host to try now. `first`: index of the host that this connection tries first; `hosts`: their number.
    pub fn way(self, first: u16, hosts: u16) -> Way {
        let hosts = u32::from(hosts.max(1));
        let host = (u32::from(first) + self.passed % hosts) % hosts;
        Way { host: u16::try_from(host).unwrap_or_default(), turn: self.passed / hosts }
    }

    /// No session was bound: go on to the next host.
    pub fn handle_failed(&mut self) {
        *self = Self { passed: self.passed.wrapping_add(1), short: 0 };
    }

    /// A session has ended; `held`: whether it lasted. One short session may be chance; several in a row are blamed on the host.
    pub fn handle_session(&mut self, in_hand: bool) {
        self.short = if in_hand { 0 } else { self.short.saturating_add(1) };
        if self.short >= SHORT_SESSIONS_MAX {
            self.handle_failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(choice: &mut HostChoice, first: u16, hosts: u16, sessions: &[Option<bool>]) -> Vec<(u16, u32)> {
        let mut ways = vec![choice.way(first, hosts)];
        for session in sessions {
            match session {
                Some(in_hand) => choice.handle_session(*in_hand),
                None => choice.handle_failed(),
            }
            ways.push(choice.way(first, hosts));
        }
        ways.into_iter().map(|way| (way.host, way.turn)).collect()
    }

    #[test]
    fn a_host_that_cannot_be_reached_is_left_at_once() {
        let ways = hosts(&mut HostChoice::default(), 1, 3, &[None; 5]);
        assert_eq!(ways, [(1, 0), (2, 0), (0, 0), (1, 1), (2, 1), (0, 1)]);
    }

    #[test]
    fn a_host_is_left_after_some_short_sessions_in_a_row() {
        let (short, long) = (Some(false), Some(true));
        let ways = hosts(&mut HostChoice::default(), 0, 2, &[short, short, long, short, short, short, short]);
        assert_eq!(ways.iter().map(|way| way.0).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn with_one_host_only_the_turn_changes() {
        let short = Some(false);
        let ways = hosts(&mut HostChoice::default(), 7, 1, &[short, short, short, None]);
        assert_eq!(ways, [(0, 0), (0, 0), (0, 0), (0, 1), (0, 2)]);
        assert_eq!(HostChoice::default().way(3, 0), Way::default(), "none is taken as one");
    }

    #[test]
    fn it_goes_on_past_the_end_of_counting() {
        let mut choice = HostChoice { passed: u32::MAX, short: 0 };
        assert!(choice.way(u16::MAX, u16::MAX).host < u16::MAX);
        choice.handle_failed();
        assert_eq!(choice.way(1, 2), Way { host: 1, turn: 0 });
    }
}
