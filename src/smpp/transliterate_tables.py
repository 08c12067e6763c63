#!/usr/bin/env python3
"""Writes transliterate_tables.rs and transliterate_forms.txt: near forms of characters, from Unicode's data and the lists below.

Usage: python3 transliterate_tables.py (Python 3.11, Unicode 14.0), in this directory.

A near form is one step: the character's letter without its last mark, its compatibility form, its base letter by its name,
or what the lists here say. A lookup goes on from there until the alphabet in question holds the character.
"""

import re
import unicodedata as u

SPACES = [0x09, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, 0x2800]
LINES = [0x0B, 0x85, 0x2028, 0x2029]
# Cyrillic letters of the same shape as Latin ones; no others, for a text in Latin letters is not what its author wrote.
CYRILLIC = "АAВBЕEКKМMНHОOРPСCТTУYХXаaеeоoрpсcуyхxІIіiЈJјjЅSѕsԚQԛqԜWԝwһhӀI"
# Greek capitals of the same shape as Latin ones. The other ten are in GSM 7-bit.
GREEK = "ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXϹCϳjϿ"
LETTERS = {
    "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "ẞ": "SS", "ß": "ss", "Þ": "Th", "þ": "th", "Ð": "D", "ð": "d",
    "Đ": "D", "đ": "d", "ı": "i", "ȷ": "j", "ĸ": "k", "Ŋ": "Ng", "ŋ": "ng", "Ə": "E", "ə": "e", "Ǝ": "E", "ǝ": "e", "Ɛ": "E",
    "ɛ": "e", "Ɔ": "O", "ɔ": "o", "Ɩ": "I", "ɩ": "i", "Ʋ": "V", "ʋ": "v", "Ɣ": "G", "ɣ": "g", "Ʒ": "Zh", "ʒ": "zh",
    "Ʃ": "Sh", "ʃ": "sh", "Ɓ": "B", "Ƣ": "Gh", "ƣ": "gh", "ɑ": "a", "Ɑ": "A", "ɡ": "g", "ɪ": "I", "Ꞌ": "'", "ꞌ": "'",
    "Ɂ": "'", "ɂ": "'", "ʔ": "'", "ŉ": "'n", "Ȣ": "OU", "ȣ": "ou", "ſ": "s", "µ": "u", "ª": "a", "º": "o", "ŀ": "l", "Ŀ": "L",
    "Ʀ": "R", "ƿ": "w", "Ƿ": "W", "Ȝ": "Y", "ȝ": "y", "ꝏ": "oo", "Ꝏ": "OO", "ꜩ": "tz", "Ꜩ": "TZ",
}
MARKS = {
    "`": "'", "´": "'", "¨": '"', "¯": "-", "¸": ",", "¦": "|", "¡": "!", "¿": "?", "¶": "P", "§": "S", "·": "*", "¢": "c",
    "£": "GBP", "¥": "Y", "€": "EUR", "©": "(c)", "®": "(r)", "±": "+/-", "×": "x", "÷": "/", "°": "o",
    "«": '"', "»": '"', "ʹ": "'", "ʺ": '"', "ʻ": "'", "ʼ": "'", "ʽ": "'", "ʾ": "'", "ʿ": "'", "ˈ": "'",
    "ˊ": "'", "ˋ": "'", "ˆ": "^", "˜": "~", "˝": '"', "ˮ": '"', "˗": "-", "ː": ":", "΄": "'",
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "‖": "||", "‗": "_", "‘": "'", "’": "'", "‚": ",", "‛": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "†": "+", "‡": "++", "•": "*", "‣": ">", "․": ".", "‧": "*", "‰": "o/oo",
    "‱": "o/ooo", "′": "'", "″": '"', "‴": "'''", "⁗": "''''", "‵": "'", "‶": '"', "‷": "'''", "‸": "^", "‹": "<", "›": ">",
    "※": "*", "‾": "-", "‿": "_", "⁁": "^", "⁂": "***", "⁃": "-", "⁄": "/", "⁅": "[", "⁆": "]", "⁊": "&", "⁋": "P",
    "⁎": "*", "⁏": ";", "⁑": "**", "⁒": "./.", "⁓": "~", "⁕": "*", "⁚": ":", "⁞": "|", "…": "...",
    "₠": "ECU", "₡": "CRC", "₢": "Cr", "₣": "F", "₤": "L", "₥": "m", "₦": "NGN", "₧": "Pts", "₩": "KRW", "₪": "ILS", "₫": "VND",
    "₭": "LAK", "₮": "MNT", "₯": "Dr", "₱": "PHP", "₲": "PYG", "₳": "A", "₴": "UAH", "₵": "GHS", "₸": "KZT", "₹": "Rs",
    "₺": "TL", "₼": "AZN", "₽": "RUB", "₾": "GEL", "₿": "BTC", "⃀": "KGS", "฿": "THB", "៛": "KHR",
    "℗": "(p)", "℮": "e", "℔": "lb", "℥": "oz", "№": "No", "℅": "c/o", "℠": "SM", "™": "TM", "Ω": "Ω",
    "←": "<-", "→": "->", "↔": "<->", "↑": "^", "↓": "v", "⇐": "<==", "⇒": "=>", "⇔": "<=>", "➔": "->", "➙": "->", "➜": "->",
    "➝": "->", "➞": "->", "➡": "->", "⬅": "<-", "⟵": "<-", "⟶": "->", "⟹": "=>", "➤": ">",
    "−": "-", "∓": "-/+", "∕": "/", "∖": "\\", "∗": "*", "∘": "o", "∙": "*", "⋅": "*", "∞": "oo", "∣": "|", "∥": "||", "∶": ":",
    "∼": "~", "≈": "~", "≃": "~", "≅": "~", "≠": "!=", "≡": "=", "≤": "<=", "≥": ">=", "≦": "<=", "≧": ">=", "⩽": "<=", "⩾": ">=",
    "≪": "<<", "≫": ">>", "≮": "!<", "≯": "!>", "⋯": "...", "∆": "Δ", "∑": "Σ", "∏": "Π",
    "✓": "v", "✔": "v", "✗": "x", "✘": "x", "✕": "x", "✖": "x", "☐": "[ ]", "☑": "[x]", "☒": "[x]", "☺": ":)", "☹": ":(",
    "♥": "<3", "❤": "<3", "☎": "Tel.", "✆": "Tel.",
    "★": "*", "☆": "*", "●": "*", "○": "o", "■": "*", "□": "*", "▪": "*", "▫": "*", "◆": "*", "◇": "*", "◦": "*", "✱": "*",
    "▶": ">", "►": ">", "▸": ">", "◀": "<", "◄": "<", "─": "-", "━": "-", "│": "|", "┃": "|", "═": "=", "║": "||",
    "❛": "'", "❜": "'", "❝": '"', "❞": '"', "❮": "<", "❯": ">", "⟨": "<", "⟩": ">", "〈": "<", "〉": ">", "〈": "<", "〉": ">",
    "《": "<<", "》": ">>", "「": '"', "」": '"', "『": '"', "』": '"', "【": "[", "】": "]", "〔": "[", "〕": "]", "〖": "[", "〗": "]",
    "〝": '"', "〞": '"', "〟": '"', "、": ",", "。": ".", "・": "*", "〜": "~", "゠": "=", "｡": ".", "､": ",", "･": "*",
    "｢": '"', "｣": '"', "⸺": "--", "⸻": "---",
}
# What the lists say even of a character that has a decomposition.
FIRST = "≠≮≯΄´¨¯¸‗…‴⁗‷″‶№℅℠™‾ŀĿŉſªµº˝˜‑․"
# Assigned characters of these blocks are listed in transliterate_choices.txt, whatever becomes of them.
BLOCKS = [
    (0x0000, 0x036F), (0x0370, 0x03FF), (0x0400, 0x052F), (0x1C80, 0x1C8F), (0x1D00, 0x1DFF), (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x218F), (0x2C60, 0x2C7F),
    (0x2DE0, 0x2DFF), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF00, 0xFFEF),
]
MARK_RANGES = [(0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F)]
BY_NAME = re.compile(r"LATIN (SMALL|CAPITAL) LETTER ([A-Z]) WITH ")
HEAD = """\
//! Near forms of characters as data, and which letters a letter and a mark make.
//!
//! Written by `transliterate_tables.py` from Unicode %s; change that, not this. Knows nothing of alphabets.
"""


