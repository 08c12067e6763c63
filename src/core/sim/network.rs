//! Connections between links and carriers: bytes arrive in order, are cut anywhere, and are lost at the end. Knows
//! pipes and sockets; refuses to know what the bytes say.

use std::collections::BTreeMap;

use crate::link::{BindId, Disconnect};

use super::agenda::{InOrder, MS, SECOND};
use super::happening::{ConnId, Happening, Inside};
use super::plan::{HostPlan, Plan};
use super::stage::{Stage, note};
use super::tally::Count;

/// One connection. Each side has its own view of whether it is open.
#[derive(Debug)]
pub struct Conn {
    /// Which life of the process opened it.
    pub life: u32,
    /// The link, by index.
    pub link: usize,
    /// The bind of the link.
    pub bind: BindId,
    /// The carrier, by index...
    pub carrier: usize,
    /// ... and how its host behaves.
    pub host: HostPlan,
    /// Bytes from the link that the socket has not accepted.
    pending: Vec<u8>,
    accepting: bool,
    up: InOrder,
    down: InOrder,
    link_open: bool,
    carrier_open: bool,
    /// What the link sends does not arrive any more.
    up_cut: bool,
    /// What the carrier sends does not arrive any more.
    down_cut: bool,
    read_paused: bool,
    unread: Vec<u8>,
}

/// All connections, by number; one that has ended is kept until both sides know.
#[derive(Debug, Default)]
pub struct Network {
    conns: BTreeMap<ConnId, Conn>,
    next: u64,
}

/// What happens to bytes that arrive at the link's side.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The link reads them now.
    Read,
    /// They are kept until reading is resumed, or dropped if the connection has ended.
    Kept,
}

impl Network {
    /// The newest connection ever opened.
    pub const fn newest(&self) -> ConnId {
        ConnId(self.next)
    }

    /// Opens a connection.
    pub fn open(&mut self, life: u32, link: usize, bind: BindId, (carrier, host): (usize, HostPlan)) -> ConnId {
        self.next += 1;
        let id = ConnId(self.next);
        let conn = Conn {
            life,
            link,
            bind,
            carrier,
            host,
            pending: Vec::new(),
            accepting: false,
            up: InOrder::default(),
            down: InOrder::default(),
            link_open: true,
            carrier_open: true,
            up_cut: false,
            down_cut: false,
            read_paused: false,
            unread: Vec::new(),
        };
        self.conns.insert(id, conn);
        id
    }

