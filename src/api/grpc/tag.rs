//! `TagService`: the catalog over the wire.

use std::sync::Arc;

use historian_proto::v1::{self, tag_service_server::TagService};
use tonic::{Request, Response, Status};

use crate::{
    Api, Caller, Services, access, answer, blocking, convert, filter,
    page_token::{self, request_sum},
    reason, resolve, status,
};
use historian_access::Right;
use historian_model::{Tag, TagDefinition, TagFilter, TagName, TimeBounds, ValueType, sink::Actor};
use historian_query::{Extent, QueryLimits};
use historian_store::AuditEntry;

pub struct TagRpc(pub Arc<Api>);

/// Fields of a tag that an update may change; also the meaning of an empty mask.
const CHANGEABLE: [&str; 6] = ["unit", "description", "stepped", "range_low", "range_high", "state_set"];

#[tonic::async_trait]
impl TagService for TagRpc {
    async fn create_tag(&self, request: Request<v1::CreateTagRequest>) -> Result<Response<v1::CreateTagResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let tag = request.tag.ok_or_else(|| status::invalid("tag", "the tag is missing"))?;
        access::require_to_make(&caller.principal, Right::Configure, &tag.name)?;
        let definition = definition(tag)?;
        let catalog = self.0.services.catalog.clone();
        let created =
            blocking(move || catalog.create_by(&caller.actor(), definition).map_err(|error| status::from_catalog(&error))).await?;
        Ok(Response::new(v1::CreateTagResponse { tag: Some(message(&created)) }))
    }

    async fn get_tag(&self, request: Request<v1::GetTagRequest>) -> Result<Response<v1::GetTagResponse>, Status> {
        let (caller, v1::GetTagRequest { name }) = Caller::take(request);
        match self.0.services.catalog.within(caller.principal.scope(Right::Read)).get(&name) {
            Some(tag) => Ok(Response::new(v1::GetTagResponse { tag: Some(message(&tag)) })),
            None => Err(status::tags_not_found(&[name])),
        }
    }

    async fn list_tags(&self, request: Request<v1::ListTagsRequest>) -> Result<Response<v1::ListTagsResponse>, Status> {
        let (caller, request) = Caller::take(request);
        let services = self.0.services.clone();
        self.0.bounded(&caller, move |limits| page(&services, request, limits)).await.map(Response::new)
    }

    async fn update_tag(&self, request: Request<v1::UpdateTagRequest>) -> Result<Response<v1::UpdateTagResponse>, Status> {
        let (caller, v1::UpdateTagRequest { tag, update_mask, reason }) = Caller::take(request);
        let wanted = tag.ok_or_else(|| status::invalid("tag", "the tag is missing"))?;
        access::require_on(&caller.principal, Right::Configure, &wanted.name)?;
        let reason = reason::given(&reason)?;
        let paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
        if let Some(path) = paths.iter().find(|path| !CHANGEABLE.contains(&path.as_str())) {
            let shown: String = path.chars().take(80).collect();
            return Err(status::invalid("update_mask", format!("{shown:?} cannot be changed; these can: {}", CHANGEABLE.join(", "))));
        }
        let catalog = self.0.services.catalog.clone();
        let updated = blocking(move || {
            let seen = catalog.within(caller.principal.scope(Right::Configure));
            let current = seen.get(&wanted.name).ok_or_else(|| status::tags_not_found(std::slice::from_ref(&wanted.name)))?;
            let definition = changed(&current.definition, wanted, &paths)?;
            catalog.update_by(&caller.actor(), definition, &reason).map_err(|error| status::from_catalog(&error))
        })
        .await?;
        Ok(Response::new(v1::UpdateTagResponse { tag: Some(message(&updated)) }))
    }

    async fn rename_tag(&self, request: Request<v1::RenameTagRequest>) -> Result<Response<v1::RenameTagResponse>, Status> {
        let (caller, v1::RenameTagRequest { name, new_name, reason }) = Caller::take(request);
        access::require_on(&caller.principal, Right::Configure, &name)?;
        let reason = reason::given(&reason)?;
        let services = self.0.services.clone();
        let (tag, collected, still_named_by) = blocking(move || {
            let seen = services.catalog.within(caller.principal.scope(Right::Configure));
            let old = seen.get(&name).ok_or_else(|| status::tags_not_found(std::slice::from_ref(&name)))?;
            access::require_to_make(&caller.principal, Right::Configure, &new_name)?;
            let to = TagName::new(&new_name).map_err(|error| status::from_name("new_name", &error))?;
            if let Some(device) = services.admin.device_configured_for(&name) {
                return Err(status::failed_precondition("CONFIGURED_TAG", configured(&old, &to, &device)));
            }
            let tag = services.catalog.rename(&caller.actor(), &old, to, &reason).map_err(|error| status::from_catalog(&error))?;
            let collected = services.admin.renamed(old.name(), &tag);
            Ok((tag, collected, services.admin.still_named_by(old.name())))
        })
        .await?;
        Ok(Response::new(v1::RenameTagResponse { tag: Some(message(&tag)), collected, still_named_by }))
    }

    async fn retype_tag(&self, request: Request<v1::RetypeTagRequest>) -> Result<Response<v1::RetypeTagResponse>, Status> {
        let (caller, v1::RetypeTagRequest { name, value_type: number, suffix, reason }) = Caller::take(request);
        access::require_on(&caller.principal, Right::Configure, &name)?;
        let reason = reason::given(&reason)?;
        let wanted = value_type(number)?
            .ok_or_else(|| status::invalid("value_type", "the value type is missing; one of F64, F32, I64, U64, BOOL, STRING, STATE"))?;
        let services = self.0.services.clone();
        let (tag, kept, collected) = blocking(move || {
            let catalog = &services.catalog;
            let seen = catalog.within(caller.principal.scope(Right::Configure));
            let old = seen.get(&name).ok_or_else(|| status::tags_not_found(std::slice::from_ref(&name)))?;
            let suffix = if suffix.is_empty() { format!("_{}", old.value_type()) } else { suffix };
            access::require_to_make(&caller.principal, Right::Configure, &format!("{name}{suffix}"))?;
            let (tag, kept) =
                catalog.retype(&caller.actor(), &name, wanted, &suffix, &reason).map_err(|error| status::from_catalog(&error))?;
            let collected = services.admin.collect_into(&tag);
            Ok((tag, kept, collected))
        })
        .await?;
        Ok(Response::new(v1::RetypeTagResponse { tag: Some(message(&tag)), kept: Some(message(&kept)), collected }))
    }

    async fn delete_tag(&self, request: Request<v1::DeleteTagRequest>) -> Result<Response<v1::DeleteTagResponse>, Status> {
        let (caller, v1::DeleteTagRequest { name, reason }) = Caller::take(request);
        access::require_on(&caller.principal, Right::Configure, &name)?;
        let reason = reason::given(&reason)?;
        let services = self.0.services.clone();
        blocking(move || {
            let told = last_words(&services, &caller, &name, &reason)?;
            services.catalog.delete(&name, told).map_err(|error| status::from_catalog(&error))
        })
        .await?;
        Ok(Response::new(v1::DeleteTagResponse {}))
    }
}

