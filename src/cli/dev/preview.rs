//! What a text will cost, shown while it is typed on the page. Knows the words for it; `smpp` counts, so the page shows the same
//! as the sandbox's carrier will get.

use serde_json::{Value, json};

use stentor_smpp::analyse::{Analysis, Encoding, TextOptions, analyse};
use stentor_smpp::coding::Alphabet;
use stentor_smpp::gsm7::Unrepresentable;
use stentor_smpp::split::PARTS_MAX;
use stentor_smpp::udh::Concatenation;

/// `units`: the text's length as carriers count it. `room`: units that fit into each of the `parts`. `because`: the first character
/// that requires UCS-2. The carrier is the one that [`super::settings`] writes, with every default.
pub(super) fn of(text: &str) -> Value {
    let options = TextOptions::default();
    let strict = TextOptions { encoding: Encoding::Gsm7, ..options };
    let because = analyse(text, &strict).err().map(|Unrepresentable { character, .. }| character.to_string());
    match analyse(text, &options) {
        Ok(Analysis { alphabet, units, parts, .. }) => {
            let header = if parts == 1 { 0 } else { 1 + Concatenation::len(false) };
            let encoding = if alphabet == Alphabet::Ucs2 { "UCS-2" } else { "GSM 7-bit" };
            let (room, fits) = (alphabet.room(header), parts <= PARTS_MAX);
            json!({"encoding": encoding, "units": units, "room": room, "parts": parts, "fits": fits, "because": because})
        }
        Err(Unrepresentable { character, .. }) => json!({"because": character.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_smpp::split::{CarrierText, Content, Plan};

    #[test]
    fn a_text_is_measured_as_it_will_be_split() {
        let told = |text: &str| {
            let told = of(text);
            if let Ok(plan) = Plan::new(&Content::text(text), &CarrierText::default()) {
                assert_eq!(told["parts"], plan.parts(), "{text}");
                assert_eq!(told["encoding"] == "UCS-2", plan.alphabet() == Alphabet::Ucs2, "{text}");
            }
            ["encoding", "units", "room", "parts", "because"].map(|name| told[name].clone())
        };
        let gsm = |units: u32, room: u32, parts: u32| {
            [json!("GSM 7-bit"), units.into(), room.into(), parts.into(), Value::Null]
        };
        let ucs = |units: u32, room: u32, parts: u32, because: &str| {
            [json!("UCS-2"), units.into(), room.into(), parts.into(), because.into()]
        };
        assert_eq!(told(""), gsm(0, 160, 1));
        assert_eq!(told("5\u{20AC}"), gsm(3, 160, 1));
        assert_eq!(told(&"a".repeat(160)), gsm(160, 160, 1));
        assert_eq!(told(&"a".repeat(161)), gsm(161, 153, 2));
        assert_eq!(told(&"\u{20AC}".repeat(80)), gsm(160, 160, 1));
        assert_eq!(told("Hello from Stentor \u{1F44B}"), ucs(21, 70, 1, "\u{1F44B}"));
        assert_eq!(told(&"\u{436}".repeat(71)), ucs(71, 67, 2, "\u{436}"));
        assert_eq!(of(&"a".repeat(153 * 255))["fits"], true);
        assert_eq!(of(&"a".repeat(153 * 255 + 1))["fits"], false);
    }
}
