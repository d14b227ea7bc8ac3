"""`accounts.py off|on`: a projection of the Python library `eventsourcing` folds the log of the benchmark into a table.

As its documentation advises: a view on a tracking recorder of PostgreSQL, the row and the tracking in one transaction,
prepared statements, one row for the tracking, and a runner that subscribes to the application's log. The word says whether
commits wait for the disk. Where the server is, libpq's variables say. The last line of the output is the sample, as JSON.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

WORD = sys.argv[1]
os.environ["PGOPTIONS"] = f"-c synchronous_commit={WORD}"
os.environ |= {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "POSTGRES_DBNAME": os.environ["PGDATABASE"],
    "POSTGRES_HOST": os.environ["PGHOST"],
    "POSTGRES_PORT": os.environ["PGPORT"],
    "POSTGRES_USER": os.environ["PGUSER"],
    "POSTGRES_PASSWORD": os.environ.get("PGPASSWORD", ""),
    "POSTGRES_SCHEMA": "eventsourcing",
    "SINGLE_ROW_TRACKING": "y",
}

import psycopg  # noqa: E402
from eventsourcing.application import Application  # noqa: E402
from eventsourcing.domain import DomainEvent  # noqa: E402
from eventsourcing.postgres import PostgresTrackingRecorder  # noqa: E402
from eventsourcing.projection import Projection, ProjectionRunner  # noqa: E402
from eventsourcing.utils import register_topic  # noqa: E402

PATIENCE_SECONDS = 300

UPSERT = Path(__file__).parents[3].joinpath("guests/sql/upsert_account.sql").read_text()
UPSERT = UPSERT.replace("INTO account ", "INTO eventsourcing.account ")
for number, name in enumerate(["account", "owner", "balance", "open", "position"], 1):
    UPSERT = UPSERT.replace(f"${number}", f"%({name})s")

MAKE_TABLE = """CREATE SCHEMA eventsourcing;
CREATE TABLE eventsourcing.account (id text PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL,
    open boolean NOT NULL, last_position bigint NOT NULL)"""

# The log as this library stores it, with the JSON of its own transcoder.
FILL = """INSERT INTO eventsourcing.accounts_events (originator_id, originator_version, topic, state, notification_id)
SELECT md5(e.stream)::uuid, e.version, e.type, convert_to(e.data::text, 'UTF8'), e.position
FROM projectionist.events e ORDER BY e.position"""


class Opened(DomainEvent):
    account: str
    owner: str


class Deposited(DomainEvent):
    account: str
    amount: int


class Withdrawn(DomainEvent):
    account: str
    amount: int


class Closed(DomainEvent):
    account: str


register_topic("AccountOpened", Opened)
register_topic("MoneyDeposited", Deposited)
register_topic("MoneyWithdrawn", Withdrawn)
register_topic("AccountClosed", Closed)


class Accounts(Application):
    name = "accounts"


class AccountTable(PostgresTrackingRecorder):
    def write(self, tracking, account, owner="", balance=0, is_open=True):
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            values = {
                "account": account,
                "owner": owner,
                "balance": balance,
                "open": is_open,
                "position": tracking.notification_id,
            }
            cursor.execute(UPSERT, values, prepare=True)


class AccountProjection(Projection[AccountTable]):
    name = "account_projection"

    def process_event(self, domain_event, tracking):
        account = domain_event.account
        match domain_event:
            case Opened(owner=owner):
                self.view.write(tracking, account, owner=owner)
            case Deposited(amount=amount):
                self.view.write(tracking, account, balance=amount)
            case Withdrawn(amount=amount):
                self.view.write(tracking, account, balance=-amount)
            case Closed():
                self.view.write(tracking, account, is_open=False)


def main():
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(MAKE_TABLE)
        Accounts().close()
        events = connection.execute(FILL).rowcount
        connection.execute("ANALYZE eventsourcing.accounts_events")
        query = "SELECT max(notification_id) FROM eventsourcing.accounts_events"
        last = connection.execute(query).fetchone()[0]
    began, cpu_began = time.perf_counter(), time.process_time()
    runner = ProjectionRunner(
        application_class=Accounts,
        projection_class=AccountProjection,
        view_class=AccountTable,
    )
    with runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        sample = {
            "events": events,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    print(json.dumps(sample))


main()