/// A page of the tags selected. Blocks on the catalog.
fn page(services: &Services, mut request: v1::ListTagsRequest, limits: &QueryLimits) -> Result<v1::ListTagsResponse, Status> {
    let page_size = page_token::page_size(std::mem::take(&mut request.page_size))?;
    let selection = resolve::selection_or_all(&request.tags, &services.limits, limits)?;
    let conditions = filter::Filter::parse(&request.filter)?;
    let (token, is_counted) = (std::mem::take(&mut request.page_token), std::mem::take(&mut request.total));
    let sum = request_sum(&request);
    let after = page_token::start_of_list(sum, &token)?;
    let (keep, go_on) = (|tag: &Tag| conditions.matches(tag), || resolve::go_on(limits));
    // One more than the page, to know whether there is another.
    let found = services.catalog.within(&limits.scope).page(&selection, after.as_deref(), page_size + 1, &keep, &go_on)?;
    let mut tags = Vec::new();
    // A page ends before it grows past what a client takes.
    let kept = answer::fitting(found.iter().take(page_size).map(|tag| {
        tags.push(message(tag));
        tags.last().map_or(0, answer::bytes_within)
    }));
    tags.truncate(kept);
    let next_page_token = match tags.last() {
        Some(last) if kept < found.len() => page_token::behind_tag(sum, &last.name),
        _ => String::new(),
    };
    let seen = services.catalog.within(&limits.scope);
    let total = is_counted.then(|| seen.count(&selection, &keep, &go_on)).transpose()?;
    Ok(v1::ListTagsResponse { tags, next_page_token, total })
}

