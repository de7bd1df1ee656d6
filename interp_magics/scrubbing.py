"""A scrubber that comes along: what one can be reached by. Names and whatever else needs reading take a scrubber of one's own."""

import re

_DATE = r"\d{1,2}[./-]\d{1,2}[./-](?:\d{2}|\d{4})(?!\d)"
_FOUND = (
    ("[email]", re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("[iban]", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("[address]", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)")),
    (
        "[phone]",
        re.compile(rf"(?<!\w)(?!{_DATE})(?:\+\d|\(?0\d)[\d ()./-]{{6,16}}\d(?: ?(?:x|ext\.?) ?\d{{1,6}})?(?!\w)"),
    ),
)


def contacts(text: str) -> str:
    """The text with e-mail addresses, IBANs, IPv4 addresses, and phone numbers that begin with + or 0, named instead of told."""
    for name, pattern in _FOUND:
        text = pattern.sub(name, text)
    return text
