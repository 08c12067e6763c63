// An SMSC by node-smpp, another codec than Stentor's: answers binds, decodes what it is sent, sends receipts.
// One JSON line per event, on stdout and in the journal: {"id","to","from","text"|"hex","coding","esm","ref","total","part"}
// for a submit before its response leaves, {"acknowledged":id} for a receipt that was taken. A receipt stays owed until it
// is taken: refused, it comes again after a second; on a session that ended, or before a restart, on the next bind. While
// a living session has it, no other sends it.
// Usage: node node-smsc.js --port N --journal FILE [--key PEM --cert PEM]
const fs = require('fs');
const smpp = require('smpp');
const { randomUUID } = require('crypto');
const { parseArgs } = require('util');

const string = { type: 'string' };
const { values: options } = parseArgs({ options: { port: string, journal: string, key: string, cert: string } });
const journal = fs.openSync(options.journal, 'a+');
const RETRY_MS = 1000;
const owed = new Map();
const inFlight = new Map(); // id of a receipt → the session that has it
for (const line of fs.readFileSync(options.journal, 'utf8').split('\n').filter((line) => line.endsWith('}'))) {
  const event = JSON.parse(line);
  if (event.acknowledged) owed.delete(event.acknowledged);
  else owed.set(event.id, event);
}

function write(event) {
  const line = JSON.stringify(event) + '\n';
  fs.writeSync(journal, line);
  process.stdout.write(line);
}

function sendReceipt(session, event) {
  if (!owed.has(event.id) || inFlight.has(event.id)) return;
  const receipt = {
    source_addr: event.to, source_addr_ton: 1, source_addr_npi: 1, destination_addr: event.from, esm_class: 4,
    short_message: `id:${event.id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:`,
  };
  const sent = session.deliver_sm(receipt, (answer) => {
    inFlight.delete(event.id);
    if (answer.command_status !== 0) return setTimeout(sendReceipt, RETRY_MS, session, event);
    owed.delete(event.id);
    write({ acknowledged: event.id });
  });
  if (sent) inFlight.set(event.id, session);
}

function place(udh) {
  for (const element of udh || []) {
    if (element[0] === 0) return { ref: element[2], total: element[3], part: element[4] };
    if (element[0] === 8) return { ref: element.readUInt16BE(2), total: element[4], part: element[5] };
  }
  return { ref: 0, total: 1, part: 1 };
}

function take(session, pdu) {
  const { message, udh } = pdu.message_payload && pdu.message_payload.message ? pdu.message_payload : pdu.short_message;
  const event = { id: randomUUID(), to: pdu.destination_addr, from: pdu.source_addr, coding: pdu.data_coding, esm: pdu.esm_class };
  if (pdu.sar_total_segments) Object.assign(event, { ref: pdu.sar_msg_ref_num, total: pdu.sar_total_segments, part: pdu.sar_segment_seqnum });
  else Object.assign(event, place(udh));
  Object.assign(event, Buffer.isBuffer(message) ? { hex: message.toString('hex') } : { text: message });
  owed.set(event.id, event);
  write(event);
  session.send(pdu.response({ message_id: event.id }));
  if (pdu.registered_delivery & 1) setImmediate(() => sendReceipt(session, event));
}

const tls = options.key ? { key: fs.readFileSync(options.key), cert: fs.readFileSync(options.cert) } : {};
const server = smpp.createServer(tls, (session) => {
  const bind = (receives) => (pdu) => {
    session.send(pdu.response({ system_id: 'node-smsc' }));
    if (receives) for (const event of [...owed.values()]) sendReceipt(session, event);
  };
  session.on('bind_transceiver', bind(true));
  session.on('bind_receiver', bind(true));
  session.on('bind_transmitter', bind(false));
  session.on('submit_sm', (pdu) => take(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
  session.on('error', () => session.close());
  session.on('close', () => {
    for (const [id, holder] of inFlight) if (holder === session) inFlight.delete(id);
  });
});
server.listen(Number(options.port), '127.0.0.1', () => console.error(`listening on ${server.address().port}`));
