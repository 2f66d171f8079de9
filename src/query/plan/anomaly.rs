//! Anomalies: each tag's samples go through a detector, as often as it asks for. Counts pass over chunks of which the detector can tell by
//! their statistics.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use super::{
    operator::{Batcher, Operator, WorkUnit, batch, named, names, times},
    parallel::Put,
};
use crate::{QueryError, QueryLimits, arrow_column, portion::Rows, schema::metadata};
use historian_format::Statistics;
use historian_model::{Quality, Samples, Tag, TimeRange, Values};
use historian_operators::anomaly::{AnomalyOutput, CountByStatistics, DetectorPlan, Finding, KnownSamples, Scores, Subject};
use historian_read::merge::{CursorPortion, TagReader};

/// A query for anomalies whose tags, times and parameters are resolved. The range goes forward.
#[derive(Clone, Debug)]
pub struct AnomalyQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    pub plan: DetectorPlan,
    pub output: AnomalyOutput,
}

/// Columns by output: FINDINGS tag, start, end, peak, detector, score, expected, observed, explanation; SCORES tag, timestamp, value, score;
/// COUNTS tag, count.
fn schema(query: &AnomalyQuery) -> SchemaRef {
    let name = Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false);
    let time = |name: &str| Field::new(name, arrow_column::timestamp_type(), false);
    let fields = match query.output {
        AnomalyOutput::Findings => vec![
            name,
            time("start"),
            time("end"),
            time("peak"),
            Field::new("detector", DataType::Utf8, false),
            Field::new("score", DataType::Float64, false),
            Field::new("expected", DataType::Utf8, false),
            Field::new("observed", DataType::Utf8, false),
            Field::new("explanation", DataType::Utf8, false),
            Field::new("severity", DataType::Utf8, false),
            Field::new("samples", DataType::Int64, false),
        ],
        AnomalyOutput::Scores => {
            vec![name, time("timestamp"), Field::new("value", DataType::Float64, false), Field::new("score", DataType::Float64, false)]
        }
        AnomalyOutput::Counts => vec![name, Field::new("count", DataType::Int64, false)],
    };
    let mut metadata: HashMap<String, String> = metadata(&query.tags, Some(query.range));
    metadata.insert("detector".to_owned(), query.plan.detector().to_owned());
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

/// What a detector finds in one tag, or a portion of it.
#[derive(Default)]
pub struct TagFindings {
    findings: Vec<Finding>,
    scores: Scores,
    count: u64,
}

/// What was found, in columns: those of the output that was asked for.
#[derive(Debug, Default)]
pub struct AnomalyRows {
    tags: Vec<i32>,
    pub findings: Vec<Finding>,
    pub scores: Scores,
    /// One of each tag.
    pub counts: Vec<i64>,
}

impl Rows for AnomalyRows {
    fn len(&self) -> usize {
        self.tags.len()
    }

    fn row_bytes(&self) -> usize {
        // An explanation has some 100 letters.
        if self.findings.is_empty() { 28 } else { size_of::<Finding>() + 100 }
    }
}

impl Operator for AnomalyQuery {
    type Shared = ();
    type Part = TagFindings;
    type Rows = AnomalyRows;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.tags
    }

    fn of_tag(&self, tag: &Arc<Tag>) -> AnomalyQuery {
        AnomalyQuery { tags: vec![tag.clone()], ..self.clone() }
    }

    fn schema(&self) -> SchemaRef {
        schema(self)
    }

    fn prepare(&self, _reader: &TagReader) -> Result<(), QueryError> {
        Ok(())
    }

    fn units(&self) -> Vec<WorkUnit> {
        WorkUnit::tags(self.tags.len())
    }

    fn work(
        &self,
        (): &(),
        reader: &TagReader,
        unit: &WorkUnit,
        limits: &QueryLimits,
        put: Put<'_, TagFindings>,
    ) -> Result<(), QueryError> {
        detect(reader, &self.tags[unit.tag], self, limits, put)
    }

    fn weight(found: &TagFindings) -> usize {
        found.bytes()
    }

    fn append(&self, rows: &mut AnomalyRows, tag: usize, mut found: TagFindings) {
        let more = match self.output {
            AnomalyOutput::Findings => found.findings.len(),
            AnomalyOutput::Scores => found.scores.timestamps.len(),
            AnomalyOutput::Counts => 1,
        };
        match self.output {
            AnomalyOutput::Findings => rows.findings.append(&mut found.findings),
            AnomalyOutput::Scores => {
                rows.scores.timestamps.append(&mut found.scores.timestamps);
                rows.scores.values.append(&mut found.scores.values);
                rows.scores.scores.append(&mut found.scores.scores);
            }
            AnomalyOutput::Counts => rows.counts.push(found.count as i64),
        }
        rows.tags.resize(rows.tags.len() + more, tag as i32);
    }

    fn batcher(&self) -> Batcher<'_, AnomalyRows> {
        let (schema, tags) = (schema(self), names(&self.tags));
        Box::new(move |rows| {
            let mut columns = vec![named(rows.tags, &tags)?];
            match self.output {
                AnomalyOutput::Findings => {
                    let findings = rows.findings;
                    let text =
                        |of: &dyn Fn(&Finding) -> String| Arc::new(StringArray::from_iter_values(findings.iter().map(of))) as ArrayRef;
                    columns.extend([
                        times(findings.iter().map(|finding| finding.start.0).collect()),
                        times(findings.iter().map(|finding| finding.end.0).collect()),
                        times(findings.iter().map(|finding| finding.peak.0).collect()),
                        text(&|_| self.plan.detector().to_owned()),
                        Arc::new(Float64Array::from_iter_values(findings.iter().map(|finding| finding.score))),
                        text(&Finding::expected_text),
                        text(&Finding::observed_text),
                        text(&|finding| finding.explanation.clone()),
                        text(&|finding| finding.severity.as_str().to_owned()),
                        Arc::new(Int64Array::from_iter_values(findings.iter().map(|finding| finding.samples as i64))),
                    ]);
                }
                AnomalyOutput::Scores => {
                    let Scores { timestamps, values, scores } = rows.scores;
                    columns.extend([times(timestamps), Arc::new(Float64Array::from(values)), Arc::new(Float64Array::from(scores))]);
                }
                AnomalyOutput::Counts => columns.push(Arc::new(Int64Array::from(rows.counts))),
            }
            batch(&schema, columns)
        })
    }
}

