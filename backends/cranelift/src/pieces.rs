//! What is kept of the content of a page that units were made from: pieces of it, since
//! most pages have few units.

use crate::code::PAGE;
use std::ops::Range;

/// Bytes of a piece.
const PIECE: usize = 256;

/// Some of a page's content.
#[derive(Clone, Default)]
pub(crate) struct Pieces([Option<Box<[u8; PIECE]>>; PAGE / PIECE]);

/// The bytes from an offset in a page to another.
pub(crate) type Extent = (usize, usize);

/// The pieces that hold some of an extent, and what they hold of it.
fn parts((start, end): Extent) -> impl Iterator<Item = (usize, Range<usize>)> {
    (start / PIECE..end.div_ceil(PIECE)).map(move |piece| {
        let begin = piece * PIECE;
        (
            piece,
            start.max(begin) - begin..end.min(begin + PIECE) - begin,
        )
    })
}

impl Pieces {
    /// Of a page, what holds an extent.
    pub(crate) fn of(page: &[u8; PAGE], extent: Extent) -> Self {
        let (mut this, pieces) = (Self::default(), page.as_chunks::<PIECE>().0);
        for (at, _) in parts(extent) {
            if let (Some(to), Some(from)) = (this.0.get_mut(at), pieces.get(at)) {
                *to = Some(Box::new(*from));
            }
        }
        this
    }

    fn part(&self, at: usize, part: Range<usize>) -> Option<&[u8]> {
        self.0.get(at)?.as_ref()?.get(part)
    }

    /// Whether all of an extent is here.
    pub(crate) fn hold(&self, extent: Extent) -> bool {
        parts(extent).all(|(at, part)| self.part(at, part).is_some())
    }

    /// Whether others hold the same of an extent.
    pub(crate) fn agree(&self, others: &Self, extent: Extent) -> bool {
        parts(extent).all(|(at, part)| self.part(at, part.clone()) == others.part(at, part))
    }

    /// Whether a page holds what is here of an extent.
    pub(crate) fn are_of(&self, page: &[u8; PAGE], extent: Extent) -> bool {
        let same = |at, part: Range<usize>| {
            let of_page = page.get(at * PIECE + part.start..at * PIECE + part.end);
            self.part(at, part) == of_page
        };
        parts(extent).all(|(at, part)| same(at, part))
    }

    /// Whether a page holds all that is here.
    pub(crate) fn are_all_of(&self, page: &[u8; PAGE]) -> bool {
        let mut both = self.0.iter().zip(page.as_chunks().0);
        both.all(|(piece, now)| piece.as_ref().is_none_or(|piece| **piece == *now))
    }

    /// Adds those of others that are not here.
    pub(crate) fn add(&mut self, others: &Self) {
        for (piece, other) in self.0.iter_mut().zip(&others.0) {
            if piece.is_none() {
                piece.clone_from(other);
            }
        }
    }

    /// Takes the content of a page for what is here.
    pub(crate) fn renew(&mut self, page: &[u8; PAGE]) {
        for (piece, new) in self.0.iter_mut().zip(page.as_chunks().0) {
            if let Some(piece) = piece {
                **piece = *new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_asked_for() {
        let mut page = [0; PAGE];
        page[PIECE] = 1;
        let mut pieces = Pieces::of(&page, (PIECE - 2, PIECE + 2));
        assert!(pieces.hold((0, 2 * PIECE)) && !pieces.hold((0, 2 * PIECE + 1)));
        assert!(pieces.are_of(&page, (PIECE - 2, PIECE + 2)));
        page[PIECE + 1] = 1;
        assert!(!pieces.are_of(&page, (PIECE - 2, PIECE + 2)));
        assert!(pieces.are_of(&page, (PIECE - 2, PIECE + 1)));
        let others = Pieces::of(&page, (PIECE, PAGE));
        assert!(!pieces.agree(&others, (PIECE, PIECE + 2)));
        assert!(pieces.agree(&others, (PIECE + 2, PIECE + 4)));
        pieces.add(&others);
        assert!(pieces.hold((0, PAGE)));
        assert!(!pieces.are_of(&page, (PIECE, PIECE + 2)), "that was there");
        assert!(!pieces.are_all_of(&page) && others.are_all_of(&page));
        pieces.renew(&page);
        assert!(pieces.are_of(&page, (0, PAGE)) && pieces.are_all_of(&page));
    }
}
