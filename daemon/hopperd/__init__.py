"""hopperd turns a folder into an invoice-capture line: put invoices in, get their data out.

A map, in the order in which an invoice passes through:

- `folders`: the disk. Sweep, claim by rename, deliver, file away. `buckets`: the same in an S3-compatible store.
- `pipeline`: the rules. Pure: what a job is, what may happen to it, what comes next.
- `ledger`: the database. Jobs and their history, the only truth after a restart; one file, or PostgreSQL for several
  nodes.
- `capture`: the service. Upload, run, look, fetch, within its limits.
- `workers`: the clockwork. Takes what is due, performs one step, records what happened.
- `web`: the window. The control API, on a socket of the state folder.
- `cli` and `app`: what a person types, and the one place where all parts are joined.
- `invoices` and `sandbox` stand apart: what an invoice is, and a twin of the service to run against.
"""

__version__ = "0.1.0"
