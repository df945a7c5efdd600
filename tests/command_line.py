"""Running the command line in a test."""

from refcrp import cli


def run(capsys, *arguments):
    """Give the exit status, and what was printed and what was said on standard error."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err