/// Why a tag that the configuration has is not renamed beside it, and what to do instead.
fn configured(tag: &Tag, to: &TagName, device: &str) -> String {
    let name = tag.name();
    let source = if device.is_empty() { "is in a tag file".to_owned() } else { format!("is collected by device {device:?}") };
    format!(
        "{name} {source} of the configuration that runs, and the next start would make it anew, without its samples: write name = {to:?} \
         and renamed_from = {name:?} there, and reload; that renames the tag"
    )
}

/// What a tag that goes held and why it goes, for the audit log.
fn last_words(services: &Services, caller: &Caller, name: &str, reason: &str) -> Result<AuditEntry, Status> {
    let tag = services
        .catalog
        .within(caller.principal.scope(Right::Configure))
        .get(name)
        .ok_or_else(|| status::tags_not_found(&[name.to_owned()]))?;
    let TagDefinition { value_type, unit, description, .. } = &tag.definition;
    let mut detail = format!("tag id {}, {value_type}", tag.id.0);
    if !unit.is_empty() {
        detail += &format!(", in {unit}");
    }
    if !description.is_empty() {
        detail += &format!(", {description:?}");
    }
    // A tag whose samples cannot be read must be possible to delete all the same.
    let extent = services.query.extent(&tag).unwrap_or_else(|error| {
        detail += &format!("; its samples could not be counted: {error}");
        Extent::default()
    });
    detail += "; its superseded versions went with it";
    if !reason.is_empty() {
        detail += &format!("; {reason}");
    }
    let range = extent.bounds.map(TimeBounds::to_range);
    let Actor { principal, client } = caller.actor();
    Ok(AuditEntry {
        principal,
        client,
        start: range.map(|range| range.start.0),
        end: range.map(|range| range.end.0),
        samples: extent.samples,
        detail,
        ..AuditEntry::default()
    })
}

/// A tag as the wire carries it.
pub fn message(tag: &Tag) -> v1::Tag {
    let TagDefinition { name, value_type, unit, description, stepped, range_low, range_high, state_set, source, filter } = &tag.definition;
    let (device, address) = source.as_ref().map(|source| (source.device.clone(), source.address.clone())).unwrap_or_default();
    v1::Tag {
        name: name.as_str().to_owned(),
        value_type: convert::type_to_wire(*value_type).into(),
        unit: unit.clone(),
        description: description.clone(),
        stepped: *stepped,
        range_low: *range_low,
        range_high: *range_high,
        state_set: state_set.clone(),
        device,
        address,
        id: tag.id.0,
        create_time: tag.created.0,
        update_time: tag.updated.0,
        filter: (!filter.is_off()).then(|| filter_message(filter, *stepped)),
    }
}

/// What a collector leaves out, as the wire carries it.
fn filter_message(filter: &TagFilter, stepped: bool) -> v1::TagFilter {
    let interval = |milliseconds: u64| i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let (exception, compression) = (filter.exception.as_ref(), filter.compression.as_ref());
    v1::TagFilter {
        exception_deadband: exception.map(|exception| exception.deadband),
        exception_min_interval: exception.map_or(0, |exception| interval(exception.min_interval_ms)),
        exception_max_interval: exception.map_or(0, |exception| interval(exception.max_interval_ms)),
        compression_deviation: compression.map(|compression| compression.deviation),
        compression_max_interval: compression.map_or(0, |compression| interval(compression.max_interval_ms)),
        error_bound: filter.error_bound(stepped),
    }
}

/// Definition of a tag to be made.
fn definition(tag: v1::Tag) -> Result<TagDefinition, Status> {
    let name = TagName::new(&tag.name).map_err(|error| status::from_name("tag.name", &error))?;
    let value_type = value_type(tag.value_type)?
        .ok_or_else(|| status::invalid("tag.value_type", "the value type is missing; one of F64, F32, I64, U64, BOOL, STRING, STATE"))?;
    let made = TagDefinition::new(name, value_type);
    changed(&made, tag, &[])
}

