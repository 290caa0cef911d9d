"""Changes of the schema run once, whole, in order; what does not fit is refused before anything is touched."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from node.rows import MetaRow, MigrationRow
from node.store.errors import SchemaError
from node.store.migrations import FOLDER, load, migrate, statements
from node.store.sqlite import SqliteStore
from tests.architecture.house import ROOT
from tests.contracts.sample_store import open_sample_store, sample_folder
from tests.fakes.clock import SteppedClock

START = """
import sys
from pathlib import Path
from node.clock import SystemClock
from node.store.sqlite import SqliteStore
SqliteStore.open(Path(sys.argv[1]), clock=SystemClock())
print("sqlite_utils" in sys.modules)
"""


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def tables(path: Path) -> set[str]:
    with closing(connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def run(path: Path, folder: Path) -> int:
    with closing(connect(path)) as connection:
        return migrate(connection, now=5, folder=folder)


async def test_each_change_is_recorded_with_its_hash(tmp_path: Path) -> None:
    async with open_sample_store(tmp_path, now=77) as store, store.read() as view:
        recorded = await view.find(MigrationRow)
        meta = await view.get(MetaRow, 1)
    files = sorted(sample_folder(tmp_path).iterdir())
    assert recorded == [
        MigrationRow(number=number, name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), applied_at=77)
        for number, file in enumerate(files, 1)
    ]
    assert meta == MetaRow(generation=1, created_at=77) == store.meta


async def test_the_program_s_own_changes_run_on_an_empty_file_and_only_once(tmp_path: Path) -> None:
    assert run(tmp_path / "node.db", FOLDER) == len(load()) >= 1
    assert run(tmp_path / "node.db", FOLDER) == 0


async def test_a_later_opening_keeps_the_first_meta_row(tmp_path: Path) -> None:
    await open_sample_store(tmp_path, now=77).close()
    async with open_sample_store(tmp_path, now=99) as store:
        assert store.meta == MetaRow(generation=1, created_at=77)


async def test_new_changes_run_at_the_next_opening(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path)
    await open_sample_store(tmp_path).close()
    (folder / "0003_more.sql").write_text("CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;\n")
    await open_sample_store(tmp_path).close()
    assert "more" in tables(tmp_path / "node.db")


async def test_a_change_that_was_edited_after_it_ran_is_refused(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path)
    await open_sample_store(tmp_path).close()
    (folder / "0003_more.sql").write_text("CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;\n")
    with (folder / "0002_samples.sql").open("a") as file:
        file.write("-- a harmless remark\n")
    with pytest.raises(SchemaError, match=r"0002_samples\.sql was changed"):
        open_sample_store(tmp_path)
    assert "more" not in tables(tmp_path / "node.db")


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    await open_sample_store(tmp_path).close()
    before = (tmp_path / "node.db").read_bytes()
    with pytest.raises(SchemaError, match=r"newer mentormesh \(it knows 0002_samples\.sql\)"):
        SqliteStore.open(tmp_path / "node.db", clock=SteppedClock(), folder=own_only(tmp_path))
    assert (tmp_path / "node.db").read_bytes() == before


def own_only(tmp_path: Path) -> Path:
    folder = tmp_path / "older"
    folder.mkdir()
    (folder / "0001_store.sql").write_bytes((FOLDER / "0001_store.sql").read_bytes())
    return folder


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "node.db")) as connection:
        connection.execute("CREATE TABLE song (title TEXT)")
    with pytest.raises(SchemaError, match="another program"):
        open_sample_store(tmp_path)
    assert tables(tmp_path / "node.db") == {"song"}


def test_a_change_that_fails_leaves_nothing_and_the_ones_before_it_stay(tmp_path: Path) -> None:
    folder = own_only(tmp_path)
    run(tmp_path / "node.db", folder)
    (folder / "0002_good.sql").write_text("CREATE TABLE good (id INTEGER) STRICT;\n")
    (folder / "0003_bad.sql").write_text("CREATE TABLE half (id INTEGER) STRICT;\nCREATE TABLE half (id INTEGER);\n")
    with pytest.raises(sqlite3.OperationalError, match="half"):
        run(tmp_path / "node.db", folder)
    assert tables(tmp_path / "node.db") == {"migration", "meta", "good"}

    (folder / "0003_bad.sql").write_text("CREATE TABLE whole (id INTEGER) STRICT;\n")
    assert run(tmp_path / "node.db", folder) == 1


def test_a_change_that_fails_leaves_nothing_of_a_new_database(tmp_path: Path) -> None:
    folder = own_only(tmp_path)
    (folder / "0002_bad.sql").write_text("CREATE TABLE half (id INTEGER) STRICT;\nCREATE TABLE half (id INTEGER);\n")
    with pytest.raises(sqlite3.OperationalError, match="half"):
        run(tmp_path / "node.db", folder)
    assert tables(tmp_path / "node.db") == set()


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dash.sql", "0003_Upper.sql"])
def test_a_misnamed_file_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="must be named"):
        load(tmp_path)


def test_two_files_with_one_number_are_a_mistake(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="same number"):
        load(tmp_path)


def test_statements_are_told_apart_by_the_grammar_not_by_semicolons() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  SELECT 1;\n  SELECT ';';\nEND;\n"
    assert list(statements(f"-- a remark; with a semicolon\nSELECT 1;\n{trigger}\n-- the end\n")) == [
        "-- a remark; with a semicolon\nSELECT 1;\n",
        trigger,
    ]


def test_a_statement_without_its_semicolon_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="semicolon"):
        list(statements("SELECT 1;\nSELECT 2\n-- the end\n"))


@pytest.mark.slow
def test_a_start_with_a_current_schema_does_not_import_the_migration_library(tmp_path: Path) -> None:
    def imported() -> str:
        arguments = [sys.executable, "-c", START, str(tmp_path / "node.db")]
        return subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()

    assert imported() == "True"
    assert imported() == "False"


def test_a_database_that_has_safes_counts_once_what_they_hold(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for file in FOLDER.glob("*.sql"):
        if file.name < "0230":
            shutil.copy(file, earlier)
    run(tmp_path / "node.db", earlier)
    with closing(connect(tmp_path / "node.db")) as connection:
        columns = "(member, name, version, data, stored_on)"
        for member, name, size in (("ana", "archive", 5), ("ana", "recovery", 2), ("ben", "archive", 1)):
            connection.execute(f"INSERT INTO safe {columns} VALUES (?, ?, 1, ?, 0)", (member, name, bytes(size)))
    assert run(tmp_path / "node.db", FOLDER) >= 1
    with closing(connect(tmp_path / "node.db")) as connection:
        assert connection.execute("SELECT * FROM safe_use ORDER BY member").fetchall() == [("ana", 2, 7), ("ben", 1, 1)]
