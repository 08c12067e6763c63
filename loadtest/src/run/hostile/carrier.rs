//! The hostile carrier: accepts binds, and then does in turn everything that a carrier, or a system in between, can do
//! to crash, stop or fill the client that connects to it. Uses raw bytes on purpose; answers only what the habit of the
//! turn says.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::attack::{Ending, Front, Tally};

const BIND: [u32; 3] = [1, 2, 9];
const SUBMIT: u32 = 4;
const DELIVER: u32 = 5;
const ENQUIRE_LINK: u32 = 0x15;
const UNKNOWN: u32 = 0x9999;
const RESPONSE: u32 = 0x8000_0000;

/// Least time of a turn, from its first connection. The turns take half of the phase; the other half is for waiting
/// until the daemon connects again.
const TURN_MIN: Duration = Duration::from_secs(1);
/// Most time of a turn: longer than the daemon's watchdog waits.
const TURN_MAX: Duration = Duration::from_secs(7);
const TICK: Duration = Duration::from_millis(200);
/// Pause between two connections that are closed at once.
const ACCEPT_TICK: Duration = Duration::from_millis(20);
/// PDUs per write.
const BURST: u32 = 200;
/// Pause between two bursts of PDUs that the daemon must keep: 10,000 small ones a second, or 4 MB/s of large ones.
const BURST_PAUSE: Duration = Duration::from_millis(20);
const LARGE_PAUSE: Duration = Duration::from_millis(15);
const LARGE_LEN: usize = 60_000;

/// What the carrier does for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    EnquireRead,
    EnquireUnread,
    Unknown,
    StrayResponses,
    Receipts,
    LargeReceipts,
    Texts,
    NeverAnswers,
    NeverReads,
    ClosesAtOnce,
    ClosesAfterBind,
    Lengths,
    SameId,
    LongId,
    Refuses,
}

const HABITS: [(Habit, &str); 15] = [
    (Habit::EnquireRead, "carrier: enquire_link without end, answers read"),
    (Habit::EnquireUnread, "carrier: enquire_link without end, answers not read"),
    (Habit::Unknown, "carrier: unknown commands without end"),
    (Habit::StrayResponses, "carrier: submit_sm_resp for nothing, without end"),
    (Habit::Receipts, "carrier: receipts for unknown ids"),
    (Habit::LargeReceipts, "carrier: the same with 60 kB each"),
    (Habit::Texts, "carrier: texts from handsets"),
    (Habit::NeverAnswers, "carrier: submits are never answered"),
    (Habit::NeverReads, "carrier: never reads"),
    (Habit::ClosesAtOnce, "carrier: closes at once"),
    (Habit::ClosesAfterBind, "carrier: closes after the bind"),
    (Habit::Lengths, "carrier: lengths that no PDU has"),
    (Habit::SameId, "carrier: the same id for every message"),
    (Habit::LongId, "carrier: ids of 60 kB"),
    (Habit::Refuses, "carrier: every submit is refused with a different status"),
];

/// The turn of one habit, and how its sessions ended.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    habit: Habit,
    tally: Arc<Tally>,
}

/// All turns, in order.
pub(super) fn turns() -> Vec<Turn> {
    HABITS.iter().map(|(habit, name)| Turn { habit: *habit, tally: Tally::new(name) }).collect()
}

impl Turn {
    /// The name of its habit.
    pub(super) fn name(&self) -> &'static str {
        self.tally.name
    }

    /// How its sessions ended.
    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }
}

/// Serves until the phase is over; `turns` is not empty.
pub(super) fn serve(listener: &TcpListener, front: &Arc<Front>, turns: &[Turn]) {
    // A blocking accept would outlast the phase.
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    let turn_time = (front.time / (2 * turns.len() as u32)).clamp(TURN_MIN, TURN_MAX);
    let (mut index, mut begun, mut has_met) = (0, Duration::ZERO, false);
    let mut sessions = Vec::new();
    while !front.is_over() {
        let now = front.elapsed();
        // A turn without a session so far goes on: the daemon may be between two attempts to connect.
        if has_met && now >= begun + turn_time {
            index = (index + 1) % turns.len();
            has_met = false;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                if !has_met {
                    (begun, has_met) = (now, true);
                }
                let turn = &turns[index];
                let (front, tally, habit) = (Arc::clone(front), turn.tally(), turn.habit);
                let until = begun + turn_time;
                sessions.push(thread::spawn(move || {
                    let mut session = Session { stream, front, tally, until, input: Vec::new() };
                    let ending = session.play(habit).err().unwrap_or(Ending::Held);
                    session.tally.note(ending);
                }));
            }
            Err(_) => front.wait(ACCEPT_TICK),
        }
        sessions.retain(|session| !session.is_finished());
    }
    for session in sessions {
        // A thread that panicked has reported that itself.
        let _ = session.join();
    }
}

