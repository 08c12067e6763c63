//! The GSM 03.38 default alphabet and its extension table, and the structure for looking up a table in both directions.
//!
//! Knows: the septet of each character (3GPP TS 23.038 §6.2.1, §6.2.1.1). Refuses to know: when a table applies
//! (`national`) and how whole texts are converted (`gsm7`).

use super::national_tables::Table;

/// Escape: the septet after it is looked up in the extension or single shift table.
pub const ESCAPE: u8 = 0x1B;

/// A table for both directions. Built at compile time, in read-only memory.
#[derive(Debug)]
pub(super) struct Sheet {
    points: Table,
    sorted: [(u16, u8); 128],
    assigned: usize,
}

impl Sheet {
    pub(super) const fn new(points: Table) -> Self {
        let mut sorted = [(0u16, 0u8); 128];
        let mut assigned = 0;
        let mut septet = 0;
        while septet < 128 {
            if points[septet] != 0 {
                let mut at = assigned;
                while at > 0 && sorted[at - 1].0 > points[septet] {
                    sorted[at] = sorted[at - 1];
                    at -= 1;
                }
                sorted[at] = (points[septet], septet as u8);
                assigned += 1;
            }
            septet += 1;
        }
        Self { points, sorted, assigned }
    }

    /// The character of a septet, if one is assigned; bit 7 is ignored.
    pub(super) fn character(&self, septet: u8) -> Option<char> {
        match self.points[usize::from(septet & 0x7F)] {
            0 => None,
            point => char::from_u32(u32::from(point)),
        }
    }

    /// The lowest septet of the character, if it has one.
    pub(super) fn septet(&self, character: char) -> Option<u8> {
        let point = u16::try_from(u32::from(character)).ok()?;
        let known = self.sorted.get(..self.assigned)?;
        let at = known.partition_point(|&(candidate, _)| candidate < point);
        known.get(at).filter(|&&(candidate, _)| candidate == point).map(|&(_, septet)| septet)
    }
}

/// GSM 7-bit default alphabet, §6.2.1.
pub(super) static DEFAULT: Sheet = Sheet::new(DEFAULT_POINTS);

/// GSM 7-bit default alphabet extension table, §6.2.1.1.
pub(super) static EXTENSION: Sheet = Sheet::new(EXTENSION_POINTS);

#[rustfmt::skip]
const DEFAULT_POINTS: Table = [
    0x0040, 0x00A3, 0x0024, 0x00A5, 0x00E8, 0x00E9, 0x00F9, 0x00EC,
    0x00F2, 0x00C7, 0x000A, 0x00D8, 0x00F8, 0x000D, 0x00C5, 0x00E5,
    0x0394, 0x005F, 0x03A6, 0x0393, 0x039B, 0x03A9, 0x03A0, 0x03A8,
    0x03A3, 0x0398, 0x039E, 0x0000, 0x00C6, 0x00E6, 0x00DF, 0x00C9,
    0x0020, 0x0021, 0x0022, 0x0023, 0x00A4, 0x0025, 0x0026, 0x0027,
    0x0028, 0x0029, 0x002A, 0x002B, 0x002C, 0x002D, 0x002E, 0x002F,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037,
    0x0038, 0x0039, 0x003A, 0x003B, 0x003C, 0x003D, 0x003E, 0x003F,
    0x00A1, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004A, 0x004B, 0x004C, 0x004D, 0x004E, 0x004F,
    0x0050, 0x0051, 0x0052, 0x0053, 0x0054, 0x0055, 0x0056, 0x0057,
    0x0058, 0x0059, 0x005A, 0x00C4, 0x00D6, 0x00D1, 0x00DC, 0x00A7,
    0x00BF, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067,
    0x0068, 0x0069, 0x006A, 0x006B, 0x006C, 0x006D, 0x006E, 0x006F,
    0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007A, 0x00E4, 0x00F6, 0x00F1, 0x00FC, 0x00E0,
];

const EXTENSION_POINTS: Table = {
    let mut points = [0; 128];
    points[0x0A] = 0x000C; // form feed
    points[0x14] = '^' as u16;
    points[0x28] = '{' as u16;
    points[0x29] = '}' as u16;
    points[0x2F] = '\\' as u16;
    points[0x3C] = '[' as u16;
    points[0x3D] = '~' as u16;
    points[0x3E] = ']' as u16;
    points[0x40] = '|' as u16;
    points[0x65] = 0x20AC; // euro
    points
};

/// Codes of the code points below 0x100: `septet`, `SHIFTED | septet`, or `ABSENT`.
pub(super) const LOW: [u8; 256] = {
    let mut codes = [ABSENT; 256];
    let mut septet = 0;
    while septet < 128 {
        if DEFAULT_POINTS[septet] != 0 && DEFAULT_POINTS[septet] < 256 {
            codes[DEFAULT_POINTS[septet] as usize] = septet as u8;
        }
        if EXTENSION_POINTS[septet] != 0 && EXTENSION_POINTS[septet] < 256 {
            codes[EXTENSION_POINTS[septet] as usize] = SHIFTED | septet as u8;
        }
        septet += 1;
    }
    codes
};

/// Flag of a code that needs an escape before it.
pub(super) const SHIFTED: u8 = 0x80;

/// The code of a character that no table holds. It is the escape, because no table assigns a character to that.
pub(super) const ABSENT: u8 = ESCAPE;
