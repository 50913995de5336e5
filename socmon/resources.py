"""Files that ship with socmon: rules, the example configuration, units for systemd."""

from pathlib import Path

from socmon.errors import SocmonError


def shipped(name: str) -> Path:
    """The file or folder `name` of this installation: `socmon/data/name` of the wheel, or `name` in the checkout.

    Raises:
        SocmonError: it is in neither; the installation is damaged.
    """
    package = Path(__file__).parent  # as the catalogues of socmon.i18n; importlib.resources takes 10 ms to import
    places = (package / "data" / name, package.parent / name)
    for place in places:
        if place.exists():
            return place
    raise SocmonError(f"{name} is missing from this installation (looked in {places[0]}); install socmon again")
