//! What the board keeps of one node and one party, and how it answers: the same for every board.

use std::time::Duration;

use queue_model::{Claim, share};

use crate::board::{Share, Use};
use crate::limits::{PART_WHOLE, TURN};

/// What a node holds of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) node: String,
    /// Connections that nobody else may have.
    pub(crate) held: u32,
    pub(crate) wanted: u32,
    /// Of the pace, in thousandths.
    pub(crate) part: u32,
    pub(crate) paced: bool,
}

/// What is known of a party, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Common {
    /// How long it rests from now on.
    pub(crate) rest: Duration,
    /// It takes no more connections than that, as was seen lately.
    pub(crate) level: Option<u32>,
}

/// The turn at a time of the board's clock.
pub(crate) fn turn(since_epoch: Duration) -> u64 {
    since_epoch.as_secs() / TURN.as_secs()
}

/// What is known when this has been heard.
pub(crate) fn learned(asked: &Use, others: &[Row], before: Common) -> Common {
    let open = asked.keeps.saturating_add(held(others)).max(1);
    let refused = asked.refused.then_some(open);
    Common {
        rest: before.rest.max(asked.rest),
        level: match (before.level, refused) {
            (Some(level), Some(open)) => Some(level.min(open)),
            (level, open) => level.or(open),
        },
    }
}

fn held(rows: &[Row]) -> u32 {
    let held = rows.iter().map(|row| row.held);
    held.fold(0, u32::saturating_add)
}

/// A node's new row and what it is told, beside the rows of others who are there; none of
/// them is its own.
pub(crate) fn answer(
    node: &str,
    asked: &Use,
    others: &[Row],
    (common, turn): (Common, u64),
) -> (Row, Share) {
    let mut sorted: Vec<&Row> = others.iter().collect();
    sorted.sort_by(|one, other| one.node.cmp(&other.node));
    let me = sorted.partition_point(|row| row.node.as_str() < node);
    let among = |wanted: u32, of: fn(&Row) -> Claim| {
        let mut claims: Vec<Claim> = sorted.iter().map(|row| of(row)).collect();
        claims.insert(me, Claim { held: 0, wanted });
        claims
    };
    let wanted = asked.wanted.max(asked.keeps);
    let claims = among(wanted, |row| Claim {
        held: row.held,
        wanted: row.wanted,
    });
    let limit = common
        .level
        .map_or(asked.limit, |level| level.min(asked.limit));
    let connections = share(limit, &claims, me, turn);
    let whole = |paced: bool| if paced { PART_WHOLE } else { 0 };
    let claims = among(whole(asked.paced), |row| Claim {
        held: row.part,
        wanted: if row.paced { PART_WHOLE } else { 0 },
    });
    let part = share(PART_WHOLE, &claims, me, turn);
    let row = Row {
        node: node.to_owned(),
        held: connections.max(asked.keeps),
        wanted,
        part: part.max(asked.keeps_part),
        paced: asked.paced,
    };
    let share = Share {
        connections,
        part,
        others: held(others),
        rest: common.rest,
    };
    (row, share)
}
