"""The inventory: what is read from its files, and what is said of what cannot be used."""

from ipaddress import ip_network
from pathlib import Path
from unicodedata import normalize

from socmon.enrich import Agency, System, load_inventory
from socmon.event import Owner
from socmon.feed.message import ORG_ID
from socmon.resources import shipped


def written(folder: Path, text: str, name: str = "assets.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def problems(*paths: Path) -> list[str]:
    """Every problem, the folder left out."""
    return [problem.replace(f"{paths[0].parent}/", "") for problem in load_inventory(paths).problems]


def test_the_shipped_example_is_without_problems() -> None:
    inventory = load_inventory([shipped("assets.example.yaml")])

    assert inventory.problems == []
    assert len(inventory.agencies) == 6
    assert inventory.patterns["dvc-*"] == Owner("000.00.11.H07", "dvc", 4)
    assert inventory.networks[ip_network("10.50.1.0/24")] == Owner("000.00.51.H07")
    assert all(ORG_ID.fullmatch(agency) for agency in inventory.agencies)


def test_agencies_systems_and_what_is_theirs_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
agencies:
  - id: H07.1
    name: Sở Y tế
    name_en: Department of Health
    networks: [10.14.0.0/16]
    systems:
      - {id: his, name: Bệnh án điện tử, level: 3, networks: [10.14.5.9], hosts: ['HIS-*']}
      - id: web
relays: [10.0.0.5]
""",
    )

    inventory = load_inventory([path])

    assert inventory.problems == []
    systems = [System("his", "Bệnh án điện tử", "", 3), System("web", "", "", None)]
    assert inventory.agencies == {"H07.1": Agency("H07.1", "Sở Y tế", "Department of Health", systems)}
    assert inventory.networks == {
        ip_network("10.14.0.0/16"): Owner("H07.1"),
        ip_network("10.14.5.9/32"): Owner("H07.1", "his", 3),
    }
    assert inventory.patterns == {"his-*": Owner("H07.1", "his", 3)}
    assert inventory.relays == [ip_network("10.0.0.5/32")]


def test_names_are_kept_composed_however_the_file_writes_them(tmp_path: Path) -> None:
    text = "agencies: [{id: a, name: Ủy ban nhân dân xã Giồng Trôm, hosts: [Giồng-Trôm-*]}]"
    composed = load_inventory([written(tmp_path, normalize("NFC", text), "c.yaml")])
    decomposed = load_inventory([written(tmp_path, normalize("NFD", text), "d.yaml")])

    assert composed == decomposed
    assert composed.agencies["a"].name == "Ủy ban nhân dân xã Giồng Trôm"


def test_every_problem_is_told_with_its_line_and_the_rest_is_used(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
agencies:
  - id: a
    nmae: Sở Tài chính
    networks:
      - 10.1.2.3/16
      - 0.0.0.0/0
      - dvc-01
      - 10.5
      - 10.2.0.0/16
    hosts: dvc-*
    systems:
      - {id: x, level: 6, hosts: [x-1]}
      - {name: no id}
      - just text
      - {id: x}
  - {name: nameless}
  - {id: a}
  - id: b
    networks: [10.2.0.0/16, 10.3.0.0/16]
    hosts: [X-1, '', x-2]
relais: []
relays: [nobody]
""",
    )

    inventory = load_inventory([path])

    assert problems(path) == [
        "assets.yaml:21: relais: unknown key; did you mean 'relays'?; known: agencies, relays",
        (
            "assets.yaml:3: agencies.0.nmae: unknown key; did you mean 'name'?; "
            "known: id, name, name_en, systems, networks, hosts"
        ),
        "assets.yaml:12: agencies.0.systems.0.level: 6 is no security level; write 1 to 5, or leave it out",
        (
            "assets.yaml:13: agencies.0.systems.1.id: missing; write one of A-Z, a-z, 0-9, . and -, such as dvc, "
            "in quotes if a number"
        ),
        "assets.yaml:14: agencies.0.systems.2: must hold `id: …` and the like, not 'just text'",
        (
            "assets.yaml:15: agencies.0.systems.3.id: 'x' stands already at assets.yaml:12, which is used; "
            "remove one of them"
        ),
        "assets.yaml:5: agencies.0.networks.0: '10.1.2.3/16' is no network; write 10.1.0.0/16",
        "assets.yaml:6: agencies.0.networks.1: 0.0.0.0/0 is wider than any agency; write its own networks",
        (
            "assets.yaml:7: agencies.0.networks.2: 'dvc-01' is no network; "
            "write one such as 10.1.0.0/16 or 2001:db8::/32, or an address"
        ),
        (
            "assets.yaml:8: agencies.0.networks.3: 10.5 is no network; "
            "write one such as 10.1.0.0/16 or 2001:db8::/32, or an address"
        ),
        "assets.yaml:10: agencies.0.hosts: must be a list: write [ONE, OTHER], or a line `- ONE` for each",
        (
            "assets.yaml:16: agencies.1.id: missing; write one of A-Z, a-z, 0-9, . and -, such as 000.00.12.H07, "
            "in quotes if a number"
        ),
        "assets.yaml:17: agencies.2.id: 'a' stands already at assets.yaml:2, which is used; remove one of them",
        (
            "assets.yaml:19: agencies.3.networks.0: '10.2.0.0/16' stands already at assets.yaml:9, which is used; "
            "remove one of them"
        ),
        "assets.yaml:20: agencies.3.hosts.0: 'X-1' stands already at assets.yaml:12, which is used; remove one of them",
        "assets.yaml:20: agencies.3.hosts.1: '' is no host name; write one such as dvc-web-01 or 'dvc-*'",
        (
            "assets.yaml:22: relays.0: 'nobody' is no network; "
            "write one such as 10.1.0.0/16 or 2001:db8::/32, or an address"
        ),
    ]
    assert inventory.networks == {ip_network("10.2.0.0/16"): Owner("a"), ip_network("10.3.0.0/16"): Owner("b")}
    assert inventory.patterns == {"x-1": Owner("a", "x"), "x-2": Owner("b")}