/// Puts what is found in portions; counts in one.
fn detect(reader: &TagReader, tag: &Tag, query: &AnomalyQuery, limits: &QueryLimits, put: Put<'_, TagFindings>) -> Result<(), QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    if let (AnomalyOutput::Counts, Some(counting)) = (query.output, query.plan.count_by_statistics())
        && query.plan.takes(tag.value_type())
    {
        put(TagFindings { count: count(reader, tag, query, counting, limits)?, ..TagFindings::default() });
        return Ok(());
    }
    let definition = &tag.definition;
    let subject = Subject {
        value_type: tag.value_type(),
        unit: definition.unit.clone(),
        range_low: definition.range_low,
        range_high: definition.range_high,
        range: query.range,
    };
    let invalid = |error: historian_operators::anomaly::DetectorError| QueryError::Invalid(format!("tag {}: {error}", tag.name()));
    let mut detection = query.plan.begin(&subject, query.output).map_err(invalid)?;
    loop {
        let mut cursor = reader.cursor(tag, query.range).map_err(failed)?;
        let mut portion = Samples::new(tag.value_type());
        while cursor.next_into(&mut portion).map_err(failed)? {
            limits.check(0)?;
            detection.push(&portion);
            portion.clear();
            let found = TagFindings { findings: detection.take_findings(), scores: detection.take_scores(), count: 0 };
            if (!found.findings.is_empty() || !found.scores.timestamps.is_empty()) && !put(found) {
                return Ok(());
            }
        }
        if !detection.end_pass() {
            break;
        }
    }
    put(TagFindings { findings: detection.take_findings(), scores: detection.take_scores(), count: detection.count() });
    Ok(())
}

impl TagFindings {
    /// Memory, about.
    fn bytes(&self) -> usize {
        self.findings.iter().map(|finding| size_of_val(finding) + finding.explanation.len()).sum::<usize>()
            + 24 * self.scores.timestamps.len()
    }
}

/// Counts anomalous samples. Chunks whose statistics tell of all counted samples are not decoded to learn, and afterwards only where their
/// statistics do not say how many of their samples are anomalous.
fn count(
    reader: &TagReader,
    tag: &Tag,
    query: &AnomalyQuery,
    mut counting: Box<dyn CountByStatistics>,
    limits: &QueryLimits,
) -> Result<u64, QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    let uncertain = query.plan.includes_uncertain();
    let mut values = Vec::new();
    let mut samples = Samples::new(tag.value_type());
    let mut count = 0;
    for learning in [true, false] {
        let mut cursor = reader.cursor(tag, query.range).map_err(failed)?;
        while let Some(portion) = cursor.next_portion().map_err(failed)? {
            limits.check(0)?;
            let samples = match &portion {
                CursorPortion::Samples(samples) => samples,
                CursorPortion::Chunk(chunk, statistics) => {
                    if let Some(known) = known(statistics, uncertain) {
                        if learning {
                            counting.learn(&known);
                            continue;
                        }
                        if let Some(anomalous) = counting.count(&known) {
                            count += anomalous;
                            continue;
                        }
                    }
                    samples.clear();
                    chunk.decode_into(historian_store::ChunkFamily::Chunks, &mut samples).map_err(|error| failed(error.into()))?;
                    &samples
                }
            };
            counted(samples, uncertain, &mut values);
            if learning {
                counting.learn_values(&values);
            } else {
                count += counting.count_values(&values);
            }
        }
        if learning && !counting.learned() {
            break;
        }
    }
    Ok(count)
}

/// What the statistics of a chunk tell of its counted samples. They count Good samples alone.
fn known(statistics: &Statistics, uncertain: bool) -> Option<KnownSamples> {
    let finite = statistics.m2.is_finite() && statistics.sum.is_finite();
    (finite && (!uncertain || statistics.good_count == statistics.count)).then(|| KnownSamples {
        count: u64::from(statistics.good_count),
        sum: statistics.sum,
        m2: statistics.m2,
        extremes: statistics.minimum.zip(statistics.maximum).map(|(low, high)| (low.value.as_f64(), high.value.as_f64())),
    })
}

/// The values that count, as f64.
fn counted(samples: &Samples, uncertain: bool, out: &mut Vec<f64>) {
    out.clear();
    let counts = |index: usize| {
        let quality = Quality(samples.qualities[index]);
        samples.is_valid(index) && (quality.is_good() || (uncertain && !quality.is_bad()))
    };
    if let Values::F64(values) = &samples.values {
        let worst = samples.qualities.iter().fold(0, |worst, quality| worst | quality) >> 30;
        if samples.validity.is_none() && (worst == 0 || (uncertain && worst == 1)) {
            out.extend(values.iter().filter(|value| value.is_finite()));
        } else {
            out.extend(values.iter().enumerate().filter(|(index, value)| counts(*index) && value.is_finite()).map(|(_, value)| *value));
        }
        return;
    }
    let number = |index: usize| samples.value(index).and_then(|value| value.as_f64()).filter(|value| value.is_finite());
    out.extend((0..samples.len()).filter(|index| counts(*index)).filter_map(number));
}
