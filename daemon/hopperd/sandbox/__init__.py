"""The twin of the service: a server of its own that speaks the service's REST API v2, for demos, staging and tests.

It has its own idea of the wire (written from the vendor's documentation, not from our client) and shares nothing with
the client it is a twin for: it imports `hopperd.invoices` and libraries, nothing else of hopperd. No account, no
network and no money are needed. It listens on loopback only and must never hold anything that matters.

- `config`: what can be chosen; `command`: runs a configured twin until it is told to stop.
- `server`: routes; `upload`, `files`, `tasks`, `datasets`, `control`: one handler per method.
- `verification`, `windows`, `corrections`, `static/`: the page where a person verifies.
- `openapi`, `openapi_schemas`: the whole interface as data.
- `wire`, `lenient`, `auth`, `refusal`: their JSON, their forgiving parser, their credentials, their errors.
- `twin`, `vault`, `contents`, `catalog`: everything it remembers, bounded; `state`, `memoir`: what outlives it.
- `processing`: how a task gets on in time.
- `reader`, `reader_pool`, `reader_child`, `page_image`: documents are read, written and drawn in child processes.
- `faults`, `trouble`: the fault plan and how a fault looks on the wire; `log`: one JSON line per deed.
"""