/// One connection in one turn.
struct Session {
    stream: TcpStream,
    front: Arc<Front>,
    tally: Arc<Tally>,
    /// The end of the turn, as time since the beginning of the phase.
    until: Duration,
    input: Vec<u8>,
}

impl Session {
    fn play(&mut self, habit: Habit) -> Result<(), Ending> {
        let is_ready = self.stream.set_nonblocking(false).and(self.stream.set_nodelay(true));
        let is_ready = is_ready.and(self.stream.set_read_timeout(Some(TICK)));
        is_ready.and(self.stream.set_write_timeout(Some(TICK))).map_err(|_| Ending::Cut)?;
        if habit == Habit::ClosesAtOnce {
            return Ok(());
        }
        self.take_bind()?;
        match habit {
            Habit::ClosesAtOnce | Habit::ClosesAfterBind => Ok(()),
            Habit::EnquireRead => {
                self.flood(|number, out| pdu(out, ENQUIRE_LINK, 0, number, &[]), true, Duration::ZERO)
            }
            Habit::EnquireUnread => {
                self.flood(|number, out| pdu(out, ENQUIRE_LINK, 0, number, &[]), false, Duration::ZERO)
            }
            Habit::Unknown => self.flood(|number, out| pdu(out, UNKNOWN, 0, number, &[]), true, Duration::ZERO),
            Habit::StrayResponses => {
                self.flood(|number, out| pdu(out, SUBMIT | RESPONSE, 0, number, b"x\0"), true, Duration::ZERO)
            }
            Habit::Receipts => {
                self.flood(|number, out| pdu(out, DELIVER, 0, number, &receipt(number, 0)), true, BURST_PAUSE)
            }
            Habit::LargeReceipts => self.flood_large(),
            Habit::Texts => self.flood(|number, out| pdu(out, DELIVER, 0, number, &text(number)), true, BURST_PAUSE),
            Habit::NeverAnswers => self.answer(|_, _| {}),
            Habit::NeverReads => {
                self.wait();
                Ok(())
            }
            Habit::Lengths => self.send_lengths(),
            Habit::SameId => self.answer(|number, out| pdu(out, SUBMIT | RESPONSE, 0, number, b"same\0")),
            Habit::LongId => {
                let id = [&[b'A'; LARGE_LEN][..], b"\0"].concat();
                self.answer(move |number, out| pdu(out, SUBMIT | RESPONSE, 0, number, &id))
            }
            Habit::Refuses => self.answer(|number, out| pdu(out, SUBMIT | RESPONSE, number % 0x500, number, b"")),
        }
    }

    /// The first of `count` sequence numbers that no PDU of this turn has used, in any session.
    fn number(&self, count: u32) -> u32 {
        1 + (self.tally.count(u64::from(count)) & 0x3fff_ffff) as u32
    }

    fn is_over(&self) -> bool {
        self.front.is_over() || self.front.elapsed() >= self.until
    }

    fn wait(&self) {
        self.front.wait(self.until.saturating_sub(self.front.elapsed()));
    }

    fn take_bind(&mut self) -> Result<(), Ending> {
        while !self.is_over() {
            self.read()?;
            while let Some((command, sequence)) = self.cut() {
                if BIND.contains(&command) {
                    let mut out = Vec::new();
                    pdu(&mut out, command | RESPONSE, 0, sequence, b"hostile\0");
                    return self.write(&out);
                }
            }
        }
        Err(Ending::Held)
    }

