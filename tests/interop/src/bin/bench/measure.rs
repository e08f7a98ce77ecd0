//! One measurement, and two of them side by side.

use anyhow::{Result, bail};
use interop::posthouse::PASSWORD;
use serde_json::Value;
use std::process::Command;

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

/// What the load tool is asked to do, and whose cost is counted.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    words: Vec<String>,
    pids: Vec<u32>,
}

impl Work {
    /// Words apart by blanks.
    pub(crate) fn new(words: &str, pids: &[u32]) -> Self {
        Self {
            words: words.split(' ').map(str::to_owned).collect(),
            pids: pids.to_vec(),
        }
    }

    /// More words, which may have blanks in them.
    pub(crate) fn and(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// One measurement. What the run before left unwritten is on the disk
    /// first, so that nobody pays for the other.
    pub(crate) fn measure(&self) -> Result<Value> {
        Command::new("sync").status()?;
        let program = std::env::current_exe()?.with_file_name("posthouse-load");
        let mut command = Command::new(program);
        command.args(&self.words).args(["--password", PASSWORD]);
        for pid in &self.pids {
            command.args(["--pid", &pid.to_string()]);
        }
        let out = command.output()?;
        if !out.status.success() {
            bail!(
                "posthouse-load {:?}: {}",
                self.words,
                String::from_utf8_lossy(&out.stderr)
            );
        }
        Ok(serde_json::from_slice(&out.stdout)?)
    }
}

/// Alternates A and B and prints how many times better A is, by each figure.
pub(crate) fn compare(what: &str, a: &Work, b: &Work, figures: &[&str]) -> Result<()> {
    alternate(what, figures, || a.measure(), || b.measure())
}

/// The same for anything that gives figures.
pub(crate) fn alternate(
    what: &str,
    figures: &[&str],
    mut a: impl FnMut() -> Result<Value>,
    mut b: impl FnMut() -> Result<Value>,
) -> Result<()> {
    let rounds = number("POSTHOUSE_BENCH_ROUNDS", 7);
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (one, two) = (a()?, b()?);
        eprintln!("{what} round {round}: {one} | {two}");
        // The first round warms both up.
        if round > 0 {
            all_a.push(one);
            all_b.push(two);
        }
    }
    for figure in figures {
        let (ours, theirs) = (values(&all_a, figure), values(&all_b, figure));
        let smaller_is_better = !figure.contains("per_second");
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| if smaller_is_better { b / a } else { a / b })
            .collect();
        let (low, mid, high) = quartiles(ratios);
        println!(
            "| {what} | {figure} | {:.3} | {:.3} | **{mid:.2}** | {low:.2}–{high:.2} |",
            quartiles(ours).1,
            quartiles(theirs).1
        );
    }
    Ok(())
}

/// Ours alone, where no peer does the same; prints medians with their quartiles.
pub(crate) fn alone(
    what: &str,
    figures: &[&str],
    mut a: impl FnMut() -> Result<Value>,
) -> Result<()> {
    let rounds = number("POSTHOUSE_BENCH_ROUNDS", 7);
    let mut all = Vec::new();
    for round in 0..=rounds {
        let one = a()?;
        eprintln!("{what} round {round}: {one}");
        if round > 0 {
            all.push(one);
        }
    }
    for figure in figures {
        let (low, mid, high) = quartiles(values(&all, figure));
        println!("| {what} | {figure} | {mid:.3} | | | {low:.3}–{high:.3} |");
    }
    Ok(())
}

fn values(all: &[Value], figure: &str) -> Vec<f64> {
    all.iter()
        .map(|v| v.get(figure).and_then(Value::as_f64).unwrap_or(0.0))
        .collect()
}

/// Between two values it is the line between them: with three rounds, too, the
/// worse quartile is worse than the median.
fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (values.len() - 1) as f64 * share;
        let (below, above) = (
            values[place.floor() as usize],
            values[place.ceil() as usize],
        );
        if below == above {
            below
        } else {
            below + (above - below) * place.fract()
        }
    };
    (at(0.25), at(0.5), at(0.75))
}
