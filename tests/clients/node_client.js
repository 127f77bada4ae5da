// node-postgres as people use it: read SQL [PARAM...], held SQL, tx SQL..., notices SQL. Prints JSON lines.
'use strict';

const fs = require('node:fs');
const { Client } = require('pg');

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const asText = { getTypeParser: () => (value) => value };

function rows(result) {
  if (result.fields.length === 0) {
    say({ did: 'statement', rows: result.rowCount });
    return;
  }
  say({ columns: result.fields.map((field) => field.name), rows: result.rows });
}

function failed(error) {
  const { code, message, detail = null, hint = null } = error;
  say({ error: { code, message, detail, hint } });
}

// PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE are read by the driver itself.
function connection() {
  const root = process.env.PGSSLROOTCERT;
  return new Client({ ssl: root ? { ca: fs.readFileSync(root, 'utf8'), servername: 'localhost' } : false });
}

async function act(client, action, [sql, ...rest]) {
  if (action !== 'tx') {
    let at = 0;
    const text = rest.length ? sql.replace(/\?/g, () => `$${++at}`) : sql;
    const values = rest.length ? rest : undefined;
    rows(await client.query({ text, values, rowMode: 'array', types: asText }));
    return;
  }
  await client.query('BEGIN');
  for (const text of [sql, ...rest]) {
    rows(await client.query({ text, rowMode: 'array', types: asText }));
  }
  const ended = await client.query('COMMIT');
  say({ did: ended.command === 'COMMIT' ? 'committed' : 'rolled back' });
}

async function main([action, ...statements]) {
  const client = connection();
  client.on('notice', ({ message, detail = null, hint = null }) => say({ notice: message, detail, hint }));
  // The connection's own failures come here as well as to the query that waits.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    failed(error);
    return 2;
  }
  say({ did: 'connected', pid: client.processID });
  try {
    await act(client, action, statements);
    return 0;
  } catch (error) {
    failed(error);
    if (action === 'tx') {
      await client.query('ROLLBACK');
      say({ did: 'rolled back' });
    }
    return 1;
  } finally {
    await client.end();
  }
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code; });