def nfc(text):
    return u.normalize("NFC", text)


def without_last_mark(character):
    """The letter with one mark less. The dot below goes first, so that a Vietnamese letter keeps its shape longest."""
    base, *marks = u.normalize("NFD", character)
    if not marks or any(not u.combining(mark) or 0x334 <= ord(mark) <= 0x338 for mark in marks):
        return None  # without what crosses it out it would say the opposite
    left = [mark for mark in marks if mark != "\u0323"] if "\u0323" in marks[:-1] else marks[:-1]
    near = nfc(base + "".join(left))
    return near if len(near) == 1 else base


def step(character):
    listed = LETTERS.get(character) or MARKS.get(character)
    if listed and (character in FIRST or not u.decomposition(character)):
        return listed
    decomposition = u.decomposition(character)
    if decomposition and not decomposition.startswith("<"):
        single = nfc(character)
        return single if single != character else without_last_mark(character)
    if decomposition:
        if 0x2460 <= ord(character) <= 0x2473 or 0x24B6 <= ord(character) <= 0x24EA:
            return f"({u.normalize('NFKC', character)})"
        plain = nfc("".join(chr(int(part, 16)) for part in decomposition.split()[1:]))
        return listed if listed else None if plain[0] == " " or any(map(u.combining, plain)) else plain
    if "GREEK" in u.name(character, "") and character.lower() == character != character.upper():
        return "Σ" if character == "ς" else character.upper() if len(character.upper()) == 1 else None
    named = BY_NAME.match(u.name(character, ""))
    if named and "LETTER TURNED" not in u.name(character):
        return named[2] if named[1] == "CAPITAL" else named[2].lower()
    return None


