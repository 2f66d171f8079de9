//! Definitions of SunSpec models: which points a model has, in which order, and what they hold. Data of the SunSpec Alliance (`models.tsv`,
//! with its source and licence), read when a model is asked for.

use std::str::Lines;

const MODELS: &str = include_str!("models.tsv");

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SunSpecModel {
    /// Name for paths: `inverter_three_phase`.
    pub name: &'static str,
    /// Its points begin with the id and the length of the model.
    pub root: PointGroup,
}

/// Points that lie one behind the other, and the groups that follow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointGroup {
    pub name: &'static str,
    pub count: GroupCount,
    pub points: Vec<SunSpecPoint>,
    pub groups: Vec<PointGroup>,
}

/// How often a group is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupCount {
    Once,
    /// As often as the length of the model has room for.
    Filling,
    /// As often as the point of this name says.
    Held(&'static str),
}

/// A point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SunSpecPoint {
    pub name: &'static str,
    pub kind: PointKind,
    /// As the definition has it: `acc32`.
    pub type_name: &'static str,
    pub registers: u16,
    pub factor: Option<PointFactor>,
    /// In the words of the definition; may be empty.
    pub unit: &'static str,
    pub is_mandatory: bool,
    /// It never changes.
    pub is_static: bool,
    pub is_writable: bool,
    pub label: &'static str,
    /// Names of values or, of a bit field, of bits.
    pub symbols: Vec<(u32, &'static str)>,
}

