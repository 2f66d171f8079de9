//! Where the points of a model lie in the registers of a device: groups are repeated as often as the device says, or as its length has room.

use super::model::{GroupCount, PointFactor, PointGroup, SunSpecModel, SunSpecPoint};

/// A point of a device. Registers count from the first one of its model, which holds the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPoint<'model> {
    /// Group by group, repeated ones with their number from 1: `module_2/DCA`.
    pub path: String,
    pub point: &'model SunSpecPoint,
    pub register: usize,
    pub factor: Option<PlacedFactor>,
}

/// Power of ten of a placed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacedFactor {
    Register(usize),
    Power(i32),
    /// The definition names none that there is.
    Nowhere,
}

/// Every point of a model whose registers are `words`, in their order. Those behind the end of them are left out.
pub fn placed<'model>(model: &'model SunSpecModel, words: &[u16]) -> Vec<PlacedPoint<'model>> {
    let mut placing = Placing { words, points: Vec::new() };
    placing.group(&model.root, "", 0, &mut Vec::new());
    placing.points
}

struct Placing<'model, 'words> {
    words: &'words [u16],
    points: Vec<PlacedPoint<'model>>,
}

/// Names of points that are known within a group, those of the groups around it first, and their registers.
type KnownPoints<'model> = Vec<(&'model str, usize)>;

impl<'model> Placing<'model, '_> {
    /// Places a group and those in it; returns the register behind them.
    fn group(&mut self, group: &'model PointGroup, path: &str, start: usize, scope: &mut KnownPoints<'model>) -> usize {
        let known = scope.len();
        let mut at = start;
        for point in &group.points {
            scope.push((point.name, at));
            at += usize::from(point.registers);
        }
        for (point, (_, register)) in group.points.iter().zip(&scope[known..]) {
            if register + usize::from(point.registers) > self.words.len() {
                break;
            }
            let factor = point.factor.map(|factor| match factor {
                PointFactor::Power(power) => PlacedFactor::Power(power),
                PointFactor::OfPoint(name) => find(scope, name).map_or(PlacedFactor::Nowhere, PlacedFactor::Register),
            });
            self.points.push(PlacedPoint { path: format!("{path}{}", point.name), point, register: *register, factor });
        }
        for inner in &group.groups {
            let count = self.count(inner, at, scope);
            for number in 1..=count {
                if at >= self.words.len() {
                    break;
                }
                let path = match inner.count {
                    GroupCount::Once => format!("{path}{}/", inner.name),
                    GroupCount::Filling | GroupCount::Held(_) => format!("{path}{}_{number}/", inner.name),
                };
                at = self.group(inner, &path, at, scope);
            }
        }
        scope.truncate(known);
        at
    }

    /// How often a group is there that begins at a register.
    fn count(&self, group: &PointGroup, at: usize, scope: &[(&str, usize)]) -> usize {
        match group.count {
            GroupCount::Once => 1,
            GroupCount::Held(name) => find(scope, name).map_or(0, |register| self.held(register)),
            GroupCount::Filling => self.words.len().saturating_sub(at) / self.length(group, scope).max(1),
        }
    }

    /// A count that the device tells.
    fn held(&self, register: usize) -> usize {
        self.words.get(register).filter(|word| **word != 0xFFFF).map_or(0, |word| usize::from(*word))
    }

    /// Registers of a group with those in it, as far as that is known before it is placed.
    fn length(&self, group: &PointGroup, scope: &[(&str, usize)]) -> usize {
        let own: usize = group.points.iter().map(|point| usize::from(point.registers)).sum();
        let inner = group.groups.iter().map(|inner| {
            let count = match inner.count {
                GroupCount::Once => 1,
                GroupCount::Held(name) => find(scope, name).map_or(0, |register| self.held(register)),
                GroupCount::Filling => 0,
            };
            count * self.length(inner, scope)
        });
        own + inner.sum::<usize>()
    }
}

/// Register of the innermost point of a name.
fn find(scope: &[(&str, usize)], name: &str) -> Option<usize> {
    scope.iter().rev().find(|(known, _)| *known == name).map(|(_, register)| *register)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(id: u16, words: &[u16]) -> Vec<(String, usize, Option<PlacedFactor>)> {
        let model = SunSpecModel::of(id).unwrap();
        placed(&model, words).into_iter().map(|point| (point.path, point.register, point.factor)).collect()
    }

    #[test]
    fn modules_fill_the_length_of_their_model() {
        // The fixed part has 10 registers, each module 20.
        let of = |registers: usize| paths(160, &vec![0; registers]);
        let three = of(10 + 60);
        assert!(three.contains(&("module_3/DCA".into(), 10 + 40 + 9, Some(PlacedFactor::Register(2)))), "{three:?}");
        assert!(!three.iter().any(|(path, ..)| path.starts_with("module_4")));
        assert_eq!(of(10).iter().filter(|(path, ..)| path.starts_with("module")).count(), 0);
        assert_eq!(of(10 + 39).iter().filter(|(path, ..)| path.ends_with("/DCA")).count(), 1);
    }

    #[test]
    fn groups_are_repeated_as_often_as_the_device_says() {
        let model = SunSpecModel::of(705).unwrap();
        let register =
            |name: &str| model.root.points.iter().take_while(|point| point.name != name).map(|point| point.registers).sum::<u16>();
        let fixed: usize = model.root.points.iter().map(|point| usize::from(point.registers)).sum();
        let curve: usize = model.root.groups[0].points.iter().map(|point| usize::from(point.registers)).sum();
        let mut words = vec![0; fixed + 2 * (curve + 3 * 2)];
        (words[usize::from(register("NPt"))], words[usize::from(register("NCrv"))]) = (3, 2);
        let placed = paths(705, &words);
        let last = placed.last().unwrap();
        assert_eq!((last.0.as_str(), last.1), ("Crv_2/Pt_3/Var", words.len() - 1));
        assert_eq!(placed.iter().filter(|(path, ..)| path.contains("/Pt_")).count(), 2 * 3 * 2);
        // A count that is not implemented, and one that is a lie.
        words[usize::from(register("NCrv"))] = 0xFFFF;
        assert!(!paths(705, &words).iter().any(|(path, ..)| path.starts_with("Crv")));
        words[usize::from(register("NCrv"))] = 60_000;
        assert_eq!(paths(705, &words).len(), placed.len());
    }

    #[test]
    fn a_model_that_is_shorter_than_its_definition_has_the_points_that_are_there() {
        for length in 0..60 {
            assert!(paths(103, &vec![0; length]).iter().all(|(_, register, _)| *register < length.max(1)));
        }
        assert_eq!(paths(1, &[0; 66]).last().map(|(path, ..)| path.clone()), Some("SN".into()));
    }
}
