"""What is loaded once is not looked through for garbage again, and garbage in cycles is still found."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from socmon.garbage import settle

settle()
class Cycle(list): pass
lost = Cycle(); lost.append(lost); alive = weakref.ref(lost); del lost
kept = [[] for _ in range(200_000)]
print(gc.get_freeze_count() > 1000, alive())
"""


def test_loaded_objects_are_frozen_and_later_cycles_are_collected() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.split() == ["True", "None"]
