"""The command table of the `mentormesh` program."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mentormesh", prog_name="mentormesh")
def main() -> None:
    """Focused advice from a mentor at another company, readable by nobody else."""