def test_what_stands_in_two_files_names_both(tmp_path: Path) -> None:
    first = written(tmp_path, "agencies: [{id: a, networks: [10.1.0.0/16]}]", "1.yaml")
    second = written(tmp_path, "agencies:\n- id: a\n- {id: b, networks: ['::ffff:10.1.0.0/112']}\n", "2.yml")

    assert problems(first, second) == [
        "2.yml:2: agencies.0.id: 'a' stands already at 1.yaml:1, which is used; remove one of them",
        "2.yml:3: agencies.1.networks.0: '10.1.0.0/16' stands already at 1.yaml:1, which is used; remove one of them",
    ]
    assert load_inventory([tmp_path]) == load_inventory([first, second])


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    good = written(tmp_path, "agencies: [{id: a}]")
    broken = written(tmp_path, "agencies: [", "broken.yaml")
    (tmp_path / "empty").mkdir()

    inventory = load_inventory([tmp_path / "gone.yaml", broken, tmp_path / "empty", good])

    assert list(inventory.agencies) == ["a"]
    told = [problem.replace(f"{tmp_path}/", "") for problem in inventory.problems]
    assert told[0] == "gone.yaml: cannot read it: no such file or directory; check path and rights"
    assert told[1].startswith("broken.yaml:2: not valid YAML: ")
    assert told[2] == "empty: no .yaml file can be seen in this folder; check path and rights"


def test_a_mistake_of_the_yaml_itself_is_told_once(tmp_path: Path) -> None:
    path = written(tmp_path, "agencies:\n- id: 0123\n  networks: [10.1.0.0/16]\n")

    assert problems(path) == ["assets.yaml:2: 0123 may be octal or decimal; write 123, or put it in quotes"]
