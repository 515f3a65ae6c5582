"""From a template of ours and what it tells to the text of a page; nothing here that a base install has not."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def rendered(template: str, **told: Any) -> str:
    """A page's text, from templates/NAME.html.j2 or NAME.md.j2: a value that is missing is an error."""
    return environment(html=".html." in template).get_template(template).render(**told)


def environment(*, html: bool) -> Environment:
    """Of the templates; in a page values are escaped, in Markdown there is nothing to escape."""
    return Environment(
        loader=PackageLoader("ichnos.reporting", "templates"),
        autoescape=html,  # noqa: S701 Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
