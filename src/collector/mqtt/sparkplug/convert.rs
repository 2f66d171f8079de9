//! From one metric on the wire to flat values: scalars as they are, members of templates as `name/member`, columns of a data set of one row
//! as `name/column`, elements of arrays as `name[0]`.
//!
//! A data set with the two columns `timestamps` and `values` is the list of samples that one make (mqtt-spb-wrapper) sends: each row is a
//! reading of the metric itself, at its own time.

use historian_model::{Quality, Value};
use prost::{Message, bytes::Bytes};

use super::{
    payload::{RawScalar, WireDataSet, WireDataSetElement, WireDataSetRow, WireMetric, WireMetricValue, WireTemplate, lossy},
    properties::{self, MetricHints},
    scalar::{ScalarReading, ScalarType, SparkplugType},
};

/// Samples of one list, and members of one template.
const PARTS_MAX: usize = 100_000;
/// Templates within templates.
const DEPTH_MAX: usize = 8;

/// Where a value belongs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LeafPath {
    /// The metric itself.
    Same,
    /// A part of it, by its whole name.
    Part(String),
}

/// One flat value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricLeaf {
    pub path: LeafPath,
    pub scalar: ScalarType,
    pub reading: ScalarReading,
    /// ms, where the metric or its member tells one.
    pub at: Option<u64>,
    pub historical: bool,
    /// Only in births.
    pub hints: Option<Box<MetricHints>>,
}

/// What becomes of a metric on the wire, part by part.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ConvertedPart {
    Leaf(MetricLeaf),
    /// The type of the metric or of a part, for later data that does not bring it.
    Typed(LeafPath, SparkplugType),
    /// What was known below this name has no value now: all of it, or the elements of an array from this one on.
    Absent {
        path: LeafPath,
        from: Option<usize>,
        at: Option<u64>,
        historical: bool,
    },
    /// Not taken. `kind` is what it is told once for.
    Refused {
        path: LeafPath,
        kind: &'static str,
        reason: String,
    },
}

/// How metrics of one message are converted.
pub(super) struct MetricConverter<'a> {
    /// The type that the birth told, by name.
    pub declared: &'a dyn Fn(&str) -> Option<SparkplugType>,
    pub elements_max: usize,
    pub is_birth: bool,
}

/// What the parts of one metric have in common.
struct MetricSurroundings<'a> {
    metric: &'a WireMetric,
    at: Option<u64>,
    historical: bool,
    quality: Quality,
}

