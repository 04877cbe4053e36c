"""One page of the site by itself, without the bar of pages and the choice of a store."""

from pathlib import Path


def run_page(view: str, store: Path, **query):
    """Draw a page as AppTest does.

    Args:
        view: Name of its module in `leaderboard_app/views`.
        store: Folder with the records.
        **query: What the address says.
    """
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_function(_draw, default_timeout=30, kwargs={"view": view, "root": str(store)})
    page.query_params.update(query)
    page.run()
    assert not page.exception
    return page


def _draw(view: str, root: str) -> None:
    # AppTest runs the source of this function as a script of its own, so it imports all that it needs.
    import importlib
    from pathlib import Path

    from leaderboard_app.site import Site

    importlib.import_module(f"leaderboard_app.views.{view}").show(Site(Path(root)))
