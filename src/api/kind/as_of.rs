//! `asof`: what each tag was at times of the client, which come as rows by `DoExchange` or as a list by gRPC.

use historian_proto::v1;
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, Missing, QueryKind, Resolved, refused},
};
use crate::{
    answer::{self, damaged, unknown},
    resolve::{Selected, duration},
    sample, status,
};
use historian_operators::kpi::Eligible;
use historian_query::{AS_OF_TAGS_MAX, AsOfQuery, QueryEngine, QueryLimits};

/// Samples of one answer to `AsOf` at most; how many of them fit into it depends on their type.
const AS_OF_CELLS_MAX: usize = 1 << 20;
const NOT_AS_OF: &str = "ask in parts, or use DoExchange, which takes any number of rows";

/// A resolved join, its times those of the request.
pub struct AsOfKind {
    pub query: AsOfQuery,
}

impl QueryKind for AsOfKind {
    const NAME: &'static str = "asof";
    const METHOD: &'static str = "AsOf";
    const DOOR: Door = Door::Exchange;
    const SQL: Option<&'static str> = None;
    type Request = v1::AsOfRequest;

    fn resolve(asker: &Asker<'_>, request: v1::AsOfRequest) -> Result<(AsOfKind, Missing), Status> {
        let eligible = match v1::QualityFilter::try_from(request.quality) {
            Ok(v1::QualityFilter::Unspecified | v1::QualityFilter::NotBad) => Eligible::NotBad,
            Ok(v1::QualityFilter::Any) => Eligible::Any,
            Ok(v1::QualityFilter::Good) => Eligible::Good,
            Err(_) => return Err(status::invalid("quality", "is none of ANY, NOT_BAD, GOOD")),
        };
        let tolerance = duration("tolerance", &request.tolerance)?.unsigned_abs();
        let tolerance_ns = (!request.tolerance.trim().is_empty()).then_some(tolerance);
        let Selected { tags, missing } = asker.tags(&request.tags)?;
        if tags.len() > AS_OF_TAGS_MAX {
            let message = format!("{} tags are joined, at most {AS_OF_TAGS_MAX} are at once; use a narrower glob", tags.len());
            return Err(status::too_much("as_of_tags_max", message));
        }
        Ok((AsOfKind { query: AsOfQuery { tags, times: request.timestamps, tolerance_ns, eligible } }, missing))
    }

    fn plan(_asker: &Asker<'_>, _request: v1::AsOfRequest) -> Result<(Box<dyn Resolved>, Missing), Status> {
        Err(refused::<AsOfKind>())
    }
}

impl AsOfKind {
    /// The answer in one message. Blocks.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where it is more than a client takes, and of the join.
    pub fn answer(&self, missing: Missing, engine: &QueryEngine, limits: &QueryLimits) -> Result<v1::AsOfResponse, Status> {
        let query = &self.query;
        let cells = query.times.len().saturating_mul(query.tags.len());
        if cells > AS_OF_CELLS_MAX {
            let message = format!(
                "{} times for {} tags are {cells} samples, at most {AS_OF_CELLS_MAX} are answered at once; {NOT_AS_OF}",
                query.times.len(),
                query.tags.len()
            );
            return Err(status::too_much("as_of_cells_max", message));
        }
        let answers = engine.as_of(query, limits).map_err(|error| status::from_query(&error))?;
        let mut response =
            v1::AsOfResponse { samples: Vec::with_capacity(answers.len()), failures: missing.into_iter().map(unknown).collect() };
        for (tag, answer) in query.tags.iter().zip(answers) {
            match answer {
                Ok(held) => response.samples.push(sample::of_columns(tag.name().as_str(), &held.samples)),
                Err(error) => response.failures.push(damaged(tag, &error)),
            }
        }
        response.failures = answer::failures(response.failures);
        answer::whole(response, NOT_AS_OF)
    }
}
