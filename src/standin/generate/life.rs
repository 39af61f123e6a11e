//! The changes of a place from week to week.

use super::Draw;
use crate::standin::chance::Chance;

/// The changes in one slot up to a week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// The number of earlier places in this slot.
    pub(super) generation: u32,
    /// How often the current place got a new phone number.
    pub(super) phones: u32,
    /// How often it got a new name.
    pub(super) names: u32,
    /// How often it moved.
    pub(super) moves: u32,
}

impl Life {
    /// The changes of a slot up to a week.
    pub(super) fn of(seed: u64, slot: u64, week: u32) -> Self {
        (1..=week).fold(Self::default(), |life, week| {
            // Of 1000 places per week, 5 close and are replaced by 5 new ones, and 10 change: 20 changes (2 %) in total.
            match Chance::of(&[seed, Draw::Life as u64, slot, week.into()]).below(1000) {
                0..5 => Self { generation: life.generation + 1, ..Self::default() },
                5..10 => Self { phones: life.phones + 1, ..life },
                10..12 => Self { names: life.names + 1, ..life },
                12..15 => Self { moves: life.moves + 1, ..life },
                _ => life,
            }
        })
    }
}
