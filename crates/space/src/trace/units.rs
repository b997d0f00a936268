//! From classes of elements to units.

use std::collections::HashMap;

use indexmap::IndexMap;
use occam_graph::{Source, ValueId};

use super::{FREE, Reason, Trace, Tracer, channel_axis};
use crate::Result;
use crate::unit::{Channel, Member, Unit};

/// Not in a unit.
const NONE: u32 = u32::MAX;

/// Spreads the bits of a slot's number, so that sums of them tell sets of slots apart.
fn spread(slot: usize) -> u64 {
    let mut z = (slot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A channel axis of a layer.
struct Site {
    slot: usize,
    node: String,
    output: bool,
}

impl Tracer<'_> {
    /// Classes that are on the same slots equally often are the channels of one unit.
    pub(super) fn units(mut self, statistics: &[bool]) -> Result<Trace> {
        let sites = self.sites()?;
        let mut place = vec![NONE; self.slots.elements];
        for site in &sites {
            let Some(&s) = self.slots.get(site.slot) else { continue };
            for e in s.start..s.start + s.len {
                let root = self.classes.find(e) as usize;
                if let Some(p) = place.get_mut(root) {
                    *p = 0;
                }
            }
        }
        let mut signatures = vec![(0u64, 0u32); self.slots.elements];
        let slots = self.slots.all.clone();
        for (i, s) in slots.iter().enumerate() {
            let mark = spread(i);
            for e in s.start..s.start + s.len {
                let root = self.classes.find(e) as usize;
                if place.get(root).copied() == Some(0)
                    && let Some((sum, count)) = signatures.get_mut(root)
                {
                    *sum = sum.wrapping_add(mark);
                    *count += 1;
                }
            }
        }
        // From here on `place` of a root is its number in its unit, and `of_unit` the unit.
        let mut of_unit = vec![NONE; self.slots.elements];
        let mut found: IndexMap<(u64, u32, u32), u32> = IndexMap::new();
        for root in 0..self.slots.elements {
            let (Some(p), Some(&(sum, count))) = (place.get_mut(root), signatures.get(root)) else {
                continue;
            };
            if *p == NONE || count == 0 {
                continue;
            }
            let reason = self.classes.reason(root as u32);
            let kept = u32::from(reason != FREE);
            let entry = found.entry((sum, count, kept));
            let unit = entry.index();
            let number = entry.or_insert(0);
            *p = *number;
            *number += 1;
            if let Some(u) = of_unit.get_mut(root) {
                *u = unit as u32;
            }
        }
        let counts: Vec<u32> = found.values().copied().collect();
        let mut units: Vec<Unit> = counts.iter().map(|&n| empty(n as usize)).collect();
        self.fill(&mut units, &of_unit, &place, statistics);
        let first = self.name(&mut units, &sites, &of_unit);
        // In the order in which layers first compute or read them.
        let mut units: Vec<(usize, Unit)> = first.into_iter().zip(units).collect();
        units.retain(|(_, u)| !u.name.is_empty());
        units.sort_by_key(|(first, _)| *first);
        Ok(Trace { units: units.into_iter().map(|(_, u)| u).collect() })
    }

    /// The channel axes of all layers, in order of execution.
    fn sites(&self) -> Result<Vec<Site>> {
        let mut sites = Vec::new();
        let mut modules: HashMap<ValueId, &str> = HashMap::new();
        for (path, calls) in self.graph.modules() {
            for &v in calls.iter().flat_map(|c| &c.outputs) {
                let deepest = modules.entry(v).or_insert(path);
                if path.len() > deepest.len() {
                    *deepest = path;
                }
            }
        }
        for id in self.graph.order()? {
            let node = self.graph.node(id)?;
            // Files name nodes by module and operator, users know the module.
            let module = node.outputs.first().and_then(|v| modules.get(v)).filter(|m| !m.is_empty());
            let name = module.map_or(node.name.as_str(), |m| m);
            let ends = [(node.outputs.first(), true), (node.inputs.first(), false)];
            for (value, output) in ends {
                let Some(&value) = value else { continue };
                let rank = self.graph.value(value)?.fact.rank();
                if let Some(slot) =
                    channel_axis(self.graph, node, rank).and_then(|a| self.slots.index(value, a))
                {
                    sites.push(Site { slot, node: name.to_owned(), output });
                }
            }
        }
        Ok(sites)
    }

    /// Adds every slot's elements to the members of their units, the reasons, and whether they are exact.
    fn fill(&mut self, units: &mut [Unit], of_unit: &[u32], place: &[u32], statistics: &[bool]) {
        let slots = self.slots.all.clone();
        for (i, s) in slots.iter().enumerate() {
            let mut here: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
            let mut last: Option<(u32, Vec<(u32, u32)>)> = None;
            for index in 0..s.len {
                let root = self.classes.find(s.start + index) as usize;
                let Some(&unit) = of_unit.get(root).filter(|&&u| u != NONE) else { continue };
                let entry = (place.get(root).copied().unwrap_or(0), index);
                match &mut last {
                    Some((current, list)) if *current == unit => list.push(entry),
                    _ => {
                        if let Some((old, list)) = last.take() {
                            here.insert(old, list);
                        }
                        let mut list = here.remove(&unit).unwrap_or_default();
                        list.push(entry);
                        last = Some((unit, list));
                    }
                }
            }
            here.extend(last);
            let mut here: Vec<_> = here.into_iter().collect();
            here.sort_unstable_by_key(|(unit, _)| *unit);
            for (unit, mut list) in here {
                let Some(unit) = units.get_mut(unit as usize) else { continue };
                if !list.is_sorted() {
                    list.sort_unstable();
                }
                let per_channel = list.len() / unit.channels.max(1);
                let elements = list.into_iter().map(|(_, index)| index).collect();
                unit.members.push(Member { value: s.value, axis: s.axis as usize, per_channel, elements });
                unit.exact &= !statistics.get(i).copied().unwrap_or(false);
            }
        }
    }

    /// Names units by the layers that compute and read them, and says why they must stay; by unit, which of `sites` is the
    /// first.
    fn name(&mut self, units: &mut [Unit], sites: &[Site], of_unit: &[u32]) -> Vec<usize> {
        let mut first = vec![usize::MAX; units.len()];
        for (number, site) in sites.iter().enumerate() {
            let Some(&s) = self.slots.get(site.slot) else { continue };
            let mut run: Option<(u32, usize)> = None;
            for index in 0..=s.len {
                let unit = (index < s.len).then(|| {
                    let root = self.classes.find(s.start + index) as usize;
                    of_unit.get(root).copied().unwrap_or(NONE)
                });
                if let Some((of, start)) = run
                    && unit != Some(of)
                {
                    let channel = Channel {
                        name: site.node.clone(),
                        start,
                        end: index as usize,
                        is_output_channel: site.output,
                    };
                    if let Some(f) = first.get_mut(of as usize) {
                        *f = (*f).min(number);
                    }
                    if let Some(u) = units.get_mut(of as usize) {
                        let list = if site.output { &mut u.output_related } else { &mut u.input_related };
                        list.push(channel);
                    }
                    run = None;
                }
                if let (None, Some(unit)) = (run, unit) {
                    run = Some((unit, index as usize));
                }
            }
        }
        let mut taken: HashMap<String, usize> = HashMap::new();
        for unit in units.iter_mut() {
            let Some(first) = unit.output_related.first().or(unit.input_related.first()) else { continue };
            let name = format!("{}_({}, {})_{}", first.name, first.start, first.end, unit.channels);
            let again = taken.entry(name.clone()).or_insert(0);
            *again += 1;
            unit.name = if *again == 1 { name } else { format!("{name}_{again}") };
            unit.kept_by = self.why(unit);
        }
        first
    }

    fn why(&mut self, unit: &Unit) -> Option<Reason> {
        let member = unit.members.first()?;
        let element = *member.elements.first()?;
        let slot = self.slots.index(member.value, member.axis).and_then(|i| self.slots.get(i))?;
        let reason = self.classes.reason(slot.start + element);
        if reason != FREE {
            return self.reasons.get(reason as usize).cloned();
        }
        let weights = unit.members.iter().any(|m| {
            self.graph.value(m.value).is_ok_and(|v| matches!(v.source, Source::Param(_) | Source::Const))
        });
        (!weights).then_some(Reason::Weightless)
    }
}

fn empty(channels: usize) -> Unit {
    Unit {
        name: String::new(),
        channels,
        members: Vec::new(),
        output_related: Vec::new(),
        input_related: Vec::new(),
        kept_by: None,
        exact: true,
    }
}
