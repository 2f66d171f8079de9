//! Path of a field within a structure: `Motor.Speed`, `Zones[2].Limits[1,0]`. What stands in brackets is the index of an element from 0,
//! in each dimension of an array, as in the key `index_range`.

use std::{fmt, str::FromStr};

/// Names and indexes of a path.
const STEPS_MAX: usize = 64;
/// Dimensions of an array that an element is taken of.
pub const DIMENSIONS_MAX: usize = 8;

/// A field of a structure, of a structure in it, or an element of an array in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<FieldStep>);

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldStep {
    Name(String),
    /// Index in each dimension of the array.
    Element(Vec<u32>),
}

impl FieldPath {
    pub fn steps(&self) -> &[FieldStep] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = String;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<FieldPath, String> {
        let refuse =
            |why: &str| format!("{text:?} {why}; write names with points between, and [n] for an element, as in Motor.Zones[2].Speed");
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.trim().is_empty() || name.contains(']') {
                return Err(refuse("has a place without a name"));
            }
            steps.push(FieldStep::Name(name.to_owned()));
            while !rest.is_empty() {
                let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let (index, behind) = inside.ok_or_else(|| refuse("has a bracket too many or too few"))?;
                let index: Vec<u32> =
                    index.split(',').map(str::parse::<u32>).collect::<Result<_, _>>().map_err(|_| refuse("has no index in brackets"))?;
                if index.len() > DIMENSIONS_MAX {
                    return Err(refuse("has too many dimensions"));
                }
                steps.push(FieldStep::Element(index));
                rest = behind;
            }
        }
        if steps.len() > STEPS_MAX {
            return Err(refuse("is too long"));
        }
        Ok(FieldPath(steps))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                FieldStep::Name(name) if place == 0 => f.write_str(name)?,
                FieldStep::Name(name) => write!(f, ".{name}")?,
                FieldStep::Element(index) => {
                    let index: Vec<String> = index.iter().map(ToString::to_string).collect();
                    write!(f, "[{}]", index.join(","))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for text in ["Speed", "Motor.Speed", "Zones[0]", "Zones[2].Limits[1,0].High", "a[0][1]", "Temperatur °C.x"] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
        }
        let steps = "Zones[2,1].High".parse::<FieldPath>().unwrap();
        let name = |name: &str| FieldStep::Name(name.to_owned());
        assert_eq!(steps.steps(), [name("Zones"), FieldStep::Element(vec![2, 1]), name("High")]);
        for text in ["", ".", "a.", ".a", "[0]", "a[", "a]", "a[]", "a[x]", "a[-1]", "a[1:2]", "a[1]b", "a[1]]", "a.[1]", "a[4294967296]"] {
            assert!(text.parse::<FieldPath>().unwrap_err().contains("Motor.Zones[2].Speed"), "{text}");
        }
        assert!("a[1,2,3,4,5,6,7,8,9]".parse::<FieldPath>().is_err());
        assert!(["a"; 65].join(".").parse::<FieldPath>().is_err());
    }
}
