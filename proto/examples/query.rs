//! Current values and averages of ten minutes over gRPC, with nothing but this crate, tokio and tonic.
//!
//! `cargo run --release -p historian-proto --example query -- http://127.0.0.1:8815 'plant/**' 2026-01-01T00:00:00Z 2026-01-01T01:00:00Z`

use historian_proto::v1::{AggregateRequest, CurrentValuesRequest, query_service_client::QueryServiceClient, values::Column};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let (address, tags) = (argument("http://127.0.0.1:8815"), vec![argument("**")]);
    let (start, end) = (argument("*-1h"), argument("*"));
    let mut queries = QueryServiceClient::connect(address).await?;

    // One message with the latest sample of each tag. A column per value type; a null is an index.
    let current =
        queries.current_values(CurrentValuesRequest { tags: tags.clone(), ..CurrentValuesRequest::default() }).await?.into_inner();
    for samples in current.samples {
        let value = match samples.values.and_then(|values| values.column) {
            _ if !samples.nulls.is_empty() => "no value".to_owned(),
            Some(Column::F64(column)) => format!("{:.3}", column.values[0]),
            other => format!("{other:?}"),
        };
        println!("{} now: {value}", samples.tag);
    }

    // A stream: runs of one tag and function, and tags that could not be served as rows of their own.
    let request = AggregateRequest {
        tags,
        start,
        end,
        interval: "10m".into(),
        functions: vec!["time_average".into()],
        ..AggregateRequest::default()
    };
    let mut answers = queries.aggregate(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        if let Some(failure) = answer.failure {
            eprintln!("{}: {}", failure.tag, failure.message);
        }
        for (index, (timestamp, value)) in answer.timestamps.iter().zip(&answer.values).enumerate() {
            let value = if answer.nulls.contains(&(index as u32)) { "-".into() } else { format!("{value:.3}") };
            println!("{} {} {timestamp}: {value}", answer.tag, answer.function);
        }
    }
    Ok(())
}