def all_steps():
    steps = {chr(point): " " for point in SPACES} | {chr(point): "\n" for point in LINES}
    for pairs in (CYRILLIC, GREEK):
        steps |= dict(zip(pairs[::2], pairs[1::2]))
    # Windows' characters where ISO has controls: a program took the one for the other.
    for byte in range(0x80, 0xA0):
        character = bytes([byte]).decode("cp1252", "ignore")
        if character and byte != 0x85:
            steps[chr(byte)] = character
    for point in range(0x60, 0x20000):
        character = chr(point)
        if u.category(character) in ("Cn", "Cs", "Co") or character in steps or is_mark(point) or point < 0x7F and point != 0x60:
            continue
        near = step(character)
        if near and near != character:
            steps[character] = near
    reached = {character: near for character, near in steps.items() if ends(character, steps)}
    assert all(ord(character) < 0x20000 for character in reached)
    return reached


GREEK_IN_GSM7 = "ΔΦΓΛΩΠΨΣΘΞ"


def ends(character, steps, depth=0):
    """Whether some alphabet holds what one arrives at."""
    assert depth < 6, character
    point = ord(character)
    if 0x20 <= point < 0x7F or 0xA0 < point < 0x100 and point != 0xAD or character in GREEK_IN_GSM7 or character in "\n€":
        return depth > 0 or character in steps and all(ends(part, steps, 1) for part in steps[character])
    return character in steps and all(ends(part, steps, depth + 1) for part in steps[character])


def is_mark(point):
    return any(first <= point <= last for first, last in MARK_RANGES)


def pairs(steps):
    """(letter, mark, what they make), for what is in the table or in ISO 8859-1."""
    found = []
    for point in range(0xC0, 0x2300):
        parts = u.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<") and is_mark(int(parts[1], 16)):
            if nfc(chr(int(parts[0], 16)) + chr(int(parts[1], 16))) == chr(point):
                if chr(point) in steps or point < 0x100 or any(is_part_of(chr(point), other) for other in steps):
                    found.append((int(parts[0], 16), int(parts[1], 16), point))
    return sorted(found)


def is_part_of(character, other):
    return u.normalize("NFD", other).startswith(u.normalize("NFD", character)) and nfc(other) == other


def rows(items, per_row):
    for at in range(0, len(items), per_row):
        yield "    " + ", ".join(items[at:at + per_row]) + ","


def rust_string(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):X}}}" for c in escaped) + '"'


def write_tables(steps):
    texts = sorted(set(steps.values()))
    assert len(texts) < 4096
    place = {text: at for at, text in enumerate(texts)}
    near = [f"0x{ord(c) << 12 | place[text]:08X}" for c, text in sorted(steps.items())]
    made = [f"0x{a:04X}_{b:04X}_{c:04X}" for a, b, c in pairs(steps)]
    with open("transliterate_tables.rs", "w") as out:
        out.write(HEAD % u.unidata_version)
        out.write("\n/// What characters become, one step; [`NEAR`] says which.\n#[rustfmt::skip]\n")
        out.write(f"pub(super) static TEXTS: [&str; {len(texts)}] = [\n" + "\n".join(rows(list(map(rust_string, texts)), 14)))
        out.write("\n];\n\n/// By character: code point in the upper 20 bits, place in [`TEXTS`] in the lower 12.\n#[rustfmt::skip]\n")
        out.write(f"pub(super) static NEAR: [u32; {len(near)}] = [\n" + "\n".join(rows(near, 9)))
        out.write("\n];\n\n/// Letter, mark and the letter that they make, 16 bits each, ascending.\n#[rustfmt::skip]\n")
        out.write(f"pub(super) static MADE: [u64; {len(made)}] = [\n" + "\n".join(rows(made, 6)) + "\n];\n")


def write_forms(steps):
    """Ranges of what is to be listed, then for each character that has several forms: its composed and decomposed one."""
    listed = {p for first, last in BLOCKS for p in range(first, last + 1) if u.category(chr(p)) not in ("Cn", "Cs", "Co")}
    listed |= {ord(character) for character in steps}
    with open("transliterate_forms.txt", "w") as out:
        start = None
        for point in sorted(listed):
            start = point if start is None else start
            if point + 1 not in listed:
                out.write(f"{start:04X}..{point:04X}\n")
                start = None
        for point in sorted(listed):
            forms = [u.normalize(form, chr(point)) for form in ("NFC", "NFD")]
            if any(form != chr(point) for form in forms):
                written = [" ".join(f"{ord(c):04X}" for c in form) for form in forms]
                out.write(f"{point:04X};{written[0]};{written[1]}\n")


if __name__ == "__main__":
    found = all_steps()
    write_tables(found)
    write_forms(found)
