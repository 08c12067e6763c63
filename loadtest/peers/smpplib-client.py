"""A client by smpplib, another codec than ours, against an SMSC (ours): binds, sends texts in several codings, one of
them in parts, and wants for each part a response and one receipt whose id is that of the response.

Usage: smpplib-client.py HOST PORT [COUNT]
"""

import re
import sys

import smpplib.client
import smpplib.consts
import smpplib.gsm

TEXTS = ["Plain {GSM} with €", "Привет, мир", "long " * 80, "emoji \U0001f44b \U0001f389"]


def main(host, port, count):
    client = smpplib.client.Client(host, port, allow_unknown_opt_params=True, timeout=20)
    answered, receipted = {}, []

    def on_response(pdu, **_):
        assert pdu.status == 0, f"submit refused: {pdu.status:#x}"
        answered[pdu.sequence] = pdu.message_id.decode()

    def on_receipt(pdu, **_):
        text = pdu.short_message.decode()
        assert pdu.esm_class & 0x3C == 4 and "stat:DELIVRD" in text, text
        receipted.append(re.match(r"id:(\S+) ", text).group(1))
        return 0

    client.set_message_sent_handler(on_response)
    client.set_message_received_handler(on_receipt)
    client.connect()
    client.bind_transceiver(system_id="test", password="secret")
    sequences = []
    for number in range(count):
        parts, coding, esm_class = smpplib.gsm.make_parts(TEXTS[number % len(TEXTS)])
        for part in parts:
            pdu = client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr="TEST",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=f"49151{number:08}",
                short_message=part,
                data_coding=coding,
                esm_class=esm_class,
                registered_delivery=True,
            )
            sequences.append(pdu.sequence)
    while len(answered) < len(sequences) or len(receipted) < len(sequences):
        client.read_once()
    client.unbind()
    client.disconnect()
    assert sorted(answered) == sorted(sequences), "every submit has its response"
    assert sorted(answered.values()) == sorted(receipted), "every id has one receipt"
    print(f"{count} messages, {len(sequences)} parts, {len(receipted)} receipts")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100)
