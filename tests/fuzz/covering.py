"""Runs a fuzz target under atheris, libFuzzer for Python; arguments: module, corpus folder, libFuzzer's options."""

import importlib
import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # installed by `make fuzz` only


def main() -> None:
    module, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["socmon", "collectors", "forwarders"]):
        target = importlib.import_module(module)
    atheris.Setup([sys.argv[0], *options], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
