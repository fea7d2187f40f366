//! All notifications of one type, divided by what the tests of its rules can tell apart.
//!
//! For each field the values that some test names, and what lies between them, are its cells: within one no test
//! changes. What a text test such as a glob is true of is not known by cell, so such a test is true or not for itself
//! wherever a value is none that is named, but for what is known to follow from others. The fields are taken to be
//! independent, but for those inside of others. Both admit more than there is, never less: what is found impossible
//! here is impossible, what is found possible has to be shown by an example.

#![expect(clippy::fn_params_excessive_bools, reason = "truth values are what this is about")]

use super::cells::{Cell, Test, cells, least, truth};
use super::nesting::Nesting;
use super::relations::Relations;
use super::shape::Shape;
use crate::notification::TypeName;
use crate::routing::{Field, Matcher, Side, Window};
use crate::schemas::{FieldKind, SchemaRegistry};

/// A condition over a space.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    Always(bool),
    /// A test, by its index.
    Atom(usize),
    /// Inside a window, by its index.
    Window(usize),
    /// What an earlier one says, by its index.
    Shared(usize),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

/// A set of cells of one field.
pub(super) type Cells = Vec<u64>;

/// One field of the type.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) path: Box<[Box<str>]>,
    pub(super) cells: Vec<Cell>,
    /// How many characters a text must have.
    pub(super) least: usize,
    /// The tests of it.
    tests: Vec<usize>,
    /// Which cell is that of other texts, and which that of arrays.
    text: Option<usize>,
    list: Option<usize>,
}

/// One test of a field.
#[derive(Debug)]
pub(super) struct Atom {
    pub(super) axis: usize,
    pub(super) field: Field,
    shape: Option<Shape>,
    /// The cells in which it is true.
    yes: Cells,
    /// The cells in which it may be true or not.
    free: Cells,
}

/// The space of a type.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) type_name: TypeName,
    pub(super) axes: Vec<Axis>,
    pub(super) atoms: Vec<Atom>,
    pub(super) windows: Vec<std::sync::Arc<Window>>,
    shared: Vec<Formula>,
    relations: Relations,
    nesting: Nesting,
}

/// A part of a space.
#[derive(Debug, Clone)]
pub(super) struct Region {
    cells: Vec<Cells>,
    /// What the tests are where their cell leaves it open.
    atoms: Vec<Option<bool>>,
    pub(super) windows: Vec<Option<bool>>,
}

impl Space {
    /// The space of a type, divided by what all of `matchers` test. The formula of each is shared, by its index.
    pub(super) fn new(schemas: &SchemaRegistry, type_name: &TypeName, matchers: &[&Matcher]) -> Self {
        Self::of(type_name, matchers, |path| schemas.field(type_name, path))
    }

    /// The same, of a type of whose fields this is known.
    pub(super) fn of(type_name: &TypeName, matchers: &[&Matcher], known: impl Fn(&[Box<str>]) -> FieldKind) -> Self {
        let mut space = Self {
            type_name: type_name.clone(),
            axes: Vec::new(),
            atoms: Vec::new(),
            windows: Vec::new(),
            shared: Vec::new(),
            relations: Relations::default(),
            nesting: Nesting::default(),
        };
        space.shared = matchers.iter().map(|matcher| space.formula(matcher)).collect();
        space.divide(known);
        space
    }

    fn formula(&mut self, matcher: &Matcher) -> Formula {
        match matcher {
            Matcher::Always(value) => Formula::Always(*value),
            Matcher::All(inner) => Formula::All(inner.iter().map(|matcher| self.formula(matcher)).collect()),
            Matcher::Any(inner) => Formula::Any(inner.iter().map(|matcher| self.formula(matcher)).collect()),
            Matcher::Not(inner) => Formula::Not(Box::new(self.formula(inner))),
            Matcher::Field(field) => Formula::Atom(self.atom(field)),
            Matcher::During(window, side) => {
                let known = self.windows.iter().position(|known| known.name == window.name);
                let index = known.unwrap_or_else(|| {
                    self.windows.push(std::sync::Arc::clone(window));
                    self.windows.len() - 1
                });
                match side {
                    Side::Inside => Formula::Window(index),
                    Side::Outside => Formula::Not(Box::new(Formula::Window(index))),
                }
            }
        }
    }

