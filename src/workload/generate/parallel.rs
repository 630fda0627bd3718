//! Who is where: a rank's coordinates, and the groups that it communicates in. Tensor parallelism
//! varies fastest, then context, data and pipeline parallelism, as in Megatron-LM (Narayanan et al.,
//! arXiv 2104.04473, section 3) and Llama 3 (arXiv 2407.21783, section 3.3.2).

use std::collections::BTreeMap;

use crate::workload::groups::CommGroups;

/// Ranks of a job: `tp * cp * dp * pp` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Tensor parallelism: ranks that share each matrix.
    pub tp: u32,
    /// Context parallelism: ranks that share each sequence.
    pub cp: u32,
    /// Data parallelism: ranks that have sequences of their own.
    pub dp: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Expert parallelism: this many replicas, of the `cp * dp`, share the experts.
    pub ep: u32,
}

/// A number of ranks that is no multiple of what the other parallelisms take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{ranks} ranks cannot be shared by tp {tp} x cp {cp} x pp {pp}")]
pub struct Unshareable {
    ranks: u32,
    tp: u32,
    cp: u32,
    pp: u32,
}

impl Layout {
    /// So many ranks, those that no other parallelism takes being data-parallel.
    ///
    /// # Errors
    /// If their number is no multiple of `tp * cp * pp`.
    pub fn among(ranks: u32, [tp, cp, pp, ep]: [u32; 4]) -> Result<Layout, Unshareable> {
        let others = u64::from(tp) * u64::from(cp) * u64::from(pp);
        if ranks == 0 || others == 0 || !u64::from(ranks).is_multiple_of(others) {
            return Err(Unshareable { ranks, tp, cp, pp });
        }
        let dp = (u64::from(ranks) / others) as u32;
        Ok(Layout { tp, cp, dp, pp, ep })
    }
}

/// A group of ranks, seen from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Those that share its matrices.
    Tensor,
    /// Those that share its sequences.
    Context,
    /// Those that share its experts.
    Expert,
    /// Those with the same part of the model: data and context parallelism.
    Data,
    /// Those with the same experts.
    ExpertData,
    /// The first and the last stage, which both have the embedding.
    Embedding,
}

impl Group {
    /// How many kinds there are.
    pub const COUNT: usize = 6;
    /// All of them.
    pub const ALL: [Group; Group::COUNT] = [
        Group::Tensor,
        Group::Context,
        Group::Expert,
        Group::Data,
        Group::ExpertData,
        Group::Embedding,
    ];

    /// A short name, as in the field.
    pub fn name(self) -> &'static str {
        match self {
            Group::Tensor => "tp",
            Group::Context => "cp",
            Group::Expert => "ep",
            Group::Data => "dp",
            Group::ExpertData => "edp",
            Group::Embedding => "embedding",
        }
    }
}

impl Layout {
    /// Ranks in all.
    pub fn ranks(&self) -> u32 {
        self.tp * self.replicas() * self.pp
    }

    /// Copies of the model: those that average their gradients.
    pub fn replicas(&self) -> u32 {
        self.cp * self.dp
    }

    /// Ranks of a stage, which are consecutive.
    pub fn stage_ranks(&self) -> u32 {
        self.tp * self.replicas()
    }

    /// Stage of a rank.
    pub fn stage(&self, rank: u32) -> u32 {
        rank / self.stage_ranks()
    }

    /// The rank in the same place of another stage.
    pub fn at_stage(&self, rank: u32, stage: u32) -> u32 {
        rank % self.stage_ranks() + stage * self.stage_ranks()
    }

    /// Ranks of a group.
    pub fn size(&self, group: Group) -> u32 {
        match group {
            Group::Tensor => self.tp,
            Group::Context => self.cp,
            Group::Expert => self.ep,
            Group::Data => self.replicas(),
            Group::ExpertData => self.replicas() / self.ep,
            Group::Embedding => self.pp.min(2),
        }
    }

    /// Members of a rank's group, in ascending order.
    pub fn members(&self, rank: u32, group: Group) -> Vec<u32> {
        let base = rank - rank % self.stage_ranks();
        let (tensor, replica) = (rank % self.tp, rank % self.stage_ranks() / self.tp);
        let replicas = |list: Vec<u32>| list.iter().map(|r| base + r * self.tp + tensor).collect();
        match group {
            Group::Tensor => (0..self.tp).map(|t| rank - tensor + t).collect(),
            Group::Context => replicas((0..self.cp).map(|c| replica - replica % self.cp + c).collect()),
            Group::Expert => replicas((0..self.ep).map(|e| replica - replica % self.ep + e).collect()),
            Group::Data => replicas((0..self.replicas()).collect()),
            Group::ExpertData => replicas(
                (replica % self.ep..self.replicas())
                    .step_by(self.ep as usize)
                    .collect(),
            ),
            Group::Embedding => {
                let (first, last) = (self.at_stage(rank, 0), self.at_stage(rank, self.pp - 1));
                if first == last {
                    vec![first]
                } else {
                    vec![first, last]
                }
            }
        }
    }