/// What a point holds, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    /// A number in this format of registers, with the numbers of [`SunSpecPoint::symbols`] as its states.
    Number(&'static str),
    /// A counter, of which 0 means that there is none.
    Accumulator(&'static str),
    /// Bits of a number in this format.
    Bits(&'static str),
    /// Characters, two in each register.
    Text,
    /// A network address in this format.
    Network(&'static str),
    ScaleFactor,
    /// Nothing.
    Padding,
}

/// Power of ten that a value is scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointFactor {
    /// The point of this name, in the same group or one around it.
    OfPoint(&'static str),
    Power(i32),
}

impl SunSpecModel {
    /// The model of this id, where it is known.
    pub fn of(id: u16) -> Option<SunSpecModel> {
        let id = id.to_string();
        let mut lines = MODELS.lines();
        let name = lines.by_ref().find_map(|line| {
            let mut cells = line.split('\t');
            (cells.next() == Some("model") && cells.next() == Some(id.as_str())).then(|| cells.next())?
        })?;
        Some(SunSpecModel { name, root: points(name, lines)? })
    }
}

/// The points of a model up to the next one.
fn points(name: &'static str, lines: Lines<'static>) -> Option<PointGroup> {
    let group = |name, count| PointGroup { name, count, points: Vec::new(), groups: Vec::new() };
    // The groups that are open, each within the one before.
    let mut open = vec![group(name, GroupCount::Once)];
    for line in lines.take_while(|line| !line.starts_with("model\t")) {
        let cells: Vec<&'static str> = line.split('\t').collect();
        match cells[..] {
            ["group", depth, name, count] => {
                close(&mut open, depth.parse().ok()?);
                let count = match count {
                    "1" => GroupCount::Once,
                    "0" => GroupCount::Filling,
                    point => GroupCount::Held(point),
                };
                open.push(group(name, count));
            }
            ["point", name, type_name, registers, factor, unit, flags, label, symbols] => {
                let absent = |cell: &'static str| if cell == "-" { "" } else { cell };
                let factor = match factor {
                    "-" => None,
                    factor => Some(factor.parse().map_or(PointFactor::OfPoint(factor), PointFactor::Power)),
                };
                let symbol = |symbol: &'static str| {
                    let (value, name) = symbol.split_once('=')?;
                    Some((value.parse().ok()?, name))
                };
                let symbols = absent(symbols).split('|').filter(|symbol| !symbol.is_empty()).map(symbol).collect::<Option<_>>()?;
                open.last_mut()?.points.push(SunSpecPoint {
                    name,
                    kind: PointKind::of(type_name)?,
                    type_name,
                    registers: registers.parse().ok()?,
                    factor,
                    unit: absent(unit),
                    is_mandatory: flags.contains('M'),
                    is_static: flags.contains('S'),
                    is_writable: flags.contains('W'),
                    label: absent(label),
                    symbols,
                });
            }
            _ => return None,
        }
    }
    close(&mut open, 1);
    open.pop()
}

/// Closes groups until so many are open.
fn close(open: &mut Vec<PointGroup>, left: usize) {
    while open.len() > left.max(1) {
        if let Some(group) = open.pop()
            && let Some(around) = open.last_mut()
        {
            around.groups.push(group);
        }
    }
}

impl PointKind {
    fn of(type_name: &str) -> Option<PointKind> {
        Some(match type_name {
            "uint16" | "enum16" | "count" | "raw16" => PointKind::Number("u16"),
            "uint32" | "enum32" => PointKind::Number("u32"),
            "uint64" => PointKind::Number("u64"),
            "int16" => PointKind::Number("i16"),
            "int32" => PointKind::Number("i32"),
            "int64" => PointKind::Number("i64"),
            "float32" => PointKind::Number("f32"),
            "float64" => PointKind::Number("f64"),
            "acc16" => PointKind::Accumulator("u16"),
            "acc32" => PointKind::Accumulator("u32"),
            "acc64" => PointKind::Accumulator("u64"),
            "bitfield16" => PointKind::Bits("u16"),
            "bitfield32" => PointKind::Bits("u32"),
            "bitfield64" => PointKind::Bits("u64"),
            "string" => PointKind::Text,
            "ipaddr" => PointKind::Network("ipv4"),
            "ipv6addr" => PointKind::Network("ipv6"),
            "eui48" => PointKind::Network("eui48"),
            "sunssf" => PointKind::ScaleFactor,
            "pad" => PointKind::Padding,
            _ => return None,
        })
    }
}

/// Ids of all models that are known.
#[cfg(test)]
pub fn ids() -> impl Iterator<Item = u16> {
    MODELS.lines().filter_map(|line| line.strip_prefix("model\t")?.split('\t').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::RegisterFormat;

    fn walk(group: &PointGroup, names: &mut Vec<&'static str>, check: &mut impl FnMut(&SunSpecPoint, &[&'static str])) {
        let before = names.len();
        names.extend(group.points.iter().map(|point| point.name));
        for point in &group.points {
            check(point, &names[..]);
        }
        for inner in &group.groups {
            if let GroupCount::Held(name) = inner.count {
                assert!(names.contains(&name), "{name} of {}", inner.name);
            }
            walk(inner, names, check);
        }
        names.truncate(before);
    }

    #[test]
    fn every_model_is_read_whole_and_its_points_are_formats() {
        let (mut models, mut points) = (0, 0);
        for id in ids() {
            let model = SunSpecModel::of(id).unwrap_or_else(|| panic!("model {id}"));
            assert_eq!((model.root.points[0].name, model.root.points[1].name), ("ID", "L"), "{id}");
            models += 1;
            walk(&model.root, &mut Vec::new(), &mut |point, names| {
                points += 1;
                if let Some(PointFactor::OfPoint(factor)) = point.factor {
                    assert!(names.contains(&factor), "{id} {}: {factor}", point.name);
                }
                let registers = match point.kind {
                    PointKind::Number(format) | PointKind::Accumulator(format) | PointKind::Bits(format) | PointKind::Network(format) => {
                        format.parse::<RegisterFormat>().unwrap().registers()
                    }
                    PointKind::Text | PointKind::Padding => point.registers,
                    PointKind::ScaleFactor => 1,
                };
                assert_eq!(point.registers, registers, "{id} {}", point.name);
            });
        }
        let listed = |kind: &str| MODELS.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!((models, points), (listed("model\t"), listed("point\t")));
        assert!(models > 90 && SunSpecModel::of(65_535).is_none() && SunSpecModel::of(0).is_none());
    }

    #[test]
    fn groups_lie_within_each_other_as_their_depth_says() {
        let model = SunSpecModel::of(705).unwrap();
        let curves = &model.root.groups[0];
        assert_eq!((curves.name, curves.count), ("Crv", GroupCount::Held("NCrv")));
        assert_eq!((curves.groups[0].name, curves.groups[0].count, curves.groups[0].points.len()), ("Pt", GroupCount::Held("NPt"), 2));
        let inverter = SunSpecModel::of(103).unwrap();
        let amperes = inverter.root.points.iter().find(|point| point.name == "A").unwrap();
        assert_eq!((amperes.factor, amperes.unit, amperes.kind), (Some(PointFactor::OfPoint("A_SF")), "A", PointKind::Number("u16")));
        let state = inverter.root.points.iter().find(|point| point.name == "St").unwrap();
        assert_eq!(state.symbols[3], (4, "MPPT"));
    }
}
