//! `historian query aggregate`, `downsample` and `anomalies`: flags into requests.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::fetch::fetch;
use crate::{
    Misuse,
    client::{ServerArgs, UnitArgs},
    output::OutputArgs,
};

/// What every operator takes.
#[derive(Debug, Args)]
pub(crate) struct RangeQueryArgs {
    /// Tag names or globs: `*` within a level, `**` across levels.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, default_value = "*-1h", allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    end: String,
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl RangeQueryArgs {
    /// The fields that all requests have.
    pub(crate) fn fields(&self) -> Map<String, Json> {
        let mut fields = Map::new();
        for (name, value) in [("start", self.unit.applied(&self.start)), ("end", self.unit.applied(&self.end)), ("zone", self.zone.clone())]
        {
            fields.insert(name.to_owned(), value.into());
        }
        fields.insert("tags".to_owned(), self.tags.as_slice().into());
        fields
    }

    pub(crate) async fn ask(&self, command: &str, fields: Map<String, Json>) -> anyhow::Result<ExitCode> {
        fetch(&self.server, &self.tags, &json!({command: fields}), &self.output).await
    }
}

/// Into which intervals a range is divided.
#[derive(Debug, Args)]
pub(crate) struct IntervalArgs {
    /// Length of the intervals, such as 5s, 1m, 1h [default: one interval over the range].
    #[arg(long, short, value_name = "LENGTH")]
    interval: Option<String>,
    /// Instead of --interval: intervals of the calendar of the zone, days of 23 and 25 hours included.
    #[arg(long, value_enum, conflicts_with = "interval")]
    calendar: Option<CalendarArg>,
    /// When shifts begin, for --calendar shift: 06:00,14:00,22:00.
    #[arg(long, value_delimiter = ',', value_name = "HH:MM,…", requires = "calendar")]
    shift_starts: Vec<String>,
}

impl IntervalArgs {
    /// Puts them into the fields of a request.
    ///
    /// # Errors
    /// A length that has no unit.
    pub(crate) fn put(&self, fields: &mut Map<String, Json>) -> Result<(), Misuse> {
        if let Some(interval) = &self.interval {
            // Less than a millisecond, as digits: nanoseconds are not what was meant.
            if interval.len() < 7 && interval != "0" && interval.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Misuse(format!("--interval {interval}: a length has a unit, as in {interval}s, {interval}m or {interval}h")));
            }
            fields.insert("interval".into(), interval.as_str().into());
        }
        if let Some(calendar) = self.calendar {
            fields.insert("calendar".into(), calendar.name().into());
        }
        if !self.shift_starts.is_empty() {
            fields.insert("shift_starts".into(), self.shift_starts.as_slice().into());
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct AggregateArgs {
    #[command(flatten)]
    common: RangeQueryArgs,
    /// Functions of OPC UA Part 13, separated by commas: `time_average2`, `maximum`, `percent_good`, …; `time_average` draws straight lines also
    /// for stepped tags.
    #[arg(long, short, required = true, value_delimiter = ',', value_name = "NAME,…")]
    functions: Vec<String>,
    #[command(flatten)]
    interval: IntervalArgs,
    /// Uncertain samples count as Bad [default: true].
    #[arg(long, value_name = "BOOL")]
    treat_uncertain_as_bad: Option<bool>,
    /// Share of Bad samples or time from which on the answer is Bad [default: 100].
    #[arg(long, value_name = "PERCENT")]
    percent_data_bad: Option<u8>,
    /// Share of Good samples or time from which on the answer is Good [default: 100].
    #[arg(long, value_name = "PERCENT")]
    percent_data_good: Option<u8>,
    /// After the last sample its slope goes on; without it, its value is held.
    #[arg(long)]
    use_sloped_extrapolation: bool,
    /// Values hold until the next sample [default: as the tag says].
    #[arg(long, value_name = "BOOL")]
    stepped: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CalendarArg {
    Hour,
    Day,
    Week,
    Month,
    Year,
    Shift,
}

impl CalendarArg {
    fn name(self) -> &'static str {
        match self {
            CalendarArg::Hour => "CALENDAR_HOUR",
            CalendarArg::Day => "CALENDAR_DAY",
            CalendarArg::Week => "CALENDAR_WEEK",
            CalendarArg::Month => "CALENDAR_MONTH",
            CalendarArg::Year => "CALENDAR_YEAR",
            CalendarArg::Shift => "CALENDAR_SHIFT",
        }
    }
}

impl AggregateArgs {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let fields = self.fields()?;
        self.common.ask("aggregate", fields).await
    }

    fn fields(&self) -> Result<Map<String, Json>, Misuse> {
        let mut fields = self.common.fields();
        fields.insert("functions".into(), self.functions.as_slice().into());
        self.interval.put(&mut fields)?;
        // What is not said has the standard's default, which the historian knows.
        let mut configuration = Map::new();
        let mut say = |name: &str, value: Option<Json>| configuration.extend(value.map(|value| (name.to_owned(), value)));
        say("treat_uncertain_as_bad", self.treat_uncertain_as_bad.map(Json::from));
        say("percent_data_bad", self.percent_data_bad.map(Json::from));
        say("percent_data_good", self.percent_data_good.map(Json::from));
        say("use_sloped_extrapolation", self.use_sloped_extrapolation.then_some(Json::from(true)));
        say("stepped", self.stepped.map(Json::from));
        if !configuration.is_empty() {
            fields.insert("configuration".into(), configuration.into());
        }
        Ok(fields)
    }
}

#[derive(Debug, Args)]
pub struct DownsampleArgs {
    #[command(flatten)]
    common: RangeQueryArgs,
    /// At most so many rows per tag.
    #[arg(long, default_value_t = 1000)]
    points: u32,
    /// How samples are chosen.
    #[arg(long, value_enum, ignore_case = true, default_value_t = MethodArg::Plot)]
    method: MethodArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodArg {
    /// First, last, minimum, maximum and one Bad sample of each interval.
    Plot,
    /// First, last, minimum and maximum of each interval.
    M4,
    /// Minimum and maximum of each interval.
    Minmax,
    /// Largest triangle three buckets.
    Lttb,
    /// LTTB of the extremes of smaller intervals.
    Minmaxlttb,
}

impl DownsampleArgs {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let method = match self.method {
            MethodArg::Plot => "PLOT",
            MethodArg::M4 => "M4",
            MethodArg::Minmax => "MINMAX",
            MethodArg::Lttb => "LTTB",
            MethodArg::Minmaxlttb => "MINMAXLTTB",
        };
        let mut fields = self.common.fields();
        fields.insert("points".into(), self.points.into());
        fields.insert("method".into(), method.into());
        fields.insert("types".into(), self.common.output.is_file().into());
        self.common.ask("downsample", fields).await
    }
}

#[derive(Debug, Args)]
pub struct AnomaliesArgs {
    #[command(flatten)]
    common: RangeQueryArgs,
    /// Name of a detector; `historian detectors` lists them.
    #[arg(long, short)]
    detector: String,
    /// Parameter of the detector; may be given several times.
    #[arg(long = "parameter", short, value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, Json)>,
    /// Findings, one row per sample, or one row per tag.
    #[arg(long = "show", value_enum, ignore_case = true, default_value_t = AnomalyOutputArg::Findings)]
    rows: AnomalyOutputArg,
}

/// What the rows of the answer are. The request calls it output, which is the name of the file here.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AnomalyOutputArg {
    Findings,
    Scores,
    Counts,
}

