//! A limit that several nodes share: who of them may have how much of it.
//!
//! Each node asks for itself, one after the other, and sees what the others hold. It is
//! entitled to its part by max-min fairness: who wants less than an equal part has what he
//! wants, the rest is parted among the others, and what does not divide goes round by turns.
//! It never takes what another still holds: the sum of what is held stays within the limit
//! at every moment, and who holds more than his part gives way when he asks next.

/// What one node has of a limit, and what it could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// Others must not take this; never less than what is in use.
    pub held: u32,
    /// It could use so much.
    pub wanted: u32,
}

/// How much of `limit` the node at place `me` may have; all of them must be given in one
/// order by whoever asks. `turn` is the same for all at about the same time and goes up by
/// one now and then.
#[must_use]
pub fn share(limit: u32, claims: &[Claim], me: usize, turn: u64) -> u32 {
    let others = claims.iter().enumerate().filter(|(n, _)| *n != me);
    let held = others.fold(0u32, |sum, (_, claim)| sum.saturating_add(claim.held));
    entitled(limit, claims, me, turn).min(limit.saturating_sub(held))
}

/// The part of the node at place `me`, whatever others hold.
fn entitled(limit: u32, claims: &[Claim], me: usize, turn: u64) -> u32 {
    let Some(mine) = claims.get(me) else {
        return 0;
    };
    let mut wanted: Vec<u32> = claims.iter().map(|claim| claim.wanted).collect();
    wanted.sort_unstable();
    let mut left = limit;
    for (done, want) in wanted.iter().enumerate() {
        // At most as many as there are claims, which are few.
        let many = (wanted.len() - done) as u32;
        let equal = left / many;
        if *want > equal {
            if mine.wanted <= equal {
                return mine.wanted;
            }
            return equal + u32::from(has_turn(claims, me, turn, equal, left % many));
        }
        left -= want;
    }
    mine.wanted
}

/// Whether one of the `rest` that does not divide is ours this time.
fn has_turn(claims: &[Claim], me: usize, turn: u64, equal: u32, rest: u32) -> bool {
    let hungry = |claim: &&Claim| claim.wanted > equal;
    let place = claims[..me].iter().filter(hungry).count() as u64;
    let many = claims.iter().filter(hungry).count() as u64;
    (place + turn) % many.max(1) < u64::from(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(limit: u32, wanted: &[u32], turn: u64) -> Vec<u32> {
        let claim = |wanted: &u32| Claim {
            held: 0,
            wanted: *wanted,
        };
        let claims: Vec<Claim> = wanted.iter().map(claim).collect();
        (0..claims.len())
            .map(|me| share(limit, &claims, me, turn))
            .collect()
    }

    #[test]
    fn who_wants_little_has_it_and_the_rest_is_parted() {
        assert_eq!(parts(20, &[5, 3], 0), [5, 3]);
        assert_eq!(parts(20, &[100, 3], 0), [17, 3]);
        assert_eq!(parts(20, &[100, 3, 100, 0], 1), [8, 3, 9, 0]);
        assert_eq!(parts(20, &[100], 7), [20]);
        assert_eq!(parts(0, &[4, 4], 7), [0, 0]);
        assert_eq!(parts(20, &[], 0), [] as [u32; 0]);
    }

    #[test]
    fn what_does_not_divide_goes_round() {
        assert_eq!(parts(1, &[9, 9, 9], 0), [1, 0, 0]);
        assert_eq!(parts(1, &[9, 9, 9], 1), [0, 0, 1]);
        assert_eq!(parts(1, &[9, 9, 9], 2), [0, 1, 0]);
        assert_eq!(parts(5, &[9, 1, 9, 9], 3), [2, 1, 1, 1]);
    }

    #[test]
    fn nobody_takes_what_another_still_holds() {
        let claims = [
            Claim {
                held: 20,
                wanted: 20,
            },
            Claim {
                held: 0,
                wanted: 20,
            },
        ];
        // One is to give way first, and does when it asks.
        assert_eq!(share(20, &claims, 1, 0), 0);
        assert_eq!(share(20, &claims, 0, 0), 10);
    }

    /// However they ask and whatever they want, the limit holds at every moment; and
    /// when everyone has asked twice without a change, everyone has his part.
    #[test]
    fn the_sum_never_exceeds_the_limit_and_everyone_has_his_part_in_the_end() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut chance = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..2000 {
            let limit = chance(30) as u32;
            let many = 1 + chance(6) as usize;
            let mut claims = vec![Claim::default(); many];
            let mut used = vec![0u32; many];
            let held = |claims: &[Claim]| claims.iter().map(|claim| claim.held).sum::<u32>();
            for step in 0..60 {
                let me = chance(many as u64) as usize;
                claims[me].wanted = (chance(20) as u32).max(used[me]);
                let granted = share(limit, &claims, me, step / 10);
                used[me] = match used[me] > granted {
                    // What is under way ends when it ends.
                    true => used[me] - chance(2) as u32,
                    false => chance(u64::from(granted) + 1) as u32,
                };
                claims[me].held = granted.max(used[me]);
                assert!(held(&claims) <= limit, "{limit} {claims:?}");
            }
            for me in (0..many).chain(0..many) {
                claims[me].held = 0;
                claims[me].held = share(limit, &claims, me, 3);
            }
            let wanted: u32 = claims.iter().map(|claim| claim.wanted).sum();
            assert_eq!(held(&claims), wanted.min(limit), "{limit} {claims:?}");
            for one in &claims {
                let poorer = |other: &Claim| one.held < one.wanted && other.held > one.held + 1;
                assert!(!claims.iter().any(poorer), "{limit} {claims:?}");
            }
        }
    }
}
