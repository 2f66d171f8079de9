//! What entities of Home Assistant have in common: their names, and what is told of them once for all.

use super::super::{
    draft::{ConfigDraft, DraftKey, DraftTag, text},
    source::ForeignTable,
};

/// How Home Assistant shows and keeps an entity; nothing of the value is lost.
const SHOWN: [&str; 14] = [
    "unique_id",
    "device_class",
    "state_class",
    "icon",
    "entity_category",
    "object_id",
    "default_entity_id",
    "device",
    "enabled_by_default",
    "suggested_display_precision",
    "entity_picture",
    "origin",
    "platform",
    "has_entity_name",
];

/// Tells once which of the keys that only show an entity are in the file.
pub fn shown(table: &ForeignTable<'_>, draft: &mut ConfigDraft) {
    let there: Vec<&str> = SHOWN.into_iter().filter(|key| table.has(key)).collect();
    for key in there.into_iter().filter(|key| *key != "platform") {
        draft.note("entities", format!("{key} not carried over: it is how Home Assistant shows or keeps them"));
    }
}

/// What the entity is called.
///
/// # Errors
/// It has no name.
pub fn own_name(table: &ForeignTable<'_>) -> Result<String, String> {
    let own = table.text("name")?.or(table.text("object_id")?).or(table.text("unique_id")?).filter(|name| !name.is_empty());
    own.ok_or_else(|| "it has no name".to_owned())
}

/// A tag of the name of the entity.
///
/// # Errors
/// It has no name.
pub fn named(table: &ForeignTable<'_>, draft: &mut ConfigDraft) -> Result<DraftTag, String> {
    let own = own_name(table)?;
    let (name, remark) = draft.tag_name(&[vec![&own]]);
    Ok(DraftTag { name, remarks: remark.into_iter().collect(), ..DraftTag::default() })
}

/// The engineering unit as a key.
///
/// # Errors
/// It stands elsewhere.
pub fn unit(table: &ForeignTable<'_>) -> Result<Option<DraftKey>, String> {
    Ok(table.text("unit_of_measurement")?.filter(|unit| !unit.is_empty()).map(|unit| ("unit", text(unit))))
}
