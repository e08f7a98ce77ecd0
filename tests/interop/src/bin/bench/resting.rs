//! What costs nothing but memory.

use crate::measure::Work;
use anyhow::Result;
use interop::posthouse::Posthouse;
use interop::world::World;

/// Memory at rest with 10 accounts, and per idle session at 5,000 of IMAP and
/// 10,000 of SMTP.
pub(crate) fn idle(world: &mut World) -> Result<()> {
    let mut ours = Posthouse::init(
        world,
        "127.0.0.10",
        "demo.test",
        &["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"],
    )?;
    ours.set("imap.sessions_per_user", "10000")?;
    ours.set("limits.connections_per_address", "20000")?;
    ours.set("limits.connections", "20000")?;
    let pid = ours.serve(world)?;
    let work = |n: u32| {
        format!(
            "--addr {} --connections {n} --user u{{n}}@demo.test --users 9 idle",
            ours.addr(143)
        )
    };
    let rest = Work::new(&work(0), &[pid]).measure()?;
    println!(
        "| at rest, 10 accounts | resident_kb | {} | | | |",
        rest["resident_kb"]
    );
    let many = Work::new(&work(5000), &[pid]).measure()?;
    println!(
        "| 5,000 sessions in IDLE | kb_per_session | {} | | | |",
        many["kb_per_session"]
    );
    // The allocator keeps for a while what those sessions had.
    ours.end(world, "TERM")?;
    let pid = ours.serve(world)?;
    let smtp = format!("--addr {} --connections 10000 idle --smtp", ours.addr(25));
    let many = Work::new(&smtp, &[pid]).measure()?;
    println!(
        "| 10,000 SMTP sessions after EHLO | kb_per_session | {} | | | |",
        many["kb_per_session"]
    );
    Ok(())
}
