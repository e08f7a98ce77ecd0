//! Tests of the log's lines.

use std::sync::{Arc, Mutex};

use super::*;

fn lines_of(format: Format, level: &str, act: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let lines = lines.clone();
        move |line: &str| lines.lock().expect("no panics here").push(line.to_owned())
    };
    let layer = Lines::new(format, || 1_767_225_600_123, sink).with_filter(filter(level));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
    let lines = lines.lock().expect("no panics here");
    lines.clone()
}

#[test]
fn an_event_is_a_line_with_the_fields_of_its_spans() {
    let lines = lines_of(Format::Text, "info", || {
        let span = tracing::info_span!("session", session = "4f2a", user = tracing::field::Empty);
        let _inside = span.enter();
        span.record("user", "alice@demo.test");
        tracing::info!(target: "smtp", size = 17, "message accepted");
        tracing::debug!(target: "smtp", "not told");
    });
    assert_eq!(
        lines,
        [
            "2026-01-01T00:00:00.123Z info smtp: message accepted session=4f2a user=alice@demo.test size=17\n"
        ]
    );
}

#[test]
fn threat_09_a_peer_cannot_forge_a_line() {
    let evil = "x\r\n2026-01-01T00:00:00.123Z info smtp: login ok \"\u{202e}";
    let lines = lines_of(Format::Text, "info", || {
        tracing::info!(target: "smtp", helo = evil, "refused {evil}");
        tracing::info!(target: "smtp", helo = %"a".repeat(5000), "long");
    });
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].matches('\n').count(), 1);
    assert!(lines[0].contains("helo=\"x\\r\\n2026"), "{}", lines[0]);
    assert!(!lines[0].contains('\u{202e}'));
    assert!(lines[1].len() < 1200);
}

#[test]
fn json_lines_are_json() {
    let lines = lines_of(Format::Json, "debug", || {
        tracing::warn!(target: "imap", ok = false, count = 3u64, text = "a\nb", "said {}", "so");
    });
    let value: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    assert_eq!(value["level"], "warn");
    assert_eq!(value["message"], "said so");
    assert_eq!(value["text"], "a\nb");
    assert_eq!(value["count"], 3);
    assert_eq!(lines[0].matches('\n').count(), 1);
}

#[test]
fn libraries_keep_quiet() {
    let lines = lines_of(Format::Text, "debug", || {
        tracing::debug!(target: "hickory_proto::udp", "chatter");
        tracing::warn!(target: "hickory_proto::udp", "trouble");
    });
    assert_eq!(lines.len(), 1);
}

#[test]
fn dates_are_right() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
    assert_eq!(rfc3339(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
}