    /// Bursts of PDUs until the turn ends; answers are read or not.
    fn flood(&mut self, fill: impl Fn(u32, &mut Vec<u8>), is_read: bool, pause: Duration) -> Result<(), Ending> {
        let reader = is_read.then(|| self.stream.try_clone()).transpose().map_err(|_| Ending::Cut)?;
        let reader = reader.map(|stream| thread::spawn(move || drain(stream)));
        let (mut out, mut sent) = (Vec::new(), Ok(()));
        while sent.is_ok() && !self.is_over() {
            let first = self.number(BURST);
            out.clear();
            (first..first + BURST).for_each(|number| fill(number, &mut out));
            sent = self.write(&out);
            self.front.wait(pause);
        }
        // Ends the reader; the connection may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = reader {
            let _ = reader.join();
        }
        sent
    }

    fn flood_large(&mut self) -> Result<(), Ending> {
        while !self.is_over() {
            let (number, mut out) = (self.number(1), Vec::new());
            pdu(&mut out, DELIVER, 0, number, &receipt(number, LARGE_LEN));
            self.write(&out)?;
            self.read_some()?;
            self.front.wait(LARGE_PAUSE);
        }
        Ok(())
    }

    /// Each submit gets what `fill` writes for its sequence number; enquire_link is answered correctly.
    fn answer(&mut self, fill: impl Fn(u32, &mut Vec<u8>)) -> Result<(), Ending> {
        while !self.is_over() {
            self.read()?;
            let mut out = Vec::new();
            while let Some((command, sequence)) = self.cut() {
                if command == SUBMIT {
                    fill(sequence, &mut out);
                    self.tally.count(1);
                } else if command == ENQUIRE_LINK {
                    pdu(&mut out, ENQUIRE_LINK | RESPONSE, 0, sequence, &[]);
                }
            }
            self.write(&out)?;
        }
        Ok(())
    }

    fn send_lengths(&mut self) -> Result<(), Ending> {
        const LENGTHS: [u32; 6] = [u32::MAX, 0, 15, 65_537, 65_536, 0x4854_5450];
        let index = self.tally.rounds() as usize % LENGTHS.len();
        self.write(&[&LENGTHS[index].to_be_bytes()[..], &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1]].concat())?;
        self.tally.count(1);
        while !self.is_over() {
            self.read()?;
            self.input.clear();
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.is_over() {
                return Err(Ending::Held);
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(Ending::Cut),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_passing(&error) => {}
                Err(_) => return Err(Ending::Cut),
            }
        }
        Ok(())
    }

    /// Waits a tick for input.
    fn read(&mut self) -> Result<(), Ending> {
        let mut room = [0; 16 * 1024];
        match self.stream.read(&mut room) {
            Ok(0) => Err(Ending::Cut),
            Ok(read) => {
                self.input.extend_from_slice(&room[..read]);
                Ok(())
            }
            Err(error) if is_passing(&error) => Ok(()),
            Err(_) => Err(Ending::Cut),
        }
    }

    /// Reads and discards what has arrived.
    fn read_some(&mut self) -> Result<(), Ending> {
        let set = |stream: &TcpStream, is_set| stream.set_nonblocking(is_set).map_err(|_| Ending::Cut);
        set(&self.stream, true)?;
        let read = self.read();
        self.input.clear();
        set(&self.stream, false)?;
        read
    }

    /// Command and sequence number of the next complete PDU.
    fn cut(&mut self) -> Option<(u32, u32)> {
        let word = |at: usize| Some(u32::from_be_bytes(self.input.get(at..at + 4)?.try_into().ok()?));
        let (length, command, sequence) = (word(0)?, word(4)?, word(12)?);
        let length = usize::try_from(length).ok()?.max(16);
        if self.input.len() < length {
            return None;
        }
        self.input.drain(..length);
        Some((command, sequence))
    }
}

/// Reads until the connection ends.
fn drain(mut stream: TcpStream) {
    let mut room = [0; 64 * 1024];
    loop {
        match stream.read(&mut room) {
            Ok(0) => return,
            Err(error) if !is_passing(&error) => return,
            Ok(_) | Err(_) => {}
        }
    }
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Appends a PDU (SMPP 3.4 §3.2).
fn pdu(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32, body: &[u8]) {
    for word in [16 + body.len() as u32, command, status, sequence] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// The body of a `deliver_sm` (§4.6.1): a text in `message_payload` if it is long.
fn deliver(number: u32, esm_class: u8, text: &[u8]) -> Vec<u8> {
    const MESSAGE_PAYLOAD: [u8; 2] = [0x04, 0x24];
    let mut body = vec![0, 1, 1];
    body.extend_from_slice(format!("49151{:08}", number % 100_000_000).as_bytes());
    body.extend_from_slice(b"\0\x01\x0112345\0");
    body.push(esm_class);
    body.extend_from_slice(&[0; 8]);
    match u8::try_from(text.len()).ok().filter(|length| *length <= 254) {
        Some(length) => {
            body.push(length);
            body.extend_from_slice(text);
        }
        None => {
            body.push(0);
            body.extend_from_slice(&MESSAGE_PAYLOAD);
            body.extend_from_slice(&(text.len() as u16).to_be_bytes());
            body.extend_from_slice(text);
        }
    }
    body
}

fn receipt(number: u32, padding: usize) -> Vec<u8> {
    let mut text = format!(
        "id:{number:016} sub:001 dlvrd:001 submit date:2611281200 done date:2611281200 stat:DELIVRD err:000 text:x"
    );
    text.extend(std::iter::repeat_n('A', padding));
    deliver(number, 4, text.as_bytes())
}

fn text(number: u32) -> Vec<u8> {
    deliver(number, 0, &[b'A'; 250])
}

#[cfg(test)]
mod tests {
    use stentor_smpp::decode::decode;
    use stentor_smpp::framer::Frame;
    use stentor_smpp::pdu::{Header, Pdu};

    use super::*;

    #[test]
    fn stentor_reads_what_is_meant_to_be_read() {
        for body in [receipt(7, 0), receipt(7, LARGE_LEN), text(7)] {
            let mut bytes = Vec::new();
            pdu(&mut bytes, DELIVER, 0, 7, &body);
            let (header, body) = Header::read(&bytes).unwrap();
            let decoded = decode(&Frame { header, body }).unwrap();
            assert!(matches!(decoded.pdu, Pdu::DeliverSm(_)), "{decoded:?}");
        }
    }
}
