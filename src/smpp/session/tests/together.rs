//! Two machines on one line, and properties over arbitrary histories.

use super::*;
use crate::smpp::decode::Quirks;
use proptest::prelude::*;

/// One direction of a line that delivers in pieces.
#[derive(Default)]
struct Wire {
    octets: Vec<u8>,
    delivered: usize,
}

impl Wire {
    fn carry(&mut self, from: &mut Session<u64>) {
        let before = self.octets.len();
        from.poll_transmit(&mut self.octets);
        from.handle_written(self.octets.len() - before);
    }

    fn piece(&mut self, octets: usize) -> Vec<u8> {
        let end = (self.delivered + octets).min(self.octets.len());
        let piece = self.octets[self.delivered..end].to_vec();
        self.delivered = end;
        piece
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
        let mut client: Session<u64> = Session::client(&options, BindMode::Transceiver, &BIND, 0).unwrap();
        let mut server: Session<u64> = Session::server(&options, 0);
        let (mut up, mut down) = (Wire::default(), Wire::default());
        let (mut submitted, mut delivered) = (0, 0);
        let (mut answered, mut received, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut owed, mut closed) = (Vec::new(), 0);
        for round in 0.. {
            prop_assert!(round < 200_000, "no progress");
            let piece = pieces[round % pieces.len()];
            if client.bound().is_some() {
                while submitted < messages && client.submit(submitted, &message(&submitted.to_be_bytes()), 0).is_ok() {
                    submitted += 1;
                }
                if answered.len() as u64 == messages && received.len() as u64 == messages {
                    client.unbind(0, 0);
                }
            }
            up.carry(&mut client);
            let octets = up.piece(piece);
            let mut input = &octets[..];
            while let Some(event) = server.poll_event(&mut input, 0) {
                match event {
                    Event::BindRequest { .. } => server.answer_bind(CommandStatus::ROK, b"smsc", 0).unwrap(),
                    Event::Submit { sequence, message, quirks } => {
                        prop_assert_eq!(quirks, Quirks::NONE);
                        owed.push((sequence, message.short_message.to_vec()));
                    }
                    Event::DeliverResp(answer) => confirmed.push(answer.token),
                    Event::UnbindRequested => {}
                    Event::Closed { reason } => {
                        prop_assert_eq!(reason, CloseReason::PeerUnbound);
                        closed += 1;
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if owed.len() as u32 == window || round % 7 == 0 {
                if reverse {
                    owed.reverse();
                }
                for (sequence, id) in owed.drain(..) {
                    let id: String = id.iter().map(|octet| format!("{octet:02x}")).collect();
                    server.answer_submit(sequence, CommandStatus::ROK, id.as_bytes()).unwrap();
                }
            }
            while delivered < messages && server.deliver(delivered, &message(&delivered.to_be_bytes()), 0).is_ok() {
                delivered += 1;
            }
            down.carry(&mut server);
            let octets = down.piece(piece);
            let mut input = &octets[..];
            while let Some(event) = client.poll_event(&mut input, 0) {
                match event {
                    Event::Bound { .. } | Event::UnbindAnswered => {}
                    Event::SubmitResp(answer) => {
                        let wanted = format!("{:016x}", answer.token);
                        prop_assert_eq!(answer.message_id, wanted.as_bytes());
                        answered.push(answer.token);
                    }
                    Event::Deliver { sequence, message, .. } => {
                        received.push(u64::from_be_bytes(message.short_message.try_into().unwrap()));
                        client.answer_deliver(sequence, CommandStatus::ROK).unwrap();
                    }
                    Event::Closed { reason } => {
                        prop_assert_eq!(reason, CloseReason::Unbound);
                        closed += 1;
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if closed == 2 {
                break;
            }
        }
        answered.sort_unstable();
        prop_assert!(answered.into_iter().eq(0..messages));
        prop_assert!(received.into_iter().eq(0..messages));
        prop_assert!(confirmed.into_iter().eq(0..messages));
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
            _ => collect(&mut session, &pdu(1, CommandStatus::ROK, Pdu::Unbind), now_ns),
        }
        collect(&mut session, b"", now_ns);
        told.sort_unstable();
        prop_assert!(told.into_iter().eq(0..next));
        prop_assert!(session.is_closed());
    }

    #[test]
    fn arbitrary_octets_never_panic(stream in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
        for mut session in [bound_client(&Options::default()), bound_server(&Options::default(), BindMode::Transceiver)] {
            for mut input in stream.chunks(piece) {
                while session.poll_event(&mut input, 0).is_some() {}
                prop_assert!(input.is_empty());
            }
        }
    }
}
