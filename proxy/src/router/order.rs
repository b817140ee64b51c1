//! The order in which targets are tried: lower priority numbers first; among equals by lot, in proportion to their weights.
//! A weight of zero takes a target out of use.

/// Puts `targets` in order. `rank` gives priority and weight; `draw` is the lot, any number.
pub(super) fn order<T>(targets: &[T], rank: impl Fn(&T) -> (u32, u32), draw: u64) -> Vec<&T> {
    let mut waiting: Vec<&T> = targets.iter().filter(|target| rank(target).1 > 0).collect();
    waiting.sort_by_key(|target| rank(target).0);
    let mut ordered = Vec::with_capacity(waiting.len());
    let mut lots = Lots(draw);
    while let Some(first) = waiting.first() {
        let priority = rank(first).0;
        let equals =
            waiting.iter().take_while(|target| rank(target).0 == priority).map(|target| rank(target).1);
        let chosen = pick(equals, &mut lots);
        ordered.push(waiting.remove(chosen));
    }
    ordered
}

/// The place of one of the weights, each as likely as it is heavy.
fn pick(weights: impl Iterator<Item = u32> + Clone, lots: &mut Lots) -> usize {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut lot = lots.next() % total.max(1);
    for (index, weight) in weights.enumerate() {
        match lot.checked_sub(weight.into()) {
            Some(rest) => lot = rest,
            None => return index,
        }
    }
    0
}

/// Many well-mixed numbers from one (splitmix64), so that a plain counter is a good lot.
struct Lots(u64);

impl Lots {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = (&'static str, u32, u32);

    fn names(targets: &[Target], draw: u64) -> Vec<&'static str> {
        order(targets, |(_, priority, weight)| (*priority, *weight), draw)
            .into_iter()
            .map(|(name, ..)| *name)
            .collect()
    }

    #[test]
    fn lower_priorities_come_first_whatever_the_lot() {
        for draw in 0..100 {
            assert_eq!(names(&[("b", 1, 100), ("a", 0, 1), ("c", 2, 7)], draw), ["a", "b", "c"]);
        }
    }

    #[test]
    fn equals_share_by_weight_and_each_is_tried_once() {
        let targets = [("light", 0, 1), ("heavy", 0, 3), ("out", 0, 0)];
        let mut heavy_first = 0;

        for draw in 0..10_000 {
            let mut order = names(&targets, draw);
            heavy_first += usize::from(order[0] == "heavy");
            order.sort_unstable();
            assert_eq!(order, ["heavy", "light"]);
        }

        assert!((7_300..7_700).contains(&heavy_first), "{heavy_first} of 10000 for a share of 3/4");
    }

    #[test]
    fn the_same_lot_gives_the_same_order() {
        let targets = [("a", 0, 1), ("b", 0, 1), ("c", 0, 1)];

        assert_eq!(names(&targets, 42), names(&targets, 42));
    }
}
