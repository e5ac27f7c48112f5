//! Tables that refer to each other in circles: together they go, and come, as one table does.

use std::collections::BTreeSet;

use super::{super::archive::Kind, Whole};
use crate::model::Model;

/// Places of tables that refer to each other in circles, of which none is the first; a table that is in no circle alone.
pub(in super::super) type Group = Vec<usize>;

impl Whole {
    /// The tables with own rows beside the organization's own row and its keys, those that refer to others first: entries before
    /// the balances that follow from them, which the entries' triggers write.
    pub(in super::super) fn children_first(&self, model: &Model) -> Vec<Group> {
        let places = self.places(&[Kind::Tenant, Kind::Balances]);
        let mut before: BTreeSet<(usize, usize)> = self.arrows().collect();
        before.extend(self.ledger_and_balances(model));
        in_order(self.groups(&places), &before)
    }

    /// All tables, those that others refer to first, and entries before balances.
    pub(in super::super) fn parents_first(&self, model: &Model) -> Vec<Group> {
        let places: Vec<usize> = (0..self.tables.len()).collect();
        let mut before: BTreeSet<(usize, usize)> =
            self.arrows().map(|(child, parent)| (parent, child)).collect();
        before.extend(self.ledger_and_balances(model));
        in_order(self.groups(&places), &before)
    }

    /// Whether foreign keys that can't be asked last lead from one table of the group to another.
    pub(in super::super) fn is_hard(&self, group: &[usize]) -> bool {
        let is_within = |place: usize| group.contains(&place);
        self.edges.iter().any(|edge| {
            !edge.is_deferrable
                && is_within(edge.parent)
                && edge.child.is_some_and(|child| child != edge.parent && is_within(child))
        })
    }

    /// By foreign key from one table to another: the places of child and parent.
    fn arrows(&self) -> impl Iterator<Item = (usize, usize)> {
        let pairs = self.edges.iter().filter_map(|edge| Some((edge.child?, edge.parent)));
        pairs.filter(|(child, parent)| child != parent)
    }

    fn ledger_and_balances(&self, model: &Model) -> Option<(usize, usize)> {
        let ledger = self.tables.iter().position(|table| table.name == model.ledger.table)?;
        let balances = self.tables.iter().position(|table| table.kind == Kind::Balances)?;
        Some((ledger, balances))
    }

    fn groups(&self, places: &[usize]) -> Vec<Group> {
        let among = |(child, parent): &(usize, usize)| places.contains(child) && places.contains(parent);
        let arrows: Vec<(usize, usize)> = self.arrows().filter(among).collect();
        let reached: Vec<BTreeSet<usize>> = places.iter().map(|place| reached(*place, &arrows)).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (at, place) in places.iter().enumerate() {
            let is_same = |group: &&mut Group| {
                let (other, there) = (group[0], places.iter().position(|known| *known == group[0]));
                reached[at].contains(&other) && there.is_some_and(|there| reached[there].contains(place))
            };
            match groups.iter_mut().find(is_same) {
                Some(group) => group.push(*place),
                None => groups.push(vec![*place]),
            }
        }
        groups
    }
}

/// The tables that `place` leads to.
fn reached(place: usize, arrows: &[(usize, usize)]) -> BTreeSet<usize> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![place]);
    while let Some(next) = ahead.pop() {
        let parents = arrows.iter().filter(|(child, _)| *child == next).map(|(_, parent)| *parent);
        ahead.extend(parents.filter(|parent| reached.insert(*parent)));
    }
    reached
}

/// The groups in an order in which each pair of tables of `before` stands so, as far as there is one.
fn in_order(mut left: Vec<Group>, before: &BTreeSet<(usize, usize)>) -> Vec<Group> {
    let mut order = Vec::new();
    while !left.is_empty() {
        let waits = |group: &Group| {
            let others = left.iter().filter(|other| *other != group).flatten();
            let mut pairs = others.flat_map(|other| group.iter().map(move |place| (*other, *place)));
            pairs.any(|pair| before.contains(&pair))
        };
        let next = left.iter().position(|group| !waits(group)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}
