"""psycopg as people use it: read SQL [PARAM...], held SQL, tx SQL..., notices SQL, copy SQL LINE.... Prints JSON lines.

Transactions are the driver's own: it opens one before the first statement and commits at the end.
"""

import json
import sys

import psycopg


def say(**line):
    print(json.dumps(line), flush=True)


def rows(cursor):
    if cursor.description is None:
        say(did="statement", rows=cursor.rowcount)
        return
    text = [[None if value is None else str(value) for value in row] for row in cursor.fetchall()]
    say(columns=[column.name for column in cursor.description], rows=text)


def failed(error):
    shown = error.diag
    say(error={
        "code": error.sqlstate,
        "message": shown.message_primary or str(error),
        "detail": shown.message_detail,
        "hint": shown.message_hint,
    })


def main(action, *arguments):
    # PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE and PGSSLROOTCERT say whom to connect to.
    with psycopg.connect() as connection:
        connection.add_notice_handler(lambda notice: say(
            notice=notice.message_primary, detail=notice.message_detail, hint=notice.message_hint))
        connection.autocommit = action in ("read", "held", "notices")
        say(did="connected", pid=connection.info.backend_pid)
        try:
            if action == "tx":
                for sql in arguments:
                    rows(connection.execute(sql))
                connection.commit()
                say(did="committed")
            elif action == "copy":
                sql, *lines = arguments
                with connection.cursor() as cursor:
                    with cursor.copy(sql) as copy:
                        for line in lines:
                            copy.write(line + "\n")
                    say(did="copied", rows=cursor.rowcount)
                connection.commit()
            else:
                sql, *parameters = arguments
                rows(connection.execute(sql.replace("?", "%s"), parameters) if parameters else connection.execute(sql))
        except psycopg.Error as error:
            failed(error)
            if action == "tx":
                connection.rollback()
                say(did="rolled back")
            sys.exit(1)


try:
    main(*sys.argv[1:])
except psycopg.OperationalError as error:
    failed(error)
    sys.exit(2)
