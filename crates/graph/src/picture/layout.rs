//! Where boxes and edges lie.

/// A place: the middle of a box, or where an edge passes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Place {
    pub layer: usize,
    pub x: f64,
}

/// Places of boxes, routes of edges.
pub(super) struct Drawing {
    pub width: f64,
    pub layers: usize,
    pub places: Vec<Place>,
    pub routes: Vec<Vec<Place>>,
}

/// Width of the place that an edge takes in a layer it passes.
const PASSAGE: f64 = 10.0;

/// Rounds of ordering, down and up.
const ROUNDS: usize = 8;

/// A box, or a passage of an edge.
struct Item {
    layer: usize,
    width: f64,
    up: Vec<usize>,
    down: Vec<usize>,
}

/// Lays out boxes of `widths` that `edges` join, each edge from an earlier box to a later one.
pub(super) fn layout(widths: &[f64], edges: &[(usize, usize)], gap: f64) -> Drawing {
    let layers = layers(widths.len(), edges);
    let item = |(&width, &layer): (&f64, &usize)| Item { layer, width, up: Vec::new(), down: Vec::new() };
    let mut items: Vec<Item> = widths.iter().zip(&layers).map(item).collect();
    let mut routes: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for &(from, to) in edges {
        let (Some(&first), Some(&last)) = (layers.get(from), layers.get(to)) else { continue };
        let mut route = vec![from];
        for layer in first + 1..last {
            route.push(items.len());
            items.push(Item { layer, width: PASSAGE, up: Vec::new(), down: Vec::new() });
        }
        route.push(to);
        for pair in route.windows(2) {
            let &[a, b] = pair else { continue };
            if let Some(item) = items.get_mut(a) {
                item.down.push(b);
            }
            if let Some(item) = items.get_mut(b) {
                item.up.push(a);
            }
        }
        routes.push(route);
    }
    let count = items.iter().map(|i| i.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (i, item) in items.iter().enumerate() {
        if let Some(row) = rows.get_mut(item.layer) {
            row.push(i);
        }
    }
    let mut x = vec![0f64; items.len()];
    rows.iter().for_each(|row| pack(row, &items, &mut x, gap, None));
    let mut wanted = vec![0f64; items.len()];
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        let order: Vec<usize> = if down { (0..count).collect() } else { (0..count).rev().collect() };
        for layer in order {
            let Some(row) = rows.get_mut(layer) else { continue };
            for &i in row.iter() {
                let (Some(item), Some(&own)) = (items.get(i), x.get(i)) else { continue };
                let near = if down { &item.up } else { &item.down };
                let sum: f64 = near.iter().filter_map(|&n| x.get(n)).sum();
                if let Some(wanted) = wanted.get_mut(i) {
                    *wanted = if near.is_empty() { own } else { sum / near.len() as f64 };
                }
            }
            let key = |i: &usize| wanted.get(*i).copied().unwrap_or(0.0);
            row.sort_by(|a, b| key(a).total_cmp(&key(b)));
            pack(row, &items, &mut x, gap, Some(&wanted));
        }
    }
    let edge = |i: usize, side: f64| {
        x.get(i).copied().unwrap_or(0.0) + side * items.get(i).map_or(0.0, |i| i.width / 2.0)
    };
    let left = (0..items.len()).map(|i| edge(i, -1.0)).fold(f64::INFINITY, f64::min);
    let right = (0..items.len()).map(|i| edge(i, 1.0)).fold(0.0, f64::max);
    let left = if left.is_finite() { left } else { 0.0 };
    let place = |i: usize| Place {
        layer: items.get(i).map_or(0, |i| i.layer),
        x: x.get(i).copied().unwrap_or(0.0) - left,
    };
    Drawing {
        width: right - left,
        layers: count,
        places: (0..widths.len()).map(place).collect(),
        routes: routes.iter().map(|r| r.iter().map(|&i| place(i)).collect()).collect(),
    }
}

/// By box: the most edges that lead to it, one after the other.
fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut into: Vec<Vec<usize>> = vec![Vec::new(); count];
    for &(from, to) in edges {
        if let Some(list) = into.get_mut(to) {
            list.push(from);
        }
    }
    let mut layers: Vec<usize> = Vec::with_capacity(count);
    for list in &into {
        let above = list.iter().filter_map(|&from| layers.get(from)).max();
        layers.push(above.map_or(0, |l| l + 1));
    }
    layers
}

/// Puts a row's items side by side in its order, each as near as it can be to where it is wanted.
fn pack(row: &[usize], items: &[Item], x: &mut [f64], gap: f64, wanted: Option<&[f64]>) {
    let width = |i: usize| items.get(i).map_or(0.0, |i| i.width);
    // Neighbours that would overlap move together: blocks of items around the mean of what they want.
    struct Block {
        items: Vec<(usize, f64)>,
        /// Where the first item's middle lies.
        at: f64,
        width: f64,
    }
    let mut blocks: Vec<Block> = Vec::new();
    for &i in row {
        let target = wanted.and_then(|w| w.get(i)).copied().unwrap_or(0.0);
        let mut block = Block { items: vec![(i, 0.0)], at: target, width: width(i) };
        while let Some(last) = blocks.last() {
            let (last_first, first) =
                (last.items.first().map_or(0, |b| b.0), block.items.first().map_or(0, |b| b.0));
            let end = last.at - width(last_first) / 2.0 + last.width + gap;
            if end <= block.at - width(first) / 2.0 {
                break;
            }
            let Some(mut merged) = blocks.pop() else { break };
            let shift = merged.width + gap + width(first) / 2.0 - width(last_first) / 2.0;
            merged.items.extend(block.items.iter().map(|&(i, offset)| (i, offset + shift)));
            merged.width += gap + block.width;
            let sum: f64 = merged
                .items
                .iter()
                .map(|&(i, offset)| wanted.and_then(|w| w.get(i)).copied().unwrap_or(0.0) - offset)
                .sum();
            merged.at = sum / merged.items.len() as f64;
            block = merged;
        }
        blocks.push(block);
    }
    for block in blocks {
        for (i, offset) in block.items {
            if let Some(x) = x.get_mut(i) {
                *x = block.at + offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_the_longest_path_and_boxes_do_not_overlap() {
        // A residual block beside a wide fan.
        let edges = [(0, 1), (1, 2), (0, 3), (2, 3), (0, 4), (0, 5), (4, 3), (5, 3)];
        let widths = [50.0, 80.0, 60.0, 40.0, 70.0, 90.0];
        let drawing = layout(&widths, &edges, 10.0);
        let layers: Vec<usize> = drawing.places.iter().map(|p| p.layer).collect();
        assert_eq!(layers, [0, 1, 2, 3, 1, 1]);
        for a in 0..widths.len() {
            for b in 0..a {
                let (p, q) = (drawing.places[a], drawing.places[b]);
                let apart = (widths[a] + widths[b]) / 2.0;
                assert!(p.layer != q.layer || (p.x - q.x).abs() >= apart - 1e-6, "{a} and {b}");
            }
        }
        // The edge over the block passes both layers between.
        assert_eq!(drawing.routes[2].len(), 4);
        assert!(drawing.width > 0.0);
    }
}
