//! What happens to a place from week to week.

use super::Draw;
use crate::standin::chance::Chance;

/// What has happened in one slot up to a week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// How many places were here before.
    pub(super) generation: u32,
    /// How often the present one got a new phone number.
    pub(super) phones: u32,
    /// How often it got a new name.
    pub(super) names: u32,
    /// How often it moved.
    pub(super) moves: u32,
}

impl Life {
    /// The life of a slot up to a week.
    pub(super) fn of(seed: u64, slot: u64, week: u32) -> Self {
        (1..=week).fold(Self::default(), |life, week| {
            // In a thousand: five close and five open instead, ten change. Twenty in all.
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
