"""What a user would write in an afternoon: watchdog, requests, a pool of eight threads, a look each second.

The peer of `peer`. Uploads what is put into a folder, asks for a Run, looks every second, writes the result.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

THREADS = 8


class Handler(FileSystemEventHandler):
    def __init__(self, url: str, out: Path) -> None:
        self.url, self.out = url, out
        self.pool = ThreadPoolExecutor(THREADS)

    def on_created(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self.pool.submit(self.capture, Path(os.fsdecode(event.src_path)))

    def on_moved(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self.pool.submit(self.capture, Path(os.fsdecode(event.dest_path)))

    def capture(self, path: Path) -> None:
        with path.open("rb") as file:
            source = requests.post(f"{self.url}/v2/file", files={"file": (path.name, file)}, timeout=60).json()
        source = source[0] if isinstance(source, list) else source
        order = {"files": [{"id": source["id"], "token": source["token"]}], "properties": {"region": "US"}}
        task = requests.post(f"{self.url}/v2/task/capture/invoices", json=order, timeout=60).json()
        while task["status"] not in ("Done", "Failed"):
            time.sleep(1.0)
            task = requests.get(f"{self.url}/v2/task/{task['id']}", timeout=60).json()
        for document in task["documents"]:
            result = document["files"]["target"]
            got = requests.get(f"{self.url}/v2/file/{result['id']}/{result['token']}", timeout=60)
            (self.out / f"{path.stem}.json").write_bytes(got.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", required=True)
    arguments = parser.parse_args()
    observer = Observer()
    observer.schedule(Handler(arguments.url, arguments.out), str(arguments.inbox), recursive=True)
    observer.start()
    print("watching", flush=True)
    observer.join()


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != str(Path(__file__).parent)]
    main()
