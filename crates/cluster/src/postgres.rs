//! A board in a PostgreSQL database.
//!
//! | table | a row for each | |
//! |---|---|---|
//! | `posthouse_nodes` | node | which process has the name, and until when it counts as there |
//! | `posthouse_parties` | party | until when it is given a rest, what it has refused; what an exchange locks |
//! | `posthouse_shares` | node and party | what the node holds and wants, and until when |
//!
//! An exchange locks the rows of its parties in the order of their names, reads what others
//! hold, and writes its own rows: one transaction. Only the database's clock counts: when it
//! jumps, leases are longer or shorter by that.

mod connect;
mod statements;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use resolver::Resolver;
use runtime::Runtime;
use runtime::tls::ClientTls;
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};

pub use self::connect::{Config, SetupError};
use self::connect::{Connection, words};
use self::statements::{LEAVE, SETTINGS, Statements, TABLES, TAKE_NAME};
use crate::board::{Answer, Board, BoardError, BoxFuture, Share, Use};
use crate::limits::{
    EXCHANGE_TIMEOUT, LEASE, LEVEL_TIME, PARTIES_KNOWN_MAX, PARTIES_PER_EXCHANGE, REST_MAX,
};
use crate::row::{Common, Row, answer, learned, turn};

/// As numbers that time an interval of a millisecond.
const LEASE_MS: f64 = LEASE.as_secs() as f64 * 1000.0;
const LEVEL_MS: f64 = LEVEL_TIME.as_secs() as f64 * 1000.0;

type Parameter<'p> = &'p (dyn ToSql + Sync);

/// One in how many exchanges sweeps.
const SWEEP_EVERY: u64 = 1000;

/// A board in a database that other nodes use too.
pub struct PostgresBoard {
    runtime: Runtime,
    config: Config,
    resolver: Resolver,
    tls: Option<ClientTls>,
    node: String,
    /// Which process of that name: by chance, so that another of it is noticed.
    process: i64,
    has_name: AtomicBool,
    /// The host of several that could be written to last.
    host: AtomicUsize,
    session: Mutex<Option<Session>>,
}

/// A connection with what is prepared on it.
struct Session {
    connection: Connection,
    statements: Statements,
    /// Parties that have a row.
    known: HashSet<String>,
    exchanges: u64,
}

/// What one exchange asks in: a transaction with the statements of its session.
struct Exchange<'s> {
    transaction: Transaction<'s>,
    statements: &'s Statements,
    node: &'s str,
}

/// Whether the name is ours.
enum Name {
    Ours { nodes: u32, now: Duration },
    Free,
    Taken,
}

