//! A client and a server connected to each other, and properties that hold for arbitrary sequences of calls.

use super::*;
use crate::decode::Quirks;
use proptest::prelude::*;

/// One direction of a connection, which delivers bytes in pieces.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    delivered: usize,
}

impl Wire {
    fn carry(&mut self, from: &mut Session<u64>, bytes: usize) -> Vec<u8> {
        let before = self.bytes.len();
        from.poll_transmit(&mut self.bytes);
        from.handle_written(self.bytes.len() - before);
        let end = (self.delivered + bytes).min(self.bytes.len());
        let piece = self.bytes[self.delivered..end].to_vec();
        self.delivered = end;
        piece
    }
}

/// A client that submits `messages` and unbinds; the server answers, and delivers the same number of its own messages.
struct ClientEnd {
    session: Session<u64>,
    wire: Wire,
    messages: u64,
    submitted: u64,
    answered: Vec<u64>,
    received: Vec<u64>,
    ended: Option<CloseReason>,
}

impl ClientEnd {
    fn turn(&mut self, bytes: usize) -> Vec<u8> {
        while self.session.bound().is_some() && self.submitted < self.messages {
            if self.session.submit(self.submitted, &message(&self.submitted.to_be_bytes()), 0).is_err() {
                break;
            }
            self.submitted += 1;
        }
        if self.answered.len() as u64 == self.messages && self.received.len() as u64 == self.messages {
            self.session.unbind(0, 0);
        }
        self.wire.carry(&mut self.session, bytes)
    }

    fn take(&mut self, mut input: &[u8]) {
        while let Some(event) = self.session.poll_event(&mut input, 0) {
            match event {
                Event::Bound { .. } | Event::UnbindAnswered => {}
                Event::SubmitResp(answer) => {
                    assert_eq!(answer.message_id, format!("{:016x}", answer.token).as_bytes());
                    self.answered.push(answer.token);
                }
                Event::Deliver { sequence, message, .. } => {
                    self.received.push(u64::from_be_bytes(message.short_message.try_into().unwrap()));
                    self.session.answer_deliver(sequence, CommandStatus::ROK).unwrap();
                }
                Event::Closed { reason } => self.ended = Some(reason),
                other => panic!("{other:?}"),
            }
        }
    }
}

struct ServerEnd {
    session: Session<u64>,
    wire: Wire,
    messages: u64,
    delivered: u64,
    confirmed: Vec<u64>,
    owed: Vec<(u32, u64)>,
    ended: Option<CloseReason>,
}

impl ServerEnd {
    fn turn(&mut self, bytes: usize, answer: bool, reverse: bool) -> Vec<u8> {
        if reverse {
            self.owed.reverse();
        }
        for (sequence, number) in self.owed.drain(..if answer { self.owed.len() } else { 0 }) {
            let id = format!("{number:016x}");
            self.session.answer_submit(sequence, CommandStatus::ROK, id.as_bytes()).unwrap();
        }
        while self.delivered < self.messages
            && self.session.deliver(self.delivered, &message(&self.delivered.to_be_bytes()), 0).is_ok()
        {
            self.delivered += 1;
        }
        self.wire.carry(&mut self.session, bytes)
    }

    fn take(&mut self, mut input: &[u8]) {
        while let Some(event) = self.session.poll_event(&mut input, 0) {
            match event {
                Event::BindRequest { .. } => self.session.answer_bind(CommandStatus::ROK, b"smsc", 0).unwrap(),
                Event::Submit { sequence, message, quirks } => {
                    assert_eq!(quirks, Quirks::NONE);
                    self.owed.push((sequence, u64::from_be_bytes(message.short_message.try_into().unwrap())));
                }
                Event::DeliverResp(answer) => self.confirmed.push(answer.token),
                Event::UnbindRequested => {}
                Event::Closed { reason } => self.ended = Some(reason),
                other => panic!("{other:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn two_machines_agree_through_any_cuts(
        window in 1u32..20,
        pieces in prop::collection::vec(1usize..200, 1..40),
        messages in 1u64..120,
        reverse in any::<bool>(),
    ) {
        let options = Options { window, ..Options::default() };
        let mut client = ClientEnd {
            session: Session::client(&options, BindMode::Transceiver, &BIND, 0).unwrap(),
            wire: Wire::default(),
            messages,
            submitted: 0,
            answered: Vec::new(),
            received: Vec::new(),
            ended: None,
        };
        let mut server = ServerEnd {
            session: Session::server(&options, 0),
            wire: Wire::default(),
            messages,
            delivered: 0,
            confirmed: Vec::new(),
            owed: Vec::new(),
            ended: None,
        };
        for round in 0.. {
            prop_assert!(round < 200_000, "no progress");
            let piece = pieces[round % pieces.len()];
            server.take(&client.turn(piece));
            client.take(&server.turn(piece, round % 3 == 0, reverse));
            if client.ended.is_some() && server.ended.is_some() {
                break;
            }
        }
        prop_assert_eq!((client.ended, server.ended), (Some(CloseReason::Unbound), Some(CloseReason::PeerUnbound)));
        client.answered.sort_unstable();
        prop_assert!(client.answered.into_iter().eq(0..messages));
        prop_assert!(client.received.into_iter().eq(0..messages));
        prop_assert!(server.confirmed.into_iter().eq(0..messages));
    }

    #[test]
    fn every_token_comes_back_exactly_once(
        steps in prop::collection::vec((0u8..7, 0u64..40), 1..200),
        end in 0u8..3,
    ) {
        let options = Options { window: 8, response_ns: 100, enquire_link_ns: None, ..Options::default() };
        let mut session = bound_client(&options);
        let mut out = Vec::new();
        let (mut now_ns, mut next, mut told) = (0, 0u64, Vec::new());
        let mut collect = |session: &mut Session<u64>, mut input: &[u8], now_ns| {
            while let Some(event) = session.poll_event(&mut input, now_ns) {
                match event {
                    Event::SubmitResp(answer) if !answer.late => told.push(answer.token),
                    Event::ResponseTimeout { token, .. } | Event::Unresolved { token, .. } => told.push(token),
                    _ => {}
                }
            }
        };
        for (action, amount) in steps {
            match action {
                0 | 1 => next += u64::from(session.submit(next, &message(b"x"), now_ns).is_ok()),
                2 => collect(&mut session, &submit_resp(amount as u32, b"id"), now_ns),
                3 => {
                    now_ns += amount;
                    session.handle_timeout(now_ns);
                    collect(&mut session, b"", now_ns);
                }
                4 => { session.poll_transmit(&mut out); }
                5 => session.handle_written(amount as usize * 10),
                _ => collect(&mut session, &pdu(amount as u32, CommandStatus::RSYSERR, Pdu::GenericNack), now_ns),
            }
        }
        match end {
            0 => session.handle_connection_lost(),
            1 => session.close(),
            _ => {
                collect(&mut session, &pdu(1, CommandStatus::ROK, Pdu::Unbind), now_ns);
                now_ns += options.unbind_ns;
                session.handle_timeout(now_ns);
            }
        }
        collect(&mut session, b"", now_ns);
        told.sort_unstable();
        prop_assert!(told.into_iter().eq(0..next));
        prop_assert!(session.is_closed());
    }

    #[test]
    fn arbitrary_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
        for mut session in [bound_client(&Options::default()), bound_server(&Options::default(), BindMode::Transceiver)] {
            for mut input in stream.chunks(piece) {
                while session.poll_event(&mut input, 0).is_some() {}
                prop_assert!(input.is_empty());
            }
        }
    }
}
