#!/usr/bin/env python3
"""Writes numbering_table.rs from Google's phone metadata, as the PyPI package `phonenumbers` carries it (Apache-2.0).

    pip install phonenumbers==9.0.42 && python3 numbering_table.py > numbering_table.rs

One row per country calling code: which lengths its numbers may have (bit n: n digits after the code; not those that are
dialled only within an area), whether a number may begin with 0 after the code, the main region, and whether other
regions share the code.
"""

try:
    import re._parser as sre
except ImportError:
    import sre_parse as sre

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

HEAD = f'''//! Country calling codes: made by `numbering_table.py` from Google's phone metadata (phonenumbers {phonenumbers.__version__}, Apache-2.0).

use super::Plan;

/// By code.
#[rustfmt::skip]
pub(super) const PLANS: [Plan; {len(COUNTRY_CODE_TO_REGION_CODE)}] = ['''


def metadata(code, region):
    if region == "001":
        return PhoneMetadata.metadata_for_nongeo_region(code)
    return PhoneMetadata.metadata_for_region(region)


def first_characters(parsed):
    """The characters that a parsed pattern may begin with, and whether it may be empty."""
    found = set()
    for operation, argument in parsed:
        starts, empty = first_of(operation, argument)
        found |= starts
        if not empty:
            return found, False
    return found, True


def first_of(operation, argument):
    name = str(operation)
    if name == "LITERAL":
        return {chr(argument)}, False
    if name == "IN":
        return {c for item in argument for c in members(*item)}, False
    if name == "BRANCH":
        parts = [first_characters(branch) for branch in argument[1]]
        return set().union(*(starts for starts, _ in parts)), any(empty for _, empty in parts)
    if name == "SUBPATTERN":
        return first_characters(argument[-1])
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        starts, empty = first_characters(argument[2])
        return starts, empty or argument[0] == 0
    raise ValueError(f"{name} in a pattern")


def members(name, argument):
    name = str(name)
    if name == "LITERAL":
        return {chr(argument)}
    if name == "RANGE":
        return {chr(c) for c in range(argument[0], argument[1] + 1)}
    if name == "CATEGORY":
        return set("0123456789")
    raise ValueError(f"{name} in a class")


def row(code):
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    lengths, local, leading_zero = 0, 0, False
    for region in regions:
        general = metadata(code, region).general_desc
        for length in general.possible_length:
            lengths |= 1 << length
        for length in general.possible_length_local_only:
            local |= 1 << length
        starts, _ = first_characters(sre.parse(general.national_number_pattern))
        leading_zero |= "0" in starts
    # What one region of a code dials within an area, another may list for a service of its own: Canada's 310-1234.
    lengths &= ~local
    shared = str(len(regions) > 1).lower()
    return f'    Plan {{ code: {code}, lengths: {lengths:#08x}, leading_zero: {str(leading_zero).lower()}, region: *b"{regions[0][:2]}", shared: {shared} }},'


print(HEAD)
for code in sorted(COUNTRY_CODE_TO_REGION_CODE):
    print(row(code))
print("];")
