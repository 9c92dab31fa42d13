"""What an invoice is: looked into before it is sent, read from a document, written as an export.

Knows nothing of jobs, folders or the service, and imports nothing else of hopperd. Start at `inspect.py` (may this
file be sent at all?), `reader.py` (what does it say?) and `exports.py` (say it again as Json, Csv, Xml or Xls).
Nothing is imported here: a child process that only looks into files must start in an instant.
"""
