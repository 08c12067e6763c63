#!/usr/bin/env python3
"""Writes national_tables.rs: the national language tables of 3GPP TS 23.038 (Release 18), annex A.

Usage: pip install gsmcodecs==1.0.0 && python3 national_tables.py > national_tables.rs

The data is that of the package gsmcodecs (MIT), drawn from the text of the specification. All 25 tables were compared
with those of oFono 1.31, and where the two differ Android's decided: DIFFERENCES holds what went against gsmcodecs.
Against oFono went Kannada single shift 0x3C, '[' (it has ']' twice), and Malayalam locking 0x2E, '.' (it has ',' twice).
"""

from gsmcodecs.charmaps import GSMCHARMAPS

LANGUAGES = [
    "Turkish", "Spanish", "Portuguese", "Bengali", "Gujarati", "Hindi", "Kannada", "Malayalam", "Oriya", "Punjabi",
    "Tamil", "Telugu", "Urdu",
]
ESCAPE = 0x1B

# (language, table, septet): code point, where gsmcodecs was found to be wrong: it has an apostrophe for the comma.
DIFFERENCES = {(language, "locking", 0x2C): 0x2C for language in LANGUAGES[3:]}
# The specification itself prints U+0CAA twice and U+0CA1 nowhere; Android sends and shows the letter that is missing.
DIFFERENCES["Kannada", "locking", 0x24] = 0x0CA1
# Missing in gsmcodecs and oFono, present in the specification, Android and CyberChef.
DIFFERENCES["Telugu", "singleShift", 0x65] = 0x20AC

HEAD = """\
//! The national language tables of 3GPP TS 23.038 annex A as data: code point by septet, 0 where none is assigned.
//!
//! Written by `national_tables.py`; change that, not this. Knows nothing of when a table applies (`national`).

/// A table: index is the septet, value the Unicode code point (all are in the basic plane), 0 = not assigned.
pub(super) type Table = [u16; 128];
"""


def table(language, kind):
    decode = GSMCHARMAPS[language].get(kind, {}).get("decode")
    if decode is None:
        return None
    cells = [0 if septet == ESCAPE else decode.get(septet, 0) for septet in range(128)]
    for (where, which, septet), point in DIFFERENCES.items():
        if (where, which) == (LANGUAGES[language - 1], kind):
            cells[septet] = point
    return cells


def write(name, kind, section, cells):
    print(f"\n/// {kind}, §{section}.")
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: Table = [")
    for row in range(0, 128, 8):
        print("    " + ", ".join(f"0x{cell:04X}" for cell in cells[row:row + 8]) + ",")
    print("];")


def main():
    print(HEAD, end="")
    for number, language in enumerate(LANGUAGES, start=1):
        for kind, key, section in (("locking shift", "locking", 3), ("single shift", "singleShift", 2)):
            cells = table(number, key)
            if cells is not None:
                name = f"{language.upper()}_{kind.split()[0].upper()}"
                write(name, f"{language} {kind} table", f"A.{section}.{number}", cells)


if __name__ == "__main__":
    main()
