"""`python -m sim.outcomes.fitting FOLDER [TO]`."""

import sys
from pathlib import Path

from sim.outcomes.fitting import write_all
from sim.paths import data_path

if __name__ == "__main__":
    write_all(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else data_path("curves"))
