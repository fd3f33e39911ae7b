"""What this machine has of the programs and folders that manifests name.

Rule: it is looked up as a task would: along the task's PATH, in its working directory.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tsunagu.model.programs import Machine


def _program(name: str, folder: str, search_path: str) -> bool:
    if "/" in name and not name.startswith("/"):
        return not folder or os.access(Path(folder, name), os.X_OK)  # without a folder it is not known from where
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return shutil.which(name, path=search_path or own) is not None


def this_machine() -> Machine:
    return Machine(_program, os.path.isdir)