    /// A connection that at least one side considers open.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(&id)
    }

    /// Connections that are open on both sides, in order.
    pub fn standing(&self) -> Vec<ConnId> {
        let stands = |conn: &Conn| conn.link_open && conn.carrier_open && !conn.up_cut && !conn.down_cut;
        self.conns.iter().filter(|(_, conn)| stands(conn)).map(|(id, _)| *id).collect()
    }

    /// Whether bytes wait for a socket to accept them.
    pub fn is_pending(&self) -> bool {
        self.conns.values().any(|conn| conn.link_open && !conn.pending.is_empty())
    }

    /// The link hands bytes to its socket.
    pub fn write(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.link_open) else { return };
        conn.pending.extend_from_slice(bytes);
        conn.schedule_accept(id, plan, stage);
    }

    /// The socket accepts some or all of the waiting bytes and sends them; gives those bytes.
    pub fn accept(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) -> Vec<u8> {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.link_open) else { return Vec::new() };
        conn.accepting = false;
        let whole = conn.pending.len();
        let partly = whole > 1 && plan.socket.slow_ppm > 0 && stage.fault(200_000);
        let bytes = if partly { stage.chance.between(1, whole as u64 - 1) as usize } else { whole };
        let taken: Vec<u8> = conn.pending.drain(..bytes).collect();
        conn.send_up(id, &taken, plan, stage);
        if !conn.pending.is_empty() {
            stage.tally.add(Count::SocketsSlow);
            conn.schedule_accept(id, plan, stage);
        }
        taken
    }

    /// The carrier sends bytes; they arrive in pieces.
    pub fn send_down(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.link_open && !conn.down_cut) else { return };
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = if stage.chance.chance(300_000) {
                stage.chance.between(1, rest.len() as u64) as usize
            } else {
                rest.len()
            };
            let (piece, left) = rest.split_at(cut);
            let arrival = conn.down.arrival(stage.now_ns() + plan.network.draw(&mut stage.chance));
            stage.agenda.at(arrival, Happening::Inside(conn.life, Inside::Hears(id, piece.to_vec())));
            rest = left;
        }
    }

    /// Bytes have arrived at the link's side.
    pub fn hear(&mut self, id: ConnId, bytes: &[u8]) -> Incoming {
        match self.conns.get_mut(&id) {
            Some(conn) if conn.link_open && !conn.down_cut && !conn.read_paused => Incoming::Read,
            Some(conn) if conn.link_open && !conn.down_cut => {
                conn.unread.extend_from_slice(bytes);
                Incoming::Kept
            }
            Some(_) | None => Incoming::Kept,
        }
    }

    /// The link pauses or resumes reading; on resuming, bytes that arrived in the pause are delivered.
    pub fn pause_read(&mut self, id: ConnId, paused: bool, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.read_paused = paused;
        if !paused && !conn.unread.is_empty() {
            let bytes = std::mem::take(&mut conn.unread);
            stage.agenda.after(0, Happening::Inside(conn.life, Inside::Hears(id, bytes)));
        }
    }

    /// The carrier closes: the link receives what was sent before, then the end.
    pub fn close_by_carrier(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.carrier_open = false;
        if conn.link_open {
            let arrival = conn.down.arrival(stage.now_ns() + plan.network.draw(&mut stage.chance));
            stage.agenda.at(arrival, Happening::Inside(conn.life, Inside::Loses(id, Disconnect::ByPeer)));
        }
        self.forget(id);
    }

    /// The link closes. Gives the bytes that were still sent, which the link does not learn.
    pub fn close_by_link(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) -> Vec<u8> {
        let left = self.tear(id, plan, stage);
        if let Some(conn) = self.conns.get_mut(&id) {
            stage.agenda.after(MS, Happening::Inside(conn.life, Inside::Loses(id, Disconnect::ByUs)));
            conn.end_up(id, plan, stage);
        }
        left
    }

    /// The process has died: what its sockets accepted may still arrive, then the end.
    pub fn abandon(&mut self, life: u32, plan: &Plan, stage: &mut Stage) {
        let ids: Vec<_> = self.conns.iter().filter(|(_, conn)| conn.life == life).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            conn.link_open = false;
            conn.pending.clear();
            if stage.chance.chance(250_000) {
                conn.up_cut = true;
            }
            conn.end_up(id, plan, stage);
            self.forget(id);
        }
    }

    /// The network cuts a connection: bytes are lost in one direction at once, and each side notices later.
    pub fn cut(&mut self, id: ConnId, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        stage.tally.add(Count::Cuts);
        let first_down = stage.chance.chance(700_000);
        (conn.down_cut, conn.up_cut) = (first_down, !first_down);
        let (link_notices, carrier_notices) = (stage.chance.below(2 * SECOND), stage.chance.below(2 * SECOND));
        note!(stage, "cut {id:?}, answers first: {first_down}");
        stage.agenda.after(link_notices, Happening::Inside(conn.life, Inside::Loses(id, Disconnect::Broken)));
        stage.agenda.after(carrier_notices, Happening::CarrierLoses(id));
    }

    /// Delays everything on a connection for `ns` nanoseconds.
    pub fn freeze(&mut self, id: ConnId, ns: u64, stage: &mut Stage) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        stage.tally.add(Count::Freezes);
        note!(stage, "freeze {id:?} for {ns}");
        conn.up.arrival(stage.now_ns() + ns);
        conn.down.arrival(stage.now_ns() + ns);
    }

    /// The link notices the end. `None` if it knew already; else whether a write was torn, and the bytes that were still sent.
    pub fn lose_at_link(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) -> Option<(bool, Vec<u8>)> {
        self.conns.get(&id).filter(|conn| conn.link_open)?;
        let waiting = self.conns.get(&id).is_some_and(|conn| !conn.pending.is_empty());
        let torn = waiting && stage.chance.chance(500_000);
        let left = if torn { self.tear(id, plan, stage) } else { Vec::new() };
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link_open = false;
            conn.pending.clear();
        }
        self.forget(id);
        Some((torn, left))
    }

    /// The carrier notices the end; false if it knew already.
    pub fn lose_at_carrier(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.carrier_open) else { return false };
        conn.carrier_open = false;
        self.forget(id);
        true
    }

    /// Whether bytes that arrive at the carrier are read.
    pub fn carrier_reads(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.carrier_open && !conn.up_cut)
    }

    /// The connection ends during a write: some of the bytes may still be sent.
    fn tear(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) -> Vec<u8> {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.pending.is_empty()) else { return Vec::new() };
        stage.tally.add(Count::Torn);
        let bytes = stage.chance.between(0, conn.pending.len() as u64) as usize;
        let left: Vec<u8> = conn.pending.drain(..bytes).collect();
        conn.pending.clear();
        conn.send_up(id, &left, plan, stage);
        left
    }

    fn forget(&mut self, id: ConnId) {
        if self.conns.get(&id).is_some_and(|conn| !conn.link_open && !conn.carrier_open) {
            self.conns.remove(&id);
        }
    }
}

impl Conn {
    fn schedule_accept(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) {
        if self.accepting || self.pending.is_empty() {
            return;
        }
        self.accepting = true;
        let delay = if stage.calm { 0 } else { plan.socket.draw(&mut stage.chance) };
        stage.agenda.after(delay, Happening::Inside(self.life, Inside::SocketTakes(id)));
    }

    fn send_up(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, stage: &mut Stage) {
        if bytes.is_empty() || self.up_cut {
            return;
        }
        let arrival = self.up.arrival(stage.now_ns() + plan.network.draw(&mut stage.chance));
        stage.agenda.at(arrival, Happening::CarrierHears(id, bytes.to_vec()));
    }

    fn end_up(&mut self, id: ConnId, plan: &Plan, stage: &mut Stage) {
        let arrival = self.up.arrival(stage.now_ns() + plan.network.draw(&mut stage.chance));
        stage.agenda.at(arrival, Happening::CarrierLoses(id));
    }
}
