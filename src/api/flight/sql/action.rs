//! Actions of Flight SQL: prepared statements come and go, and running statements are cancelled.

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedStatementResult, Any, ProstMessageExt,
    },
};
use prost::{Message, bytes::Bytes};
use tonic::Status;

use super::{Sql, answer::AnswerOptions, refuse_transaction, statement::schema_bytes, wire};
use crate::{Api, Caller, access, message, status};
use historian_access::{Principal, Right};
use historian_query::QueryLimits;
use historian_sql::Statement;

const ACTIONS: [(&str, &str); 4] = [
    ("CreatePreparedStatement", "Keeps a statement that is executed several times, or with parameters."),
    ("ClosePreparedStatement", "Lets a prepared statement go."),
    ("CancelFlightInfo", "Cancels the running statements of a FlightInfo."),
    ("CancelQuery", "As CancelFlightInfo, in the older form."),
];

/// What `ListActions` answers.
pub fn actions() -> Vec<ActionType> {
    ACTIONS.iter().map(|(name, description)| ActionType { r#type: (*name).into(), description: (*description).into() }).collect()
}

/// Does an action.
///
/// # Errors
/// UNIMPLEMENTED for one that is not known.
pub async fn act(api: Arc<Api>, caller: &Caller, action: Action) -> Result<Vec<arrow_flight::Result>, Status> {
    if action.body.len() > api.limits().message_bytes_max {
        return Err(status::invalid("action", "its body is too long"));
    }
    access::require(&caller.principal, Right::Read)?;
    let one = |body: Vec<u8>| vec![arrow_flight::Result { body: body.into() }];
    match action.r#type.as_str() {
        "CreatePreparedStatement" => {
            let request: ActionCreatePreparedStatementRequest = unpack(&action.body)?;
            refuse_transaction(request.transaction_id.as_ref())?;
            let options = api.sql.answer_options(&caller.headers)?;
            let (owner, principal) = (api.clone(), caller.principal.clone());
            let made = api.bounded(caller, move |limits| create(&owner, &principal, request.query, limits, &options)).await?;
            Ok(one(made.as_any().encode_to_vec()))
        }
        "ClosePreparedStatement" => {
            let request: ActionClosePreparedStatementRequest = unpack(&action.body)?;
            api.sql.prepared.close(&request.prepared_statement_handle, &caller.principal);
            Ok(Vec::new())
        }
        "CancelFlightInfo" => {
            message::check("CancelFlightInfoRequest", &action.body, &api.limits().decode_allowance())?;
            let request = CancelFlightInfoRequest::decode(action.body).map_err(|error| status::invalid("action", error.to_string()))?;
            let status = cancel(&api.sql, &caller.principal, request.info.as_ref()).into();
            Ok(one(CancelFlightInfoResult { status }.encode_to_vec()))
        }
        "CancelQuery" => {
            let request: ActionCancelQueryRequest = unpack(&action.body)?;
            message::check("FlightInfo", &request.info, &api.limits().decode_allowance())?;
            let info = FlightInfo::decode(request.info).map_err(|error| status::invalid("info", error.to_string()))?;
            // The two results have the same numbers.
            let result = cancel(&api.sql, &caller.principal, Some(&info)).into();
            Ok(one(ActionCancelQueryResult { result }.as_any().encode_to_vec()))
        }
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
            Err(status::unimplemented("there are no transactions: SQL reads only, and each statement by itself"))
        }
        other => {
            let shown: String = other.chars().take(60).collect();
            let known = ACTIONS.map(|(name, _)| name).join(", ");
            Err(status::unimplemented(format!("the action {shown:?} is not in this version, which has {known}")))
        }
    }
}

fn unpack<M: ProstMessageExt + Default>(body: &Bytes) -> Result<M, Status> {
    let any = Any::decode(body.clone()).map_err(|error| status::invalid("action", error.to_string()))?;
    let message = any.unpack::<M>().map_err(|error| status::invalid("action", error.to_string()))?;
    message.ok_or_else(|| status::invalid("action", format!("its body is no {}", M::type_url().rsplit('.').next().unwrap_or_default())))
}

fn create(
    api: &Api,
    principal: &Principal,
    text: String,
    limits: &QueryLimits,
    options: &AnswerOptions,
) -> Result<ActionCreatePreparedStatementResult, Status> {
    let statement = Statement { text, now: api.services.clock.now(), parameters: Vec::new(), zone: options.zone.as_str().into() };
    let description = api.sql.engine.describe(&statement, limits).map_err(|error| status::from_sql(&error))?;
    Ok(ActionCreatePreparedStatementResult {
        dataset_schema: schema_bytes(&wire::schema(&description.schema, options))?,
        // Clients take an empty field for "no parameters", and an empty schema for one that is unknown.
        parameter_schema: if description.parameters.fields().is_empty() {
            Bytes::new()
        } else {
            schema_bytes(&wire::parameters(&description.parameters, options))?
        },
        prepared_statement_handle: api.sql.prepared.insert(statement.text, principal),
    })
}

fn cancel(sql: &Sql, principal: &Principal, info: Option<&FlightInfo>) -> CancelStatus {
    let tickets = info.into_iter().flat_map(|info| &info.endpoint).filter_map(|endpoint| endpoint.ticket.as_ref());
    // All of them, not just up to the first that runs.
    let any = tickets.map(|ticket| sql.running.cancel(&ticket.ticket, principal)).fold(false, |any, found| any | found);
    if any { CancelStatus::Cancelled } else { CancelStatus::NotCancellable }
}