    /// The index of a test; the same test is the same atom.
    fn atom(&mut self, field: &Field) -> usize {
        let axis = self.axes.iter().position(|axis| *axis.path == *field.path()).unwrap_or_else(|| {
            let (cells, tests) = (Vec::new(), Vec::new());
            self.axes.push(Axis { path: field.path().into(), cells, least: 0, tests, text: None, list: None });
            self.axes.len() - 1
        });
        let is_same = |atom: &Atom| {
            atom.axis == axis && atom.field.operator() == field.operator() && atom.field.operand() == field.operand()
        };
        self.atoms.iter().position(is_same).unwrap_or_else(|| {
            let shape = Shape::of(field);
            self.atoms.push(Atom { axis, field: field.clone(), shape, yes: Vec::new(), free: Vec::new() });
            self.atoms.len() - 1
        })
    }

    fn divide(&mut self, known: impl Fn(&[Box<str>]) -> FieldKind) {
        for (index, atom) in self.atoms.iter().enumerate() {
            self.axes[atom.axis].tests.push(index);
        }
        for axis in &mut self.axes {
            let kind = known(&axis.path);
            let tests: Vec<_> = axis.tests.iter().map(|index| self.atoms[*index].test()).collect();
            axis.cells = cells(&kind, &tests);
            axis.least = least(&kind);
            axis.text = axis.cells.iter().position(|cell| *cell == Cell::Text);
            axis.list = axis.cells.iter().position(|cell| *cell == Cell::List);
            for index in &axis.tests {
                let truths = axis.cells.iter().map(|cell| truth(self.atoms[*index].test(), cell, &kind)).collect();
                self.atoms[*index].set(truths);
            }
        }
        let pieces = |index: &usize| match &self.atoms[*index].shape {
            Some(Shape::Pieces(pieces)) => Some((*index, pieces.clone())),
            _ => None,
        };
        let fields = self.axes.iter().map(|axis| axis.tests.iter().filter_map(pieces).collect());
        self.relations = Relations::new(self.atoms.len(), fields);
        self.nesting = Nesting::new(&self.axes);
    }

    /// All of it.
    pub(super) fn whole(&self) -> Region {
        let full = |axis: &Axis| {
            let mut cells = vec![0; words(axis.cells.len())];
            (0..axis.cells.len()).for_each(|cell| cells[cell / 64] |= 1 << (cell % 64));
            cells
        };
        Region {
            cells: self.axes.iter().map(full).collect(),
            atoms: vec![None; self.atoms.len()],
            windows: vec![None; self.windows.len()],
        }
    }

    /// What a test is all over a region, if it is the same there.
    pub(super) fn atom_in(&self, region: &Region, index: usize) -> Option<bool> {
        let atom = &self.atoms[index];
        let (mut can_be, mut can_fail) = (false, false);
        for (word, cells) in region.cells[atom.axis].iter().enumerate() {
            let (yes, free) = (atom.yes[word] & cells, atom.free[word] & cells);
            let no = cells & !yes & !free;
            can_be |= yes != 0 || (free != 0 && region.atoms[index] != Some(false));
            can_fail |= no != 0 || (free != 0 && region.atoms[index] != Some(true));
        }
        (can_be != can_fail).then_some(can_be)
    }

    /// The cells of an axis that a region has.
    pub(super) fn cells_in<'a>(&'a self, region: &'a Region, axis: usize) -> impl Iterator<Item = &'a Cell> {
        let cells = self.axes[axis].cells.iter().enumerate();
        cells.filter(move |(cell, _)| region.cells[axis][cell / 64] >> (cell % 64) & 1 == 1).map(|(_, cell)| cell)
    }

