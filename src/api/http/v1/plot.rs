//! `plot`: a downsample whose points follow from what a chart has, its width or the time between two points.

use historian_model::TimeRange;
use serde_json::Value;

use super::{asked::HttpAsked, problem::Problem};
use crate::{Services, resolve::Bounds};

/// The parameter beside those of a downsample.
pub const INTERVAL_MS: &str = "interval_ms";
/// Points of a chart at most, where they follow from an interval: more than any screen has, and what Grafana takes.
const POINTS_MAX: i64 = 11_000;
const POINTS_MIN: i64 = 5;

/// Puts `points` in the place of `interval_ms`, and the bounds as they are now.
///
/// # Errors
/// Names what cannot be read.
pub fn with_points(asked: &mut HttpAsked, services: &Services) -> Result<(), Problem> {
    let Some(interval) = asked.take(INTERVAL_MS) else { return Ok(()) };
    let interval_ms = match &interval {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let interval_ms = interval_ms.filter(|interval| *interval > 0.0 && interval.is_finite());
    let interval_ms =
        interval_ms.ok_or_else(|| Problem::invalid(INTERVAL_MS, format!("{interval} is no number of milliseconds above 0")))?;
    let text = |name: &str| asked.fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Numbers as bounds are the request's to read.
    if asked.fields.get("start").is_some_and(Value::is_number) || asked.fields.get("end").is_some_and(Value::is_number) {
        return Err(Problem::invalid(INTERVAL_MS, "takes bounds that are texts"));
    }
    let (start, end, zone) = (text("start"), text("end"), text("zone"));
    let TimeRange { start, end, .. } = Bounds::new(&start, &end, &zone).resolve(services.clock.now())?;
    let points = (end.0.saturating_sub(start.0) as f64 / (interval_ms * 1e6)).ceil();
    let mut points = (points.min(POINTS_MAX as f64) as i64).clamp(POINTS_MIN, POINTS_MAX);
    let asked_for = asked.fields.get("points").map(|points| points.as_i64().or_else(|| points.as_str()?.parse().ok()));
    if let Some(Some(most)) = asked_for.filter(|most| *most != Some(0)) {
        points = points.min(most);
    }
    asked.fields.insert("points".into(), points.into());
    asked.fields.insert("start".into(), format!("{}ns", start.0).into());
    asked.fields.insert("end".into(), format!("{}ns", end.0).into());
    Ok(())
}