impl MetricConverter<'_> {
    /// Appends the parts of a metric with this name.
    pub fn convert(&self, name: &str, metric: &WireMetric, parts: &mut Vec<ConvertedPart>) {
        self.convert_at(name, true, metric, None, 0, parts);
    }

    fn convert_at(
        &self,
        name: &str,
        is_top: bool,
        metric: &WireMetric,
        above: Option<&MetricSurroundings>,
        depth: usize,
        parts: &mut Vec<ConvertedPart>,
    ) {
        let path = || if is_top { LeafPath::Same } else { LeafPath::Part(name.to_owned()) };
        let mut refuse = |kind, reason| parts.push(ConvertedPart::Refused { path: path(), kind, reason });
        let own = if metric.properties.is_some() { properties::quality(metric) } else { Quality::GOOD };
        let around = MetricSurroundings {
            metric,
            at: metric.timestamp.filter(|at| *at != 0).or(above.and_then(|above| above.at)),
            historical: metric.is_historical == Some(true) || above.is_some_and(|above| above.historical),
            quality: if own.is_good() { above.map_or(own, |above| above.quality) } else { own },
        };
        let value = metric.value.as_ref().filter(|_| metric.is_null != Some(true));
        let told = metric.datatype.and_then(SparkplugType::numbered);
        let Some(datatype) = told.or_else(|| (self.declared)(name)).or_else(|| inferred(metric.value.as_ref())) else {
            return refuse("type", "neither the message nor a birth tells its type".to_owned());
        };
        match (datatype, value) {
            (SparkplugType::Scalar(scalar), value) => {
                let reading = match value.map(WireMetricValue::scalar) {
                    None => ScalarReading::NONE,
                    Some(Some(raw)) => ScalarReading::read(&raw, scalar),
                    Some(None) => ScalarReading {
                        value: None,
                        quality: Quality::BAD_TYPE_MISMATCH,
                        problem: Some(format!("a value that is no scalar came for a metric of type {scalar:?}")),
                    },
                };
                parts.push(ConvertedPart::Leaf(self.leaf(path(), scalar, reading, &around)));
            }
            (SparkplugType::Unmapped(number), _) => refuse(
                "type",
                match number {
                    17 => "values of type Bytes (17) are not stored".to_owned(),
                    18 => "values of type File (18) are not stored".to_owned(),
                    20 | 21 => format!("property sets (type {number}) are not stored"),
                    _ => format!("type {number} is none of Sparkplug B"),
                },
            ),
            (_, None) => {
                parts.push(ConvertedPart::Typed(path(), datatype));
                parts.push(ConvertedPart::Absent { path: path(), from: None, at: around.at, historical: around.historical });
            }
            (SparkplugType::Template, Some(WireMetricValue::Template(bytes))) => match WireTemplate::decode(bytes.clone()) {
                Err(error) => refuse("broken", format!("its template cannot be read: {error}")),
                // What a type of template looks like, not a value.
                Ok(template) if template.is_definition == Some(true) => {}
                Ok(_) if depth >= DEPTH_MAX => refuse("depth", format!("templates are nested more than {DEPTH_MAX} deep")),
                Ok(template) if template.metrics.len() > PARTS_MAX => {
                    refuse("members", format!("its template has more than {PARTS_MAX} members"));
                }
                Ok(template) => {
                    parts.push(ConvertedPart::Typed(path(), datatype));
                    for member in template.metrics {
                        self.member(name, member, &around, depth, parts);
                    }
                }
            },
            (SparkplugType::DataSet, Some(WireMetricValue::DataSet(bytes))) => match WireDataSet::decode(bytes.clone()) {
                Err(error) => refuse("broken", format!("its data set cannot be read: {error}")),
                Ok(data_set) => self.data_set(name, is_top, &data_set, &around, parts),
            },
            (SparkplugType::Array(element), Some(WireMetricValue::Bytes(bytes))) => {
                parts.push(ConvertedPart::Typed(path(), datatype));
                self.array(name, &path(), element, bytes, &around, parts);
            }
            (_, Some(_)) => refuse("value", format!("its value is not in the field of its type, {datatype:?}")),
        }
    }

    fn leaf(&self, path: LeafPath, scalar: ScalarType, mut reading: ScalarReading, around: &MetricSurroundings) -> MetricLeaf {
        if reading.quality.is_good() {
            reading.quality = around.quality;
        }
        if reading.quality.is_bad() {
            reading.value = None;
        } else if reading.value.is_none() {
            reading.quality = Quality::BAD_NO_DATA;
        }
        let hints = self.is_birth.then(|| Box::new(properties::hints(around.metric)));
        MetricLeaf { path, scalar, reading, at: around.at, historical: around.historical, hints }
    }

    fn member(&self, name: &str, bytes: Bytes, above: &MetricSurroundings, depth: usize, parts: &mut Vec<ConvertedPart>) {
        let mut refuse = |reason| parts.push(ConvertedPart::Refused { path: LeafPath::Part(name.to_owned()), kind: "member", reason });
        match WireMetric::decode(bytes) {
            Err(error) => refuse(format!("a member of its template cannot be read: {error}")),
            Ok(member) => match member.name.as_deref().map(lossy).filter(|member| !member.is_empty()) {
                None => refuse("a member of its template has no name".to_owned()),
                Some(of) => self.convert_at(&format!("{name}/{of}"), false, &member, Some(above), depth + 1, parts),
            },
        }
    }

    fn data_set(&self, name: &str, is_top: bool, data_set: &WireDataSet, around: &MetricSurroundings, parts: &mut Vec<ConvertedPart>) {
        let path = || if is_top { LeafPath::Same } else { LeafPath::Part(name.to_owned()) };
        let columns: Vec<(String, Option<SparkplugType>)> =
            data_set.columns.iter().zip(&data_set.types).map(|(name, number)| (lossy(name), SparkplugType::numbered(*number))).collect();
        if columns.len() != data_set.columns.len() || columns.is_empty() {
            let reason = format!("its data set has {} columns and {} types", data_set.columns.len(), data_set.types.len());
            return parts.push(ConvertedPart::Refused { path: path(), kind: "columns", reason });
        }
        if let [(first, Some(SparkplugType::Scalar(_))), (second, Some(SparkplugType::Scalar(scalar)))] = &columns[..]
            && first.eq_ignore_ascii_case("timestamps")
            && second.eq_ignore_ascii_case("values")
        {
            return self.samples(&path(), *scalar, &data_set.rows, around, parts);
        }
        parts.push(ConvertedPart::Typed(path(), SparkplugType::DataSet));
        if data_set.rows.len() > 1 {
            let reason = format!("its data set has {} rows; one of a single row is stored, as {name}/column", data_set.rows.len());
            return parts.push(ConvertedPart::Refused { path: path(), kind: "rows", reason });
        }
        let elements = match data_set.rows.first().map(elements) {
            None => vec![None; columns.len()],
            Some(Ok(elements)) if elements.len() == columns.len() => elements,
            Some(Ok(elements)) => {
                let reason = format!("its data set has {} columns and a row of {}", columns.len(), elements.len());
                return parts.push(ConvertedPart::Refused { path: path(), kind: "columns", reason });
            }
            Some(Err(reason)) => return parts.push(ConvertedPart::Refused { path: path(), kind: "broken", reason }),
        };
        for ((column, datatype), raw) in columns.into_iter().zip(elements) {
            let path = LeafPath::Part(format!("{name}/{column}"));
            match datatype {
                Some(SparkplugType::Scalar(scalar)) => {
                    let reading = raw.map_or(ScalarReading::NONE, |raw| ScalarReading::read(&raw, scalar));
                    parts.push(ConvertedPart::Leaf(self.leaf(path, scalar, reading, around)));
                }
                _ => parts.push(ConvertedPart::Refused { path, kind: "type", reason: "the type of this column is not stored".to_owned() }),
            }
        }
    }

    fn samples(&self, path: &LeafPath, scalar: ScalarType, rows: &[Bytes], around: &MetricSurroundings, parts: &mut Vec<ConvertedPart>) {
        let mut broken = rows.len().saturating_sub(PARTS_MAX);
        for row in rows.iter().take(PARTS_MAX) {
            let (at, raw) = match elements(row).as_deref() {
                Ok([Some(RawScalar::Long(at)), raw]) => (*at, raw.clone()),
                Ok([Some(RawScalar::Int(at)), raw]) => (u64::from(*at), raw.clone()),
                _ => {
                    broken += 1;
                    continue;
                }
            };
            let reading = raw.map_or(ScalarReading::NONE, |raw| ScalarReading::read(&raw, scalar));
            let leaf = self.leaf(path.clone(), scalar, reading, around);
            parts.push(ConvertedPart::Leaf(MetricLeaf { at: Some(at).filter(|at| *at != 0).or(leaf.at), ..leaf }));
        }
        if broken > 0 {
            let reason = format!("{broken} rows of its list of samples are not a timestamp and a value, or behind the first {PARTS_MAX}");
            parts.push(ConvertedPart::Refused { path: path.clone(), kind: "rows", reason });
        }
    }

    fn array(
        &self,
        name: &str,
        path: &LeafPath,
        element: ScalarType,
        bytes: &[u8],
        around: &MetricSurroundings,
        parts: &mut Vec<ConvertedPart>,
    ) {
        let refused = |kind, reason| ConvertedPart::Refused { path: path.clone(), kind, reason };
        let (readings, length) = match elements_of_array(element, bytes, self.elements_max) {
            Ok(read) => read,
            Err(reason) => return parts.push(refused("broken", reason)),
        };
        let taken = readings.len();
        for (index, reading) in readings.into_iter().enumerate() {
            parts.push(ConvertedPart::Leaf(self.leaf(LeafPath::Part(format!("{name}[{index}]")), element, reading, around)));
        }
        if length > taken {
            parts.push(refused("elements", format!("its array has {length} elements; the first {taken} are stored")));
        }
        parts.push(ConvertedPart::Absent { path: path.clone(), from: Some(taken), at: around.at, historical: around.historical });
    }
}

