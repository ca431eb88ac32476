// SPDX-License-Identifier: Apache-2.0
//! Prefix codes (RFC 1951, 3.2.2): the best lengths below a limit, and the codes of lengths.

/// The most symbols that an alphabet has.
const MOST_SYMBOLS: usize = 288;
/// The longest code that the format knows.
const MOST_LENGTH: usize = 15;

/// A code: for each symbol how long its bits are, 0 if it does not occur, and which they are.
#[derive(Clone, Debug)]
pub(super) struct Code<const N: usize> {
    pub(super) lengths: [u8; N],
    /// The code's first bit is the lowest.
    pub(super) bits: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The code that takes the fewest bits for symbols that occur so often,
    /// unless the limit binds: then nearly the fewest. It is always complete;
    /// a symbol that is alone, or none, gets company.
    pub(super) fn new(counts: &[u32; N], limit: usize) -> Self {
        let mut lengths = [0; N];
        let mut space = [0; MOST_SYMBOLS];
        let symbols = by_count(counts, &mut space);
        if symbols.len() < 2 {
            let only = symbols.first().map_or(0, |&symbol| index(symbol));
            lengths[only] = 1;
            lengths[usize::from(only == 0)] = 1;
        } else {
            let mut of_length = lengths_needed(symbols, limit);
            let mut rarest_first = symbols.iter();
            for length in (1..=limit).rev() {
                for symbol in rarest_first.by_ref().take(std::mem::take(&mut of_length[length])) {
                    lengths[index(*symbol)] = u8::try_from(length).unwrap_or(u8::MAX);
                }
            }
        }
        Self::of(lengths)
    }

    /// The code of which these are the lengths: shorter codes come first, then lower symbols.
    pub(super) fn of(lengths: [u8; N]) -> Self {
        let mut of_length = [0; MOST_LENGTH + 1];
        for &length in lengths.iter().filter(|&&length| length > 0) {
            of_length[usize::from(length)] += 1;
        }
        let mut next = [0_u16; MOST_LENGTH + 1];
        for length in 1..=MOST_LENGTH {
            // The longest codes of a complete code end at 2^15.
            next[length] = (next[length - 1] + of_length[length - 1]) << 1;
        }
        let mut bits = [0; N];
        for (bits, &length) in bits.iter_mut().zip(&lengths).filter(|(_, length)| **length > 0) {
            let code = &mut next[usize::from(length)];
            *bits = code.reverse_bits() >> (16 - length);
            *code += 1;
        }
        Self { lengths, bits }
    }

    /// How many bits symbols that occur so often take.
    pub(super) fn size(&self, counts: &[u32; N]) -> u64 {
        let each = counts.iter().zip(&self.lengths);
        each.map(|(&count, &length)| u64::from(count) * u64::from(length)).sum()
    }

    /// How many symbols there are without those at the end that do not occur, but `least`.
    pub(super) fn used(&self, least: usize) -> usize {
        self.lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1).max(least)
    }
}

/// The symbols that occur, rarest first, each with its count above its number.
fn by_count<'a>(counts: &[u32], space: &'a mut [u64; MOST_SYMBOLS]) -> &'a [u64] {
    let mut used = 0;
    for (symbol, &count) in (0_u64..).zip(counts).filter(|(_, count)| **count > 0) {
        space[used] = u64::from(count) << 16 | symbol;
        used += 1;
    }
    space[..used].sort_unstable();
    &space[..used]
}

fn index(symbol: u64) -> usize {
    usize::from(u16::try_from(symbol & 0xffff).unwrap_or_default())
}

/// How many codes there must be of each length, for two symbols at least.
fn lengths_needed(symbols: &[u64], limit: usize) -> [usize; MOST_LENGTH + 1] {
    let mut space = [0; MOST_SYMBOLS];
    let depths = inner_depths(symbols, &mut space);
    let mut needed = [0; MOST_LENGTH + 1];
    // Level by level: the places in the tree that are no inner nodes are codes.
    let (mut places, mut depth, mut rest) = (1, 0, depths);
    while places > 0 {
        let inner = rest.iter().rev().take_while(|&&of_node| of_node == depth).count();
        rest = &rest[..rest.len() - inner];
        needed[limit.min(depth as usize)] += places - inner;
        places = 2 * inner;
        depth += 1;
    }
    shorten(&mut needed, limit);
    needed
}

/// The depths of Huffman's inner nodes, the root last. The nodes come to be in
/// the order of their weights, so two queues do: the symbols, and the nodes.
fn inner_depths<'a>(symbols: &[u64], space: &'a mut [u32; MOST_SYMBOLS]) -> &'a [u32] {
    let nodes = symbols.len() - 1;
    let mut weights = [0_u64; MOST_SYMBOLS];
    let mut leaves = symbols.iter().map(|symbol| symbol >> 16).peekable();
    // Once a node has a parent, its place in `space` holds which.
    let mut first = 0;
    for node in 0..nodes {
        for _ in 0..2 {
            let is_leaf =
                leaves.peek().is_some_and(|leaf| first >= node || *leaf <= weights[first]);
            let weight = match leaves.next_if(|_| is_leaf) {
                Some(leaf) => leaf,
                None => {
                    space[first] = u32::try_from(node).unwrap_or_default();
                    first += 1;
                    weights[first - 1]
                }
            };
            weights[node] += weight;
        }
    }
    space[nodes - 1] = 0;
    for node in (0..nodes - 1).rev() {
        space[node] = space[space[node] as usize] + 1;
    }
    &space[..nodes]
}

/// Makes a complete code of one in which codes were cut off at the limit. Each step
/// hangs one of these beside a shorter one, which becomes longer by a bit.
fn shorten(needed: &mut [usize; MOST_LENGTH + 1], limit: usize) {
    let taken = |needed: &[usize]| -> usize {
        (1..=limit).map(|length| needed[length] << (limit - length)).sum()
    };
    for _ in 1 << limit..taken(needed) {
        let longest = (1..limit).rev().find(|&length| needed[length] > 0);
        let Some(length) = longest else { return };
        needed[length] -= 1;
        needed[length + 1] += 2;
        needed[limit] -= 1;
    }
}
