"""What a simulated server remembers between two starts, as the real one's database does.

Paired instances come back paired; what was being paired comes back closed. Nobody is told.
"""

import json
import os
from pathlib import Path
from typing import Any

from amarre.simulators.evolution_create import Fleet, set_hook
from amarre.simulators.evolution_delivery import Hook
from amarre.simulators.evolution_facts import State
from amarre.simulators.evolution_instance import Instance, Phone


def keep(fleet: Fleet, path: Path) -> None:
    """Write all instances into a file (mode 0600: it holds tokens), whole or not at all."""
    text = json.dumps([_written(one) for one in fleet.instances.values() if one.loaded])
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def _written(one: Instance) -> dict[str, Any]:
    hook = one.hook
    return {
        "name": one.name,
        "token": one.token,
        "phone": one.phone.number if one.phone and one.state is State.OPEN else None,
        "profile_name": one.phone.profile_name if one.phone else None,
        "hook": {"url": hook.url, "events": hook.events, "headers": dict(hook.headers or {})}
        if hook
        else None,
    }


def remember(fleet: Fleet, path: Path) -> int:
    """Bring back what `keep` wrote; return how many instances that were. No file: none."""
    if not path.is_file():
        return 0
    written = json.loads(path.read_text(encoding="utf-8"))
    for row in written:
        instance = fleet.seed(row["name"], row["token"])
        if row["phone"]:
            instance.open_quietly(Phone(row["phone"], row["profile_name"]))
        if row["hook"]:
            hook = Hook(row["hook"]["url"], tuple(row["hook"]["events"]), row["hook"]["headers"])
            set_hook(instance, hook)
    return len(written)