/// The type that the field of a value tells.
fn inferred(value: Option<&WireMetricValue>) -> Option<SparkplugType> {
    match value? {
        WireMetricValue::DataSet(_) => Some(SparkplugType::DataSet),
        WireMetricValue::Template(_) => Some(SparkplugType::Template),
        value => ScalarType::of_raw(&value.scalar()?).map(SparkplugType::Scalar),
    }
}

/// The elements of a row, None for those without a value.
fn elements(row: &Bytes) -> Result<Vec<Option<RawScalar>>, String> {
    let broken = |error| format!("a row of its data set cannot be read: {error}");
    let row = WireDataSetRow::decode(row.clone()).map_err(broken)?;
    let read = |element| Ok(WireDataSetElement::decode(element).map_err(broken)?.value.map(RawScalar::from));
    row.elements.into_iter().map(read).collect()
}

/// The first elements of an array, and how many there are: little endian one behind the other; booleans as a count of 32 bits and bits from
/// the highest; texts each with a NUL behind.
fn elements_of_array(element: ScalarType, bytes: &[u8], max: usize) -> Result<(Vec<ScalarReading>, usize), String> {
    let width = match element {
        ScalarType::Signed(bits) | ScalarType::Unsigned(bits) => bits as usize / 8,
        ScalarType::Float => 4,
        ScalarType::Double | ScalarType::DateTime => 8,
        ScalarType::Boolean => {
            let Some((count, bits)) = bytes.split_first_chunk::<4>() else {
                return Err(format!("its array of Boolean has {} bytes, fewer than its count", bytes.len()));
            };
            let count = u32::from_le_bytes(*count) as usize;
            if count.div_ceil(8) > bits.len() {
                return Err(format!("its array tells {count} Booleans and has {} bytes of them", bits.len()));
            }
            let bit = |index: usize| Value::Bool(bits[index / 8] & (0x80 >> (index % 8)) != 0);
            return Ok(((0..count.min(max)).map(|index| ScalarReading::good(bit(index))).collect(), count));
        }
        ScalarType::Text => {
            let body = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            let count = if bytes.is_empty() { 0 } else { body.split(|byte| *byte == 0).count() };
            let text = |text: &[u8]| ScalarReading::read(&RawScalar::Text(text.to_vec().into()), ScalarType::Text);
            return Ok((body.split(|byte| *byte == 0).take(count.min(max)).map(text).collect(), count));
        }
    };
    if !bytes.len().is_multiple_of(width) {
        return Err(format!("its array has {} bytes, no whole number of {element:?}", bytes.len()));
    }
    let read = |chunk: &[u8]| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(chunk);
        let whole = u64::from_le_bytes(wide);
        match element {
            ScalarType::Float => ScalarReading::good(Value::F32(f32::from_bits(whole as u32))),
            ScalarType::Double => ScalarReading::good(Value::F64(f64::from_bits(whole))),
            _ => ScalarReading::read(&RawScalar::Long(whole), element),
        }
    };
    Ok((bytes.chunks_exact(width).take(max).map(read).collect(), bytes.len() / width))
}
