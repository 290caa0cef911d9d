"""`mentormesh vocabulary`: import, list, remove and search the words that offers and needs share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from node.matching.typeahead import Suggestion
from node.services.vocabulary import (
    ConceptFile,
    ImportReport,
    ImportVocabulary,
    ListVocabularies,
    Removed,
    RemoveVocabulary,
    Scheme,
    SearchVocabulary,
)
from protocol.concept_lines import MAX_LINE_BYTES, parse_concepts
from protocol.errors import LimitError, MalformedError

from .node_access import NodeAccess, operator_command
from .output import Output

#: Called with how many further bytes have been read.
Progress = Callable[[int], object]

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def vocabulary() -> None:
    """Bring, list, remove and search vocabularies of topics."""


@vocabulary.command("import")
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--scheme", required=True, metavar="NAME", help="Name of the vocabulary; one of this name is replaced.")
@click.option(
    "--groups", type=_FILE, multiple=True, help="A file that holds nothing but groups and does not say so; repeatable."
)
@operator_command
async def import_files(
    node: NodeAccess, output: Output, files: tuple[Path, ...], scheme: str, groups: tuple[Path, ...]
) -> None:
    """Import FILES of JSON Lines, one concept a line: {"id","en","alt","broader", ...}.

    All files are checked first; one bad line and nothing is imported. Undo with `mentormesh vocabulary remove NAME`.
    """
    chosen = [(path, True) for path in groups] + [(path, False) for path in files]
    with _progress_bar([path for path, _ in chosen], shown=not output.as_json) as progress:
        checked = tuple(_read(path, groups=is_group, progress=progress) for path, is_group in chosen)
    report = await node.call("vocabulary.import", ImportVocabulary(scheme=scheme, files=checked), ImportReport)
    output.result(report, _report_lines(report))


@vocabulary.command("list")
@operator_command
async def list_schemes(node: NodeAccess, output: Output) -> None:
    """List the vocabularies of the node."""
    schemes = await node.call("vocabulary.list", ListVocabularies(), tuple[Scheme, ...])
    rows = [(each.scheme, f"{each.concepts:,}", _day(each.imported_at), each.source) for each in schemes]
    output.table(schemes, ("name", "concepts", "imported", "source"), rows, empty="There is no vocabulary.")


@vocabulary.command()
@click.argument("scheme", metavar="NAME")
@operator_command
async def remove(node: NodeAccess, output: Output, scheme: str) -> None:
    """Remove an imported vocabulary; import its files again to undo.

    Profiles and offers keep its topics, which then match only themselves.
    """
    removed = await node.call("vocabulary.remove", RemoveVocabulary(scheme=scheme), Removed)
    output.result(removed, f"Removed {removed.scheme} ({_count(removed.concepts, 'concept')}).")


@vocabulary.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--lang", "language", default="en", show_default=True, help="Language whose labels come first.")
@click.option("--limit", type=click.IntRange(1, 50), default=10, show_default=True, help="How many at most.")
@operator_command
async def search(node: NodeAccess, output: Output, text: tuple[str, ...], language: str, limit: int) -> None:
    """Show which topics somebody is offered who types TEXT."""
    asked = SearchVocabulary(text=" ".join(text)[:100], language=language, limit=limit)
    found = await node.call("vocabulary.search", asked, tuple[Suggestion, ...])
    rows = [(each.id, each.label, "" if each.matched == each.label else each.matched, each.language) for each in found]
    output.table(found, ("id", "label", "found by", "language"), rows, empty="No label has these words.")


def _read(path: Path, *, groups: bool, progress: Progress) -> ConceptFile:
    """Return the content of a file whose every line was checked. Raises: MalformedError: names file, line and field."""
    read: list[bytes] = []
    try:
        parse_concepts(_lines(path, read, progress), groups=groups)
    except (MalformedError, LimitError) as error:
        raise type(error)(f"{path.name}: {error}") from None
    return ConceptFile(name=path.name[:200], text=b"".join(read).decode(), groups=groups)


def _lines(path: Path, read: list[bytes], progress: Progress) -> Iterator[bytes]:
    """Yield the lines of a file and keep them; a line beyond the limit is cut, so that it is refused and not held."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 2):
            read.append(line)
            progress(len(line))
            yield line.removesuffix(b"\n")


@contextmanager
def _progress_bar(paths: Sequence[Path], *, shown: bool) -> Iterator[Progress]:
    """Yield what moves a bar on standard error, which is seen only at a terminal and disappears at the end."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("Reading", total=sum(path.stat().st_size for path in paths))
        yield lambda count: bar.advance(task, count)


def _report_lines(report: ImportReport) -> list[str]:
    done = "Replaced" if report.replaced else "Imported"
    concepts = f"{_count(report.concepts, 'concept')} ({report.groups:,} of them groups)"
    labels = f"{_count(report.labels, 'label')} in {', '.join(report.languages)}"
    lines = [f"{done} {report.scheme}: {concepts}, {labels}."]
    if report.repeated:
        lines.append(f"Passed over {_count(report.repeated, 'line')} with an id that came before.")
    if report.keys_passed_over:
        lines.append(f"These keys were not read: {', '.join(report.keys_passed_over)}.")
    if not report.groups:
        lines.append("There is no group among them: topics cannot be generalized. See --groups.")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _day(at: int | None) -> str:
    return "built in" if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()
