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

/// The turn at a time of the board's clock.
pub(crate) fn turn(since_epoch: Duration) -> u64 {
    since_epoch.as_secs() / TURN.as_secs()
}

/// A node's new row and what it is told, beside the rows of others who are there; none of
/// them is its own.
pub(crate) fn answer(
    node: &str,
    asked: &Use,
    others: &[Row],
    (rest, turn): (Duration, u64),
) -> (Row, Share) {
    let mut others: Vec<&Row> = others.iter().collect();
    others.sort_by(|one, other| one.node.cmp(&other.node));
    let me = others.partition_point(|row| row.node.as_str() < node);
    let among = |mine: Claim, of: fn(&Row) -> Claim| {
        let mut claims: Vec<Claim> = others.iter().map(|row| of(row)).collect();
        claims.insert(me, mine);
        claims
    };
    let wanted = asked.wanted.max(asked.used);
    let claims = among(Claim { held: 0, wanted }, |row| Claim {
        held: row.held,
        wanted: row.wanted,
    });
    let connections = share(asked.limit, &claims, me, turn);
    let whole = |paced: bool| if paced { PART_WHOLE } else { 0 };
    let claims = among(
        Claim {
            held: 0,
            wanted: whole(asked.paced),
        },
        |row| Claim {
            held: row.part,
            wanted: if row.paced { PART_WHOLE } else { 0 },
        },
    );
    let part = share(PART_WHOLE, &claims, me, turn);
    let row = Row {
        node: node.to_owned(),
        held: connections.max(asked.used),
        wanted,
        part,
        paced: asked.paced,
    };
    let share = Share {
        connections,
        part,
        rest,
    };
    (row, share)
}
