//! JMAP beside IMAP on one account: jmapc (Python) and imaplib, each told at once what the other does.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, run};

#[test]
fn jmapc_and_imaplib_see_one_account() {
    run(
        "jmap::jmapc_and_imaplib_see_one_account",
        Needs::Python,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.set("listen.https", "[\"127.0.0.10:443\"]")?;
            ours.set("jmap.enabled", "true")?;
            ours.set("jmap.url", "\"https://127.0.0.10\"")?;
            ours.serve(world)?;
            let path = world.dir().join("both.py");
            std::fs::write(&path, include_str!("jmap/both.py"))?;
            let python = interop::world::python().display().to_string();
            let words = [path.display().to_string(), PASSWORD.to_owned()];
            let out = world.output(&python, words)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            ours.assert_sound()
        },
    );
}
