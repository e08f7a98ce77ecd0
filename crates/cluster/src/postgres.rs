//! A board in a PostgreSQL database.
//!
//! | table | a row for each | |
//! |---|---|---|
//! | `posthouse_nodes` | node | which process has the name, and until when it counts as there |
//! | `posthouse_parties` | party | until when it is given a rest; what an exchange locks |
//! | `posthouse_shares` | node and party | what the node holds and wants, and until when |
//!
//! An exchange locks the rows of its parties in the order of their names, reads what others
//! hold, and writes its own rows: one transaction. Only the database's clock counts.

mod connect;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resolver::Resolver;
use runtime::Runtime;
use runtime::tls::ClientTls;
use tokio::sync::Mutex;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use self::connect::Session;
pub use self::connect::{Config, SetupError};
use crate::board::{Answer, Board, BoardError, BoxFuture, Share, Use};
use crate::limits::{EXCHANGE_TIMEOUT, LEASE, PARTIES_PER_EXCHANGE, REST_MAX};
use crate::row::{Row, answer, turn};

/// Made once; whoever comes first makes them.
const TABLES: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(8101177213);
    CREATE TABLE IF NOT EXISTS posthouse_nodes (
        name text PRIMARY KEY, process bigint NOT NULL, until timestamptz NOT NULL);
    CREATE TABLE IF NOT EXISTS posthouse_parties (
        party text PRIMARY KEY, rests_until timestamptz NOT NULL);
    CREATE TABLE IF NOT EXISTS posthouse_shares (
        party text NOT NULL, node text NOT NULL, held integer NOT NULL, wanted integer NOT NULL,
        part integer NOT NULL, paced boolean NOT NULL, until timestamptz NOT NULL,
        PRIMARY KEY (party, node));
    COMMIT;";

/// What it is done in, beside the tables.
const SETTINGS: &str = "
    SET application_name = 'posthouse';
    SET statement_timeout = '4s';
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '10s';";

/// A name is taken from whoever had it before: a process that is started again does not wait.
const TAKE_NAME: &str = "
    INSERT INTO posthouse_nodes (name, process, until)
    VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
    ON CONFLICT (name) DO UPDATE SET process = excluded.process, until = excluded.until";
const KEEP_NAME: &str = "
    UPDATE posthouse_nodes SET until = clock_timestamp() + $3 * interval '1 ms'
    WHERE name = $1 AND process = $2";
