//! The doors of the living process: each incoming message is validated, charged to its tenant and put into a frame by
//! the same rooms that real doors use, and the charge is settled when the shard has answered. When a process dies, its
//! doors and their counters die with it.

use std::collections::BTreeMap;

use crate::admission::{
    Body, Charge, Defaults, Draft, Expiry, Intake, Outlook, Printer, Rules, Target, Tenant, TenantOptions, judge,
    numbering::Numbering,
};
use crate::model::{Content, Frame, ReplyTo, ShardId, TenantId, Wall};
use crate::shard::{LineResult, Reply};

use super::mutants::Mutant;
use super::oracle::{Intent, Invariant};
use super::plan::Plan;
use super::stage::{Stage, note};

/// The doors of one process.
#[derive(Debug)]
pub struct Doors {
    shards: u8,
    printer: Printer,
    defaults: Defaults,
    tenants: BTreeMap<TenantId, Tenant>,
    /// By ticket: the tenant and the charge of a request that no shard has answered yet.
    open: BTreeMap<u64, (TenantId, Charge)>,
}

impl Doors {
    /// The doors of a new process.
    pub fn new(plan: &Plan) -> Self {
        let named = |id: TenantId| plan.tenants.iter().find(|tenant| tenant.id == id).cloned();
        let tenant = |id| Tenant::new(named(id).unwrap_or(TenantOptions { id, ..TenantOptions::default() }));
        Self {
            shards: plan.shards,
            printer: Printer::new(plan.shard.hash_seed),
            defaults: Defaults::default(),
            tenants: plan.owners().into_iter().map(|id| (id, tenant(id))).collect(),
            open: BTreeMap::new(),
        }
    }

    /// A request for one shard comes in. Gives its frame with as many of its messages as the tenant may submit now,
    /// followed by those that may already have been taken.
    pub fn take_in(
        &mut self,
        to: (ShardId, ReplyTo),
        messages: &[u32],
        numbering: &Numbering,
        stage: &mut Stage,
    ) -> Frame {
        let (shard, reply) = to;
        let now = stage.now();
        let owner = messages.first().map(|message| stage.oracle.tenant_of(*message)).unwrap_or_default();
        let Some(tenant) = self.tenants.get(&owner) else { return Frame::default() };
        let rules = Rules { now: now.wall, tenant, is_admin: false, defaults: &self.defaults, numbering };
        let mut intake = Intake::new(&tenant.meter, self.shards);
        let mut room = Vec::new();
        for message in messages {
            let Some(intent) = stage.oracle.intent(*message) else { continue };
            let wanted = Wanted::of(intent);
            let draft = wanted.draft(intent);
            let meant = match judge(&draft, &rules) {
                Ok(meant) => meant,
                Err(objection) => {
                    let what = format!("message {message} is not taken: {objection:?}");
                    stage.oracle.break_at(Invariant::Answers, what);
                    continue;
                }
            };
            let print = self.printer.of(&draft, owner, meant.head.to, (None, 0), &mut room);
            let target = Target { shard, route: intent.head.route, print };
            let outlook = || Outlook { messages: messages.len(), bytes: 256 };
            if intake.take(&meant, target, now, outlook).is_err() {
                break;
            }
        }
        let (taken, used_up) = (intake.taken(), intake.used_up());
        let (parcels, mut charge) = intake.finish();
        charge.ask(taken);
        if stage.is_mutant(Mutant::ChargeTwice) {
            let mut again = tenant.meter.open();
            let taken = (0..taken).take_while(|_| again.take(now, || 1).is_ok()).count();
            again.ask(taken as u64);
        }
        note!(stage, "ticket {}: {taken} of {} messages are let in", reply.ticket, messages.len());
        stage.oracle.quotas.let_in(owner, reply.ticket, taken, now);
        if let Some(why) = used_up {
            stage.oracle.turned_away(owner, why, now);
        }
        if taken > 0 {
            self.open.insert(reply.ticket, (owner, charge));
        }
        let frame = parcels.into_iter().next().map(|parcel| parcel.frame).unwrap_or_default();
        // Half of the frames count as part of a request that has more messages for the same shard.
        Frame { reply, alone: frame.alone && reply.ticket.is_multiple_of(2), ..frame }
    }

    /// A shard has answered a request.
    pub fn settle(&mut self, to: ReplyTo, reply: &Reply, stage: &mut Stage) {
        let Reply::Submitted(results) = reply else { return };
        let Some((owner, charge)) = self.open.remove(&to.ticket) else { return };
        let admitted = results.iter().filter(|result| matches!(result, LineResult::Accepted(_))).count() as u64;
        charge.settle(admitted);
        let now = stage.now();
        let charged = self.tenants.get(&owner).map_or(0, |tenant| tenant.meter.used(now.wall));
        stage.oracle.settled((owner, to.ticket), admitted, charged, now);
    }
}

/// What a client writes; the draft borrows from it.
struct Wanted {
    to: String,
    from: String,
    key: Option<String>,
}

impl Wanted {
    fn of(intent: &Intent) -> Self {
        let to = format!("+{}", intent.head.to.number());
        let from = Content::decode(&intent.content).unwrap_or_default().from.to_string();
        Self { to, from, key: intent.key.map(|(key, _)| format!("{key:x}")) }
    }

    fn draft<'m>(&'m self, intent: &'m Intent) -> Draft<'m> {
        let head = &intent.head;
        let content = Content::decode(&intent.content).unwrap_or_default();
        Draft {
            to: Some(&self.to),
            from: Some(&self.from),
            tags: content.tags,
            body: std::str::from_utf8(content.body).ok().map(Body::Text),
            class: Some(head.class),
            key: self.key.as_deref(),
            send_at: Some(head.send_at).filter(|at| *at != Wall(0)),
            expiry: Some(Expiry::At(head.expires_at)),
            flash: Some(head.flash),
            receipt: Some(head.receipt),
            ..Draft::default()
        }
    }
}