fn value_type(number: i32) -> Result<Option<ValueType>, Status> {
    let known = convert::type_from_wire(number);
    if known.is_none() && number != v1::ValueType::Unspecified as i32 {
        return Err(status::invalid("tag.value_type", format!("{number} is no value type")));
    }
    Ok(known)
}

/// `current` with the named fields of `wanted`; no path names all changeable fields.
fn changed(current: &TagDefinition, wanted: v1::Tag, paths: &[String]) -> Result<TagDefinition, Status> {
    if let Some(value_type) = value_type(wanted.value_type)?
        && value_type != current.value_type
    {
        let message = format!("the tag holds {} values, which cannot change; make a new tag", current.value_type);
        return Err(status::invalid("tag.value_type", message));
    }
    let named = |field: &str| paths.is_empty() || paths.iter().any(|path| path == field);
    let mut definition = current.clone();
    if named("unit") {
        definition.unit = wanted.unit;
    }
    if named("description") {
        definition.description = wanted.description;
    }
    if named("stepped") {
        // Between two of these there is no straight line.
        let always = matches!(definition.value_type, ValueType::Bool | ValueType::String | ValueType::State);
        definition.stepped = wanted.stepped || always;
    }
    if named("range_low") {
        definition.range_low = wanted.range_low;
    }
    if named("range_high") {
        definition.range_high = wanted.range_high;
    }
    if named("state_set") {
        definition.state_set = wanted.state_set;
    }
    definition.check().map_err(|error| status::invalid(&format!("tag.{}", error.field), error.reason))?;
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use historian_model::{TagId, Timestamp};

    fn wire(name: &str, value_type: v1::ValueType) -> v1::Tag {
        v1::Tag { name: name.into(), value_type: value_type.into(), ..v1::Tag::default() }
    }

    #[test]
    fn a_tag_round_trips() {
        let asked = v1::Tag {
            unit: "bar".into(),
            description: "pressure".into(),
            range_low: Some(0.0),
            range_high: Some(16.0),
            ..wire("a/p", v1::ValueType::F64)
        };
        let tag = Tag { id: TagId(3), definition: definition(asked.clone()).unwrap(), created: Timestamp(1), updated: Timestamp(2) };
        assert_eq!(message(&tag), v1::Tag { id: 3, create_time: 1, update_time: 2, ..asked });
        assert!(definition(wire("a/run", v1::ValueType::Bool)).unwrap().stepped);
    }

    #[test]
    fn bad_tags_are_refused_at_their_field() {
        let cases: [(v1::Tag, &str); 8] = [
            (wire("a//b", v1::ValueType::F64), "tag.name"),
            (wire("a", v1::ValueType::Unspecified), "tag.value_type"),
            (v1::Tag { value_type: 99, ..wire("a", v1::ValueType::F64) }, "tag.value_type"),
            (v1::Tag { range_low: Some(f64::NAN), ..wire("a", v1::ValueType::F64) }, "tag.range_low"),
            (v1::Tag { range_low: Some(2.0), range_high: Some(1.0), ..wire("a", v1::ValueType::F64) }, "tag.range_low"),
            (v1::Tag { state_set: vec!["on".into()], ..wire("a", v1::ValueType::F64) }, "tag.state_set"),
            (v1::Tag { unit: "x".repeat(300), ..wire("a", v1::ValueType::F64) }, "tag.unit"),
            (v1::Tag { description: "\u{0}".into(), ..wire("a", v1::ValueType::F64) }, "tag.description"),
        ];
        for (tag, field) in cases {
            let error = definition(tag).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().starts_with(field), "{}", error.message());
        }
    }

    #[test]
    fn an_update_changes_what_the_mask_names() {
        let current = definition(v1::Tag { unit: "bar".into(), description: "old".into(), ..wire("a", v1::ValueType::F64) }).unwrap();
        let wanted = v1::Tag { unit: "Pa".into(), description: "new".into(), ..wire("a", v1::ValueType::Unspecified) };
        let updated = changed(&current, wanted.clone(), &["description".to_owned()]).unwrap();
        assert_eq!((updated.unit.as_str(), updated.description.as_str()), ("bar", "new"));
        assert_eq!(changed(&current, wanted, &[]).unwrap().unit, "Pa");
        assert!(changed(&current, wire("a", v1::ValueType::I64), &[]).is_err());
    }
}
