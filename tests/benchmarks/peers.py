"""Which other libraries are here."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

STUBS = Path(__file__).parent / "stubs"
IMPORT_NAMES = {"zennit": "zennit", "zennit-crp": "crp", "captum": "captum", "torch": "torch"}
TOOLBOX = "lrp_toolbox"
PEERS = (*IMPORT_NAMES, TOOLBOX)


def use_stubs():
    """Let zennit be imported where torchvision is not installed."""
    if importlib.util.find_spec("torchvision") is None:
        sys.path.append(str(STUBS))


def missing(peer, toolbox=None):
    """Say why a peer cannot run; None if it can."""
    if peer == TOOLBOX:
        return None if toolbox else "give its path with --lrp-toolbox"
    for name in dict.fromkeys(["torch", IMPORT_NAMES[peer]]):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    return None


def versions():
    """The installed version of everything that matters, by name."""
    names = ("refcrp", "numpy", "scipy", "torch", "zennit", "zennit-crp", "captum")
    found = {"python": sys.version.split()[0]}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "-"
    return found
