//! Points of SunSpec that evcc names by model and name. It looks for the models in the device; where one begins, a file does not say.

/// A point: its offset from the number of its model, its format, and the offset of its scale factor.
type TemplatePoint = (&'static str, u16, &'static str, Option<u16>);

/// Inverters whose numbers are whole, with scale factors: models 101, 102 and 103.
const INVERTER: &[TemplatePoint] = &[
    ("A", 2, "u16", Some(6)),
    ("AphA", 3, "u16", Some(6)),
    ("AphB", 4, "u16", Some(6)),
    ("AphC", 5, "u16", Some(6)),
    ("PhVphA", 10, "u16", Some(13)),
    ("PhVphB", 11, "u16", Some(13)),
    ("PhVphC", 12, "u16", Some(13)),
    ("W", 14, "i16", Some(15)),
    ("Hz", 16, "u16", Some(17)),
    ("VA", 18, "i16", Some(19)),
    ("VAr", 20, "i16", Some(21)),
    ("PF", 22, "i16", Some(23)),
    ("WH", 24, "u32", Some(26)),
    ("DCA", 27, "u16", Some(28)),
    ("DCV", 29, "u16", Some(30)),
    ("DCW", 31, "i16", Some(32)),
];
/// Inverters with numbers of IEEE 754: models 111, 112 and 113.
const INVERTER_FLOAT: &[TemplatePoint] = &[
    ("A", 2, "f32", None),
    ("AphA", 4, "f32", None),
    ("AphB", 6, "f32", None),
    ("AphC", 8, "f32", None),
    ("PhVphA", 16, "f32", None),
    ("PhVphB", 18, "f32", None),
    ("PhVphC", 20, "f32", None),
    ("W", 22, "f32", None),
    ("Hz", 24, "f32", None),
    ("VA", 26, "f32", None),
    ("VAr", 28, "f32", None),
    ("PF", 30, "f32", None),
    ("WH", 32, "f32", None),
    ("DCA", 34, "f32", None),
    ("DCV", 36, "f32", None),
    ("DCW", 38, "f32", None),
];
/// Meters: models 201 to 204.
const METER: &[TemplatePoint] = &[
    ("A", 2, "i16", Some(6)),
    ("AphA", 3, "i16", Some(6)),
    ("AphB", 4, "i16", Some(6)),
    ("AphC", 5, "i16", Some(6)),
    ("PhVphA", 8, "i16", Some(15)),
    ("PhVphB", 9, "i16", Some(15)),
    ("PhVphC", 10, "i16", Some(15)),
    ("Hz", 16, "i16", Some(17)),
    ("W", 18, "i16", Some(22)),
    ("WphA", 19, "i16", Some(22)),
    ("WphB", 20, "i16", Some(22)),
    ("WphC", 21, "i16", Some(22)),
    ("TotWhExp", 38, "u32", Some(54)),
    ("TotWhImp", 46, "u32", Some(54)),
];

/// Where the first of the points is that is known, for somebody who looks up where its model begins.
pub fn advice(points: &[&str]) -> String {
    let named = points.join(", ");
    let found = points.iter().find_map(|point| {
        let mut parts = point.split(':');
        let model: u16 = parts.next()?.parse().ok()?;
        let name = parts.next_back()?;
        let table = match model {
            101..=103 => INVERTER,
            111..=113 => INVERTER_FLOAT,
            201..=204 => METER,
            _ => return None,
        };
        let (_, offset, format, factor) = table.iter().find(|(known, ..)| *known == name)?;
        let factor = factor.map(|factor| format!(", scale_from = \"holding:B+{factor}\"")).unwrap_or_default();
        Some(format!(
            "; with B, the address of the number {model}: address = \"holding:B+{offset}\", format = \"{format}\"{factor}, \
             not_available = \"sunspec\""
        ))
    });
    format!("SunSpec {named}: evcc looks in the device where the model begins, and the file does not say it{}", found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_that_is_known_is_told_with_its_offsets() {
        assert!(advice(&["103:W"]).ends_with(
            "; with B, the address of the number 103: address = \"holding:B+14\", format = \"i16\", scale_from = \"holding:B+15\", \
             not_available = \"sunspec\""
        ));
        assert!(advice(&["999:X", "203:W"]).contains("holding:B+18"));
        assert!(advice(&["113:W"]).contains("holding:B+22\", format = \"f32\", not_available"));
        assert!(advice(&["802:SoC"]).ends_with("does not say it"));
    }
}
