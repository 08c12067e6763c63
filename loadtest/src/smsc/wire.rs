//! The bytes of SMPP 3.4 as an SMSC sees them: reads borrowed views, writes straight into the output buffer. Strict on
//! purpose and independent of Stentor's own codec, so that each tests the other. Knows no sockets and no policy.

/// Bytes of a PDU header.
pub(super) const HEADER_LEN: usize = 16;
/// A longer PDU ends the connection.
pub(super) const PDU_LEN_MAX: usize = 70_000;

/// Command ids (SMPP 3.4 §5.1.2.1); a response is its request with the top bit set.
pub(super) mod command {
    pub(crate) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(crate) const BIND_RECEIVER: u32 = 0x0000_0001;
    pub(crate) const BIND_TRANSMITTER: u32 = 0x0000_0002;
    pub(crate) const QUERY_SM: u32 = 0x0000_0003;
    pub(crate) const SUBMIT_SM: u32 = 0x0000_0004;
    pub(crate) const DELIVER_SM: u32 = 0x0000_0005;
    pub(crate) const DELIVER_SM_RESP: u32 = 0x8000_0005;
    pub(crate) const UNBIND: u32 = 0x0000_0006;
    pub(crate) const UNBIND_RESP: u32 = 0x8000_0006;
    pub(crate) const BIND_TRANSCEIVER: u32 = 0x0000_0009;
    pub(crate) const ENQUIRE_LINK: u32 = 0x0000_0015;
    pub(crate) const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
    pub(crate) const RESPONSE: u32 = 0x8000_0000;
}

/// Command statuses that the simulator itself answers (SMPP 3.4 §5.1.3); the carrier chooses those of messages.
pub(super) mod status {
    pub(crate) const OK: u32 = 0x00;
    pub(crate) const INVALID_MESSAGE_LENGTH: u32 = 0x01;
    pub(crate) const INVALID_COMMAND_LENGTH: u32 = 0x02;
    pub(crate) const INVALID_COMMAND_ID: u32 = 0x03;
    pub(crate) const INVALID_BIND_STATUS: u32 = 0x04;
    pub(crate) const ALREADY_BOUND: u32 = 0x05;
    pub(crate) const SYSTEM_ERROR: u32 = 0x08;
    pub(crate) const BIND_FAILED: u32 = 0x0D;
    pub(crate) const INVALID_PASSWORD: u32 = 0x0E;
    pub(crate) const THROTTLED: u32 = 0x58;
    pub(crate) const QUERY_FAILED: u32 = 0x67;
}

const TLV_SC_INTERFACE_VERSION: u16 = 0x0210;
const TLV_MESSAGE_PAYLOAD: u16 = 0x0424;
const ESM_UDHI: u8 = 0x40;

/// One PDU's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the whole PDU, this header included.
    pub length: usize,
    pub command: u32,
    pub status: u32,
    pub sequence: u32,
}

/// The beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A complete PDU: its header and its body.
    Pdu(Header, &'a [u8]),
    /// The PDU is not complete yet.
    Incomplete,
    /// The length is impossible for a PDU: the framing is lost.
    Broken,
}

/// Looks for one PDU at the beginning of `input`.
pub(super) fn cut(input: &[u8]) -> Cut<'_> {
    let Some((head, _)) = input.split_first_chunk::<4>() else { return Cut::Incomplete };
    let length = u32::from_be_bytes(*head) as usize;
    if !(HEADER_LEN..=PDU_LEN_MAX).contains(&length) {
        return Cut::Broken;
    }
    let Some(pdu) = input.get(..length) else { return Cut::Incomplete };
    let (head, body) = pdu.split_at(HEADER_LEN);
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Cut::Pdu(Header { length, command: word(4), status: word(8), sequence: word(12) }, body)
}

/// A body does not match its command id; gives the name of the first wrong field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// The fields of a bind request that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind<'a> {
    pub system_id: &'a [u8],
    pub password: &'a [u8],
}

