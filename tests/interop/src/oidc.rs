//! A real OpenID provider (`oidc-provider` for Node) on loopback, with a
//! certificate of an authority of its own, and tokens that somebody forged.

use crate::posthouse::Posthouse;
use crate::world::{World, node_modules, wait_for_port};
use anyhow::{Context as _, Result};
use std::process::Command;

/// Where it is, which is its issuer identifier too.
pub const ISSUER: &str = "https://127.0.0.2:8443";

/// What its tokens are for.
pub const AUDIENCE: &str = "mail.demo.test";

const SCRIPT: &str = include_str!("oidc/provider.mjs");

/// The provider; it runs while the world does.
#[derive(Debug)]
pub struct Provider {
    pid: Option<u32>,
}

impl Provider {
    /// Makes keys and certificates in the world's folder; nobody serves them yet.
    pub fn prepare(world: &World) -> Result<Self> {
        let d = world.dir().display();
        std::fs::write(world.dir().join("provider.mjs"), SCRIPT)?;
        world.sh(&format!(
            "cd {d} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
               -days 30 -subj /CN=issuers 2>/dev/null && \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr \
               -subj /CN=id 2>/dev/null && printf 'subjectAltName=IP:127.0.0.2\\n' > leaf.ext && \
             openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext \
               -out leaf.pem 2>/dev/null"
        ))?;
        world.output("node", script(world, "keys"))?;
        Ok(Self { pid: None })
    }

    /// Begins to serve.
    pub fn start(&mut self, world: &mut World) -> Result<()> {
        let mut command = Command::new("node");
        command.args(script(world, "serve"));
        self.pid = Some(world.start("oidc-provider", &mut command)?);
        wait_for_port(ISSUER.trim_start_matches("https://"))
    }

    /// Is gone at once.
    pub fn kill(&mut self, world: &mut World) -> Result<()> {
        let pid = self.pid.take().context("the provider runs")?;
        world.signal(pid, "KILL")
    }

    /// What a server needs to take its tokens.
    pub fn introduce(&self, world: &World, server: &mut Posthouse) -> Result<()> {
        server.cli(&[
            "config",
            "set",
            "oauth.issuer",
            ISSUER,
            "oauth.audiences",
            &format!("[\"{AUDIENCE}\"]"),
            "oauth.scope",
            "mail",
        ])?;
        let authority = world.dir().join("ca.pem").display().to_string();
        server.var("SSL_CERT_FILE", &authority);
        Ok(())
    }

    /// An access token that the provider gives to a client; its `email` is the client's name at demo.test.
    pub fn token(&self, world: &World, client: &str) -> Result<String> {
        let authority = world.dir().join("ca.pem").display().to_string();
        let login = format!("{client}:secret");
        let url = format!("{ISSUER}/token");
        let grant = "grant_type=client_credentials&scope=mail";
        let args = [
            "-sS", "--cacert", &authority, "-u", &login, "-d", grant, &url,
        ];
        let answer = world.output("curl", args)?;
        let answer: serde_json::Value = serde_json::from_str(&answer).context(answer)?;
        let token = answer["access_token"].as_str();
        Ok(token.with_context(|| answer.to_string())?.to_owned())
    }

    /// Tokens that must not be taken, by what is wrong with them, and `rsa`, which is good.
    pub fn forged(&self, world: &World) -> Result<serde_json::Map<String, serde_json::Value>> {
        world.output("node", script(world, "forge"))?;
        let file = std::fs::read_to_string(world.dir().join("forged.json"))?;
        Ok(serde_json::from_str(&file)?)
    }
}

fn script(world: &World, what: &str) -> [String; 5] {
    let d = world.dir().display().to_string();
    let modules = node_modules().display().to_string();
    [
        format!("{d}/provider.mjs"),
        modules,
        d,
        ISSUER.into(),
        what.into(),
    ]
}
