//! What is on record of tags that have other names now.

use std::collections::{BTreeMap, HashMap};

use super::gap_record::{ABSENCES, each_gap, record_gaps};
use historian_model::{TagName, TagRename, Timestamp};
use historian_store::{Gap, GapReason, Store, StoreError};

/// Records the gaps of tags that have other names now under these as well: what is on record is not changed. One that is open under the old name
/// ends there, and is open under the new one unless the tag is collected again. Those that find no room stay in what is answered. Blocks.
///
/// # Errors
/// When the gaps on record cannot be read.
pub fn renamed_gaps(
    renamed: &[TagRename],
    is_collected: impl Fn(&TagName) -> bool,
    store: &dyn Store,
    now: Timestamp,
) -> Result<Vec<Gap>, StoreError> {
    let names: HashMap<&str, &TagName> = renamed.iter().map(|rename| (rename.from.as_str(), &rename.to)).collect();
    let (mut gaps, mut open) = (Vec::new(), BTreeMap::new());
    if names.is_empty() {
        return Ok(gaps);
    }
    each_gap(
        |from, limit| store.gaps(from, limit),
        |gap| {
            let Some(name) = gap.tag.as_deref().and_then(|tag| names.get(tag)) else { return };
            let new = Gap { tag: Some(name.to_string()), ..gap.clone() };
            let ends = ABSENCES.contains(&gap.reason) || matches!(gap.reason, GapReason::NotConfigured | GapReason::Rejected);
            if ends && gap.start.is_some() {
                let place = (gap.reason.as_str(), gap.tag.clone());
                match gap.end {
                    None => drop(open.insert(place, gap)),
                    Some(_) => drop(open.remove(&place)),
                }
            }
            gaps.push(new);
        },
    )?;
    for gap in open.into_values() {
        let Some(name) = gap.tag.as_deref().and_then(|tag| names.get(tag)) else { continue };
        // The device of the tag is started anew, and tells of what goes on by itself.
        let goes_on = match gap.reason {
            GapReason::NotConfigured => !is_collected(name),
            reason => !ABSENCES.contains(&reason),
        };
        if !goes_on {
            let detail = "the tag is collected again".to_owned();
            gaps.push(Gap { time: now, tag: Some(name.to_string()), end: Some(now.0), detail, ..gap.clone() });
        }
        gaps.push(Gap { time: now, end: Some(now.0), detail: format!("the tag is {name} from now on"), ..gap });
    }
    Ok(gaps)
}

/// Records the gaps of tags that have other names now; where that fails it is logged, as what is on record under the old names stays. Blocks.
pub fn carry_gaps(renamed: &[TagRename], is_collected: impl Fn(&TagName) -> bool, store: &dyn Store, now: Timestamp) {
    let recorded = renamed_gaps(renamed, is_collected, store, now).and_then(|mut gaps| {
        record_gaps(&mut gaps, store)?;
        Ok(gaps.len())
    });
    match recorded {
        Ok(0) => {}
        Ok(gaps) => tracing::error!(gaps, "gaps of renamed tags found no room and are on record under the old names only"),
        Err(error) => tracing::error!(%error, "gaps of renamed tags are on record under the old names only"),
    }
}