impl std::fmt::Debug for PostgresBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresBoard")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl PostgresBoard {
    /// For a node of this name; connects with the first exchange. `tls` are the authorities
    /// that are trusted, where there are any.
    #[must_use]
    pub fn new(
        runtime: &Runtime,
        config: Config,
        node: &str,
        (resolver, tls): (Resolver, Option<ClientTls>),
    ) -> Self {
        Self {
            process: runtime.random_u64().cast_signed(),
            runtime: runtime.clone(),
            config,
            resolver,
            tls,
            node: node.to_owned(),
            has_name: AtomicBool::new(false),
            host: AtomicUsize::new(0),
            session: Mutex::new(None),
        }
    }

    /// Connected, with the name in our hands.
    async fn open(&self) -> Result<Session, BoardError> {
        let from = self.host.load(Ordering::Relaxed);
        let network = (&self.resolver, self.tls.as_ref());
        let (mut connection, host) =
            Connection::open(&self.runtime, &self.config, from, network).await?;
        self.host.store(host, Ordering::Relaxed);
        let client = &mut connection.client;
        client.batch_execute(SETTINGS).await.map_err(away)?;
        client.batch_execute(TABLES).await.map_err(away)?;
        if !self.has_name.load(Ordering::Relaxed) {
            self.take_name(client).await.map_err(away)?;
            self.has_name.store(true, Ordering::Relaxed);
        }
        Ok(Session {
            statements: Statements::prepare(client).await.map_err(away)?,
            connection,
            known: HashSet::new(),
            exchanges: 0,
        })
    }

    /// From whoever had it before: a process that is started again does not wait. What that
    /// one held it does not use any more.
    async fn take_name(&self, client: &mut Client) -> Result<(), tokio_postgres::Error> {
        let transaction = client.transaction().await?;
        let shares = "DELETE FROM posthouse_shares WHERE node = $1";
        transaction.execute(shares, &[&self.node]).await?;
        let name: [Parameter<'_>; 3] = [&self.node, &self.process, &LEASE_MS];
        transaction.execute(TAKE_NAME, &name).await?;
        transaction.commit().await
    }

    async fn told(&self, session: &mut Session, uses: &[Use]) -> Result<Answer, BoardError> {
        session.exchanges += 1;
        session.add_parties(uses).await.map_err(away)?;
        let answer = self.answered(session, uses).await?;
        if answer.shares.len() < uses.len() {
            // Somebody swept them: the next exchange brings them back.
            session.known.clear();
            let why = "the database does not know these servers any more";
            return Err(BoardError::Away(why.to_owned()));
        }
        if session.exchanges.is_multiple_of(SWEEP_EVERY) {
            session.sweep().await.map_err(away)?;
        }
        Ok(answer)
    }

    /// One transaction.
    async fn answered(&self, session: &mut Session, uses: &[Use]) -> Result<Answer, BoardError> {
        let transaction = session.connection.client.transaction().await;
        let exchange = Exchange {
            transaction: transaction.map_err(away)?,
            statements: &session.statements,
            node: &self.node,
        };
        let (nodes, now) = match exchange.name(self.process).await.map_err(away)? {
            Name::Ours { nodes, now } => (nodes, now),
            Name::Taken => return Err(BoardError::NameTaken(self.node.clone())),
            Name::Free => {
                self.has_name.store(false, Ordering::Relaxed);
                let why = "the database does not know this node any more";
                return Err(BoardError::Away(why.to_owned()));
            }
        };
        let shares = match uses.is_empty() {
            true => Vec::new(),
            false => exchange.share(uses, turn(now)).await.map_err(away)?,
        };
        exchange.transaction.commit().await.map_err(away)?;
        Ok(Answer { shares, nodes })
    }

    async fn exchanged(
        &self,
        kept: &mut Option<Session>,
        uses: &[Use],
    ) -> Result<Answer, BoardError> {
        // Taken out: an exchange that is cut off leaves a transaction behind.
        let mut session = match kept.take() {
            Some(session) => session,
            None => self.open().await?,
        };
        let uses = &uses[..uses.len().min(PARTIES_PER_EXCHANGE)];
        let answer = self.told(&mut session, uses).await;
        // With another process of our name there is nothing wrong with the connection.
        if matches!(answer, Ok(_) | Err(BoardError::NameTaken(_))) {
            *kept = Some(session);
        }
        answer
    }

    async fn left(&self, session: Option<Session>) -> Result<(), BoardError> {
        let session = match session {
            Some(session) => session,
            None => self.open().await?,
        };
        let who: [Parameter<'_>; 2] = [&self.node, &self.process];
        let client = &session.connection.client;
        client.execute(LEAVE, &who).await.map_err(away)?;
        Ok(())
    }
}

impl Session {
    /// Parties are added before anything is locked, so that locks are taken in one order.
    async fn add_parties(&mut self, uses: &[Use]) -> Result<(), tokio_postgres::Error> {
        let names = uses.iter().map(|one| &one.party);
        let new: Vec<&String> = names.filter(|name| !self.known.contains(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let client = &self.connection.client;
        client.execute(&self.statements.add, &[&new]).await?;
        if self.known.len() >= PARTIES_KNOWN_MAX {
            self.known.clear();
        }
        self.known.extend(new.into_iter().cloned());
        Ok(())
    }

    /// What nobody has used for an hour goes.
    async fn sweep(&self) -> Result<(), tokio_postgres::Error> {
        let client = &self.connection.client;
        for statement in &self.statements.sweep {
            client.execute(statement, &[]).await?;
        }
        Ok(())
    }
}

impl Exchange<'_> {
    async fn name(&self, process: i64) -> Result<Name, tokio_postgres::Error> {
        let who: [Parameter<'_>; 3] = [&self.node, &process, &LEASE_MS];
        let keep = &self.statements.keep_name;
        let Some(row) = self.transaction.query_opt(keep, &who).await? else {
            let held = &self.statements.name_is_held;
            let held = self.transaction.query_opt(held, &[&self.node]).await?;
            return Ok(held.map_or(Name::Free, |_| Name::Taken));
        };
        let (nodes, now_ms): (i64, i64) = (row.get(0), row.get(1));
        Ok(Name::Ours {
            nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
            now: Duration::from_millis(now_ms.unsigned_abs()),
        })
    }

    /// Fewer answers than uses where a party has no row.
    async fn share(&self, uses: &[Use], turn: u64) -> Result<Vec<Share>, tokio_postgres::Error> {
        let parties: Vec<&str> = uses.iter().map(|one| one.party.as_str()).collect();
        let before = self.lock(&parties).await?;
        let others = self.others(&parties).await?;
        let (mut held, mut over, mut news) = (Vec::new(), Vec::new(), Vec::new());
        let mut shares = Vec::with_capacity(uses.len());
        for one in uses {
            let party = one.party.as_str();
            let Some(before) = before.get(party) else {
                return Ok(Vec::new());
            };
            let rows = others.get(party).map_or(&[][..], Vec::as_slice);
            let known = learned(one, rows, *before);
            if known != *before {
                news.push((party, known));
            }
            let (row, share) = answer(self.node, one, rows, (known, turn));
            match one.is_over() {
                true => over.push(party),
                false => held.push((party, row)),
            }
            shares.push(share);
        }
        if !news.is_empty() {
            self.keep(&news).await?;
        }
        if !held.is_empty() {
            self.hold(&held).await?;
        }
        if !over.is_empty() {
            let gone: [Parameter<'_>; 2] = [&over, &self.node];
            self.transaction
                .execute(&self.statements.give_back, &gone)
                .await?;
        }
        Ok(shares)
    }

    async fn lock(
        &self,
        parties: &[&str],
    ) -> Result<HashMap<String, Common>, tokio_postgres::Error> {
        let rows = self
            .transaction
            .query(&self.statements.lock, &[&parties])
            .await?;
        let common = |row: &tokio_postgres::Row| {
            let (rest_ms, level): (i64, Option<i32>) = (row.get(1), row.get(2));
            let common = Common {
                rest: Duration::from_millis(rest_ms.unsigned_abs()),
                level: level.map(i32::unsigned_abs),
            };
            (row.get(0), common)
        };
        Ok(rows.iter().map(common).collect())
    }

    async fn others(
        &self,
        parties: &[&str],
    ) -> Result<HashMap<String, Vec<Row>>, tokio_postgres::Error> {
        let mut others: HashMap<String, Vec<Row>> = HashMap::new();
        let who: [Parameter<'_>; 2] = [&parties, &self.node];
        for row in self
            .transaction
            .query(&self.statements.others, &who)
            .await?
        {
            let party: String = row.get(0);
            others.entry(party).or_default().push(read(&row));
        }
        Ok(others)
    }

    async fn keep(&self, news: &[(&str, Common)]) -> Result<(), tokio_postgres::Error> {
        let parties: Vec<&str> = news.iter().map(|(party, _)| *party).collect();
        let rest = |known: &Common| known.rest.min(REST_MAX).as_secs_f64() * 1000.0;
        let rests: Vec<f64> = news.iter().map(|(_, known)| rest(known)).collect();
        let level = |known: &Common| known.level.map(small);
        let levels: Vec<Option<i32>> = news.iter().map(|(_, known)| level(known)).collect();
        let row: [Parameter<'_>; 4] = [&parties, &rests, &levels, &LEVEL_MS];
        self.transaction
            .execute(&self.statements.keep, &row)
            .await?;
        Ok(())
    }

    async fn hold(&self, held: &[(&str, Row)]) -> Result<(), tokio_postgres::Error> {
        let column = |of: fn(&Row) -> u32| -> Vec<i32> {
            held.iter().map(|(_, row)| small(of(row))).collect()
        };
        let parties: Vec<&str> = held.iter().map(|(party, _)| *party).collect();
        let paced: Vec<bool> = held.iter().map(|(_, row)| row.paced).collect();
        let (all, wanted) = (column(|row| row.held), column(|row| row.wanted));
        let part = column(|row| row.part);
        let row: [Parameter<'_>; 7] = [
            &parties, &self.node, &all, &wanted, &part, &paced, &LEASE_MS,
        ];
        self.transaction
            .execute(&self.statements.hold, &row)
            .await?;
        Ok(())
    }
}

impl Board for PostgresBoard {
    fn exchange<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Answer, BoardError>> {
        Box::pin(async move {
            let mut kept = self.session.lock().await;
            let exchanged = self.exchanged(&mut kept, uses);
            let exchanged = self.runtime.timeout(EXCHANGE_TIMEOUT, exchanged).await;
            exchanged.unwrap_or_else(|_| {
                let long = EXCHANGE_TIMEOUT.as_secs();
                let why = format!("the database has not answered for {long} s");
                Err(BoardError::Away(why))
            })
        })
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Whoever never had the name has nothing to leave.
            if !self.has_name.load(Ordering::Relaxed) {
                return;
            }
            let session = self.session.lock().await.take();
            let left = self.runtime.timeout(EXCHANGE_TIMEOUT, self.left(session));
            let why = match left.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the database does not answer".to_owned(),
            };
            tracing::info!(%why, "others have what this node shared when its lease ends");
        })
    }
}

fn read(row: &tokio_postgres::Row) -> Row {
    let number = |column: usize| row.get::<_, i32>(column).unsigned_abs();
    Row {
        node: row.get(1),
        held: number(2),
        wanted: number(3),
        part: number(4),
        paced: row.get(5),
    }
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn away(error: tokio_postgres::Error) -> BoardError {
    BoardError::Away(words(&error))
}
