"""The database: jobs and their history, the only truth after a restart.

`store.Store` is the ledger the workers see. Below it: `pump` gathers what is asked for into transactions, `transactor`
runs one of them and says what became of each call, `opening` and `state` bring a state folder to an open connection,
`records`, `twins` and `queries` are the statements at work, `rows` and `codec` turn jobs into rows and back. `postgres`
is the other database, `fleet`, `link` and `lease` are for several nodes on it, `moving` leads from one to the other.
"""
