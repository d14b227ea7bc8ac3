// `accounts.js off|on`: a projection of emmett-postgresql folds the log of the benchmark into a table.
//
// As its documentation advises for a rebuild: a consumer with a raw SQL projection, whose statements of a batch run in one
// transaction with the checkpoint; larger batches than its default, pulled without its default pause. The word says whether
// commits wait for the disk. Where the server is, libpq's variables say. The last line of the output is the sample, as JSON.

import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { SQL } from '@event-driven-io/dumbo';
import {
  getPostgreSQLEventStore,
  postgreSQLRawSQLProjection,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';

const BATCH_EVENTS = 1000;
const PAUSE_MS = 1;

const MAKE_TABLE = `CREATE SCHEMA emmett;
  CREATE TABLE emmett.account (id text PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL,
    open boolean NOT NULL, last_position bigint NOT NULL)`;

// The log as this library stores it.
const FILL = `WITH streams AS (
    INSERT INTO emt_streams (stream_id, stream_position, stream_type, stream_metadata)
    SELECT e.stream, max(e.version), 'account', '{}' FROM projectionist.events e GROUP BY e.stream
  )
  INSERT INTO emt_messages (stream_position, global_position, transaction_id, stream_id, message_schema_version,
    message_id, message_type, message_data, message_metadata)
  SELECT e.version, e.position, pg_current_xact_id(), e.stream, '1', e.id::text, e.type, e.data::jsonb, '{}'
  FROM projectionist.events e ORDER BY e.position`;

const { PGUSER: user, PGDATABASE: database, PGHOST: host, PGPORT: port } = process.env;
const options = encodeURIComponent(`-c synchronous_commit=${process.argv[2]}`);
const connectionString = `postgresql://${user}@/${database}?host=${encodeURIComponent(host)}&port=${port}&options=${options}`;

const upsert = (account, owner, balance, open, position) => SQL`
  INSERT INTO emmett.account AS a (id, owner, balance, open, last_position)
  VALUES (${account}, ${owner}, ${balance}, ${open}, ${position})
  ON CONFLICT (id) DO UPDATE
  SET owner = CASE excluded.owner WHEN '' THEN a.owner ELSE excluded.owner END,
    balance = a.balance + excluded.balance, open = excluded.open, last_position = excluded.last_position`;

const evolve = ({ type, data, metadata }) => {
  const position = metadata.globalPosition;
  switch (type) {
    case 'AccountOpened':
      return upsert(data.account, data.owner, 0, true, position);
    case 'MoneyDeposited':
      return upsert(data.account, '', data.amount, true, position);
    case 'MoneyWithdrawn':
      return upsert(data.account, '', -data.amount, true, position);
    default:
      return upsert(data.account, '', 0, false, position);
  }
};

const store = getPostgreSQLEventStore(connectionString);
await store.schema.migrate();
await store.close();
const client = new pg.Client({ connectionString });
await client.connect();
await client.query(MAKE_TABLE);
const { rowCount: events } = await client.query(FILL);
await client.query('ANALYZE emt_messages');
await client.end();

const began = performance.now();
const cpuBegan = process.cpuUsage();
const consumer = rebuildPostgreSQLProjections({
  connectionString,
  pulling: { batchSize: BATCH_EVENTS, pullingFrequencyInMs: PAUSE_MS },
  projections: [
    postgreSQLRawSQLProjection({
      name: 'accounts',
      canHandle: ['AccountOpened', 'MoneyDeposited', 'MoneyWithdrawn', 'AccountClosed'],
      evolve,
    }),
  ],
});
await consumer.start();
const cpu = process.cpuUsage(cpuBegan);
const sample = {
  events,
  seconds: (performance.now() - began) / 1000,
  cpu_seconds: (cpu.user + cpu.system) / 1e6,
  peak_rss_mib: process.resourceUsage().maxRSS / 1024,
};
await consumer.close();
console.log(JSON.stringify(sample));