impl AnomaliesArgs {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let rows = match self.rows {
            AnomalyOutputArg::Findings => "FINDINGS",
            AnomalyOutputArg::Scores => "SCORES",
            AnomalyOutputArg::Counts => "COUNTS",
        };
        let mut parameters = Map::new();
        for (name, value) in self.parameters {
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Misuse(format!("--parameter: {name} is given twice")).into());
            }
        }
        let mut fields = self.common.fields();
        fields.insert("detector".into(), self.detector.into());
        fields.insert("parameters".into(), parameters.into());
        fields.insert("output".into(), rows.into());
        self.common.ask("anomalies", fields).await
    }
}

/// `name=value`: numbers and truth values as such, everything else as text.
fn parameter(text: &str) -> Result<(String, Json), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as threshold=4")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return Err("the name is empty; expected NAME=VALUE, such as threshold=4".into());
    }
    let value = match value {
        "true" => true.into(),
        "false" => false.into(),
        text => text.parse::<f64>().ok().filter(|number| number.is_finite()).map_or_else(|| text.into(), Json::from),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Aggregate {
        #[command(flatten)]
        args: AggregateArgs,
    }

    #[test]
    fn flags_become_the_fields_of_the_request() {
        let parsed = Aggregate::parse_from([
            "x",
            "a/**",
            "b",
            "--start",
            "*-1d",
            "--interval=1h",
            "--functions=average,maximum",
            "--percent-data-bad=50",
            "--stepped=true",
        ]);
        let expected = json!({
            "tags": ["a/**", "b"], "start": "*-1d", "end": "*", "zone": "UTC", "interval": "1h", "functions": ["average", "maximum"],
            "configuration": {"percent_data_bad": 50, "stepped": true},
        });
        assert_eq!(Json::from(parsed.args.fields().unwrap()), expected);
        let parsed = Aggregate::parse_from(["x", "a", "-f", "count", "--calendar", "shift", "--shift-starts", "06:00,18:00"]);
        let fields = Json::from(parsed.args.fields().unwrap());
        assert_eq!((&fields["calendar"], &fields["shift_starts"]), (&json!("CALENDAR_SHIFT"), &json!(["06:00", "18:00"])));
        assert!(fields.get("configuration").is_none() && fields.get("interval").is_none());
        for wrong in [&["x", "a"][..], &["x", "a", "-f", "count", "-i", "1h", "--calendar", "day"], &["x", "-f", "count"]] {
            assert!(Aggregate::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn parameters_are_numbers_truth_values_or_text() {
        assert_eq!(parameter("threshold=4"), Ok(("threshold".into(), json!(4.0))));
        assert_eq!(parameter(" high = -1e3 "), Ok(("high".into(), json!(-1000.0))));
        assert_eq!(parameter("include_uncertain=true"), Ok(("include_uncertain".into(), json!(true))));
        assert_eq!(parameter("season=1d"), Ok(("season".into(), json!("1d"))));
        assert_eq!(parameter("high=inf"), Ok(("high".into(), json!("inf"))));
        assert!(parameter("threshold").is_err() && parameter("=4").is_err());
    }
}
