"""A folder in a bucket in the configuration: what is taken, and what is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopperd.errors import ConfigurationError
from hopperd.settings import Settings, load
from hopperd.settings.bucket_path import BucketPath, bucket_path, in_bucket

BEGIN = """
[accounts.main]
location = "us"
application_id = "x"
[[folders]]
name = "us"
account = "main"
region = "US"
"""


def loaded(tmp_path: Path, *lines: str) -> Settings:
    file = tmp_path / "hopperd.toml"
    file.write_text(BEGIN + "\n".join(lines))
    return load(file, {}, need_tokens=False)


@pytest.mark.parametrize(
    ("written", "bucket", "prefix"),
    [("s3://abc", "abc", ""), ("s3://abc/", "abc", ""), ("s3://a-b.c/x/y z/", "a-b.c", "x/y z")],
)
def test_a_place_in_a_bucket_is_taken_as_it_is_written(tmp_path: Path, written: str, bucket: str, prefix: str) -> None:
    (folder,) = loaded(tmp_path, f'path = "{written}"', 'endpoint = "https://store.example:9000/"').folders
    path = in_bucket(folder.path)
    assert path is not None and (path.bucket, path.prefix) == (bucket, prefix)
    assert str(folder.inbox) == f"{written.rstrip('/')}/in"
    assert isinstance(folder.done, BucketPath)
    assert folder.endpoint == "https://store.example:9000"


def test_a_path_on_a_disk_is_none_in_a_bucket(tmp_path: Path) -> None:
    (folder,) = loaded(tmp_path, 'path = "s3"').folders
    assert in_bucket(folder.path) is None and folder.path == tmp_path / "s3"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (['path = "s3://"'], "a bucket's name has"),
        (['path = "s3://Ab"'], "a bucket's name has"),
        (['path = "s3://abc/x//y"'], "cannot be named"),
        (['path = "s3://abc/../y"'], "cannot be named"),
        ([f'path = "s3://abc/{"y" * 600}"'], "more than 512 bytes"),
        (['path = "s3://abc/x"', 'out = "/srv/out"'], "cannot stand beside a path in a bucket"),
        (['path = "/srv/x"', 'out = "s3://abc/out"'], "only a folder's path can be s3://"),
        (['path = "/srv/x"', 'endpoint = "https://store.example"'], "only beside a path in a bucket"),
        (['path = "s3://abc/x"', 'endpoint = "https://key:secret@store.example"'], "secrets never stand"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, *lines)
    assert sentence in str(refused.value)


def test_two_folders_may_not_meet_in_a_bucket(tmp_path: Path) -> None:
    second = '[[folders]]\nname = "two"\naccount = "main"\nregion = "US"'
    for path in ("s3://abc/x", "s3://abc/x/in/deeper"):
        with pytest.raises(ConfigurationError, match=r"same path|inside"):
            loaded(tmp_path, 'path = "s3://abc/x"', second, f'path = "{path}"')
    assert len(loaded(tmp_path, 'path = "s3://abc/x"', second, 'path = "s3://abc/y"').folders) == 2


def test_an_endpoint_in_clear_is_warned_about(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'path = "s3://abc/x"', 'endpoint = "http://store.example:9000"')
    assert any("not encrypted" in warning for warning in settings.warnings)
    assert bucket_path("s3://abc/x") == settings.folders[0].path
