//! Which tests of a text decide others.

use super::shape::Pieces;

/// Tests of one field beyond this many are taken one by one.
const MAX_RELATED: usize = 128;

/// What follows of a text from each of its tests, by the indices of tests.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// For a test that is false, and for one that is true: which others are what then.
    followed: Vec<[Vec<(usize, bool)>; 2]>,
}

impl Relations {
    /// Between `count` tests of which those of one field stand together.
    pub(super) fn new(count: usize, fields: impl Iterator<Item = Vec<(usize, Pieces)>>) -> Self {
        let mut relations = Self::default();
        for field in fields {
            for (place, (second, pieces)) in field.iter().take(MAX_RELATED).enumerate() {
                for (first, others) in &field[..place] {
                    relations.relate(count, (*first, others), (*second, pieces));
                }
            }
        }
        relations
    }

    fn relate(&mut self, count: usize, (first, one): (usize, &Pieces), (second, other): (usize, &Pieces)) {
        if one.exclude(other) {
            self.add(count, (first, true), (second, false));
        }
        if one.imply(other) {
            self.add(count, (first, true), (second, true));
        }
        if other.imply(one) {
            self.add(count, (second, true), (first, true));
        }
    }

    /// Adds what follows, and what follows from its opposite.
    fn add(&mut self, count: usize, cause: (usize, bool), effect: (usize, bool)) {
        if self.followed.is_empty() {
            self.followed.resize_with(count, Default::default);
        }
        self.followed[cause.0][usize::from(cause.1)].push(effect);
        self.followed[effect.0][usize::from(!effect.1)].push((cause.0, !cause.1));
    }

    /// Adds to what is known of a text all that follows from what `tests` are. It is an error if that is no text.
    pub(super) fn follow(&self, known: &mut [Option<bool>], mut tests: Vec<usize>) -> Result<(), Impossible> {
        if self.followed.is_empty() {
            return Ok(());
        }
        while let Some(test) = tests.pop() {
            let Some(value) = known[test] else { continue };
            for (other, wanted) in &self.followed[test][usize::from(value)] {
                match known[*other] {
                    None => {
                        known[*other] = Some(*wanted);
                        tests.push(*other);
                    }
                    Some(known) if known == *wanted => {}
                    Some(_) => return Err(Impossible),
                }
            }
        }
        Ok(())
    }
}

/// No text is so.
#[derive(Debug)]
pub(super) struct Impossible;
