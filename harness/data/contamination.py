"""Whether a decoder says that it learned, before any suite, from recordings that it is scored on."""

from collections.abc import Collection

from harness.data.sources import Dandi, File, Physionet, Zenodo
from harness.data.suites import Session, load_suite
from harness.errors import HarnessError


def contaminated(learned_from: Collection[str], suite: str, sessions: Collection[str]) -> tuple[str, ...]:
    """The scored recordings that are part of what a card declares; none of a suite that is not shipped.

    Args:
        learned_from: As `harness.data.cards.Card.learned_from`.
        suite: As a record names it.
        sessions: Ids of those that are scored.
    """
    declared = {text.strip().lower() for text in learned_from}
    if not declared:
        return ()
    try:
        known = load_suite(suite.partition("@")[0].partition("/")[0]).sessions
    except HarnessError:
        return ()
    return tuple(s.id for s in known if s.id in sessions and declared & {name.lower() for name in names_of(s)})


def names_of(session: Session) -> set[str]:
    """All that a card may call a recording, or the data set that it is from."""
    source = session.source
    found = {session.id}
    match source:
        case Dandi():
            found |= {f"dandi:{source.dandiset}", source.asset_id, source.sha256}
        case Zenodo():
            found |= {f"zenodo:{source.record}", source.sha256 or "", source.md5 or ""}
        case Physionet():
            found |= {f"physionet:{source.dataset}", f"physionet:{source.dataset}/{source.subject}"}
        case File():
            found |= {source.sha256 or ""}
    return found - {""}
