"""The small page of the simulator: its phones, with a button for each thing that may happen."""

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import quote

from amarre.simulators.evolution_facts import State
from amarre.simulators.evolution_faults import FaultKind
from amarre.simulators.evolution_instance import Instance

FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simulated phones</title>
<link rel="stylesheet" href="/_sim/static/evolution.css">
<script src="/_sim/static/evolution.js" defer></script>
<noscript><meta http-equiv="refresh" content="5;url=/_sim/"></noscript>
</head>
<body>
<header>
<h1>Simulated phones</h1>
<p>A stand-in for Evolution API and for WhatsApp. Nothing here reaches a real phone.</p>
</header>
<main>
{problem}
<section id="live" aria-label="Phones">
{phones}
</section>
<section id="faults" aria-labelledby="faults-title">
<h2 id="faults-title">What goes wrong</h2>
<ul class="faults">
{faults}
</ul>
</section>
</main>
</body>
</html>
"""

CARD = """<article class="phone {state}">
<h2>{name}</h2>
<p class="state"><span class="dot" aria-hidden="true"></span>{words}</p>
<p class="code">{code}</p>
{forms}
</article>"""

SCAN = """<form method="post" action="{path}/scan" class="scan">
<label>Number <input name="phone" inputmode="tel" autocomplete="off" required value="{phone}"></label>
<label>Profile <input name="profile_name" autocomplete="off" value="{profile}"></label>
<button aria-label="Scan {name}">Scan</button>
</form>"""

ACT = """<form method="post" action="{path}/{action}">
<button class="quiet" aria-label="{words} {name}">{words}</button>
</form>"""

WRITE = """<form method="post" action="{path}/message" class="scan">
<label>Text <input name="text" autocomplete="off" value="Bonjour !"></label>
<button aria-label="Send a message to {name}">Send a message</button>
</form>"""

SWITCH = """<li class="{state}"><form method="post" action="{action}">
<input type="hidden" name="kind" value="{kind}">{extra}
<button class="quiet" aria-pressed="{pressed}" aria-label="{words}">{words}</button>
</form></li>"""

WORDS = {
    State.CLOSE: "not connected",
    State.CONNECTING: "connecting",
    State.OPEN: "connected",
}

FAULT_WORDS = {
    FaultKind.HANG: "Calls hang",
    FaultKind.SLOW: "Calls take 3 s",
    FaultKind.STATUS: "Calls answer 500",
    FaultKind.REFUSE: "Connections are refused",
    FaultKind.CREATE_TIMEOUT_BUT_DONE: "Creates succeed without an answer",
    FaultKind.DROP_WEBHOOKS: "Webhooks are lost",
    FaultKind.DUPLICATE_WEBHOOKS: "Webhooks arrive twice",
    FaultKind.DELAY_WEBHOOKS: "Webhooks arrive 5 s late",
    FaultKind.REORDER_WEBHOOKS: "Webhooks overtake each other",
    FaultKind.LOSE_SENDS: "Sent messages are lost",
    FaultKind.COUNT0: "No code is ever shown",
    FaultKind.QR_LIMIT: "Codes end after 2",
}

FAULT_VALUES = {
    FaultKind.SLOW: {"seconds": "3"},
    FaultKind.STATUS: {"number": "500"},
    FaultKind.DELAY_WEBHOOKS: {"seconds": "5"},
    FaultKind.QR_LIMIT: {"number": "2"},
}


def draw_page(
    instances: Iterable[Instance], faults: Mapping[FaultKind, bool], *, problem: str | None = None
) -> str:
    """Draw the whole page. It works without scripts; with them it refreshes itself in place."""
    cards = [_card(instance, place) for place, instance in enumerate(instances, start=1)]
    return FRAME.format(
        problem=f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else "",
        phones="\n".join(cards) or '<p class="empty">No instance has been created yet.</p>',
        faults="\n".join(_switch(kind, on=faults[kind]) for kind in FaultKind),
    )


def _card(instance: Instance, place: int) -> str:
    name = escape(instance.name)
    words = WORDS[instance.state]
    if instance.state is State.OPEN and instance.phone is not None:
        words += f" as {escape(instance.phone.profile_name)} (+{escape(instance.phone.number)})"
    code = instance.live_code()
    return CARD.format(
        state=instance.state.value,
        name=name,
        words=words,
        code=f"shows code {instance.shown.count}: <code>{escape(code[:14])}…</code>"
        if code
        else "shows no code",
        forms=_forms(instance, name=name, place=place, showing=code is not None),
    )


def _forms(instance: Instance, *, name: str, place: int, showing: bool) -> str:
    path = f"/_sim/instances/{quote(instance.name, safe='')}"
    if instance.state is not State.OPEN:
        if not showing:
            return ""
        return SCAN.format(path=path, name=name, phone=f"3363998{place:04d}", profile=f"Phone {place}")
    acts = (("unlink", "Unlink"), ("ban", "Ban"), ("kick", "Cut"))
    buttons = "".join(ACT.format(path=path, action=act, words=words, name=name) for act, words in acts)
    return WRITE.format(path=path, name=name) + f'<div class="acts">{buttons}</div>'


def _switch(kind: FaultKind, *, on: bool) -> str:
    values = FAULT_VALUES.get(kind, {})
    extra = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in values.items())
    return SWITCH.format(
        state="on" if on else "off",
        action="/_sim/faults/clear" if on else "/_sim/faults",
        kind=kind.value,
        extra="" if on else extra,
        pressed="true" if on else "false",
        words=FAULT_WORDS[kind],
    )