/// Reads the body of any of the three binds.
pub(super) fn read_bind(body: &[u8]) -> Result<Bind<'_>, Malformed> {
    let mut reader = Reader(body);
    let bind = Bind { system_id: reader.c_bytes(15, "system_id")?, password: reader.c_bytes(8, "password")? };
    reader.c_bytes(12, "system_type")?;
    reader.bytes(3, "interface_version, addr_ton, addr_npi")?;
    reader.c_bytes(40, "address_range")?;
    Ok(bind)
}

/// An address as in a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub ton: u8,
    pub npi: u8,
    /// Without NUL, at most 20 bytes.
    pub digits: &'a [u8],
}

/// A `submit_sm`, borrowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Submit<'a> {
    pub source: Address<'a>,
    pub destination: Address<'a>,
    pub registered_delivery: u8,
    pub data_coding: u8,
    /// `short_message` or `message_payload`, user data header included.
    pub user_data: &'a [u8],
    /// `user_data` without the user data header.
    pub text: &'a [u8],
}

/// Reads the body of a `submit_sm`; refuses everything that the specification does not allow.
pub(super) fn read_submit(body: &[u8]) -> Result<Submit<'_>, Malformed> {
    let mut reader = Reader(body);
    reader.c_bytes(5, "service_type")?;
    let source = reader.address("source_addr")?;
    let destination = reader.address("destination_addr")?;
    if destination.digits.is_empty() {
        return Err(Malformed("destination_addr"));
    }
    let esm_class = reader.byte("esm_class")?;
    reader.bytes(2, "protocol_id, priority_flag")?;
    reader.time("schedule_delivery_time")?;
    reader.time("validity_period")?;
    let registered_delivery = reader.byte("registered_delivery")?;
    reader.byte("replace_if_present_flag")?;
    let data_coding = reader.byte("data_coding")?;
    reader.byte("sm_default_msg_id")?;
    let sm_length = usize::from(reader.byte("sm_length")?);
    if sm_length > 254 {
        return Err(Malformed("sm_length"));
    }
    let short_message = reader.bytes(sm_length, "short_message")?;
    let payload = reader.find_payload()?;
    let user_data = match payload {
        Some(_) if sm_length > 0 => return Err(Malformed("short_message and message_payload")),
        Some(payload) => payload,
        None => short_message,
    };
    let text = if esm_class & ESM_UDHI == 0 { user_data } else { skip_header(user_data)? };
    Ok(Submit { source, destination, registered_delivery, data_coding, user_data, text })
}