    /// For each kind of group the first kind with the same ranks.
    pub fn places(&self) -> [usize; Group::COUNT] {
        let members = Group::ALL.map(|group| self.members(0, group));
        members.each_ref().map(|list| {
            let same = members.iter().position(|other| other == list);
            same.expect("each is among them")
        })
    }
}

/// Ids of the groups of a job: 0 for all ranks, then from 1 in the order of kinds and ranks.
#[derive(Debug, Clone, Default)]
pub struct GroupIds {
    ids: BTreeMap<Vec<u32>, u32>,
}

impl GroupIds {
    /// Numbers the groups of these kinds; those of one rank are left out.
    pub fn new(layout: &Layout, kinds: &[Group]) -> Self {
        let all: Vec<u32> = (0..layout.ranks()).collect();
        let mut ids = BTreeMap::from([(all, 0)]);
        for group in kinds.iter().filter(|group| layout.size(**group) > 1) {
            for rank in 0..layout.ranks() {
                let stage = layout.stage(rank);
                if *group == Group::Embedding && stage != 0 && stage != layout.pp - 1 {
                    continue;
                }
                let members = layout.members(rank, *group);
                if members[0] == rank {
                    let next = ids.len() as u32;
                    ids.entry(members).or_insert(next);
                }
            }
        }
        GroupIds { ids }
    }

    /// Id of a rank's group.
    pub fn of(&self, layout: &Layout, rank: u32, group: Group) -> Option<u32> {
        self.ids.get(&layout.members(rank, group)).copied()
    }

    /// For ASTRA-sim's file of groups.
    pub fn to_groups(&self) -> CommGroups {
        let listed = self.ids.iter().filter(|(_, id)| **id > 0);
        CommGroups {
            groups: listed.map(|(ranks, id)| (*id, ranks.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        tp: 2,
        cp: 2,
        dp: 4,
        pp: 3,
        ep: 4,
    };

    #[test]
    fn groups_of_a_kind_part_the_ranks() {
        for group in Group::ALL {
            let size = LAYOUT.size(group) as usize;
            for rank in 0..LAYOUT.ranks() {
                let members = LAYOUT.members(rank, group);
                assert_eq!(members.len(), size, "{group:?}");
                assert!(members.is_sorted());
                if group == Group::Embedding && LAYOUT.stage(rank) == 1 {
                    continue;
                }
                assert!(members.contains(&rank), "{group:?} of {rank}: {members:?}");
                for other in &members {
                    assert_eq!(LAYOUT.members(*other, group), members, "{group:?} of {other}");
                }
            }
        }
    }

    #[test]
    fn members_are_where_they_should_be() {
        // Stage 1 begins at 16; rank 16 + 2 * 5 + 1 is replica 5 (cp 1, dp 2), tensor 1.
        assert_eq!(LAYOUT.members(27, Group::Tensor), [26, 27]);
        assert_eq!(LAYOUT.members(27, Group::Context), [25, 27]);
        assert_eq!(LAYOUT.members(27, Group::Expert), [25, 27, 29, 31]);
        assert_eq!(LAYOUT.members(27, Group::ExpertData), [19, 27]);
        assert_eq!(LAYOUT.members(27, Group::Data), [17, 19, 21, 23, 25, 27, 29, 31]);
        assert_eq!(LAYOUT.members(11, Group::Embedding), [11, 43]);
    }

    #[test]
    fn equal_groups_share_an_id_and_all_ranks_have_0() {
        let layout = Layout {
            tp: 1,
            cp: 1,
            dp: 8,
            pp: 1,
            ep: 8,
        };
        let ids = GroupIds::new(&layout, &Group::ALL);
        assert_eq!(ids.of(&layout, 3, Group::Data), Some(0));
        assert_eq!(ids.of(&layout, 3, Group::Expert), Some(0));
        assert!(ids.to_groups().groups.is_empty());
        assert_eq!(layout.places()[Group::Data as usize], Group::Expert as usize);
        let ids = GroupIds::new(&LAYOUT, &Group::ALL);
        // 24 tensor, 24 context, 12 expert, 6 data, 24 expert data, 16 embedding groups.
        assert_eq!(ids.to_groups().groups.len(), 24 + 24 + 12 + 6 + 24 + 16);
    }
}
