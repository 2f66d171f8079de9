//! `AnnotationService`: texts of people on tags.

use std::sync::Arc;

use historian_proto::v1::{self, annotation_service_server::AnnotationService};
use tonic::{Request, Response, Status};

use crate::{
    Api, Caller, Services, access, answer, blocking,
    page_token::{self, request_sum},
    resolve::{self, Bounds, SelectedTags},
    status,
};
use historian_access::{Principal, Right};
use historian_model::Tag;
use historian_query::QueryLimits;
use historian_store::{
    Annotation, AnnotationDraft,
    note::{AnnotationPlace, SoughtAnnotations, TAGS_MAX},
};

pub struct AnnotationRpc(pub Arc<Api>);

#[tonic::async_trait]
impl AnnotationService for AnnotationRpc {
    async fn create_annotation(
        &self,
        request: Request<v1::CreateAnnotationRequest>,
    ) -> Result<Response<v1::CreateAnnotationResponse>, Status> {
        let (caller, v1::CreateAnnotationRequest { tags, start, end, zone, text }) = Caller::take(request);
        let services = self.0.services.clone();
        let annotation = blocking(move || {
            let draft = draft(&services, &caller, tags, (&start, &end, &zone), text)?;
            let made = services.annotations.create(&caller.actor(), draft).map_err(|error| status::from_note(&error))?;
            Ok(Some(message(&services, &caller.principal, made)))
        })
        .await?;
        Ok(Response::new(v1::CreateAnnotationResponse { annotation }))
    }

    async fn update_annotation(
        &self,
        request: Request<v1::UpdateAnnotationRequest>,
    ) -> Result<Response<v1::UpdateAnnotationResponse>, Status> {
        let (caller, v1::UpdateAnnotationRequest { id, version, tags, start, end, zone, text }) = Caller::take(request);
        let services = self.0.services.clone();
        let annotation = blocking(move || {
            changeable(&services, &caller, id)?;
            let draft = draft(&services, &caller, tags, (&start, &end, &zone), text)?;
            let seen = (version > 0).then_some(version);
            let made = services.annotations.update(&caller.actor(), id, seen, draft).map_err(|error| status::from_note(&error))?;
            Ok(Some(message(&services, &caller.principal, made)))
        })
        .await?;
        Ok(Response::new(v1::UpdateAnnotationResponse { annotation }))
    }

    async fn delete_annotation(
        &self,
        request: Request<v1::DeleteAnnotationRequest>,
    ) -> Result<Response<v1::DeleteAnnotationResponse>, Status> {
        let (caller, v1::DeleteAnnotationRequest { id, version }) = Caller::take(request);
        let services = self.0.services.clone();
        blocking(move || {
            let tags = changeable(&services, &caller, id)?;
            let names = tags.iter().map(|tag| tag.name().to_string()).collect();
            let seen = (version > 0).then_some(version);
            services.annotations.remove(&caller.actor(), id, seen, names).map_err(|error| status::from_note(&error))
        })
        .await?;
        Ok(Response::new(v1::DeleteAnnotationResponse {}))
    }

    async fn list_annotations(
        &self,
        request: Request<v1::ListAnnotationsRequest>,
    ) -> Result<Response<v1::ListAnnotationsResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let (services, principal) = (self.0.services.clone(), caller.principal.clone());
        self.0.bounded(&caller, move |limits| page(&services, &principal, request, limits)).await.map(Response::new)
    }
}

/// What a request wants to say, on tags of which the caller may write each.
fn draft(
    services: &Services,
    caller: &Caller,
    mut names: Vec<String>,
    (start, end, zone): (&str, &str, &str),
    text: String,
) -> Result<AnnotationDraft, Status> {
    if names.is_empty() || names.len() > TAGS_MAX {
        return Err(status::invalid("tags", format!("{} tags; an annotation has 1 to {TAGS_MAX}, by their exact names", names.len())));
    }
    names.sort_unstable();
    names.dedup();
    let seen = services.catalog.within(caller.principal.scope(Right::Write));
    let mut missing = Vec::new();
    let mut tags = Vec::new();
    for name in names {
        access::require_on(&caller.principal, Right::Write, &name)?;
        match seen.get(&name) {
            Some(tag) => tags.push((tag.id, name)),
            None => missing.push(name),
        }
    }
    if !missing.is_empty() {
        return Err(status::tags_not_found(&missing));
    }
    let now = services.clock.now();
    let moment = end.is_empty();
    let range = Bounds::new(start, if moment { "*" } else { end }, zone).resolve(now)?;
    // The end of a moment is the start, wherever "now" lies; a range that is turned round has its start at its end.
    let (first, last) = resolve::bounds_as_asked(range);
    if !moment && last < first {
        return Err(status::invalid("end", format!("{last} lies before the start {first}")));
    }
    Ok(AnnotationDraft { tags, start: first.0, end: if moment { first.0 } else { last.0 }, text })
}