    /// What a formula is all over a region, if it is the same there and that can be seen.
    pub(super) fn value(&self, region: &Region, formula: &Formula) -> Option<bool> {
        match formula {
            Formula::Always(value) => Some(*value),
            Formula::Atom(index) => self.atom_in(region, *index),
            Formula::Window(index) => region.windows[*index],
            Formula::Shared(index) => self.value(region, &self.shared[*index]),
            Formula::Not(inner) => self.value(region, inner).map(|value| !value),
            Formula::All(inner) => self.junction(region, inner, false),
            Formula::Any(inner) => self.junction(region, inner, true),
        }
    }

    /// Parts of which one that is `decisive` decides.
    fn junction(&self, region: &Region, inner: &[Formula], decisive: bool) -> Option<bool> {
        let mut all_known = true;
        for part in inner {
            match self.value(region, part) {
                Some(value) if value == decisive => return Some(decisive),
                Some(_) => {}
                None => all_known = false,
            }
        }
        all_known.then_some(!decisive)
    }

    /// A test or window that decides something of a formula that is open, and what it had better be for `wanted`.
    pub(super) fn open(&self, region: &Region, formula: &Formula, wanted: bool) -> Option<(Split, bool)> {
        if self.value(region, formula).is_some() {
            return None;
        }
        match formula {
            Formula::Always(_) => None,
            Formula::Atom(index) => Some((Split::Atom(*index), wanted)),
            Formula::Window(index) => Some((Split::Window(*index), wanted)),
            Formula::Shared(index) => self.open(region, &self.shared[*index], wanted),
            Formula::Not(inner) => self.open(region, inner, !wanted),
            Formula::All(inner) | Formula::Any(inner) => inner.iter().find_map(|part| self.open(region, part, wanted)),
        }
    }

    /// The part of a region in which a test or window is so; none if there is none.
    pub(super) fn split(&self, region: &Region, split: Split, value: bool) -> Option<Region> {
        let mut part = region.clone();
        match split {
            Split::Window(index) => part.windows[index] = Some(value),
            Split::Atom(index) => {
                let atom = &self.atoms[index];
                let open = region.atoms[index] != Some(!value);
                let mut left = 0;
                for (word, cells) in part.cells[atom.axis].iter_mut().enumerate() {
                    let free = if open { atom.free[word] } else { 0 };
                    let fitting = if value { atom.yes[word] } else { !atom.yes[word] & !atom.free[word] };
                    *cells &= fitting | free;
                    left |= *cells;
                }
                if left == 0 {
                    return None;
                }
                part.atoms[index] = Some(value);
                return self.follow(region, part, index);
            }
        }
        Some(part)
    }

    /// A part of a region with all that follows for a text from what `index`, which is new in it, is there; none if the
    /// part is empty.
    fn follow(&self, region: &Region, mut part: Region, index: usize) -> Option<Region> {
        let axis = self.atoms[index].axis;
        let Axis { text, list, tests, .. } = &self.axes[axis];
        let has = |region: &Region, place: usize| region.cells[axis][place / 64] >> (place % 64) & 1 == 1;
        // Of the elements of an array a test says something else.
        let may_be_list = |region| list.is_some_and(|list| has(region, list));
        if let Some(text) = text.filter(|text| has(&part, *text))
            && !may_be_list(&part)
        {
            let new = if may_be_list(region) { tests.clone() } else { vec![index] };
            if self.relations.follow(&mut part.atoms, new).is_err() {
                part.cells[axis][text / 64] &= !(1 << (text % 64));
            }
        }
        part.cells[axis].iter().any(|cells| *cells != 0).then_some(())?;
        self.nesting.narrow(&mut part.cells)?;
        Some(part)
    }
}

impl Atom {
    fn test(&self) -> Test<'_> {
        (&self.field, self.shape.as_ref())
    }

    /// Notes what it is in each cell.
    fn set(&mut self, truths: Vec<Option<bool>>) {
        (self.yes, self.free) = (vec![0; words(truths.len())], vec![0; words(truths.len())]);
        for (cell, truth) in truths.into_iter().enumerate() {
            match truth {
                Some(true) => self.yes[cell / 64] |= 1 << (cell % 64),
                Some(false) => {}
                None => self.free[cell / 64] |= 1 << (cell % 64),
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Split {
    Atom(usize),
    Window(usize),
}

fn words(cells: usize) -> usize {
    cells.div_ceil(64)
}
