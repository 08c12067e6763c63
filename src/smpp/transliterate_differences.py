#!/usr/bin/env python3
"""Writes transliterate_differences.txt: where two tables of other people choose otherwise than transliterate_choices.txt.

Usage: pip install Unidecode==1.4.0 anyascii==0.3.3 && python3 transliterate_differences.py, in this directory.

Compared are the choices in ASCII. Each difference belongs to a kind, whose reason is given; one without a kind ends the script.
"""

import ast
import unicodedata as u

from anyascii import anyascii
from unidecode import unidecode

KINDS = [
    ("Other scripts stay: a text in them is not what its author wrote once it is in Latin letters. What has the shape of a Latin letter becomes that letter.",
     lambda c, ours: in_script(c, "CYRILLIC", "ABKHASIAN")),
    ("Greek stays Greek: its capitals, those of GSM 7-bit and of Latin letters of the same shape. What ASCII has no letter of that shape for stays.",
     lambda c, ours: in_script(u.normalize("NFKC", c)[0], "GREEK", "OHM", "MICRO", "TAU")),
    ("Hangul, kana and signs of other scripts stay.", lambda c, ours: in_script(c, "HANGUL", "HALFWIDTH KATAKANA", "KATAKANA", "HEBREW", "ALEF", "BET SYMBOL", "GIMEL", "DALET", "IDEOGRAPHIC", "SQUARE ERA")),
    ("Invisible marks and controls are left out; blanks and line ends are written as such.",
     lambda c, ours: u.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") or ours == '""'),
    ("A mark without its letter is left out; one that crosses out or encloses stays, since without it the text may say the opposite.",
     lambda c, ours: u.category(c) in ("Mn", "Me")),
    ("Letters of phonetics, shorthand, old manuscripts and tone are not near to any of the alphabet: what has no base letter in its name stays.",
     lambda c, ours: ours == "-" and (u.category(c) in ("Ll", "Lu", "Lo", "Lm", "Lt", "Sk") or "LATIN" in u.name(c, ""))),
    ("A number or a letter in a circle is written out, so that it does not run into its neighbours.",
     lambda c, ours: "CIRCLED" in u.name(c, "")),
    ("A letter keeps to the case of its neighbours as its compatibility form or its usual spelling has it; a letter's base is that of its name.",
     lambda c, ours: u.category(c) in ("Ll", "Lu", "Lo", "Lm", "Lt", "Sk") or "LATIN" in u.name(c, "")),
    ("Currencies are named by their code, or as they are abbreviated at home; what has no name in use stays.",
     lambda c, ours: u.category(c) == "Sc"),
    ("Numerals for which plain letters would not be understood stay.", lambda c, ours: u.category(c) in ("No", "Nl")),
    ("A sign without a usual spelling in plain characters stays.", lambda c, ours: ours == "-"),
    ("Signs and punctuation: what people type for it in plain text.", lambda c, ours: u.category(c)[0] in "PS"),
]


def in_script(character, *names):
    return any(name in u.name(character, "") for name in names)


def choices():
    for line in open("transliterate_choices.txt"):
        if line.startswith("# With"):
            return
        if not line.startswith("#"):
            left, *_, ascii_choice = line.rstrip("\n").split(" | ")
            yield chr(int(left.split(" ")[0], 16)), ascii_choice


def as_text(character, choice):
    return None if choice == "-" else character if choice == "=" else ast.literal_eval(choice)


def main():
    found = {reason: [] for reason, _ in KINDS}
    same = 0
    for character, ours in choices():
        others = [unidecode(character), anyascii(character)]
        if as_text(character, ours) in others or ours == "=" or ours == "-" and not any(others):
            same += 1
            continue
        reason = next(reason for reason, is_it in KINDS if is_it(character, ours))
        seen = character if u.category(character)[0] not in "CZM" else ""
        found[reason].append(f"  {ord(character):04X} {seen} | {ours} | {others[0]!r} | {others[1]!r}")
    with open("transliterate_differences.txt", "w") as out:
        out.write("# Where Unidecode 1.4.0 and anyascii 0.3.3 both choose otherwise than we do in ASCII: character, ours, theirs.\n")
        out.write(f"# {same} choices agree with one of them or both. \"-\": the character has no near form. Written by `transliterate_differences.py`.\n")
        for reason, lines in found.items():
            if lines:
                out.write(f"\n{reason} ({len(lines)})\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
