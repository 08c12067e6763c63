//! What tenants' limits promise, judged by what came in and what was acknowledged: never more in any second than the
//! rate, never more in an hour than the quota, and a tenant is charged for exactly what was admitted. Knows nothing of
//! how the doors count.

use std::collections::{BTreeMap, VecDeque};

use crate::admission::{Limit, TenantOptions, UsedUp};
use crate::model::{Mono, Now, TenantId};

use super::agenda::SECOND;
use super::oracle::{Invariant, Oracle};

const HOUR_MS: u64 = 3_600_000;
/// How long a message may count against the rate: a second, and the coarseness of the counting.
const COUNTED_NS: u64 = SECOND + SECOND / 10;

/// What was seen of all tenants since the process began.
#[derive(Debug, Default)]
pub struct Quotas {
    limits: Vec<TenantOptions>,
    seen: BTreeMap<TenantId, Brought>,
}

#[derive(Debug, Default)]
struct Brought {
    /// The present hour; a clock that is set back does not start another one.
    hour: u64,
    /// Messages of that hour that were acknowledged.
    admitted: u64,
    /// Messages of requests that have no answer yet, with their hour, by ticket.
    open: BTreeMap<u64, (u64, u64)>,
    /// Messages admitted within the last `COUNTED_NS`.
    late: VecDeque<(Mono, u64)>,
}

impl Brought {
    fn at(&mut self, now: Now) -> &mut Self {
        let hour = now.wall.0 / HOUR_MS;
        if hour > self.hour {
            (self.hour, self.admitted) = (hour, 0);
        }
        self
    }

    fn under_way(&self) -> u64 {
        self.open.values().filter(|(hour, _)| *hour == self.hour).map(|(_, messages)| messages).sum()
    }

    fn came_within(&self, ns: u64, now: Now) -> u64 {
        self.late.iter().filter(|(at, _)| now.mono.since(*at) < ns).map(|(_, messages)| messages).sum()
    }
}

impl Quotas {
    /// Nothing seen yet, for tenants with these limits.
    pub fn new(limits: &[TenantOptions]) -> Self {
        Self { limits: limits.to_vec(), seen: BTreeMap::new() }
    }

    /// Forgets everything: a new process has counted nothing.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// A door admits so many messages of a request.
    pub fn let_in(&mut self, tenant: TenantId, ticket: u64, messages: u64, now: Now) {
        let seen = self.seen.entry(tenant).or_default().at(now);
        if messages > 0 {
            seen.open.insert(ticket, (seen.hour, messages));
            seen.late.push_back((now.mono, messages));
        }
        while seen.late.front().is_some_and(|(at, _)| now.mono.since(*at) > COUNTED_NS) {
            seen.late.pop_front();
        }
    }

    fn limits_of(&self, tenant: TenantId) -> (Option<u64>, Option<u64>) {
        let limits = self.limits.iter().find(|limits| limits.id == tenant);
        let rate = limits.and_then(|limits| limits.rate).map(u64::from);
        (rate, limits.and_then(|limits| limits.quota).map(|quota| quota.messages))
    }

    /// Whether an hourly quota limits the tenant.
    pub fn has_quota(&self, tenant: TenantId) -> bool {
        self.limits_of(tenant).1.is_some()
    }

    /// Why what was admitted, or what is charged, is too much or too little.
    fn wrong(&mut self, tenant: TenantId, charged: Option<u64>, now: Now) -> Option<String> {
        let (rate, quota) = self.limits_of(tenant);
        let seen = self.seen.get_mut(&tenant)?.at(now);
        let (of_late, admitted, under_way) = (seen.came_within(SECOND, now), seen.admitted, seen.under_way());
        if rate.is_some_and(|rate| of_late > rate) {
            return Some(format!("{of_late} of {tenant:?} came in within a second, {rate:?} may"));
        }
        let quota = quota?;
        if admitted > quota {
            return Some(format!("{admitted} of {tenant:?} were admitted in an hour, {quota} may be"));
        }
        let charged = charged.filter(|charged| *charged != admitted + under_way)?;
        Some(format!("{tenant:?} is charged {charged}: {admitted} were admitted, {under_way} are under way"))
    }
}

impl Oracle {
    /// A door turns a tenant's messages away: then enough of them must have come to use up the limit.
    pub fn turned_away(&mut self, tenant: TenantId, why: UsedUp, now: Now) {
        let (rate, quota) = self.quotas.limits_of(tenant);
        let Some(seen) = self.quotas.seen.get_mut(&tenant).map(|seen| seen.at(now)) else { return };
        let (came, most) = match why.limit {
            Limit::Rate => (seen.came_within(COUNTED_NS, now), rate),
            Limit::Quota => (seen.admitted + seen.under_way(), quota),
        };
        if most.is_none_or(|most| came < most) {
            let what = format!("{tenant:?} is turned away by its {:?} of {most:?}, and {came} came", why.limit);
            self.break_at(Invariant::Quotas, what);
        }
        if let Some(what) = self.quotas.wrong(tenant, None, now) {
            self.break_at(Invariant::Quotas, what);
        }
    }

    /// A request was answered: so many of its messages were admitted, and so many are charged to the tenant by now.
    pub fn settled(&mut self, (tenant, ticket): (TenantId, u64), admitted: u64, charged: u64, now: Now) {
        let Some(seen) = self.quotas.seen.get_mut(&tenant).map(|seen| seen.at(now)) else { return };
        if seen.open.remove(&ticket).is_some_and(|(hour, _)| hour == seen.hour) {
            seen.admitted += admitted;
        }
        if let Some(what) = self.quotas.wrong(tenant, Some(charged), now) {
            self.break_at(Invariant::Quotas, what);
        }
    }
}
