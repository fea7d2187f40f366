//! Fields inside of others: what would be in an object is missing where there is none.

use serde_json::Value;

use super::cells::Cell;
use super::space::{Axis, Cells};

/// The fields of a space that are inside of others of it.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    outer: usize,
    inner: usize,
    /// The cells of the outer field that are objects.
    objects: Cells,
    /// The cell of the inner field in which it is missing.
    missing: Cells,
}

impl Nesting {
    pub(super) fn new(axes: &[Axis]) -> Self {
        let mut pairs = Vec::new();
        for (outer, around) in axes.iter().enumerate() {
            for (inner, axis) in axes.iter().enumerate() {
                if axis.path.len() > around.path.len() && axis.path.starts_with(&around.path) {
                    let objects = mask(around, |cell| matches!(cell, Cell::Object | Cell::Value(Value::Object(_))));
                    pairs.push(Pair { outer, inner, objects, missing: mask(axis, |cell| *cell == Cell::Missing) });
                }
            }
        }
        Self { pairs }
    }

    /// Leaves out of the cells of each field those that go with none of another. It is none if nothing is left of one.
    pub(super) fn narrow(&self, cells: &mut [Cells]) -> Option<()> {
        let mut is_new = !self.pairs.is_empty();
        while is_new {
            is_new = false;
            for Pair { outer, inner, objects, missing } in &self.pairs {
                if !meet(&cells[*outer], objects) {
                    is_new |= keep(&mut cells[*inner], missing)?;
                }
                if !meet(&cells[*inner], missing) {
                    is_new |= keep(&mut cells[*outer], objects)?;
                }
            }
        }
        Some(())
    }
}

fn mask(axis: &Axis, has: impl Fn(&Cell) -> bool) -> Cells {
    let mut cells = vec![0; axis.cells.len().div_ceil(64)];
    for (place, _) in axis.cells.iter().enumerate().filter(|(_, cell)| has(cell)) {
        cells[place / 64] |= 1 << (place % 64);
    }
    cells
}

fn meet(some: &Cells, others: &Cells) -> bool {
    some.iter().zip(others).any(|(some, others)| some & others != 0)
}

/// Leaves only these, and tells whether there were others; none if nothing is left.
fn keep(cells: &mut Cells, kept: &Cells) -> Option<bool> {
    let mut is_less = false;
    for (cells, kept) in cells.iter_mut().zip(kept) {
        is_less |= *cells & !kept != 0;
        *cells &= kept;
    }
    cells.iter().any(|cells| *cells != 0).then_some(is_less)
}