const NODES: &str = "
    SELECT count(*), (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM posthouse_nodes WHERE until > clock_timestamp()";
const ADD_PARTIES: &str = "
    INSERT INTO posthouse_parties (party, rests_until)
    SELECT party, clock_timestamp() FROM unnest($1::text[]) AS new (party) ORDER BY party
    ON CONFLICT DO NOTHING";
const LOCK_PARTIES: &str = "
    SELECT party FROM posthouse_parties WHERE party = ANY($1::text[]) ORDER BY party FOR UPDATE";
const REST: &str = "
    UPDATE posthouse_parties AS old
    SET rests_until = greatest(rests_until, clock_timestamp() + rest * interval '1 ms')
    FROM unnest($1::text[], $2::bigint[]) AS new (party, rest) WHERE old.party = new.party
    RETURNING old.party, greatest(0, extract(epoch FROM rests_until - clock_timestamp()) * 1000)::bigint";
const OTHERS: &str = "
    SELECT party, node, held, wanted, part, paced FROM posthouse_shares
    WHERE party = ANY($1::text[]) AND node <> $2 AND until > clock_timestamp()";
const FORGET: &str = "
    DELETE FROM posthouse_shares
    WHERE party = ANY($1::text[]) AND (node = $2 OR until <= clock_timestamp())";
const HOLD: &str = "
    INSERT INTO posthouse_shares (party, node, held, wanted, part, paced, until)
    SELECT party, $2, held, wanted, part, paced, clock_timestamp() + $7 * interval '1 ms'
    FROM unnest($1::text[], $3::int[], $4::int[], $5::int[], $6::boolean[])
        AS new (party, held, wanted, part, paced)";
const LEAVE_SHARES: &str = "
    DELETE FROM posthouse_shares USING posthouse_nodes
    WHERE node = name AND name = $1 AND process = $2";
const LEAVE_NAME: &str = "DELETE FROM posthouse_nodes WHERE name = $1 AND process = $2";
/// What nobody has used for an hour; what another works on is left for the next time.
const SWEEP: &str = "
    DELETE FROM posthouse_parties WHERE party IN (
        SELECT party FROM posthouse_parties AS old
        WHERE rests_until < clock_timestamp() - interval '1 hour'
            AND NOT EXISTS (SELECT FROM posthouse_shares AS held WHERE held.party = old.party)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)";

/// As a number that times an interval.
const LEASE_MS: f64 = LEASE.as_secs() as f64 * 1000.0;

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
    session: Mutex<Option<Session>>,
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
            session: Mutex::new(None),
        }
    }

    /// For [`TAKE_NAME`] and [`KEEP_NAME`].
    fn name(&self) -> [Parameter<'_>; 3] {
        [&self.node, &self.process, &LEASE_MS]
    }

    /// Connected, with the name in our hands.
    async fn session(&self) -> Result<Session, BoardError> {
        let tls = self.tls.as_ref();
        let session = Session::open(&self.runtime, &self.config, &self.resolver, tls).await?;
        let client = &session.client;
        client.batch_execute(SETTINGS).await.map_err(away)?;
        client.batch_execute(TABLES).await.map_err(away)?;
        if !self.has_name.load(Ordering::Relaxed) {
            // What another process of this name held is not known to be in use by it.
            let shares = "DELETE FROM posthouse_shares WHERE node = $1";
            client.execute(shares, &[&self.node]).await.map_err(away)?;
            client
                .execute(TAKE_NAME, &self.name())
                .await
                .map_err(away)?;
            self.has_name.store(true, Ordering::Relaxed);
        }
        Ok(session)
    }

    async fn told(&self, session: &mut Session, uses: &[Use]) -> Result<Answer, BoardError> {
        session.exchanges += 1;
        let sweeps = session.exchanges.is_multiple_of(SWEEP_EVERY);
        let transaction = session.client.transaction().await.map_err(away)?;
        let kept = transaction.execute(KEEP_NAME, &self.name()).await;
        if kept.map_err(away)? == 0 {
            return self.without_name(transaction).await;
        }
        let row = transaction.query_one(NODES, &[]).await.map_err(away)?;
        let (nodes, now_ms): (i64, i64) = (row.get(0), row.get(1));
        let now = Duration::from_millis(now_ms.unsigned_abs());
        let shares = match uses.is_empty() {
            true => Vec::new(),
            false => self.share(&transaction, uses, turn(now)).await?,
        };
        if sweeps {
            transaction.execute(SWEEP, &[]).await.map_err(away)?;
        }
        transaction.commit().await.map_err(away)?;
        Ok(Answer {
            shares,
            nodes: u32::try_from(nodes).unwrap_or(1),
        })
    }

    /// The row with our name has gone, or is another's.
    async fn without_name(&self, transaction: Transaction<'_>) -> Result<Answer, BoardError> {
        let query = "SELECT FROM posthouse_nodes WHERE name = $1";
        let there = transaction.query_opt(query, &[&self.node]).await;
        if there.map_err(away)?.is_some() {
            return Err(BoardError::NameTaken(self.node.clone()));
        }
        // Somebody emptied the table: the next exchange takes it anew.
        self.has_name.store(false, Ordering::Relaxed);
        Err(BoardError::Away(
            "the database knows this node no more".to_owned(),
        ))
    }

    async fn share(
        &self,
        transaction: &Transaction<'_>,
        uses: &[Use],
        turn: u64,
    ) -> Result<Vec<Share>, BoardError> {
        let parties: Vec<&str> = uses.iter().map(|one| one.party.as_str()).collect();
        self.lock(transaction, &parties).await?;
        let rests = self.rests(transaction, &parties, uses).await?;
        let others = self.others(transaction, &parties).await?;
        let mut held = Vec::new();
        let mut shares = Vec::with_capacity(uses.len());
        for one in uses {
            let rest = rests.get(&one.party).copied().unwrap_or_default();
            let rows = others.get(&one.party).map_or(&[][..], Vec::as_slice);
            let (row, share) = answer(&self.node, one, rows, (rest, turn));
            if !one.is_over() {
                held.push((one.party.as_str(), row));
            }
            shares.push(share);
        }
        let parties: [Parameter<'_>; 2] = [&parties, &self.node];
        transaction.execute(FORGET, &parties).await.map_err(away)?;
        self.hold(transaction, &held).await?;
        Ok(shares)
    }

    async fn lock(
        &self,
        transaction: &Transaction<'_>,
        parties: &[&str],
    ) -> Result<(), BoardError> {
        let lock = async || {
            transaction
                .query(LOCK_PARTIES, &[&parties])
                .await
                .map_err(away)
        };
        if lock().await?.len() < parties.len() {
            let added = transaction.execute(ADD_PARTIES, &[&parties]).await;
            added.map_err(away)?;
            lock().await?;
        }
        Ok(())
    }

    /// Until when each party rests now, all told.
    async fn rests(
        &self,
        transaction: &Transaction<'_>,
        parties: &[&str],
        uses: &[Use],
    ) -> Result<HashMap<String, Duration>, BoardError> {
        let ms = |one: &Use| i64::try_from(one.rest.min(REST_MAX).as_millis()).unwrap_or(0);
        let rests: Vec<i64> = uses.iter().map(ms).collect();
        let rows = transaction.query(REST, &[&parties, &rests]).await;
        let rest = |row: &tokio_postgres::Row| {
            let ms: i64 = row.get(1);
            (row.get(0), Duration::from_millis(ms.unsigned_abs()))
        };
        Ok(rows.map_err(away)?.iter().map(rest).collect())
    }

    async fn others(
        &self,
        transaction: &Transaction<'_>,
        parties: &[&str],
    ) -> Result<HashMap<String, Vec<Row>>, BoardError> {
        let mut others: HashMap<String, Vec<Row>> = HashMap::new();
        let rows = transaction.query(OTHERS, &[&parties, &self.node]).await;
        for row in rows.map_err(away)? {
            let party: String = row.get(0);
            others.entry(party).or_default().push(read(&row));
        }
        Ok(others)
    }

    async fn hold(
        &self,
        transaction: &Transaction<'_>,
        held: &[(&str, Row)],
    ) -> Result<(), BoardError> {
        if held.is_empty() {
            return Ok(());
        }
        let column = |of: fn(&Row) -> u32| -> Vec<i32> {
            let numbers = held.iter().map(|(_, row)| of(row));
            numbers
                .map(|n| i32::try_from(n).unwrap_or(i32::MAX))
                .collect()
        };
        let parties: Vec<&str> = held.iter().map(|(party, _)| *party).collect();
        let paced: Vec<bool> = held.iter().map(|(_, row)| row.paced).collect();
        let (all, wanted) = (column(|row| row.held), column(|row| row.wanted));
        let part = column(|row| row.part);
        let row: [Parameter<'_>; 7] = [
            &parties, &self.node, &all, &wanted, &part, &paced, &LEASE_MS,
        ];
        transaction.execute(HOLD, &row).await.map_err(away)?;
        Ok(())
    }

    async fn left(&self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let who: [Parameter<'_>; 2] = [&self.node, &self.process];
        session.client.execute(LEAVE_SHARES, &who).await?;
        session.client.execute(LEAVE_NAME, &who).await?;
        Ok(())
    }
}

impl Board for PostgresBoard {
    fn exchange<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Answer, BoardError>> {
        Box::pin(async move {
            let mut kept = self.session.lock().await;
            // Taken out: an exchange that is cut off leaves a transaction behind.
            let session = kept.take();
            let exchanged = self.runtime.timeout(EXCHANGE_TIMEOUT, async {
                let mut session = match session {
                    Some(session) => session,
                    None => self.session().await?,
                };
                let uses = &uses[..uses.len().min(PARTIES_PER_EXCHANGE)];
                let answer = self.told(&mut session, uses).await?;
                Ok((session, answer))
            });
            let (session, answer) = exchanged.await.unwrap_or_else(|_| {
                let long = EXCHANGE_TIMEOUT.as_secs();
                Err(BoardError::Away(format!(
                    "the database has not answered for {long} s"
                )))
            })?;
            *kept = Some(session);
            Ok(answer)
        })
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(session) = self.session.lock().await.take() else {
                return;
            };
            let left = self.runtime.timeout(EXCHANGE_TIMEOUT, self.left(&session));
            if let Ok(Err(error)) = left.await {
                let error = away(error);
                tracing::info!(%error, "what this node shares is free only when its time is over");
            }
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

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn away(error: tokio_postgres::Error) -> BoardError {
    BoardError::Away(connect::words(&error))
}
