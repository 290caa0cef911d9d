"""Writes every vector file that its program makes; what is frozen stays as it is."""

from pathlib import Path

from .programs import programs


def main() -> None:
    """Write the files beside this one."""
    folder = Path(__file__).parent
    for program in programs():
        for name, content in program.files().items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


if __name__ == "__main__":
    main()
