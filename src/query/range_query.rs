//! What a range query asks for.

use std::sync::Arc;

use super::{common_type::ValueColumns, schema::LongColumns};
use historian_model::{Quality, Tag, TimeRange, ValueType};

/// How a range treats its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Boundary {
    /// Samples with `start <= timestamp < end`.
    #[default]
    Inside,
    /// And the nearest sample before `start` and at or after `end`.
    Outside,
    /// And a value at each edge that no sample falls on, interpolated (or held, for stepped tags) and marked in its quality.
    Interpolated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// Columns tag, timestamp, value, quality, and more for the values of tags of several types; tag after tag.
    #[default]
    Long,
    /// A timestamp column, then per tag a value column of its name and a quality column `<name>#quality`; null where the tag has no sample.
    Wide,
}

/// Samples of which qualities count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum QualityFilter {
    #[default]
    Any,
    NotBad,
    Good,
}

impl QualityFilter {
    /// Whether a sample of this quality counts.
    pub fn passes(self, quality: u32) -> bool {
        match self {
            QualityFilter::Any => true,
            QualityFilter::NotBad => !Quality(quality).is_bad(),
            QualityFilter::Good => Quality(quality).is_good(),
        }
    }
}

/// How the wide layout fills rows in which a tag has no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fill {
    /// With null.
    #[default]
    None,
    /// With the last sample before that is not Bad; Uncertain where a Bad one has been since.
    AsOf,
    /// With the value that the time has at an edge that is interpolated: a straight line between the neighbours that are not Bad, inside the
    /// range or not; held for stepped tags and values that are no floats.
    Linear,
}

/// A range query whose tags and times are resolved.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    pub boundary: Boundary,
    /// Samples per tag at most (rows at most, in the wide layout); `None` no limit.
    pub limit: Option<u64>,
    pub layout: Layout,
    /// Filters samples of the range and its neighbours, before edges and fills are made of them.
    pub quality: QualityFilter,
    /// Wide layout, forward only.
    pub fill: Fill,
    /// With a fill: rows at the start and every so many ns, instead of where samples are.
    pub step: Option<i64>,
    /// LONG layout: where the answer begins, for what comes before it has been answered.
    pub resume: Option<Resume>,
    /// LONG layout: a last column `type` with the value type of each row's tag.
    pub types: bool,
    /// LONG layout: value types that count as selected when the columns are chosen, for a part of an answer of more tags.
    pub among: Vec<ValueType>,
}

/// A place within an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Index of the tag.
    pub tag: usize,
    /// Timestamp of its last row that has been answered, and how many there were. `None`: none.
    pub after: Option<(i64, u64)>,
}

impl RangeQuery {
    /// All samples of a range, in the long layout.
    pub fn new(tags: Vec<Arc<Tag>>, range: TimeRange) -> RangeQuery {
        RangeQuery {
            tags,
            range,
            boundary: Boundary::Inside,
            limit: None,
            layout: Layout::Long,
            quality: QualityFilter::Any,
            fill: Fill::None,
            step: None,
            resume: None,
            types: false,
            among: Vec::new(),
        }
    }

    /// The same query of one of its tags, in its own type; `after` as in [`Resume`].
    #[must_use]
    pub fn of_tag(&self, tag: &Arc<Tag>, after: Option<(i64, u64)>) -> RangeQuery {
        RangeQuery {
            boundary: self.boundary,
            limit: self.limit,
            quality: self.quality,
            resume: after.map(|after| Resume { tag: 0, after: Some(after) }),
            ..RangeQuery::new(vec![tag.clone()], self.range)
        }
    }

    /// The value types of the tags, each once, where there are several: what a part of the answer needs to be told in `among`.
    pub fn types_apart(&self) -> Vec<ValueType> {
        let selected =
            |value_type: &ValueType| self.among.contains(value_type) || self.tags.iter().any(|tag| tag.value_type() == *value_type);
        let types: Vec<ValueType> = ValueType::ALL.into_iter().filter(selected).collect();
        if types.len() > 1 { types } else { Vec::new() }
    }

    /// Columns of the long layout.
    pub(super) fn columns(&self) -> LongColumns {
        let types = self.tags.iter().map(|tag| tag.value_type()).chain(self.among.iter().copied());
        LongColumns { values: ValueColumns::of_types(types), types: self.types }
    }
}
