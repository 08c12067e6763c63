#!/usr/bin/env python3
"""Writes split-smpplib.txt: what smpplib, an independent SMPP client, makes of some two hundred texts.

Usage: pip install 'smpplib==2.2.*' && python3 split_smpplib.py > split-smpplib.txt

Read by the tests of src/smpp/split.rs. A line is: data_coding, `same` or `cuts`, the text as hexadecimal UTF-8, the parts
as hexadecimal octets joined by commas; separated by tabs. smpplib counts octets alone, so it cuts escape pairs, surrogate
pairs and clusters; where it does, the line says `cuts`, and only the joined octets can be expected to agree.
"""

import random
import unicodedata

from smpplib import consts, gsm

REFERENCE = 0x2A
HEADER = 6
GSM7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" \
       "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
EXTENDED = "^{}\\[~]|€"
# smpplib's table has a grave accent in place of the section sign.
USUAL = GSM7.replace("§", "")
WIDE = "жщцЮ漢字仮名あいうカキ한국어שלוםمرحبا"
EMOJI = "😀🎉🚀❤"


def texts():
    """Edges of every length first, then mixtures from a fixed seed."""
    for character, lengths in (("a", (0, 1, 159, 160, 161, 305, 306, 307, 459, 460, 1530)),
                               ("€", (79, 80, 81, 150)),
                               ("ж", (1, 69, 70, 71, 133, 134, 135, 201, 202, 670)),
                               ("😀", (34, 35, 36, 66, 67, 68))):
        for length in lengths:
            yield character * length
    for before in range(150, 156):
        yield "a" * before + "€" * 4 + "b" * 10
        yield "a" * before + "[" + "b" * 160 + "]"
    for before in range(63, 69):
        yield "ж" * before + "😀😀" + "щ" * 10
        yield "ж" * before + "e\u0301e\u0301" + "щ" * 10
    pick = random.Random(20)
    for pool in (USUAL, USUAL * 3 + EXTENDED, USUAL + WIDE, WIDE, WIDE * 2 + EMOJI, "abc" + EMOJI):
        for _ in range(26):
            yield "".join(pick.choice(pool) for _ in range(pick.randrange(1, 330)))


def cuts_inside(parts, coding):
    """Whether a part ends inside an escape pair, a surrogate pair or a cluster."""
    if len(parts) == 1:
        return False
    for part, after in zip(parts, parts[1:]):
        body, next_body = part[HEADER:], after[HEADER:]
        if coding == consts.SMPP_ENCODING_DEFAULT:
            if body.endswith(b"\x1b"):
                return True
        else:
            following = int.from_bytes(next_body[:2], "big")
            if 0xDC00 <= following < 0xE000 or unicodedata.combining(chr(following)):
                return True
    return False


def main():
    gsm.random.randint = lambda low, high: REFERENCE
    print("# Written by split_smpplib.py; see there.")
    for text in texts():
        parts, coding, _ = gsm.make_parts(text)
        kind = "cuts" if cuts_inside(parts, coding) else "same"
        print(coding, kind, text.encode().hex(), ",".join(part.hex() for part in parts), sep="\t")


if __name__ == "__main__":
    main()
