//! Queue ids, states and retries: ids are read as written, what ended stays
//! ended, retries lie ahead.
#![no_main]

use libfuzzer_sys::fuzz_target;
use queue_model::{Age, Class, Event, QueueId, Schedule, State, Verdict, judge};

fn event(kind: u8, ms: u64) -> Event {
    match kind % 9 {
        0 => Event::Lease { now_ms: ms },
        1 => Event::Deliver,
        2 => Event::PutOff { until_ms: ms },
        3 => Event::GiveUp,
        4 => Event::Interrupt { due_ms: ms },
        5 => Event::Hold,
        6 => Event::Release { now_ms: ms },
        7 => Event::Retry { now_ms: ms },
        _ => Event::Remove,
    }
}

fn check_id(text: &str) {
    if let Ok(id) = text.parse::<QueueId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            id.to_string().eq_ignore_ascii_case(
                &text
                    .to_ascii_lowercase()
                    .replace(['i', 'l'], "1")
                    .replace('o', "0")
            )
        );
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data) {
        check_id(text);
    }
    let mut state = State::Todo { due_ms: 0 };
    for step in data.chunks_exact(9) {
        let ms = u64::from_le_bytes([
            step[1], step[2], step[3], step[4], step[5], step[6], step[7], step[8],
        ]);
        if let Ok(next) = state.apply(event(step[0], ms)) {
            assert!(!state.is_final());
            state = next;
        }
        assert_eq!(
            state.is_final(),
            state.due_ms().is_none() && !matches!(state, State::Held | State::Leased)
        );

        let schedule = Schedule {
            first_ms: ms.rotate_left(17),
            max_ms: ms.rotate_left(31),
            ..Schedule::default()
        };
        let age = Age {
            arrived_ms: ms.rotate_left(7),
            now_ms: ms,
            attempts: ms as u32,
            is_report: step[0] & 1 == 1,
        };
        if let Verdict::Retry { at_ms } = judge(Class::Temporary, age, &schedule, ms) {
            assert!(
                at_ms >= age.now_ms
                    && at_ms
                        <= age
                            .arrived_ms
                            .saturating_add(schedule.lifetime_ms(age.is_report))
            );
        }
    }
});
