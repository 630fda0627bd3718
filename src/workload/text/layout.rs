//! Which ranks talk to each other: groups of tensor, expert and data parallelism over consecutive
//! ranks (Megatron's order: tensor fastest, then experts, data, pipeline), with the ids of a comm-group file.

use std::collections::BTreeMap;

/// How a job's ranks are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// All ranks; a multiple of `tp * pp`, and of `tp * pp * ep`.
    pub npus: u32,
    /// Ranks of a tensor-parallel group.
    pub tp: u32,
    /// Ranks of an expert-parallel group.
    pub ep: u32,
    /// Pipeline stages.
    pub pp: u32,
}

/// Which kind of group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Tensor (or model) parallel.
    Tp,
    /// Data parallel.
    Dp,
    /// Expert parallel: a part of a data-parallel group.
    Ep,
    /// Ranks that hold the same experts.
    DpEp,
}

impl Layout {
    /// Whether the ranks can be cut so; else why not.
    ///
    /// # Errors
    /// A message for people.
    pub fn check(&self) -> Result<(), String> {
        let part = u64::from(self.tp) * u64::from(self.ep) * u64::from(self.pp);
        match u64::from(self.npus) % part {
            0 => Ok(()),
            _ => Err(format!(
                "{} ranks cannot be cut into groups of {} (model) x {} (experts) x {} (stages)",
                self.npus, self.tp, self.ep, self.pp
            )),
        }
    }

    /// Ranks of a group of this kind.
    pub fn size(&self, kind: Kind) -> u32 {
        let dp = self.npus / self.tp / self.pp;
        match kind {
            Kind::Tp => self.tp,
            Kind::Dp => dp,
            Kind::Ep => self.ep,
            Kind::DpEp => dp / self.ep,
        }
    }

    /// What the members of a group have in common.
    fn colour(&self, kind: Kind, rank: u32) -> (u32, u32, u32) {
        let stage = rank / (self.npus / self.pp);
        let within = rank % (self.npus / self.pp);
        let (tensor, data) = (within % self.tp, within / self.tp);
        match kind {
            Kind::Tp => (stage, data, 0),
            Kind::Dp => (stage, tensor, 0),
            Kind::Ep => (stage, tensor, data / self.ep),
            Kind::DpEp => (stage, tensor, data % self.ep),
        }
    }
}

/// Groups with their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Id (from 1) and ranks, ascending.
    pub members: BTreeMap<u32, Vec<u32>>,
    ids: BTreeMap<(Kind, (u32, u32, u32)), u32>,
}

impl Groups {
    /// The groups of these kinds that are neither one rank nor all of them.
    pub fn of(layout: &Layout, kinds: impl IntoIterator<Item = Kind>) -> Groups {
        let mut groups = Groups::default();
        for kind in kinds {
            if layout.size(kind) <= 1 || layout.size(kind) == layout.npus {
                continue;
            }
            for rank in 0..layout.npus {
                let next = groups.ids.len() as u32 + 1;
                let id = *groups
                    .ids
                    .entry((kind, layout.colour(kind, rank)))
                    .or_insert(next);
                groups.members.entry(id).or_default().push(rank);
            }
        }
        groups
    }

    /// The id of a rank's group of a kind, if it has one here.
    pub fn id(&self, layout: &Layout, kind: Kind, rank: u32) -> Option<u32> {
        self.ids.get(&(kind, layout.colour(kind, rank))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 ranks, 2 stages of 8: 2 tensor x 4 data, of which 2 x 2 experts.
    #[test]
    fn groups_are_megatrons() {
        let layout = Layout {
            npus: 16,
            tp: 2,
            ep: 2,
            pp: 2,
        };
        layout.check().unwrap();
        let groups = Groups::of(&layout, [Kind::Tp, Kind::Dp, Kind::Ep, Kind::DpEp]);
        let of = |kind, rank| groups.members[&groups.id(&layout, kind, rank).unwrap()].clone();
        assert_eq!(of(Kind::Tp, 11), [10, 11]);
        assert_eq!(of(Kind::Dp, 8), [8, 10, 12, 14]);
        assert_eq!(of(Kind::Ep, 4), [4, 6]);
        assert_eq!(of(Kind::DpEp, 4), [0, 4]);
        assert_eq!(groups.members.len(), 8 + 4 + 8 + 8);
        assert!(Layout { npus: 12, ..layout }.check().is_err());
    }
}
