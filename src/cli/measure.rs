//! `historian measure`: exact primitives of key figures, through Arrow Flight into a table or a file.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{
    Misuse,
    query::{IntervalArgs, RangeQueryArgs},
};

#[derive(Debug, Args)]
pub struct MeasureArgs {
    #[command(flatten)]
    range: RangeQueryArgs,
    /// What is measured.
    #[arg(long, short, value_enum, ignore_case = true)]
    measure: MeasureArg,
    #[command(flatten)]
    interval: IntervalArgs,
    /// For `time_in_state`: states that count together, by name or number; without it each state has a row of its own.
    #[arg(long, value_delimiter = ',', value_name = "STATE,…")]
    states: Vec<String>,
    /// For `transitions`: only changes from this state.
    #[arg(long, value_name = "STATE")]
    from_state: Option<String>,
    /// For `transitions`: only changes to this state.
    #[arg(long, value_name = "STATE")]
    to_state: Option<String>,
    /// For `transitions`: states that were held for less are passed over, such as 5s.
    #[arg(long, value_name = "LENGTH")]
    dwell_min: Option<String>,
    /// For `counter_delta`: the reading at which the counter stands at 0 again, such as 65536.
    #[arg(long, value_name = "NUMBER")]
    rollover: Option<f64>,
    /// For `counter_delta`: what a fall that is no rollover counts [default: `from_zero`].
    #[arg(long, value_enum, ignore_case = true)]
    reset: Option<ResetArg>,
    /// For `counter_delta`: the most that the counter counts from one reading to the next.
    #[arg(long, value_name = "NUMBER")]
    max_step: Option<f64>,
    /// For `counter_delta`: the most that the counter counts in one time unit of --per.
    #[arg(long, value_name = "NUMBER")]
    max_rate: Option<f64>,
    /// For `counter_delta`: a fall of no more than this is noise.
    #[arg(long, value_name = "NUMBER")]
    dead_band: Option<f64>,
    /// For `integral`: time unit of the rate: s, min, h or d.
    #[arg(long, value_name = "UNIT")]
    per: Option<String>,
    /// For `integral`: scales the amount up to the whole interval where parts of it are not known.
    #[arg(long)]
    rescale: bool,
    /// Uncertain samples count as Bad.
    #[arg(long)]
    uncertain_as_bad: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MeasureArg {
    /// How long the tag was in each state.
    TimeInState,
    /// How often it changed from one state to another.
    Transitions,
    /// How far a counter went.
    CounterDelta,
    /// Rate to amount: the integral over time.
    Integral,
    /// Part of the time in which the tag was Good.
    PercentGood,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ResetArg {
    /// Its new value.
    FromZero,
    /// Nothing.
    Skip,
    /// Its new value, also where the next reading is back where the counter was.
    Always,
}

pub async fn run(args: MeasureArgs) -> anyhow::Result<ExitCode> {
    let measure = match args.measure {
        MeasureArg::TimeInState => "TIME_IN_STATE",
        MeasureArg::Transitions => "TRANSITIONS",
        MeasureArg::CounterDelta => "COUNTER_DELTA",
        MeasureArg::Integral => "INTEGRAL",
        MeasureArg::PercentGood => "PERCENT_GOOD",
    };
    if args.measure == MeasureArg::Integral && args.per.is_none() {
        return Err(Misuse("--per: the time unit of the rate is missing; for m3/h it is h".to_owned()).into());
    }
    let mut fields = args.range.fields();
    args.interval.put(&mut fields)?;
    fields.insert("measure".into(), measure.into());
    if !args.states.is_empty() {
        fields.insert("states".into(), args.states.into());
    }
    let reset = args.reset.map(|reset| match reset {
        ResetArg::FromZero => "FROM_ZERO",
        ResetArg::Skip => "SKIP",
        ResetArg::Always => "ALWAYS",
    });
    let texts = [("from_state", args.from_state), ("to_state", args.to_state), ("dwell_min", args.dwell_min), ("per", args.per)];
    fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    let numbers = [("rollover", args.rollover), ("max_step", args.max_step), ("max_rate", args.max_rate), ("dead_band", args.dead_band)];
    fields.extend(numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into()))));
    if let Some(reset) = reset {
        fields.insert("reset".into(), reset.into());
    }
    for (name, set) in [("rescale", args.rescale), ("treat_uncertain_as_bad", args.uncertain_as_bad)] {
        if set {
            fields.insert(name.into(), true.into());
        }
    }
    args.range.ask("measure", fields).await
}