fn skip_header(user_data: &[u8]) -> Result<&[u8], Malformed> {
    let (length, rest) = user_data.split_first().ok_or(Malformed("user data header"))?;
    rest.get(usize::from(*length)..).ok_or(Malformed("user data header"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self, field: &'static str) -> Result<u8, Malformed> {
        let (byte, rest) = self.0.split_first().ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(*byte)
    }

    fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn c_bytes(&mut self, length_max: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().take(length_max + 1).position(|byte| *byte == 0).ok_or(Malformed(field))?;
        let bytes = self.bytes(end, field)?;
        self.byte(field)?;
        Ok(bytes)
    }

    fn address(&mut self, field: &'static str) -> Result<Address<'a>, Malformed> {
        Ok(Address { ton: self.byte(field)?, npi: self.byte(field)?, digits: self.c_bytes(20, field)? })
    }

    fn time(&mut self, field: &'static str) -> Result<(), Malformed> {
        let length = self.c_bytes(16, field)?.len();
        if matches!(length, 0 | 16) { Ok(()) } else { Err(Malformed(field)) }
    }

    fn find_payload(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let mut payload = None;
        while !self.0.is_empty() {
            let head = self.bytes(4, "optional parameter")?;
            let value =
                self.bytes(usize::from(u16::from_be_bytes([head[2], head[3]])), "length of an optional parameter")?;
            if u16::from_be_bytes([head[0], head[1]]) == TLV_MESSAGE_PAYLOAD {
                payload = Some(value);
            }
        }
        Ok(payload)
    }
}

/// Appends a PDU without a body.
pub(super) fn write_empty(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) {
    write_header(out, HEADER_LEN, command, status, sequence);
}

/// Appends a bind response that names this SMSC and its version.
pub(super) fn write_bind_response(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) {
    let start = begin(out, command, status, sequence);
    if status == status::OK {
        out.extend_from_slice(b"loadtest\0");
        out.extend_from_slice(&TLV_SC_INTERFACE_VERSION.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0x34]);
    }
    finish(out, start);
}

/// Appends a `submit_sm_resp`; `write_id` appends the message id, `None` leaves the body out.
pub(super) fn write_submit_response(
    out: &mut Vec<u8>,
    status: u32,
    sequence: u32,
    write_id: Option<impl FnOnce(&mut Vec<u8>)>,
) {
    let start = begin(out, command::SUBMIT_SM | command::RESPONSE, status, sequence);
    if let Some(write_id) = write_id {
        write_id(out);
        out.push(0);
    }
    finish(out, start);
}

/// A `query_sm`, borrowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub message_id: &'a [u8],
    pub source: Address<'a>,
}

/// Reads the body of a `query_sm`, to its last byte.
pub(super) fn read_query(body: &[u8]) -> Result<Query<'_>, Malformed> {
    let mut reader = Reader(body);
    let query = Query { message_id: reader.c_bytes(64, "message_id")?, source: reader.address("source_addr")? };
    if reader.0.is_empty() { Ok(query) } else { Err(Malformed("length")) }
}

/// Appends a `query_sm_resp` with a state; `final_date` is empty, or 16 bytes.
pub(super) fn write_query_response(
    out: &mut Vec<u8>,
    sequence: u32,
    id: &[u8],
    final_date: &[u8],
    state: u8,
    error: u8,
) {
    let start = begin(out, command::QUERY_SM | command::RESPONSE, status::OK, sequence);
    out.extend_from_slice(id);
    out.push(0);
    out.extend_from_slice(final_date);
    out.extend_from_slice(&[0, state, error]);
    finish(out, start);
}

/// The content of a `deliver_sm` that carries a receipt; the addresses as the handset's side sees them.
#[derive(Debug)]
pub(super) struct Deliver<'a> {
    pub source: Address<'a>,
    pub destination: Address<'a>,
    pub esm_class: u8,
    /// At most 254 bytes.
    pub short_message: &'a [u8],
    /// Optional parameters as on the wire.
    pub tlvs: &'a [u8],
}

/// Appends a `deliver_sm`.
pub(super) fn write_deliver(out: &mut Vec<u8>, sequence: u32, deliver: &Deliver<'_>) {
    let start = begin(out, command::DELIVER_SM, status::OK, sequence);
    out.push(0);
    for address in [deliver.source, deliver.destination] {
        out.extend_from_slice(&[address.ton, address.npi]);
        out.extend_from_slice(address.digits);
        out.push(0);
    }
    // protocol_id, priority, schedule, validity, registered_delivery, replace, data_coding, default message.
    out.push(deliver.esm_class);
    out.extend_from_slice(&[0; 8]);
    let length = deliver.short_message.len().min(254);
    out.push(length as u8);
    out.extend_from_slice(&deliver.short_message[..length]);
    out.extend_from_slice(deliver.tlvs);
    finish(out, start);
}

fn write_header(out: &mut Vec<u8>, length: usize, command: u32, status: u32, sequence: u32) {
    for word in [length as u32, command, status, sequence] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

fn begin(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) -> usize {
    let start = out.len();
    write_header(out, 0, command, status, sequence);
    start
}

fn finish(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