/// The tags of an annotation that the caller may change: those of all that there are of its tags. Whoever may not see it is not told of it.
fn changeable(services: &Services, caller: &Caller, id: u64) -> Result<Vec<Arc<Tag>>, Status> {
    let not_found = || status::note_not_found("annotation", id);
    let annotation = services.annotations.get(id).map_err(|error| status::from_note(&error))?;
    let tags: Vec<Arc<Tag>> = annotation.tags.iter().filter_map(|tag| services.catalog.by_id(*tag)).collect();
    let principal = &caller.principal;
    if !tags.is_empty() && !tags.iter().any(|tag| principal.may_on(Right::Read, tag.name().as_str())) {
        return Err(not_found());
    }
    match tags.iter().find(|tag| !principal.may_on(Right::Write, tag.name().as_str())) {
        Some(tag) if principal.may_on(Right::Read, tag.name().as_str()) => {
            access::require_on(principal, Right::Write, tag.name().as_str())?;
            Err(not_found())
        }
        Some(_) => Err(status::denied("the annotation is also on tags on which you lack the right write")),
        None => Ok(tags),
    }
}

/// A page of the annotations on the tags selected. Blocks on catalog and store.
fn page(
    services: &Services,
    principal: &Principal,
    mut request: v1::ListAnnotationsRequest,
    limits: &QueryLimits,
) -> Result<v1::ListAnnotationsResponse, Status> {
    let page_size = page_token::page_size(std::mem::take(&mut request.page_size))?;
    let token = std::mem::take(&mut request.page_token);
    let sum = request_sum(&request);
    let after = page_token::start_of_list(sum, &token)?.map(|text| read_place(&text)).transpose()?;
    let SelectedTags { tags, missing } = resolve::tags_or_all(services, &request.tags, limits)?;
    if !missing.is_empty() {
        return Err(status::tags_not_found(&missing));
    }
    let range = Bounds::new(&request.start, &request.end, &request.zone).open(services.clock.now())?;
    let ids: Vec<_> = tags.iter().map(|tag| tag.id).collect();
    let sought = SoughtAnnotations { range, versions: request.versions, id: (request.id > 0).then_some(request.id) };
    // One more than the page, to know whether there is another.
    let places = services.annotations.places(&ids, sought, after, page_size + 1);
    let mut annotations: Vec<v1::Annotation> = Vec::new();
    let mut failed = None;
    let kept = answer::fitting(places.iter().take(page_size).map(|place| match services.annotations.at(*place) {
        Ok(annotation) => {
            annotations.push(message(services, principal, annotation));
            annotations.last().map_or(0, answer::bytes_within)
        }
        Err(error) => {
            failed.get_or_insert(error);
            0
        }
    }));
    if let Some(error) = failed {
        return Err(status::from_store(&error));
    }
    annotations.truncate(kept);
    let next_page_token = match places.get(kept.saturating_sub(1)) {
        Some(last) if kept > 0 && kept < places.len() => page_token::behind_tag(sum, &place_text(*last)),
        _ => String::new(),
    };
    Ok(v1::ListAnnotationsResponse { annotations, next_page_token })
}

fn place_text(place: AnnotationPlace) -> String {
    format!("{} {} {}", place.start, place.id, place.version)
}

fn read_place(text: &str) -> Result<AnnotationPlace, Status> {
    let mut parts = text.split(' ');
    let place = (|| {
        let (start, id, version) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(AnnotationPlace { start, id, version })
    })();
    place.ok_or_else(|| status::invalid("page_token", "not a token of this list"))
}

/// An annotation as the wire carries it, with the tags that the caller sees.
fn message(services: &Services, principal: &Principal, annotation: Annotation) -> v1::Annotation {
    let Annotation { id, version, tags, start, end, text, author, time, removed } = annotation;
    let seen = services.catalog.within(principal.scope(Right::Read));
    let mut names: Vec<String> = tags.iter().filter_map(|tag| seen.by_id(*tag)).map(|tag| tag.name().to_string()).collect();
    names.sort_unstable();
    v1::Annotation { id, version, tags: names, start_time: start, end_time: end, text, author, time: time.0, removed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_token_is_read_as_it_was_written() {
        let place = AnnotationPlace { start: i64::MIN, id: u64::MAX, version: 3 };
        assert_eq!(read_place(&place_text(place)).unwrap(), place);
        for other in ["", "1 2", "1 -2 3", "a/tag", "1  2 3"] {
            assert!(read_place(other).is_err(), "{other:?}");
        }
    }
}
