//! Queries of one tag each, side by side: for doors where every tag keeps its own value type and its own failure.

use std::sync::Arc;

use super::parallel::{Workers, in_order};
use crate::{QueryError, QueryLimits, portion::Portion};
use historian_model::Tag;

/// Receives the portions of a tag in their order, or how its query ended for damage; answers false to stop.
pub type TakePart<'a, P> = &'a mut dyn FnMut(&Tag, Result<P, QueryError>) -> bool;

/// Runs a query for each tag and hands its portions on in the order of the tags. Of all errors damage alone ends no more than the query of its
/// tag.
///
/// # Errors
/// The first other one in the order of the tags.
pub fn tag_by_tag<P: Portion>(
    threads: usize,
    tags: &[Arc<Tag>],
    limits: &QueryLimits,
    run: impl Fn(&Arc<Tag>, &mut dyn FnMut(P) -> bool) -> Result<(), QueryError> + Sync,
    take: TakePart<'_, P>,
) -> Result<(), QueryError> {
    let bytes = |part: &(usize, Result<P, QueryError>)| part.1.as_ref().map_or(0, P::bytes);
    let units: Vec<usize> = (0..tags.len()).collect();
    let mut rows = 0;
    in_order(
        Workers { threads, limits },
        &units,
        bytes,
        |index, put| {
            limits.check(0)?;
            match run(&tags[*index], &mut |portion| put((*index, Ok(portion)))) {
                Err(error @ QueryError::DataLoss { .. }) => {
                    put((*index, Err(error)));
                    Ok(())
                }
                ended => ended,
            }
        },
        |(index, part)| {
            rows += part.as_ref().map_or(0, P::rows) as u64;
            limits.check(rows)?;
            Ok(take(&tags[index], part))
        },
    )
}
