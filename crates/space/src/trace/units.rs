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

/// By element its class, and by class its unit and its number there.
struct Places {
    class: Vec<u32>,
    places: Vec<(u32, u32)>,
}

impl Places {
    /// The unit of an element, and which of its channels it is; none where no layer computes or reads it.
    fn of(&self, element: u32) -> Option<(u32, u32)> {
        self.places.get(at(&self.class, element) as usize).copied()
    }
}

fn at(list: &[u32], index: u32) -> u32 {
    list.get(index as usize).copied().unwrap_or(NONE)
}

fn set(list: &mut [u32], index: u32, value: u32) {
    if let Some(x) = list.get_mut(index as usize) {
        *x = value;
    }
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
        let firsts = self.classes.firsts().to_vec();
        let mut class = vec![NONE; firsts.len()];
        for s in sites.iter().filter_map(|site| self.slots.get(site.slot)) {
            for &first in firsts.get(s.elements()).unwrap_or_default() {
                set(&mut class, first, 0);
            }
        }
        // The classes that layers compute or read, numbered in order of their first elements; few of all elements are firsts.
        let mut kept = Vec::new();
        for (root, class) in (0..).zip(&mut class).filter(|(_, c)| **c != NONE) {
            *class = kept.len() as u32;
            kept.push(self.classes.reason(root) != FREE);
        }
        // From here on by element, not only by first one.
        for (i, &first) in firsts.iter().enumerate() {
            let of_first = at(&class, first);
            set(&mut class, i as u32, of_first);
        }
        let mut signatures = vec![(0u64, 0u32); kept.len()];
        for (i, s) in self.slots.all.iter().enumerate() {
            let mark = spread(i);
            for &c in class.get(s.elements()).unwrap_or_default() {
                if let Some((sum, count)) = signatures.get_mut(c as usize) {
                    *sum = sum.wrapping_add(mark);
                    *count += 1;
                }
            }
        }
        let mut found: IndexMap<(u64, u32, bool), u32> = IndexMap::new();
        let mut places = Vec::with_capacity(kept.len());
        for (&(sum, count), kept) in signatures.iter().zip(kept) {
            let entry = found.entry((sum, count, kept));
            let unit = entry.index() as u32;
            let number = entry.or_insert(0);
            places.push((unit, *number));
            *number += 1;
        }
        let mut units: Vec<Unit> = found.values().map(|&n| empty(n as usize)).collect();
        let places = Places { class, places };
        self.fill(&mut units, &places, statistics);
        let first = self.name(&mut units, &sites, &places);
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
            // A module that does nothing computes nothing.
            for &v in calls.iter().filter(|c| c.inputs != c.outputs).flat_map(|c| &c.outputs) {
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
    fn fill(&self, units: &mut [Unit], places: &Places, statistics: &[bool]) {
        for (i, s) in self.slots.all.iter().enumerate() {
            let mut here: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
            let mut last: Option<(u32, Vec<(u32, u32)>)> = None;
            for index in 0..s.len {
                let Some((unit, number)) = places.of(s.start + index) else { continue };
                let entry = (number, index);
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
    fn name(&mut self, units: &mut [Unit], sites: &[Site], places: &Places) -> Vec<usize> {
        let mut first = vec![usize::MAX; units.len()];
        for (number, site) in sites.iter().enumerate() {
            let Some(&s) = self.slots.get(site.slot) else { continue };
            let mut run: Option<(u32, usize)> = None;
            for index in 0..=s.len {
                let unit = (index < s.len).then(|| places.of(s.start + index).map_or(NONE, |(unit, _)| unit));
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
