//! What is said to the database.

use tokio_postgres::{Client, Statement};

/// How everything is done. Whatever the database's own defaults are: it is sure only where
/// each statement sees what was committed before it.
pub(super) const SETTINGS: &str = "
    SET application_name = 'posthouse';
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '4s';
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '10s';";

/// Made once; whoever comes first makes them.
pub(super) const TABLES: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(8101177213);
    CREATE TABLE IF NOT EXISTS posthouse_nodes (
        name text PRIMARY KEY, process bigint NOT NULL, until timestamptz NOT NULL);
    CREATE TABLE IF NOT EXISTS posthouse_parties (
        party text PRIMARY KEY, used timestamptz NOT NULL, rests_until timestamptz NOT NULL,
        level integer, level_until timestamptz);
    CREATE TABLE IF NOT EXISTS posthouse_shares (
        party text NOT NULL, node text NOT NULL, held integer NOT NULL, wanted integer NOT NULL,
        part integer NOT NULL, paced boolean NOT NULL, until timestamptz NOT NULL,
        PRIMARY KEY (party, node));
    COMMIT;";

pub(super) const TAKE_NAME: &str = "
    INSERT INTO posthouse_nodes (name, process, until)
    VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
    ON CONFLICT (name) DO UPDATE SET process = excluded.process, until = excluded.until";

/// What was held under the name goes with it, if the name is still ours.
pub(super) const LEAVE: &str = "
    WITH gone AS (
        DELETE FROM posthouse_nodes WHERE name = $1 AND process = $2 RETURNING name)
    DELETE FROM posthouse_shares USING gone WHERE node = gone.name";

/// Gives how many nodes there are beside, and the time; nothing where the name is not ours.
const KEEP_NAME: &str = "
    WITH mine AS (
        UPDATE posthouse_nodes SET until = clock_timestamp() + $3 * interval '1 ms'
        WHERE name = $1 AND process = $2 RETURNING name)
    SELECT (SELECT count(*) + 1 FROM posthouse_nodes
            WHERE until > clock_timestamp() AND name <> mine.name),
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM mine";
const NAME_IS_HELD: &str =
    "SELECT FROM posthouse_nodes WHERE name = $1 AND until > clock_timestamp()";
const ADD: &str = "
    INSERT INTO posthouse_parties (party, used, rests_until)
    SELECT party, clock_timestamp(), clock_timestamp()
    FROM unnest($1::text[]) AS new (party) ORDER BY party
    ON CONFLICT (party) DO UPDATE SET used = excluded.used";
const LOCK: &str = "
    SELECT party,
        greatest(0, extract(epoch FROM rests_until - clock_timestamp()) * 1000)::bigint,
        CASE WHEN level_until > clock_timestamp() THEN level END
    FROM posthouse_parties WHERE party = ANY($1::text[]) ORDER BY party FOR UPDATE";
const OTHERS: &str = "
    SELECT party, node, held, wanted, part, paced FROM posthouse_shares
    WHERE party = ANY($1::text[]) AND node <> $2 AND until > clock_timestamp()";
const KEEP: &str = "
    UPDATE posthouse_parties AS old
    SET rests_until = greatest(rests_until, clock_timestamp() + rest * interval '1 ms'),
        level = new.level,
        level_until = CASE WHEN new.level IS NOT DISTINCT FROM old.level AND level_until > clock_timestamp()
            THEN level_until ELSE clock_timestamp() + $4 * interval '1 ms' END
    FROM unnest($1::text[], $2::float8[], $3::int[]) AS new (party, rest, level)
    WHERE old.party = new.party";
const HOLD: &str = "
    INSERT INTO posthouse_shares (party, node, held, wanted, part, paced, until)
    SELECT party, $2, held, wanted, part, paced, clock_timestamp() + $7 * interval '1 ms'
    FROM unnest($1::text[], $3::int[], $4::int[], $5::int[], $6::boolean[])
        AS new (party, held, wanted, part, paced)
    ON CONFLICT (party, node) DO UPDATE SET held = excluded.held, wanted = excluded.wanted,
        part = excluded.part, paced = excluded.paced, until = excluded.until";
const GIVE_BACK: &str = "DELETE FROM posthouse_shares WHERE party = ANY($1::text[]) AND node = $2";
/// One after the other. Of parties, what another works on is left for the next time.
const SWEEP: [&str; 3] = [
    "DELETE FROM posthouse_shares WHERE until < clock_timestamp() - interval '1 hour'",
    "DELETE FROM posthouse_nodes WHERE until < clock_timestamp() - interval '1 hour'",
    "DELETE FROM posthouse_parties WHERE party IN (
        SELECT party FROM posthouse_parties AS old
        WHERE greatest(used, rests_until) < clock_timestamp() - interval '1 hour'
            AND NOT EXISTS (SELECT FROM posthouse_shares AS held WHERE held.party = old.party)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)",
];

/// What is said again and again, prepared for one connection.
pub(super) struct Statements {
    pub(super) keep_name: Statement,
    pub(super) name_is_held: Statement,
    pub(super) add: Statement,
    pub(super) lock: Statement,
    pub(super) others: Statement,
    pub(super) keep: Statement,
    pub(super) hold: Statement,
    pub(super) give_back: Statement,
    pub(super) sweep: Vec<Statement>,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let mut sweep = Vec::new();
        for statement in SWEEP {
            sweep.push(client.prepare(statement).await?);
        }
        Ok(Self {
            keep_name: client.prepare(KEEP_NAME).await?,
            name_is_held: client.prepare(NAME_IS_HELD).await?,
            add: client.prepare(ADD).await?,
            lock: client.prepare(LOCK).await?,
            others: client.prepare(OTHERS).await?,
            keep: client.prepare(KEEP).await?,
            hold: client.prepare(HOLD).await?,
            give_back: client.prepare(GIVE_BACK).await?,
            sweep,
        })
    }
}
